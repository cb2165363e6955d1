"""The commands embed and similar: what they print, and what they call an error."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from photoz_ssl.cli.main import main


@pytest.mark.parametrize("name", ["embed", "similar"])
def test_the_help_ends_with_lines_to_paste(name: str) -> None:
    result = CliRunner().invoke(main, [name, "--help"])
    assert result.exit_code == 0
    assert f"photoz-ssl {name} " in result.stdout.partition("Examples:")[2]


def test_embedding_what_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    missing, output = str(tmp_path / "nothing.h5"), str(tmp_path / "atlas.h5")
    result = CliRunner().invoke(main, ["embed", missing, "-o", output])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: there is no archive")
    assert "Traceback" not in result.output


def test_similar_demands_something_to_search() -> None:
    result = CliRunner().invoke(main, ["similar", "queries.fits", "-o", "out.fits"])
    assert result.exit_code == 2
    assert "--among" in result.stderr


def test_no_neighbours_is_not_a_number_of_neighbours() -> None:
    command = ["similar", "queries.fits", "--among", "a.h5", "-o", "out.fits", "-k", "0"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert "-k must be positive" in result.stderr


@pytest.mark.parametrize(("near", "words"), [("10,95", "no place on the sky"), ("m31", "RA,DEC")])
def test_a_position_that_is_none_is_told(near: str, words: str) -> None:
    command = ["similar", "--near", near, "--among", "a.h5", "-o", "out.fits"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert "--near" in result.stderr
    assert words in result.stderr


def test_a_sexagesimal_position_is_one(tmp_path: Path) -> None:
    missing, output = str(tmp_path / "a.h5"), str(tmp_path / "out.fits")
    command = ["similar", "--near", "-00:30:00,+02:12:00", "--among", missing, "-o", output]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 1
    assert "there is no atlas" in result.stderr
