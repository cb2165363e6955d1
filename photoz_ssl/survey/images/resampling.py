"""The pixels of one frame brought onto those of another, by cubic splines."""

from __future__ import annotations

import numpy as np
from astropy.wcs import WCS
from numpy.typing import NDArray

from photoz_ssl.survey.images.stamp_wcs import to_pixels, to_sky

__all__ = ["corners_in", "resampled"]

MARGIN = 8
"""Pixels around a stamp that its spline is fitted to: beyond, a pixel counts by 0.27**8."""

MOST_BENT = 0.02
"""Pixels by which a stamp's middle may be off that of its corners: to resample is affine."""

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.5, 0.5]])
"""Column and row of a stamp's corners and of its middle, in parts of its side."""


def corners_in(
    frame: WCS, reference: WCS, left: NDArray[np.int64], bottom: NDArray[np.int64], size: int
) -> NDArray[np.float64]:
    """Where the corners and the middles of some stamps lie in a frame.

    Parameters
    ----------
    frame : WCS
        Of the frame.
    reference : WCS
        Of the frame that the stamps' pixels are of.
    left, bottom : ndarray, shape (n,)
        The stamps' first column and row there, from 0.
    size : int
        Their side, pixels.

    Returns
    -------
    ndarray, shape (n, 5, 2)
        Column and row, from 0, in the order of `CORNERS`; not finite where the frame does not
        show that part of the sky.
    """
    first = np.stack([left, bottom], axis=1).astype(np.float64)
    pixels = (first[:, None] + (size - 1) * CORNERS).reshape(-1, 2)
    sky = to_sky(reference, *pixels.T)
    there = np.stack(to_pixels(frame, *sky), axis=1)
    return np.asarray(there, np.float64).reshape(-1, len(CORNERS), 2)


def resampled(
    image: NDArray[np.float32], corners: NDArray[np.float64], size: int
) -> NDArray[np.float32] | None:
    """A frame on the pixels of a stamp, without a factor: all frames have pixels of one size.

    Parameters
    ----------
    image : ndarray, shape (height, width)
        The frame.
    corners : ndarray, shape (5, 2)
        Of the stamp in it (`corners_in`).
    size : int
        Side of the stamp, pixels.

    Returns
    -------
    ndarray, shape (size, size), float32, or None
        None where the stamp reaches beyond the frame.

    Raises
    ------
    ValueError
        If the frame's grid is bent against the stamp's, as that of no telescope is.
    """
    from scipy.ndimage import affine_transform

    height, width = image.shape
    low, high = corners.min(axis=0), corners.max(axis=0)
    if not (low.min() >= 0 and high[0] <= width - 1 and high[1] <= height - 1):
        return None
    origin, along_x, along_y, opposite, middle = corners
    bends = middle - (along_x + along_y) / 2, middle - (origin + opposite) / 2
    if np.abs(bends).max() > MOST_BENT:
        raise ValueError("the frame's grid is bent")
    start = np.maximum(low.astype(int) - MARGIN, 0)
    stop = high.astype(int) + MARGIN + 2
    part = image[start[1] : stop[1], start[0] : stop[0]]
    steps = np.stack([along_y - origin, along_x - origin], axis=1)[::-1] / (size - 1)
    stamp = affine_transform(
        part, steps, offset=(origin - start)[::-1], output_shape=(size, size), order=3
    )
    return np.asarray(stamp, np.float32)
