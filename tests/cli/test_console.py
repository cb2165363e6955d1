"""What a person sees where there is no terminal."""

from __future__ import annotations

import pytest

from photoz_ssl.cli.console import say, show_progress
from photoz_ssl.progress import silent


def test_plain_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress() as progress:
        progress("galaxies", 0, 10)
        progress("galaxies", 5, 10, loss=1.23456)
        progress("galaxies", 10, 10, loss=1.0)
    captured = capsys.readouterr()
    first, last = captured.err.splitlines()
    assert first.startswith("galaxies: 0 of 10")
    assert last.startswith("galaxies: 10 of 10, loss 1")
    assert captured.out == ""


def test_quiet_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with show_progress(quiet=True) as progress:
        progress("galaxies", 10, 10)
        assert progress is silent
    say("a line", quiet=True)
    assert capsys.readouterr().err == ""
