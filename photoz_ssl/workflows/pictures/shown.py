"""Galaxies that are shown, whatever they are shown in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["GalleryRow", "Shown"]


@dataclass(frozen=True)
class Shown:
    """A galaxy that is shown.

    Parameters
    ----------
    picture : ndarray, shape (64, 64, 3), uint8
        Red, green, blue; the first axis points up.
    name : str
        Its id; empty where it has none.
    ra, dec : float
        Degrees; NaN where unknown.
    redshift : float
        Spectroscopic; NaN where unknown.
    similarity : float
        Cosine with the query; NaN for the query itself.
    """

    picture: NDArray[np.uint8]
    name: str
    ra: float
    dec: float
    redshift: float
    similarity: float = np.nan


@dataclass(frozen=True)
class GalleryRow:
    """A query and its neighbours, the closest first."""

    query: Shown
    neighbours: tuple[Shown, ...]
