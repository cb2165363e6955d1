"""The documentation: names, options, files and links in it are those that there are."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import click
import pytest

from photoz_ssl.cli.main import COMMANDS, main

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
WRITTEN = sorted(page for part in ("", "howto", "decisions") for page in (DOCS / part).glob("*.md"))
PAGES = [ROOT / "README.md", *(page for page in WRITTEN if page.name != "cli.md")]
PACKAGES = ("datasets", "neighbours", "networks", "redshift", "survey", "training")


def name_of_page(path: Path) -> str:
    return str(path.relative_to(ROOT))


def options() -> dict[str, set[str]]:
    """The options of each command, by its name on the command line."""
    context = click.Context(main)
    found: dict[str, set[str]] = {}
    for name in COMMANDS:
        command = main.get_command(context, name)
        parts = command.commands if isinstance(command, click.Group) else {"": command}
        for part, each in parts.items():
            flags = [[*one.opts, *one.secondary_opts] for one in each.params] if each else []
            found[f"{name} {part}".strip()] = {"-h", "--help", *(f for one in flags for f in one)}
    return found


def commands_in(text: str) -> list[str]:
    """What stands behind ``photoz-ssl`` in code, up to the end of the line or a pipe."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S)
    code = [re.sub(r"\\\n\s*", " ", block) for block in blocks] + re.findall(r"`([^`\n]+)`", text)
    return [
        found for one in code for found in re.findall(r"\bphotoz-ssl ([a-z][^\n|#]*)", one, re.M)
    ]


def anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", text, re.M)
    words = (re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles)
    return {*words, *re.findall(r"^\((.*)\)=$", text, re.M)}


def is_there(name: str) -> bool:
    """Whether a dotted name below the package is a module or something in one."""
    module, _, rest = name.partition(".")
    while rest:
        part, _, rest = rest.partition(".")
        try:
            import_module(f"photoz_ssl.{module}.{part}")
        except ModuleNotFoundError:
            found: object = import_module(f"photoz_ssl.{module}")
            for attribute in filter(None, (part, *rest.split("."))):
                found = getattr(found, attribute, None)
            return found is not None
        module = f"{module}.{part}"
    return True


def test_functions_beside_the_equations_exist() -> None:
    text = (DOCS / "science.md").read_text("utf-8")
    names = re.findall(rf"`((?:{'|'.join(PACKAGES)})(?:\.\w+){{2,}})`", text)
    assert len(names) > 40
    assert [name for name in names if not is_there(name)] == []
    assert not is_there("survey.bands.no_such_name")


@pytest.mark.parametrize("page", PAGES, ids=name_of_page)
def test_commands_and_options_exist(page: Path) -> None:
    known = options()
    for command in commands_in(page.read_text("utf-8")):
        first, second, *_ = [*command.split(), "", ""]
        name = first if first in known else f"{first} {second}"
        if name == "experiment ":  # the group itself
            continue
        assert name in known, command
        given = set(re.findall(r"(?<= )--?[a-z][a-z-]*", command))
        assert given <= known[name], command


@pytest.mark.parametrize("page", PAGES, ids=name_of_page)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if link.startswith("http"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text("utf-8")), link


@pytest.mark.parametrize("page", PAGES, ids=name_of_page)
def test_files_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    for path in re.findall(r"(?:examples|benchmarks)/[\w/]+\.\w+", text):
        assert (ROOT / path).exists(), path
    for path in re.findall(rf"`((?:{'|'.join(PACKAGES)})/[\w/]+\.py)`", text):
        assert any((ROOT / base / path).exists() for base in ("photoz_ssl", "tests")), path
