"""Exact search for the vectors with the largest cosine, in bounded memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["NOBODY", "cosine", "nearest"]

NOBODY = -1
"""Row that stands for no neighbour, where there are fewer than were asked for."""

BLOCK_ROWS = 8192
"""Vectors that are compared with the queries at a time."""


def nearest(
    queries: NDArray[np.float32],
    vectors: NDArray[np.float32],
    n_neighbours: int,
    *,
    query_id: NDArray[np.int64] | None = None,
    vector_id: NDArray[np.int64] | None = None,
    block_rows: int = BLOCK_ROWS,
) -> NDArray[np.int64]:
    """Rows of the vectors that have the largest cosine with each query.

    Parameters
    ----------
    queries : ndarray, shape (n_queries, n_features)
        Unit vectors; one with a NaN has no neighbours.
    vectors : ndarray, shape (n_vectors, n_features)
        Unit vectors, for example a memory map; one with a NaN is nobody's neighbour.
    n_neighbours : int
        How many to find a query.
    query_id, vector_id : ndarray, shape (n_queries,) and (n_vectors,), optional
        Where both are given, a vector with the query's own id is left out.
    block_rows : int
        Vectors held in memory at a time; the result does not depend on it beyond rounding.

    Returns
    -------
    ndarray, shape (n_queries, n_neighbours), int64
        Closest first, and of equals the lower row first; `NOBODY` where there are no more.
    """
    found = np.full((len(queries), n_neighbours), NOBODY, dtype=np.int64)
    similarity = np.full(found.shape, -np.inf, dtype=np.float32)
    asked = _complete(queries)
    filled = np.where(asked[:, np.newaxis], queries, 0)
    for start in range(0, len(vectors), block_rows):
        block = np.asarray(vectors[start : start + block_rows])
        known = _complete(block)
        cosines = filled @ np.where(known[:, np.newaxis], block, 0).T
        cosines[:, ~known] = -np.inf
        cosines[~asked] = -np.inf
        if query_id is not None and vector_id is not None:
            ids = vector_id[start : start + block_rows]
            cosines[query_id[:, np.newaxis] == ids] = -np.inf
        _keep_best(found, similarity, cosines, start)
    return found


def _keep_best(
    found: NDArray[np.int64],
    similarity: NDArray[np.float32],
    cosines: NDArray[np.float32],
    start: int,
) -> None:
    """Merge a block's cosines, shape (n_queries, n_rows), into the best so far, in place.

    Rows come in ascending order, so that a later one has to be strictly closer to get in.
    """
    n_neighbours = found.shape[1]
    for query, row_cosines in enumerate(cosines):
        closer = np.flatnonzero(row_cosines > similarity[query, -1])
        if not len(closer):
            continue
        rows = np.concatenate([found[query], start + closer])
        values = np.concatenate([similarity[query], row_cosines[closer]])
        best = np.argsort(-values, kind="stable")[:n_neighbours]
        found[query], similarity[query] = rows[best], values[best]


def cosine(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """Cosine between pairs of vectors, in double precision.

    Parameters
    ----------
    first, second : ndarray, shape (..., n_features)
        Of any length; a zero vector or a NaN gives NaN.

    Returns
    -------
    ndarray, shape (...)
        In [-1, 1].
    """
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.clip(np.sum(one * other, axis=-1) / lengths, -1, 1))


def _complete(vectors: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which vectors have no NaN, shape (n,)."""
    return np.asarray(np.isfinite(vectors).all(axis=1))
