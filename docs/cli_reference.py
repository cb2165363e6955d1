"""Write ``docs/cli.md`` from the commands' own ``--help``, or check that it is up to date."""

from __future__ import annotations

import argparse
import sys
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
        sections += [f"## photoz-ssl {name}", f"```text\n{help_of(command, name)}\n```"]
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
