"""The neighbours of galaxies in an atlas, as the rows of a table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.neighbours.atlas import Atlas
from photoz_ssl.neighbours.exact import NOBODY, nearest
from photoz_ssl.neighbours.products import Vectors

__all__ = ["Neighbours", "find_neighbours"]


@dataclass(frozen=True)
class Neighbours:
    """Pairs of a query and a neighbour, by query and then by rank; shape (n_pairs,) each.

    Parameters
    ----------
    query : ndarray, int64
        Which of the queries, from 0.
    rank : ndarray, int32
        1 for the closest.
    row : ndarray, int64
        The neighbour's row in the atlas.
    similarity : ndarray, float64
        Cosine of the two representations, to the precision of those stored.
    """

    query: NDArray[np.int64]
    rank: NDArray[np.int32]
    row: NDArray[np.int64]
    similarity: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.query)


def find_neighbours(
    representations: Vectors,
    object_id: NDArray[np.int64] | None,
    atlas: Atlas,
    n_neighbours: int,
) -> Neighbours:
    """Find the galaxies of an atlas that look most like each query.

    Parameters
    ----------
    representations : ndarray, shape (n_queries, n_features)
        Unit vectors by the atlas's own model; a query with a NaN gets no neighbours.
    object_id : ndarray, shape (n_queries,), optional
        Ids of the queries: a galaxy of the same id is not its own neighbour. Where there are
        none, or the atlas has none, a galaxy may find itself.
    atlas : Atlas
        Where to search.
    n_neighbours : int
        How many a query, or as many as there are.
    """
    ids = object_id if atlas.header.has_ids else None

    def another(query: NDArray[np.int64], row: NDArray[np.int64]) -> NDArray[np.bool_]:
        if ids is None:
            return np.ones(len(query), bool)
        return np.asarray(ids[query] != atlas.object_id[row])

    found = nearest(
        representations,
        atlas.representations,
        n_neighbours,
        vector_id=atlas.object_id,
        window=another,
    )
    query, place = np.nonzero(found.row != NOBODY)
    similarity = np.clip(found.similarity[query, place], -1, 1)
    return Neighbours(query, (place + 1).astype(np.int32), found.row[query, place], similarity)
