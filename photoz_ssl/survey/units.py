"""Units of flux in images, as nanomaggies; units that say that a number is something else."""

from __future__ import annotations

import re
import warnings
from functools import lru_cache

import astropy.units as u
from astropy.utils.exceptions import AstropyWarning

__all__ = ["NANOMAGGY_ZERO_POINT", "ZERO_POINTS", "is_plain_number", "nanomaggies_in"]

ZERO_POINTS = ("MAGZERO", "MAGZPT", "MAGZP", "PHOTZP")
"""Cards that give the magnitude of one unit of an image's flux."""

NANOMAGGY_ZERO_POINT = 22.5
"""Magnitude of one nanomaggy (method section 2)."""

NANOMAGGY_NAMES = ("nanomaggy", "nanomaggies", "nanomaggie", "nmgy", "nmaggy", "nmaggies")
MAGGY_NAMES = ("maggy", "maggies", "maggie", "mgy")
NANOMAGGY = 3.631e-6 * u.Jy
MICROJANSKY_NAMES = ("microjy", "microjansky", "microjanskys")

NO_UNITS = ("n/a", "none", "null", "-", "--", "j2000")
"""What some write where a unit would stand, and mean no newtons per ampere by."""

PER_PIXEL = re.compile(r"\s*(/|per|\s)\s*(pix|pixel)(\s*\*\*\s*-1|\^-1|-1)?$", re.IGNORECASE)


@lru_cache(maxsize=64)
def nanomaggies_in(unit: str) -> float | None:
    """How many nanomaggies one of a FITS unit is; None where it is no flux density.

    An image that names no unit is taken to be in nanomaggies; "a pixel" may follow the unit.
    Magnitudes are no flux density: a sum of them means nothing.

    >>> nanomaggies_in("maggies")
    1000000000.0
    >>> nanomaggies_in("nanomaggies/pixel")
    1.0
    """
    name = PER_PIXEL.sub("", unit.strip())
    if not name or name.lower() in NANOMAGGY_NAMES:
        return 1.0
    if name.lower() in MAGGY_NAMES:
        return 1e9
    if name.lower() in MICROJANSKY_NAMES:
        name = "uJy"
    try:
        parsed = u.Unit(_with_one_slash(name))
        return float(parsed.to(NANOMAGGY)) if isinstance(parsed, u.UnitBase) else None
    except (ValueError, TypeError):
        return None


def _with_one_slash(name: str) -> str:
    """``a/b/c`` as ``a/(b c)``, which means the same and which astropy does not warn of."""
    first, *others = name.split("/")
    return f"{first}/({' '.join(others)})" if len(others) > 1 else name


def is_plain_number(unit: str) -> bool:
    """Whether a unit is none, or one that nobody knows; not that of a magnitude or a distance.

    >>> [is_plain_number(unit) for unit in ("", "redshift", "N/A", "mag", "km/s", "Mpc")]
    [True, True, True, False, False, False]
    """
    if unit.strip().lower() in NO_UNITS:
        return True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        try:
            parsed = u.Unit(unit)
        except (ValueError, TypeError):
            return True
    return isinstance(parsed, u.UnitBase) and bool(parsed.is_equivalent(u.dimensionless_unscaled))
