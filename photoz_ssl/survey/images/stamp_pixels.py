"""What makes pixels a stamp: how many there are, in which unit, and what they hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.spec import NETWORK_SIZE
from photoz_ssl.survey.flags import RowFlag
from photoz_ssl.survey.units import nanomaggies_in

__all__ = [
    "Stamp",
    "StampProblem",
    "crop",
    "finite",
    "flux_factor",
    "lack_a_band",
    "require_bands",
    "window",
]

SLACK = 2
"""Pixels by which a stamp may be off its object, for its own convention of the centre."""


class StampProblem(Exception):  # noqa: N818 - it is a finding about a row, often not raised
    """Why a row has no usable image.

    Parameters
    ----------
    flag : RowFlag
        The kind of problem.
    message : str
        One sentence that names the file.
    """

    def __init__(self, flag: RowFlag, message: str) -> None:
        super().__init__(flag, message)
        self.flag = flag
        self.message = message


Stamp = NDArray[np.float32] | StampProblem
"""An image, shape (n_bands, size, size), nanomaggies, or why there is none."""


def crop(image: NDArray[Any], size: int, name: str) -> NDArray[Any]:
    """Cut a square about the centre, shape (..., size, size); see `window`.

    Raises
    ------
    StampProblem
        If the image is too small.
    """
    rows, columns = window(image.shape, size, name, None)
    return image[..., rows, columns]


def window(
    shape: Sequence[int], size: int, name: str, centre: tuple[float, float] | None
) -> tuple[slice, slice]:
    """Rows and columns of a square about a pixel, which comes to lie at ``size // 2``.

    A square that reaches beyond the image by no more than `SLACK` is moved into it.

    Parameters
    ----------
    shape : sequence of int
        Of the image: (..., height, width).
    size : int
        Side of the square.
    name : str
        Of the image, for errors.
    centre : (float, float) or None
        Column and row of the object, from 0; the image's own if None.

    Raises
    ------
    StampProblem
        If the image is too small, or the square reaches further beyond it.
    """
    height, width = shape[-2:]
    x, y = centre or (width // 2, height // 2)
    if min(height, width) < size:
        advice = f"; --size {NETWORK_SIZE} would do" if min(height, width) >= NETWORK_SIZE else ""
        raise StampProblem(
            RowFlag.WRONG_SHAPE,
            f"{name} has {width}x{height} pixels, fewer than {size}x{size}{advice}",
        )
    if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
        raise StampProblem(RowFlag.OUTSIDE_FRAME, f"the RA and Dec lie outside {name}")
    corner = []
    for position, length in zip((x, y), (width, height), strict=True):
        start = math.floor(position + 0.5) - size // 2
        if not -SLACK <= start <= length - size + SLACK:
            raise StampProblem(
                RowFlag.OUTSIDE_FRAME, f"a stamp of {size} pixels reaches beyond the edge of {name}"
            )
        corner.append(min(max(start, 0), length - size))
    left, bottom = corner
    return slice(bottom, bottom + size), slice(left, left + size)


def finite(image: NDArray[Any], name: str) -> NDArray[np.float32]:
    """The image as float32, or a `StampProblem` where pixels are not finite or a band is empty."""
    stamp = np.ascontiguousarray(image, dtype=np.float32)
    bad = int(stamp.size - np.count_nonzero(np.isfinite(stamp)))
    if bad:
        told = "1 pixel that is" if bad == 1 else f"{bad} pixels that are"
        raise StampProblem(RowFlag.NOT_FINITE, f"{name} has {told} not finite")
    if lack_a_band(stamp[np.newaxis])[0]:
        raise StampProblem(RowFlag.WRONG_SHAPE, f"{name} has a band in which all pixels are 0")
    return stamp


def lack_a_band(images: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which images, shape (n, n_bands, height, width), have a band in which all pixels are 0.

    So do cutouts of where no survey has looked in that band, and any sky has noise.
    """
    height, width = images.shape[-2:]
    lacking = np.asarray(~images[..., height // 2, width // 2].all(axis=-1))
    if lacking.any():  # all pixels are looked at of few alone
        lacking[lacking] = ~images[lacking].any(axis=(-2, -1)).all(axis=-1)
    return lacking


def require_bands(found: int, wanted: int, name: str) -> None:
    """Refuse an image with another number of bands."""
    if found != wanted:
        raise StampProblem(RowFlag.WRONG_SHAPE, f"{name} has {found} bands, not {wanted}")


def flux_factor(unit: str, name: str) -> float:
    """How many nanomaggies the unit of an image is, or a `StampProblem`."""
    factor = nanomaggies_in(unit)
    if factor is None:
        raise StampProblem(
            RowFlag.WRONG_UNIT, f"{name} is in {unit!r}, which is not convertible to nanomaggies"
        )
    return factor
