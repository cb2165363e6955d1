"""Ids of galaxies as signed 64-bit integers, and what cannot be one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["NO_ID", "UnfitIdError", "integer_ids", "tells_apart"]

NO_ID = -1
"""The id of a galaxy that has none."""

NO_MATCH = (NO_ID, 0, -9, -99, -999, -9999)
"""What rows without a match, such as those of SDSS whose BESTOBJID is 0, have instead of an id."""

LARGEST_ID = 2**63 - 1
LARGEST_EXACT = 2.0**53
"""Up to it each whole number is one of float64."""


class UnfitIdError(Exception):
    """A number that is no id; it says which, and where it stands."""


def integer_ids(
    values: NDArray[Any], null: int | None = None, *, strict: bool = True
) -> NDArray[np.int64]:
    """Numbers as ids, shape (n,); `NO_ID` where there is none.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Numbers; a NaN stands for no id.
    null : int, optional
        The number that stands for no id.
    strict : bool
        Whether a number that is too large, or no whole one, is an error; else it is no id.

    Raises
    ------
    UnfitIdError
        If ``strict`` and there is such a number.

    >>> integer_ids(np.array([5, 0, 7]), null=0).tolist()
    [5, -1, 7]
    """
    missing = np.zeros(len(values), bool) if null is None else values == null
    unfit = np.zeros(len(values), bool)
    if values.dtype.kind == "u":
        unfit = values > LARGEST_ID
    elif values.dtype.kind != "i":
        missing = missing | np.isnan(values)
        unfit = ~missing & ((np.abs(values) > LARGEST_EXACT) | (values != np.floor(values)))
    unfit = unfit & ~missing
    if strict and unfit.any():
        row = int(unfit.argmax())
        reason = "which no signed 64-bit integer holds"
        if values.dtype.kind == "f":
            reason = "a floating-point number that is not whole, or too large to be exact"
        raise UnfitIdError(f"row {row + 1} has the id {values[row]}, {reason}")
    ids = np.where(missing | unfit, 0, values).astype(np.int64)
    ids[missing | unfit] = NO_ID
    return ids


def tells_apart(object_id: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which ids, shape (n,), are those of one galaxy, and do not stand for none.

    >>> tells_apart(np.array([1237648720693755918, 0, -1, 5])).tolist()
    [True, False, False, True]
    """
    return ~np.isin(object_id, NO_MATCH)
