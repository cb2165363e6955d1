"""Mosaics: what is written over a picture stays over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from photoz_ssl.workflows.pictures import mosaic
from photoz_ssl.workflows.pictures.mosaic import MosaicRow, draw_mosaic

pytest.importorskip("matplotlib", reason="matplotlib (extra [plot]) is not installed")

NAMES = ("7", "J19590+0000", "1237651272966275073", "WISEA J103024.58+203503.6 NED01 of 64 letters")


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The figures that would be saved."""
    made: list[Any] = []
    monkeypatch.setattr(mosaic, "save_figure", lambda figure, *_, **__: made.append(figure))
    return made


def draw(captions: list[str], n_rows: int) -> None:
    row = MosaicRow(np.zeros((len(captions), 64, 64, 3), np.uint8), captions)
    draw_mosaic(Path("m.png"), [row] * n_rows, shown=Path("m.png"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_pictures", [2, 5])
def test_captions_are_no_wider_than_their_pictures(
    figures: list[Any], name: str, n_pictures: int
) -> None:
    draw([f"{name}, z=0.040"] * n_pictures, n_rows=2)
    (figure,) = figures
    figure.draw_without_rendering()
    assert len(figure.axes) == 2 * n_pictures
    for tile in figure.axes:
        text = tile.title.get_window_extent()
        assert text.width <= 1.02 * tile.get_window_extent().width
        assert 0 <= text.x0 < text.x1 <= figure.bbox.width


def test_a_name_that_is_too_long_loses_its_beginning_and_not_the_redshift(
    figures: list[Any],
) -> None:
    draw([f"{NAMES[-1]}, z=0.040", "7, z=0.040"], n_rows=1)
    long, short = (tile.get_title() for tile in figures[0].axes)
    assert long.startswith("...")
    assert long.endswith("64 letters, z=0.040")
    assert short == "7, z=0.040"
