"""Write ``docs/cli.md`` from the commands' own ``--help``, or check that it is up to date."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from photoz_ssl.cli.main import COMMANDS, main

REFERENCE = Path(__file__).with_name("cli.md")
WIDTH = 92


def help_of(command: click.Command, name: str) -> str:
    """The text of ``--help``, at a width that does not depend on the terminal."""
    parent = click.Context(main, info_name="photoz-ssl", terminal_width=WIDTH)
    context = click.Context(
        command,
        info_name=name or None,
        parent=parent if name else None,
        terminal_width=WIDTH,
        max_content_width=WIDTH,
        help_option_names=["-h", "--help"],
    )
    if not name:
        context.info_name = "photoz-ssl"
    return command.get_help(context)


def parts_of(command: click.Command, name: str) -> Iterator[tuple[click.Command, str]]:
    """A command and, where it is a group, the commands inside it, each with its full name."""
    yield command, name
    if isinstance(command, click.Group):
        for inner, part in command.commands.items():
            yield part, f"{name} {inner}"


def reference() -> str:
    """The whole page."""
    sections = [
        "# Command-line reference",
        "This page is made from the commands' own `--help` by `make cli-reference`.",
        "## photoz-ssl",
        f"```text\n{help_of(main, '')}\n```",
    ]
    for name in COMMANDS:
        command = main.get_command(click.Context(main), name)
        if command is None:
            raise LookupError(f"no command {name!r}")
        for part, title in parts_of(command, name):
            sections += [f"## photoz-ssl {title}", f"```text\n{help_of(part, title)}\n```"]
    return "\n\n".join(sections) + "\n"


def run() -> int:
    """Write the page, or compare it; the exit code says whether it was as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    text = reference()
    if not parser.parse_args().check:
        REFERENCE.write_text(text, encoding="utf-8")
        return 0
    if REFERENCE.exists() and REFERENCE.read_text(encoding="utf-8") == text:
        return 0
    print("docs/cli.md is out of date: run make cli-reference", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(run())
