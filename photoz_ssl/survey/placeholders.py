"""Numbers in a column of redshifts, of reddening or of magnitudes that are none."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.spec import MOST_REDDENING

__all__ = [
    "LOWEST_REDSHIFT",
    "possible_estimates",
    "possible_magnitudes",
    "possible_reddening",
    "without_placeholders",
]

LOWEST_REDSHIFT, HIGHEST_REDSHIFT = -0.02, 20.0
"""Beyond these a number stands for a missing redshift, such as -9999 or 99.

No galaxy is known beyond z = 15, and none falls towards us faster than the lower one.
"""

BRIGHTEST, FAINTEST = 0.0, 50.0
"""Magnitudes between which those of galaxies lie; -9999, -1, 0 and 99 stand for missing ones."""


def possible_magnitudes(values: NDArray[np.floating]) -> NDArray[np.floating]:
    """Magnitudes, shape (n,), with NaN for what cannot be a galaxy's.

    >>> possible_magnitudes(np.array([17.5, -9999, 0, 99])).tolist()
    [17.5, nan, nan, nan]
    """
    return np.where((values > BRIGHTEST) & (values < FAINTEST), values, np.nan)


def without_placeholders(redshift: NDArray[Any]) -> NDArray[Any]:
    """Redshifts, shape (n,), with NaN for what cannot be one.

    >>> without_placeholders(np.array([0.1, -9999, 99, 7.3])).tolist()
    [0.1, nan, nan, 7.3]
    """
    return _above(LOWEST_REDSHIFT, redshift)


def possible_estimates(redshift: NDArray[Any]) -> NDArray[Any]:
    """Photometric redshifts, shape (n,), with NaN for what stands for none, such as -1.

    Some methods give numbers a little below 0, and are to be judged by them.

    >>> possible_estimates(np.array([0.1, -0.05, -1, -99])).tolist()
    [0.1, -0.05, nan, nan]
    """
    return _above(-1.0, redshift)


def _above(lowest: float, redshift: NDArray[Any]) -> NDArray[Any]:
    """Redshifts, shape (n,), with NaN for those from `HIGHEST_REDSHIFT` on, or not above one."""
    possible = (redshift > lowest) & (redshift < HIGHEST_REDSHIFT)
    return np.where(possible, redshift, redshift.dtype.type(np.nan))


def possible_reddening(
    values: NDArray[Any], coefficients: float | NDArray[np.floating] = 1.0
) -> NDArray[np.float64]:
    """E(B-V), or extinctions that are it times coefficients, with NaN for what cannot be one.

    >>> possible_reddening(np.array([0.03, 0, -9999, 99])).tolist()
    [0.03, 0.0, nan, nan]
    """
    found = np.array(values, dtype=np.float64)
    found[~((found >= 0) & (found <= MOST_REDDENING * coefficients))] = np.nan
    return found
