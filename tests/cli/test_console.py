"""What a person sees where there is no terminal."""

from __future__ import annotations

import sys
import time

import pytest

from photoz_ssl.cli import console
from photoz_ssl.cli.console import say, show_progress
from photoz_ssl.progress import silent


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in its only element."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_plain_lines_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    with show_progress() as progress:
        for done in range(0, 101, 5):
            progress("galaxies", done, 100, loss=1.23456 - done / 100)
            clock[0] += 1
    captured = capsys.readouterr()
    first, last = captured.err.splitlines()
    assert first == "galaxies: 50 of 100, loss 0.7346, 5/s, 10 s left"
    assert last == "galaxies: 100 of 100, loss 0.2346, 5/s"
    assert captured.out == ""


def test_what_is_over_soon_needs_no_line(
    capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    with show_progress() as progress:
        progress("galaxies", 5, 10)
        clock[0] += 2
        progress("galaxies", 10, 10)
        progress("pictures", 1, 1)
    assert capsys.readouterr().err == ""


def test_a_rate_that_is_not_known_is_not_told(
    capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    with show_progress() as progress:
        progress("galaxies", 5, 10)
        clock[0] += 60
        progress("galaxies", 5, 10)
        clock[0] += 20
        progress("galaxies", 6, None)
    assert capsys.readouterr().err.splitlines() == [
        "galaxies: 5 of 10",
        "galaxies: 6, 0.013/s",
    ]


def test_the_rate_begins_anew_with_the_stage(
    capsys: pytest.CaptureFixture[str], clock: list[float]
) -> None:
    with show_progress() as progress:
        for _ in range(2):  # one training after the other
            for done in (10, 60, 110):
                progress("images", done, 110)
                clock[0] += 10
            clock[0] += 1000
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(", ", 1)[1:] for line in lines] == [
        ["5/s, 10 s left"],
        ["5/s"],
        [],
        ["5/s, 10 s left"],
        ["5/s"],
    ]


def test_a_terminal_shows_a_bar_a_stage(
    monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with show_progress() as progress:
        assert isinstance(progress, console._Bars)
        progress("galaxies", 0, 10)
        clock[0] += 2
        progress("galaxies", 4, 20, loss=1.23456)
        progress("pictures", 1, None)
        galaxies, pictures = progress.bars.tasks
    assert (galaxies.completed, galaxies.total) == (4, 20)
    assert galaxies.fields == {"rate": "2/s", "figures": "loss 1.235"}
    assert (pictures.description, pictures.completed, pictures.total) == ("pictures", 1, None)


def test_quiet_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress(quiet=True) as progress:
        progress("galaxies", 10, 10)
        assert progress is silent
    say("a line", quiet=True)
    assert capsys.readouterr().err == ""
