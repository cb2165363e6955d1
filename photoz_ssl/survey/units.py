"""Units of flux in images, as nanomaggies."""

from __future__ import annotations

import re
from functools import lru_cache

import astropy.units as u

__all__ = ["nanomaggies_in"]

NANOMAGGY_NAMES = ("nanomaggy", "nanomaggies", "nanomaggie", "nmgy", "nmaggy", "nmaggies")
MAGGY_NAMES = ("maggy", "maggies", "maggie", "mgy")
NANOMAGGY = 3.631e-6 * u.Jy
MICROJANSKY_NAMES = ("microjy", "microjansky", "microjanskys")

PER_PIXEL = re.compile(r"\s*(/|per|\s)\s*(pix|pixel)(\s*\*\*\s*-1|\^-1|-1)?$", re.IGNORECASE)


@lru_cache(maxsize=64)
def nanomaggies_in(unit: str) -> float | None:
    """How many nanomaggies one of a FITS unit is; None where it is no flux density.

    An image that names no unit is taken to be in nanomaggies; "a pixel" may follow the unit.

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
        return float(u.Unit(name).to(NANOMAGGY))
    except (ValueError, TypeError):
        return None
