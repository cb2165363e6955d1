"""Colour pictures of galaxies, and the mosaic of queries and their neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.visualization import make_lupton_rgb
from numpy.typing import NDArray

from photoz_ssl.extras import import_extra
from photoz_ssl.spec import NETWORK_SIZE
from photoz_ssl.survey.bands import BANDS, R_SF11
from photoz_ssl.workflows.figures import ORANGE, save_figure

__all__ = ["MosaicRow", "draw_mosaic", "thumbnails"]

RED_GREEN_BLUE = ("i", "r", "g")
BAND_WEIGHTS = (1.0, 1.15, 1.6)
"""Relative scale of i, r and g, so that a galaxy like the Sun looks white."""

STRETCH, SOFTENING = 0.3, 8.0
"""Of Lupton et al. (2004): nanomaggies that are shown linearly, and Q."""

MOST_REDDENING = 0.5
"""E(B-V) up to which a picture is dereddened; beyond it only the noise would be seen."""

TILE_INCHES = 1.0
CAPTION_POINTS = 6.5


def thumbnails(images: NDArray[np.float32], ebv: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Colour pictures of stamps, dereddened, in the way of Lupton et al. (2004).

    Parameters
    ----------
    images : ndarray, shape (n, 5, S, S), S >= 64
        Nanomaggies in ugriz, not dereddened.
    ebv : ndarray, shape (n,)
        E(B-V) of SFD, magnitudes; a NaN counts as 0, more than 0.5 as 0.5.

    Returns
    -------
    ndarray, shape (n, 64, 64, 3), uint8
        Red, green, blue of the central pixels; black for a stamp without light.
    """
    first = images.shape[-1] // 2 - NETWORK_SIZE // 2
    centre = slice(first, first + NETWORK_SIZE)
    bands = [BANDS.index(band) for band in RED_GREEN_BLUE]
    reddening = np.clip(np.nan_to_num(np.asarray(ebv, np.float64)), 0, MOST_REDDENING)
    extinction = reddening[:, np.newaxis] * R_SF11[bands]
    scale = np.array(BAND_WEIGHTS) * 10 ** (0.4 * extinction)
    light = np.nan_to_num(images[:, bands, centre, centre]) * scale[:, :, np.newaxis, np.newaxis]
    pictures = np.zeros((len(images), NETWORK_SIZE, NETWORK_SIZE, 3), np.uint8)
    for picture, (red, green, blue) in zip(pictures, light, strict=True):
        with np.errstate(invalid="ignore", divide="ignore"):  # where there is no light
            picture[:] = make_lupton_rgb(red, green, blue, minimum=0, stretch=STRETCH, Q=SOFTENING)
    return pictures


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
