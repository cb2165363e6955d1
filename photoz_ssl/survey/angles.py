"""Angles of a table in any unit, or as text: ``10:00:00``, ``10h00m00s`` or ``+20 15 03``."""

from __future__ import annotations

import re
import warnings
from functools import lru_cache

import astropy.units as u
import numpy as np
from astropy.coordinates import Angle
from astropy.utils.exceptions import AstropyWarning
from numpy.typing import NDArray

__all__ = ["degrees_in", "degrees_of"]

IN_DEGREES = re.compile(r"[d°]")


@lru_cache(maxsize=64)
def degrees_in(unit: str) -> float | None:
    """How many degrees one of a unit is; None where it is no angle, or not known.

    A column that names no unit is taken to be in degrees.

    >>> [degrees_in(unit) for unit in ("", "Degrees", "hours", "arcmin", "mag")]
    [1.0, 1.0, 15.0, 0.016666666666666666, None]
    """
    word = unit.strip(" '\"[]()").lower()
    if not word or word in ("d", "°") or re.search(r"\bdeg", word):
        return 1.0
    for name in (word, word.removesuffix("s")) if word.isalpha() else ():
        try:
            parsed = u.Unit(name)
            return 15.0 if parsed == u.hour else float(parsed.to(u.deg))
        except (ValueError, TypeError):
            continue
    return None


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
