"""Options are made from a config's fields, and a config file sets their defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from photoz_ssl.cli.options import command, config_from
from photoz_ssl.fields import argument, option, optional_argument, required_option


@dataclass(frozen=True, kw_only=True)
class PaintConfig:
    wall: str = argument("Wall.")
    ceiling: str | None = optional_argument("Ceiling.")
    colour: str = required_option("Colour.", flags=("-c", "--colour"))
    coats: int = option(2, "Coats.")
    shares: tuple[float, ...] | None = option(None, "Shares.")
    brush: Path | None = option(None, "Brush.")
    helpers: tuple[str, ...] = option((), "A helper.", flags=("--helper",))
    dry: bool = option(True, "Let it dry.")
    style: str = option("flat", "Style.", choices=("flat", "gloss"))


@command(PaintConfig, examples="photoz-ssl paint north -c red")
def paint(quiet: bool, verbose: bool, **options: Any) -> None:
    """Paint a wall."""
    print(config_from(PaintConfig, options))


def painted(*arguments: str) -> str:
    result = CliRunner().invoke(paint, arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def test_defaults_are_the_fields_own() -> None:
    assert painted("north", "-c", "red") == repr(PaintConfig(wall="north", colour="red"))


def test_every_kind_of_field_is_understood() -> None:
    text = painted(
        *("north", "up", "--colour", "red", "--coats", "3", "--shares", "0.5,0.5"),
        *("--brush", "b", "--no-dry", "--style", "gloss", "--helper", "a", "--helper", "b,c"),
    )
    assert text == repr(
        PaintConfig(
            wall="north",
            ceiling="up",
            colour="red",
            coats=3,
            shares=(0.5, 0.5),
            brush=Path("b"),
            helpers=("a", "b,c"),
            dry=False,
            style="gloss",
        )
    )


@pytest.mark.parametrize(
    "arguments",
    [["north"], ["north", "-c", "red", "--style", "matt"], ["north", "-c", "r", "--shares", "a"]],
)
def test_wrong_words_are_usage_errors(arguments: list[str]) -> None:
    assert CliRunner().invoke(paint, arguments).exit_code == 2


def test_a_config_file_sets_defaults_and_flags_win(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text("[paint]\ncoats = 5\nshares = [1, 2]\nstyle = 'gloss'\n[other]\nx = 1\n")
    text = painted("north", "-c", "red", "--config", str(path), "--style", "flat")
    assert text == repr(PaintConfig(wall="north", colour="red", coats=5, shares=(1.0, 2.0)))


@pytest.mark.parametrize("text", ["[paint]\nno_such = 1\n", "paint = 3\n", "]["])
def test_a_bad_config_file_is_a_usage_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    result = CliRunner().invoke(paint, ["north", "-c", "red", "--config", str(path)])
    assert result.exit_code == 2
    assert "c.toml" in result.output
