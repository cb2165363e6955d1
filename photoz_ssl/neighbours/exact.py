"""Exact search for the vectors of largest cosine, in bounded memory.

Whoever multiplies the matrices, and in blocks of whatever size, rounds in a way of its own, and
vectors of float16 are not quite of unit length. So those products only choose candidates; the
few candidates are multiplied again in double precision, always in the same order, divided by
the lengths, and ranked by that, equals by id. The result depends on nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.neighbours.products import Vectors, farthest_from_cosine, open_engine
from photoz_ssl.neighbours.projection import normalised
from photoz_ssl.neighbours.pruning import pruned

__all__ = ["NOBODY", "Found", "Window", "cosines", "lengths_of", "nearest", "rank"]

NOBODY = -1
"""Row that stands for no neighbour, where there are fewer than were asked for."""

BLOCK_BYTES = 1 << 26
"""Of float32 vectors that are compared with the queries at a time."""

FIRST_BLOCK_ROWS = 1024
"""Each block is twice as long as the one before, so that good bounds come cheaply."""

PAIRS_AT_ONCE = 4096
"""That are multiplied in double precision."""

Rows = NDArray[np.int64]

Window = Callable[[Rows, Rows], NDArray[np.bool_]]
"""Of queries and rows, shape (n_pairs,) each: whether the row may answer the query."""


@dataclass(frozen=True)
class Found:
    """The neighbours of each query, the closest first.

    Parameters
    ----------
    row : ndarray, shape (n_queries, n_neighbours), int64
        Rows of the vectors; `NOBODY` where there are no more.
    similarity : ndarray, shape (n_queries, n_neighbours), float64
        Their cosines with the query; -inf where there are no more.
    """

    row: Rows
    similarity: NDArray[np.float64]


def nearest(
    queries: Vectors,
    vectors: Vectors,
    n_neighbours: int,
    *,
    vector_id: Rows | None = None,
    among: NDArray[np.bool_] | None = None,
    window: Window | None = None,
    block_rows: int | None = None,
    engine: str = "auto",
) -> Found:
    """Find the vectors that have the largest cosine with each query.

    Parameters
    ----------
    queries : ndarray, shape (n_queries, n_features)
        One with a NaN has no neighbours.
    vectors : ndarray, shape (n_vectors, n_features), float16 or float32
        Of unit length before they were rounded to their type, for example a memory map; one with
        a NaN is nobody's neighbour.
    n_neighbours : int
        How many to find a query.
    vector_id : ndarray, shape (n_vectors,), int64, optional
        Of equally close vectors the lower id comes first, and of one id the lower row.
    among : ndarray, shape (n_vectors,), bool, optional
        Which vectors to search; all if None.
    window : Window, optional
        Which vectors may answer which query.
    block_rows : int, optional
        Most vectors in memory at a time; the result does not depend on it.
    engine : {'auto', 'faiss', 'numpy'}
        Who multiplies, on which the result does not depend either; see `open_engine`.
    """
    asked = np.flatnonzero(np.isfinite(queries).all(axis=1))
    known = np.ascontiguousarray(queries[asked], np.float32)
    error = farthest_from_cosine(vectors)
    best = _Best(known, n_neighbours)
    if len(asked) == 0:
        return best.found(asked, len(queries))
    multiply = pruned(open_engine(normalised(known), n_neighbours, error, engine), vectors)
    for rows in _blocks(len(vectors), vectors.shape[1], block_rows, among):
        block = vectors[rows[0] : rows[-1] + 1] if among is None else vectors[rows]

        def allowed(query: Rows, row: Rows, rows: Rows = rows) -> NDArray[np.bool_]:
            if window is None:
                return np.ones(len(query), bool)
            return window(asked[query], rows[row])

        query, row = multiply.candidates(block, best.worst - error, allowed)
        best.take(query, rows[row], best.cosines(query, block, row), vector_id)
    return best.found(asked, len(queries))


def rank(
    queries: NDArray[np.float32],
    vectors: Vectors,
    candidates: Rows,
    n_neighbours: int,
    *,
    vector_id: Rows | None = None,
) -> Found:
    """The nearest of some candidates of each query, as `nearest` ranks them.

    Parameters
    ----------
    queries, vectors, n_neighbours, vector_id
        As for `nearest`; the queries are finite.
    candidates : ndarray, shape (n_queries, n_candidates), int64
        Rows of the vectors, each once a query; `NOBODY` for none.
    """
    best = _Best(queries, n_neighbours)
    query, place = np.nonzero(candidates != NOBODY)
    row = candidates[query, place]
    best.take(query, row, best.cosines(query, vectors, row), vector_id)
    return best.found(np.arange(len(queries)), len(queries))


def cosines(
    queries: NDArray[np.float32],
    lengths: NDArray[np.float64],
    query: Rows,
    vectors: Vectors,
    row: Rows,
) -> NDArray[np.float64]:
    """Cosines of pairs in double precision; each depends on its two vectors alone.

    Parameters
    ----------
    queries, vectors : ndarray, shape (n_queries, n_features) and (n_vectors, n_features)
        What the pairs are of.
    lengths : ndarray, shape (n_queries,)
        Those of the queries, by `lengths_of`.
    query, row : ndarray, shape (n_pairs,)
        The pairs.

    Returns
    -------
    ndarray, shape (n_pairs,)
        NaN for a vector with a NaN or an infinite number, or of length 0.
    """
    found = np.empty(len(query))
    for start in range(0, len(query), PAIRS_AT_ONCE):
        pairs = slice(start, start + PAIRS_AT_ONCE)
        known = vectors[row[pairs]].astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            length = lengths[query[pairs]] * lengths_of(known)
            known *= queries[query[pairs]]
            found[pairs] = known.sum(axis=1) / length
    return found


def lengths_of(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Lengths of vectors, shape (n,), in double precision; each depends on its vector alone."""
    return np.asarray(np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1)))


def _blocks(
    n_vectors: int, n_features: int, most_rows: int | None, among: NDArray[np.bool_] | None
) -> Iterator[Rows]:
    """Consecutive rows to search, ascending; no block is empty."""
    most = most_rows or max(1, BLOCK_BYTES // (4 * max(1, n_features)))
    start, length = 0, min(FIRST_BLOCK_ROWS, most)
    while start < n_vectors:
        stop = min(start + length, n_vectors)
        rows = np.arange(start, stop)
        if among is not None:
            rows = rows[among[start:stop]]
        if len(rows):
            yield rows
        start, length = stop, min(2 * length, most)


class _Best:
    """The best of each query so far, shape (n_queries, n_neighbours)."""

    def __init__(self, queries: NDArray[np.float32], n_neighbours: int) -> None:
        shape = (len(queries), n_neighbours)
        self._row = np.full(shape, NOBODY, np.int64)
        self._id = np.zeros(shape, np.int64)
        self._similarity = np.full(shape, -np.inf)
        self._queries, self._lengths = queries, lengths_of(queries)

    @property
    def worst(self) -> NDArray[np.float64]:
        """For each query the cosine that a vector needs at least to get in."""
        return self._similarity[:, -1]

    def cosines(self, query: Rows, vectors: Vectors, row: Rows) -> NDArray[np.float64]:
        """Of pairs of a query and a row of some vectors, shape (n_pairs,) each."""
        return cosines(self._queries, self._lengths, query, vectors, row)

    def take(
        self,
        query: Rows,
        row: Rows,
        similarity: NDArray[np.float64],
        vector_id: Rows | None,
    ) -> None:
        """Let pairs compete, shape (n_pairs,) each, with those that are there."""
        real = np.isfinite(similarity)
        query, row, similarity = query[real], row[real], similarity[real]
        changed = np.unique(query)
        n_neighbours = self._row.shape[1]
        of = np.concatenate([np.repeat(changed, n_neighbours), query])
        rows = np.concatenate([self._row[changed].ravel(), row])
        ids = np.concatenate(
            [self._id[changed].ravel(), row if vector_id is None else vector_id[row]]
        )
        values = np.concatenate([self._similarity[changed].ravel(), similarity])
        order = np.lexsort((rows, ids, -values, of))
        of = of[order]
        place = np.arange(len(of)) - np.searchsorted(of, of)
        kept = place < n_neighbours
        target, order = (of[kept], place[kept]), order[kept]
        self._row[target], self._id[target] = rows[order], ids[order]
        self._similarity[target] = values[order]

    def found(self, asked: Rows, n_queries: int) -> Found:
        """What was found, with queries that could not be asked."""
        row = np.full((n_queries, self._row.shape[1]), NOBODY, np.int64)
        similarity = np.full(row.shape, -np.inf)
        row[asked], similarity[asked] = self._row, self._similarity
        return Found(row, similarity)
