"""Options are made from a config's fields, and a config file sets their defaults."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from photoz_ssl.cli.options import command, config_from
from photoz_ssl.errors import ConfigError
from photoz_ssl.fields import (
    AUTO,
    argument,
    number_or_auto,
    option,
    optional_argument,
    refuse_unless,
    required_option,
    spelled_option,
)


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
    thinner: float = option(0.5, "Thinner.")
    buckets: int = number_or_auto("Buckets.")
    star: tuple[float, float] | None = option(None, "Star.")
    drying_time: float = option(8.0, "Hours.")
    finish: str = spelled_option("none", "Finish.", pattern="none|wax", spelled="wax", bare="wax")

    def __post_init__(self) -> None:
        refuse_unless(self.coats > 0, "--coats must be positive")


@command(PaintConfig, examples=("photoz-ssl paint north -c red",))
def paint(quiet: bool, verbose: bool, **options: Any) -> None:
    """Paint a wall."""
    print(config_from(PaintConfig, options))


def painted(*arguments: str) -> str:
    result = CliRunner().invoke(paint, arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def test_defaults_are_the_fields_own() -> None:
    assert painted("north", "-c", "red") == repr(PaintConfig(wall="north", colour="red"))


def test_a_selection_from_standard_input_is_an_argument() -> None:
    wall = PaintConfig(wall="-[1][R < 17]", colour="red", coats=3)
    assert painted("-[1][R < 17]", "-c", "red", "--coats", "3") == repr(wall)
    assert painted("-c", "red", "--coats", "3", "--", "-[1][R < 17]") == repr(wall)
    refused = CliRunner().invoke(paint, ["north", "-c", "red", "-x"])
    assert refused.exit_code == 2


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


STUDIO = click.Group(
    "studio",
    commands=[paint, click.Group("experiment", commands=[click.Command("dry-fast")])],
)


def refused(text: str, tmp_path: Path) -> str:
    path = tmp_path / "c.toml"
    path.write_text(text)
    arguments = ["paint", "north", "-c", "red", "--config", str(path)]
    error = CliRunner().invoke(STUDIO, arguments, standalone_mode=False).exception
    assert isinstance(error, click.BadParameter), error
    assert str(path) in error.message
    return error.message


def test_every_type_of_toml_that_fits_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        "[paint]\ncoats = 3\nthinner = 1\nhelpers = ['a', 'b']\nshares = [1, 0.5]\n"
        "buckets = 4\nbrush = 'b'\ndry = false\nverbose = false\nstar = [-10, 20.5]\n"
        "drying-time = 2.5\n"
    )
    wanted = PaintConfig(
        wall="north",
        colour="red",
        coats=3,
        thinner=1.0,
        helpers=("a", "b"),
        shares=(1.0, 0.5),
        buckets=4,
        brush=Path("b"),
        dry=False,
        star=(350.0, 20.5),
        drying_time=2.5,
    )
    assert painted("north", "-c", "red", "--config", str(path)) == repr(wanted)
    path.write_text(path.read_text().replace("drying-time", "drying_time"))
    assert painted("north", "-c", "red", "--config", str(path)) == repr(wanted)
    path.write_text(path.read_text().replace("helpers", "helper"))
    assert painted("north", "-c", "red", "--config", str(path)) == repr(wanted)


@pytest.mark.parametrize(("flags", "told"), [([], ""), (["-v"], "photoz_ssl.walls: it is wet\n")])
def test_verbose_shows_what_the_package_logs(
    flags: list[str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("photoz_ssl")
    monkeypatch.setattr(logger, "handlers", [])
    before = logger.level

    @command(PaintConfig, examples=("photoz-ssl talk north -c red",))
    def talk(**options: Any) -> None:
        logging.getLogger("photoz_ssl.walls").info("it is wet")
        logging.getLogger("another.package").info("it is not heard")

    try:
        result = CliRunner().invoke(talk, ["north", "-c", "red", *flags])
    finally:
        logger.setLevel(before)
    assert result.stderr.partition(" ")[2] == told
    assert result.stdout == ""


@pytest.mark.parametrize("value", ["0", "-1", "2.5", "many"])
def test_a_number_or_auto_is_nothing_else(value: str) -> None:
    assert f"buckets={AUTO}" in painted("north", "-c", "red", "--buckets", "auto")
    assert "buckets=1," in painted("north", "-c", "red", "--buckets", "1")
    result = CliRunner().invoke(paint, ["north", "-c", "red", "--buckets", value])
    assert result.exit_code == 2
    assert "neither a positive whole number nor auto" in result.stderr


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("coats = [1, 2]", "coats in [paint] is [1, 2], but takes a whole number"),
        ("coats = 1.9", "coats in [paint] is 1.9, but takes a whole number"),
        ("coats = true", "coats in [paint] is true, but takes a whole number"),
        ("coats = '2'", 'coats in [paint] is "2", but takes a whole number'),
        ("thinner = true", "thinner in [paint] is true, but takes a number"),
        ("shares = ['a', 'b']", 'shares in [paint] is ["a", "b"], but takes a list of numbers'),
        ("shares = 3", "shares in [paint] is 3, but takes a list of numbers"),
        ("helpers = 'ab'", 'helpers in [paint] is "ab", but takes a list of texts'),
        ("helpers = [1]", "helpers in [paint] is [1], but takes a list of texts"),
        ("buckets = 2.5", 'buckets in [paint] is 2.5, but takes a whole number or "auto"'),
        ("coats = 1979-05-27", 'coats in [paint] is "1979-05-27", but takes a whole number'),
        ("dry = [1]", "dry in [paint] is [1], but takes true or false"),
        ("brush = ['a', 'b']", 'brush in [paint] is ["a", "b"], but takes a text'),
        ("ceiling = []", "ceiling in [paint] is [], but takes a text"),
        ("star = 1", "star in [paint] is 1, but takes RA and Dec"),
        (
            "drying-time = 1\ndrying_time = 2",
            "sets drying_time in [paint] twice, under two names",
        ),
        ("helper = ['a']\nhelpers = ['b']", "sets helpers in [paint] twice, under two names"),
        ("style = 1", "style in [paint] is 1, but takes a text"),
        ("finish = true", "finish in [paint] is true, but takes a text: wax"),
        ("config = 'd.toml'", "'config', which paint does not have"),
    ],
)
def test_a_value_of_another_type_is_told_by_name(value: str, wanted: str, tmp_path: Path) -> None:
    assert refused(f"[paint]\n{value}\n", tmp_path).endswith(wanted)


def test_a_table_of_no_command_is_refused_and_those_of_others_are_not(tmp_path: Path) -> None:
    others = "[dry-fast]\nno_such = 1\n"
    told = refused(others + "[piant]\ncoats = 8\n", tmp_path)
    assert told.endswith("[piant] is no command; did you mean [paint]?")
    told = refused(others + "[xyz]\n", tmp_path)
    assert told.endswith("[xyz] is no command; those are dry-fast, paint")
    assert refused("coats = 8\n", tmp_path).endswith("'coats' stands in no table of a command")
    told = refused(others + "[paint]\ncoats = 8.5\n", tmp_path)
    assert told.endswith("coats in [paint] is 8.5, but takes a whole number")


def test_what_a_config_refuses_is_a_usage_error() -> None:
    result = CliRunner().invoke(paint, ["north", "-c", "red", "--coats", "0"])
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: paint [OPTIONS] WALL")
    assert result.stderr.endswith("\n\nError: --coats must be positive\n")


@pytest.mark.parametrize("hint", ["", "use a brush"])
def test_what_is_refused_later_has_the_name_of_the_command(hint: str) -> None:
    @command(PaintConfig, examples=("photoz-ssl fail north -c red",))
    def fail(**options: Any) -> None:
        raise ConfigError("the wall is wet", hint)

    error = CliRunner().invoke(fail, ["north", "-c", "red"], standalone_mode=False).exception
    assert isinstance(error, ConfigError)
    assert error.hint == (hint or "fail --help tells what each option takes")
