"""The galaxies of an atlas that are farthest from their own neighbours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.neighbours.atlas import Atlas
from photoz_ssl.neighbours.index import Index
from photoz_ssl.neighbours.query import Restriction, find_neighbours, queries_of_rows
from photoz_ssl.progress import Progress, silent

__all__ = ["Unusual", "chord", "most_unusual"]

QUERIES_AT_ONCE = 2048


@dataclass(frozen=True)
class Unusual:
    """Galaxies of an atlas, the most unusual first; shape (n,) each.

    Parameters
    ----------
    row : ndarray, int64
        Rows of the atlas.
    distance : ndarray, float64
        From the k-th neighbour, 0 to 2.
    nearest : ndarray, int64
        Row of the nearest neighbour.
    similarity : ndarray, float64
        Cosine with it.
    """

    row: NDArray[np.int64]
    distance: NDArray[np.float64]
    nearest: NDArray[np.int64]
    similarity: NDArray[np.float64]


def chord(similarity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance between unit vectors of a cosine, 0 to 2."""
    return np.sqrt(np.maximum(2 - 2 * similarity, 0))


def most_unusual(
    atlas: Atlas,
    n_unusual: int,
    n_neighbours: int,
    restriction: Restriction,
    progress: Progress = silent,
    index: Index | None = None,
) -> Unusual:
    """Rank the galaxies of an atlas by the distance from their own k-th neighbours.

    Parameters
    ----------
    atlas : Atlas
        Of which galaxies.
    n_unusual : int
        How many to give, or as many as have a neighbour.
    n_neighbours : int
        k; the last neighbour counts for a galaxy that has fewer.
    restriction : Restriction
        Which galaxies are ranked, and are neighbours.
    progress : Progress
        Told of the galaxies ranked.
    index : Index, optional
        What to search through instead of exactly.
    """
    among = restriction.among
    rows = np.arange(len(atlas)) if among is None else np.flatnonzero(among)
    best = Unusual(*(np.empty(0, kind) for kind in ("i8", "f8", "i8", "f8")))
    for start in range(0, len(rows), QUERIES_AT_ONCE):
        block = rows[start : start + QUERIES_AT_ONCE]
        queries = queries_of_rows(atlas, block)
        found = find_neighbours(queries, atlas, n_neighbours, restriction, index)
        first = np.flatnonzero(found.rank == 1)
        last = np.append(first[1:], len(found))[: len(first)] - 1
        best = _larger(
            best,
            Unusual(
                block[found.query[first]],
                chord(found.similarity[last]),
                found.row[first],
                found.similarity[first],
            ),
            n_unusual,
        )
        progress("ranking galaxies", min(start + QUERIES_AT_ONCE, len(rows)), len(rows))
    return best


def _larger(one: Unusual, other: Unusual, n: int) -> Unusual:
    """The n of both with the largest distances; of equals the lower row first."""
    row, distance, nearest, similarity = (
        np.concatenate([getattr(one, name), getattr(other, name)])
        for name in ("row", "distance", "nearest", "similarity")
    )
    order = np.lexsort((row, -distance))[:n]
    return Unusual(row[order], distance[order], nearest[order], similarity[order])
