"""Questions to an atlas, and the neighbours that answer them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.neighbours.atlas import Atlas
from photoz_ssl.neighbours.exact import NOBODY, Found, Window, nearest
from photoz_ssl.neighbours.index import Index
from photoz_ssl.neighbours.windows import Tolerance, separation
from photoz_ssl.object_ids import tells_apart

__all__ = [
    "Neighbours",
    "Queries",
    "Restriction",
    "find_neighbours",
    "queries_of_rows",
    "rocchio",
    "window_of",
]

ROCCHIO = (1.0, 0.75, 0.15)
"""Weights of the query, of what is liked and of what is not (Manning et al. 2008, section 9.1)."""

SAME_PLACE = 10 / 3600
"""Degrees within which galaxies of one id are the same: other surveys count from 1, too."""

OWN_PLACE = 1 / 3600
"""Degrees within which a galaxy is the query itself, where ids do not tell."""

Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Queries:
    """Galaxies whose look-alikes are wanted; one entry each.

    Parameters
    ----------
    vectors : ndarray, shape (n, n_features), float32
        Unit vectors as the atlas has them; NaN for one that cannot be asked.
    object_id : ndarray, shape (n,), int64
        Ids.
    has_ids : bool
        Whether these are the ids of a catalogue, and not just numbers.
    ra, dec : ndarray, shape (n,), float64
        Degrees; NaN where unknown.
    row : ndarray, shape (n,), int64
        Its row in the atlas; `NOBODY` for a galaxy from elsewhere.
    values : mapping of str to ndarray, shape (n,)
        Columns of the queries that a window compares.
    """

    vectors: NDArray[np.float32]
    object_id: Rows
    has_ids: bool
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    row: Rows
    values: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.object_id)


@dataclass(frozen=True, kw_only=True)
class Restriction:
    """What a neighbour has to be beside similar.

    Parameters
    ----------
    among : ndarray, shape (n_galaxies,), bool, optional
        Which galaxies of the atlas to search; all if None.
    left_out : ndarray, shape (n,), int64
        Rows of the atlas that answer no query.
    min_separation : float
        Smallest angle from the query on the sky, degrees; a galaxy without a position is
        nobody's neighbour if it is above 0.
    within : sequence of Tolerance
        Columns in which query and neighbour may differ by so much at most.
    elsewhere : bool
        Whether nobody at the place of the query answers it, whatever the ids say. So it is
        in any case for a query from elsewhere where it or the atlas has no ids.
    """

    among: NDArray[np.bool_] | None = None
    left_out: Rows = field(default_factory=lambda: np.empty(0, np.int64))
    min_separation: float = 0.0
    within: Sequence[Tolerance] = ()
    elsewhere: bool = False


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

    query: Rows
    rank: NDArray[np.int32]
    row: Rows
    similarity: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.query)


def queries_of_rows(atlas: Atlas, rows: NDArray[np.int64]) -> Queries:
    """Galaxies of an atlas as queries to it."""
    return Queries(
        vectors=atlas.representations[rows].astype(np.float32),
        object_id=atlas.object_id[rows],
        has_ids=atlas.header.has_ids,
        ra=atlas.ra[rows],
        dec=atlas.dec[rows],
        row=rows,
    )


def find_neighbours(
    queries: Queries,
    atlas: Atlas,
    n_neighbours: int,
    restriction: Restriction | None = None,
    index: Index | None = None,
) -> Neighbours:
    """Find the galaxies of an atlas that look most like each query.

    A galaxy is not its own neighbour: neither its own row of the atlas, nor one of its id at
    its place on the sky, nor, where it has no id, or one such as 0 or -9999 that stands for
    none, or the atlas has no ids, whatever is at that place.

    Parameters
    ----------
    queries : Queries
        What to look for.
    atlas : Atlas
        Where to search.
    n_neighbours : int
        How many a query, or as many as there are.
    restriction : Restriction, optional
        Who may answer; everyone if None.
    index : Index, optional
        What to search through; exactly if None.
    """
    limits = restriction or Restriction()
    n_neighbours = min(n_neighbours, max(1, len(atlas)))
    among, window = limits.among, window_of(queries, atlas, limits)
    if index is not None:
        found = index.search(queries.vectors, atlas, n_neighbours, among=among, window=window)
        return _as_pairs(found)
    found = nearest(
        queries.vectors,
        atlas.representations,
        n_neighbours,
        vector_id=atlas.object_id,
        among=among,
        window=window,
    )
    return _as_pairs(found)


def _as_pairs(found: Found) -> Neighbours:
    """The neighbours of each query as one list of pairs."""
    query, place = np.nonzero(found.row != NOBODY)
    similarity = np.clip(found.similarity[query, place], -1, 1)
    return Neighbours(query, (place + 1).astype(np.int32), found.row[query, place], similarity)


def window_of(queries: Queries, atlas: Atlas, restriction: Restriction) -> Window:
    """The pairs of a query and a row of the atlas that a restriction allows."""
    columns = [
        (queries.values[limit.column], atlas.column(limit.column), limit)
        for limit in restriction.within
    ]
    closest = restriction.min_separation
    has_ids = queries.has_ids and atlas.header.has_ids
    known = has_ids & tells_apart(queries.object_id)
    same_within = np.where(known, SAME_PLACE, OWN_PLACE)
    by_place = restriction.elsewhere | (~known & (queries.row == NOBODY))

    def window(query: Rows, row: Rows) -> NDArray[np.bool_]:
        allowed: NDArray[np.bool_] = queries.row[query] != row
        if len(restriction.left_out):
            allowed &= ~np.isin(row, restriction.left_out)
        for values, column, limit in columns:
            allowed &= limit.allows(values[query], column[row])
        if closest > 0:
            allowed[allowed] = _apart(queries, atlas, query[allowed], row[allowed]) >= closest
        if has_ids:
            same = allowed & (queries.object_id[query] == atlas.object_id[row])
            apart = _apart(queries, atlas, query[same], row[same])
            allowed[same] = apart > same_within[query[same]]
        if by_place.any():
            asked = allowed & by_place[query]
            allowed[asked] = ~_at_its_place(queries, atlas, query[asked], row[asked])
        return allowed

    return window


def _apart(queries: Queries, atlas: Atlas, query: Rows, row: Rows) -> NDArray[np.float64]:
    """Angles between pairs of a query and a row, degrees."""
    return separation(queries.ra[query], queries.dec[query], atlas.ra[row], atlas.dec[row])


def _at_its_place(queries: Queries, atlas: Atlas, query: Rows, row: Rows) -> NDArray[np.bool_]:
    """Which pairs are in one place; the angle itself is worked out for few of them."""
    near = np.abs(queries.dec[query] - atlas.dec[row]) <= OWN_PLACE
    near[near] = _apart(queries, atlas, query[near], row[near]) <= OWN_PLACE
    return np.asarray(near)


def rocchio(
    queries: NDArray[np.float32] | None,
    like: NDArray[np.float32],
    unlike: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Move queries towards what is liked and away from what is not (Rocchio 1971).

    Parameters
    ----------
    queries : ndarray, shape (n, n_features), optional
        Unit vectors; if None, what is liked is the one query.
    like, unlike : ndarray, shape (m, n_features)
        Unit vectors, any number of each.

    Returns
    -------
    ndarray, shape (n, n_features)
        Unit vectors; NaN where all cancels.
    """
    weight, liking, disliking = ROCCHIO
    n_features = like.shape[1]
    moved = np.zeros((1, n_features)) if queries is None else weight * queries.astype(np.float64)
    if len(like):
        moved = moved + liking * like.astype(np.float64).mean(axis=0)
    if len(unlike):
        moved = moved - disliking * unlike.astype(np.float64).mean(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(moved / np.linalg.norm(moved, axis=1, keepdims=True), np.float32)
