"""The mosaic of queries and their neighbours, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.extras import import_extra
from photoz_ssl.workflows.figures import ORANGE, save_figure

__all__ = ["MosaicRow", "draw_mosaic"]

TILE_INCHES = 1.0
CAPTION_POINTS = 6.5


@dataclass(frozen=True)
class MosaicRow:
    """A query and its neighbours, closest first.

    Parameters
    ----------
    pictures : ndarray, shape (1 + n_neighbours, 64, 64, 3), uint8
        The query's first.
    captions : sequence of str
        One a picture.
    """

    pictures: NDArray[np.uint8]
    captions: Sequence[str]


def draw_mosaic(path: Path, rows: Sequence[MosaicRow], *, shown: Path) -> None:
    """Draw a row of pictures for each query: itself, then its neighbours.

    Parameters
    ----------
    path : Path
        PNG file to write.
    rows : sequence of MosaicRow
        At least one; they may differ in length.
    shown : Path
        Its name in an error, as ``path`` may be a passing one.

    Raises
    ------
    photoz_ssl.errors.PhotozError
        If matplotlib is not installed, or the file cannot be written.
    """
    n_columns = max(len(row.pictures) for row in rows)
    module = import_extra("matplotlib.figure", extra="plot", purpose="drawing a mosaic")
    size = (TILE_INCHES * n_columns, 1.16 * TILE_INCHES * len(rows))
    figure = module.Figure(figsize=size, layout="constrained")
    tiles = figure.subplots(len(rows), n_columns, squeeze=False)
    for tile in tiles.flat:
        tile.set_axis_off()
    for line, row in zip(tiles, rows, strict=True):
        pairs = zip(line[: len(row.pictures)], row.pictures, row.captions, strict=True)
        for tile, picture, caption in pairs:
            tile.imshow(picture, origin="lower", interpolation="nearest")
            tile.set_title(caption, fontsize=CAPTION_POINTS, pad=2)
        _frame(line[0])
    save_figure(figure, path, shown=shown)


def _frame(tile: Any) -> None:
    """Set the query off from its neighbours by a coloured frame."""
    tile.set_axis_on()
    tile.set(xticks=[], yticks=[])
    for spine in tile.spines.values():
        spine.set(color=ORANGE, linewidth=2)
