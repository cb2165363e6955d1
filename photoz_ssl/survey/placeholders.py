"""Numbers in a column of redshifts that are none."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["without_placeholders"]

LOWEST_REDSHIFT, HIGHEST_REDSHIFT = -0.02, 20.0
"""Beyond these a number stands for a missing redshift, such as -9999 or 99.

No galaxy is known beyond z = 15, and none falls towards us faster than the lower one.
"""


def without_placeholders(redshift: NDArray[Any]) -> NDArray[Any]:
    """Redshifts, shape (n,), with NaN for what cannot be one.

    >>> without_placeholders(np.array([0.1, -9999, 99, 7.3])).tolist()
    [0.1, nan, nan, 7.3]
    """
    possible = (redshift > LOWEST_REDSHIFT) & (redshift < HIGHEST_REDSHIFT)
    return np.where(possible, redshift, redshift.dtype.type(np.nan))
