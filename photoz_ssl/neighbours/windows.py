"""Which galaxies of an atlas may answer a query: windows on columns and on the sky."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import ArchiveError, ConfigError
from photoz_ssl.neighbours.atlas import Atlas
from photoz_ssl.neighbours.expressions import Condition

__all__ = ["Tolerance", "parse_angle", "parse_tolerance", "rows_where", "separation"]

ROWS_AT_ONCE = 1 << 18

DEGREES = {"deg": 1.0, "d": 1.0, "arcmin": 1 / 60, "'": 1 / 60, "arcsec": 1 / 3600, '"': 1 / 3600}

Degrees = NDArray[np.float64]


@dataclass(frozen=True)
class Tolerance:
    """A column in which a neighbour may differ from its query by so much.

    Parameters
    ----------
    column : str
        Its name.
    most : float
        Largest absolute difference.
    """

    column: str
    most: float

    def allows(self, values: NDArray[Any], others: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether each value is near enough to the other; right ascensions go round at 360."""
        apart = np.abs(values - others)
        if self.column.upper() == "RA":
            apart = np.minimum(apart, 360 - apart)
        return np.asarray(apart <= self.most)


def parse_angle(text: str) -> float:
    """An angle such as ``10arcsec``, in degrees.

    Raises
    ------
    ConfigError
        If it is none, or negative.

    >>> parse_angle("30 arcmin")
    0.5
    """
    match = re.fullmatch(r"\s*([0-9.eE+-]+)\s*([a-z]+|'|\")\s*", text)
    try:
        degrees = float(match[1]) * DEGREES[match[2]] if match else -1.0
    except (ValueError, KeyError):
        degrees = -1.0
    if not 0 <= degrees <= 180:
        raise ConfigError(f"{text!r} is not an angle", "write one such as 10arcsec or 0.5deg")
    return degrees


def parse_tolerance(text: str) -> Tolerance:
    """A tolerance such as ``PETRO_MAG_r=0.5``.

    Raises
    ------
    ConfigError
        If it is none, or negative.
    """
    name, _, number = text.partition("=")
    try:
        most = float(number)
    except ValueError:
        most = -1.0
    if not name.strip() or not 0 <= most < np.inf:
        raise ConfigError(
            f"{text!r} is not a column and how much it may differ",
            "write one such as PETRO_MAG_r=0.5",
        )
    return Tolerance(name.strip(), most)


def rows_where(atlas: Atlas, conditions: Sequence[Condition]) -> NDArray[np.bool_]:
    """Which galaxies of an atlas meet all conditions, shape (n_galaxies,).

    Raises
    ------
    ArchiveError
        If the atlas lacks a column, or no galaxy meets them.
    ConfigError
        If one is no condition on these columns.
    """
    columns = {name: atlas.column(name) for known in conditions for name in known.names}
    chosen = np.ones(len(atlas), bool)
    for start in range(0, len(atlas), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        block = {name: np.asarray(column[rows]) for name, column in columns.items()}
        for condition in conditions:
            chosen[rows] &= condition.holds(block)
    if not chosen.any():
        texts = " and ".join(repr(condition.text) for condition in conditions)
        raise ArchiveError(f"no galaxy of {atlas.path} meets {texts}", "widen the window")
    return chosen


def separation(ra: Degrees, dec: Degrees, other_ra: Degrees, other_dec: Degrees) -> Degrees:
    """Angle on the sky between pairs of positions, degrees; NaN where one is unknown.

    By the haversine formula, which is exact enough for the smallest angles.
    """
    a, d, b, e = (np.radians(angle) for angle in (ra, dec, other_ra, other_dec))
    half = np.sin((e - d) / 2) ** 2 + np.cos(d) * np.cos(e) * np.sin((b - a) / 2) ** 2
    return np.asarray(np.degrees(2 * np.arcsin(np.sqrt(np.clip(half, 0, 1)))))
