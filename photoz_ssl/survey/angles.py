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

from photoz_ssl.errors import ConfigError

__all__ = ["degrees_in", "degrees_of", "looks_like_position", "position_of"]

IN_DEGREES = re.compile(r"[d°]")
ANGLE = r"\s*[-+]?[\d.][-+\d.eE:\shmsd°'\"]*"
POSITION = re.compile(rf"{ANGLE}(,{ANGLE})+")


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


def looks_like_position(text: str) -> bool:
    """Whether some text can be nothing but a position, if perhaps a wrong one.

    >>> [looks_like_position(text) for text in ("10,-5", "10h20m,-5d", "1001", "m31,a.fits")]
    [True, True, False, False]
    """
    return POSITION.fullmatch(text) is not None


def position_of(text: str) -> tuple[float, float]:
    """Right ascension and declination in degrees, the former in [0, 360).

    Parameters
    ----------
    text : str
        ``RA,DEC``, each in degrees or sexagesimal, the right ascension then in hours. A blank
        may stand for the comma, or the declination's sign alone.

    Raises
    ------
    ConfigError
        If it is none, or lies beyond the poles or more than a turn away.

    Examples
    --------
    >>> position_of("-10.5,41.25"), position_of("349d30m,+41:15:00")
    ((349.5, 41.25), (349.5, 41.25))
    """
    angles = [_degrees(word, not place, 1.0) for place, word in enumerate(_halves(text))]
    if len(angles) != 2 or np.isnan(angles).any():
        raise ConfigError(
            f"{text!r} is not a position", "write RA,DEC, such as 150.1,2.2 or 10:00:24,+02:12:00"
        )
    ra, dec = angles
    if not (-360 <= ra <= 360 and -90 <= dec <= 90):
        raise ConfigError(
            f"{text!r} is no place on the sky",
            "write RA in [0, 360] and Dec in [-90, 90], degrees",
        )
    return ra % 360, dec


def _halves(text: str) -> list[str]:
    """The two angles of a position; more or fewer where it is none."""
    if re.search("[,;]", text):
        return re.split("[,;]", text)
    words = text.split()
    if len(words) == 1:
        return re.split(r"(?<=.)(?=[-+])", words[0])
    middle = len(words) // 2
    return [" ".join(words[:middle]), " ".join(words[middle:])] if len(words) % 2 == 0 else words
