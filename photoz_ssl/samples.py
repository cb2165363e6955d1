"""Some that stand for many: rows evenly spread, and a scatter that a few outliers do not change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["SIGMA_OF_MAD", "evenly_spread"]

SIGMA_OF_MAD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


def evenly_spread(n_rows: int, most: int) -> NDArray[np.int64]:
    """At most so many of the rows from 0 on, ascending, from the first to the last.

    >>> evenly_spread(10, 4)
    array([0, 3, 6, 9])
    """
    return np.linspace(0, n_rows - 1, min(n_rows, most)).astype(np.int64)
