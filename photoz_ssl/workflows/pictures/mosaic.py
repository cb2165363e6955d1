"""The mosaic of queries and their neighbours, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.extras import import_extra
from photoz_ssl.files import output_errors
from photoz_ssl.workflows.pictures.figures import DOTS_PER_INCH, ORANGE, save_figure

__all__ = ["MosaicRow", "Pages", "draw_mosaic"]

TILE_INCHES = 1.0
CAPTION_POINTS = 6.5
SMALLEST_POINTS = 3.7
LETTERS_OF_A_TILE = 16.0
"""That are as wide as a tile, in points of `CAPTION_POINTS`."""


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
    save_figure(_figure(rows), path, shown=shown)


class Pages:
    """A PDF of several pages, each a mosaic.

    Parameters
    ----------
    path : Path
        File to write.
    shown : Path
        Its name in an error.
    """

    def __init__(self, path: Path, *, shown: Path) -> None:
        self._path, self._shown = path, shown
        self._file: Any = None

    def draw(self, rows: Sequence[MosaicRow]) -> None:
        """Add a page with a row of pictures for each query."""
        with output_errors(self._shown):
            if self._file is None:
                pdf = import_extra("matplotlib.backends.backend_pdf", extra="plot", purpose="PDF")
                self._file = pdf.PdfPages(self._path, metadata={"CreationDate": None})
            self._file.savefig(_figure(rows), dpi=DOTS_PER_INCH)

    def close(self) -> None:
        """Write the end of the file."""
        with output_errors(self._shown):
            if self._file is not None:
                self._file.close()


def _figure(rows: Sequence[MosaicRow]) -> Any:
    """A figure with a row of pictures for each query."""
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
            text, points = _fitted(caption)
            tile.set_title(text, fontsize=points, pad=2, parse_math=False)
        _frame(line[0])
    return figure


def _fitted(caption: str) -> tuple[str, float]:
    """A caption that is no wider than its tile, and its size in points.

    A long one is small, and one that would be too small loses its beginning.

    >>> _fitted("0.819, z=0.047")
    ('0.819, z=0.047', 6.5)
    """
    points = CAPTION_POINTS * min(1.0, LETTERS_OF_A_TILE / max(1, len(caption)))
    if points >= SMALLEST_POINTS:
        return caption, points
    most = int(CAPTION_POINTS * LETTERS_OF_A_TILE / SMALLEST_POINTS)
    return f"...{caption[3 - most :]}", SMALLEST_POINTS


def _frame(tile: Any) -> None:
    """Set the query off from its neighbours by a coloured frame."""
    tile.set_axis_on()
    tile.set(xticks=[], yticks=[])
    for spine in tile.spines.values():
        spine.set(color=ORANGE, linewidth=2)
