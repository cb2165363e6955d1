"""Mosaics: what is written over a picture stays over it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from photoz_ssl.workflows.mosaic import MosaicRow, _figure

pytest.importorskip("matplotlib", reason="matplotlib (extra [plot]) is not installed")

NAMES = ("7", "J19590+0000", "1237651272966275073", "WISEA J103024.58+203503.6 NED01 of 64 letters")


def captions(figure: Any) -> list[str]:
    return [tile.get_title() for tile in figure.axes]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n_neighbours", [1, 4])
def test_captions_are_no_wider_than_their_pictures(name: str, n_neighbours: int) -> None:
    pictures = np.zeros((1 + n_neighbours, 64, 64, 3), np.uint8)
    row = MosaicRow(pictures, [f"{name}, z=0.040"] * (1 + n_neighbours))
    figure = _figure([row, row])
    figure.draw_without_rendering()
    for tile in figure.axes:
        text = tile.title.get_window_extent()
        assert text.width <= 1.02 * tile.get_window_extent().width
        assert 0 <= text.x0 < text.x1 <= figure.bbox.width


def test_a_name_that_is_too_long_loses_its_beginning_and_not_the_redshift() -> None:
    figure = _figure([MosaicRow(np.zeros((1, 64, 64, 3), np.uint8), [f"{NAMES[-1]}, z=0.040"])])
    (caption,) = captions(figure)
    assert caption.startswith("...")
    assert caption.endswith("64 letters, z=0.040")
    short = _figure([MosaicRow(np.zeros((1, 64, 64, 3), np.uint8), ["7, z=0.040"])])
    assert captions(short) == ["7, z=0.040"]
