"""Positions that a table has as text: ``10:00:00``, ``10h00m00s``, ``+20 15 03`` or ``150.25``."""

from __future__ import annotations

import re
import warnings

import numpy as np
from astropy.coordinates import Angle
from astropy.utils.exceptions import AstropyWarning
from numpy.typing import NDArray

__all__ = ["degrees_of"]

IN_DEGREES = re.compile(r"[d°]")


def degrees_of(words: NDArray[np.bytes_], *, hours: bool, factor: float) -> NDArray[np.float64]:
    """Angles in degrees, shape (n,); NaN for what is empty or none.

    Parameters
    ----------
    words : ndarray of bytes, shape (n,)
        Sexagesimal, with colons, blanks or the letters of their units, or plain numbers.
    hours : bool
        Whether sexagesimal ones without a unit of their own are hours, as right ascensions are.
    factor : float
        Degrees in the unit of plain numbers.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)  # of 60 seconds, which are a minute
        texts = (word.decode("ascii", "replace").strip() for word in words)
        return np.array([_degrees(text, hours, factor) for text in texts], np.float64)


def _degrees(text: str, hours: bool, factor: float) -> float:
    try:
        return float(text) * factor
    except ValueError:
        pass
    try:
        unit = "hourangle" if hours and not IN_DEGREES.search(text) else "deg"
        return float(Angle(text, unit).deg)
    except (ValueError, TypeError):
        return np.nan
