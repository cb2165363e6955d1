"""The SDSS bands and what Galactic dust does in each (method section 2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BANDS",
    "PIXEL_SCALE",
    "R_DR12",
    "R_SF11",
    "SKY_NOISE",
    "ebv_from_extinction",
    "extinction_from_ebv",
]

BANDS = ("u", "g", "r", "i", "z")

PIXEL_SCALE = 0.396
"""Arcseconds a pixel of an SDSS frame."""

SKY_NOISE = (0.045, 0.017, 0.029, 0.050, 0.17)
"""Median noise of the sky in SDSS frames in ugriz, nanomaggies a pixel (method section 6)."""

R_DR12 = np.array([5.155, 3.793, 2.751, 2.086, 1.479])
"""A_ugriz / E(B-V) behind the ``EXTINCTION`` columns of SDSS up to DR12."""

R_SF11 = np.array([4.239, 3.303, 2.285, 1.698, 1.263])
"""A_ugriz / E(B-V)_SFD of Schlafly & Finkbeiner (2011), R_V = 3.1; images are dereddened by it."""


def ebv_from_extinction(
    extinction: NDArray[np.floating], coefficients: NDArray[np.floating] = R_DR12
) -> NDArray[np.float64]:
    """E(B-V) of the SFD map from the extinction in five bands.

    Parameters
    ----------
    extinction : ndarray, shape (..., 5)
        A_ugriz, magnitudes; a NaN in any band gives NaN.
    coefficients : ndarray, shape (5,)
        A / E(B-V) of the convention that the extinctions are in.

    Returns
    -------
    ndarray, shape (...)
        E(B-V), magnitudes: the mean of the bands' own values.
    """
    return np.asarray(np.mean(np.asarray(extinction, np.float64) / coefficients, axis=-1))


def extinction_from_ebv(
    ebv: NDArray[np.floating], coefficients: NDArray[np.floating] = R_DR12
) -> NDArray[np.float64]:
    """Extinction in five bands, shape (..., 5), magnitudes, from E(B-V), shape (...)."""
    return np.asarray(ebv, dtype=np.float64)[..., np.newaxis] * coefficients
