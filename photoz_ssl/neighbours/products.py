"""The pairs of a query and a vector whose cosine may be among a query's largest.

Two engines multiply. numpy's is a plain matrix product; FAISS's is faster where the vectors are
float16, which it multiplies as they are for few queries and else makes float32 of. Products in
float32 of unit vectors of n numbers are wrong by at most n times the unit roundoff, in whatever
order they are summed (Higham 2002, section 3.1), and a vector that was stored is of unit length
only to the roundoff of its own type; by that margin an engine gives more pairs, never fewer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import MissingExtraError
from photoz_ssl.extras import import_extra

__all__ = [
    "Engine",
    "PairFilter",
    "Pairs",
    "Vectors",
    "farthest_from_cosine",
    "in_groups",
    "joined",
    "largest_error",
    "open_engine",
    "rounded_down",
    "true_pairs",
]

UNIT_ROUNDOFF = 2.0**-24
SAFETY = 1.1
"""For vectors that are of unit length only to float16, and for terms of second order."""

MOST_PRODUCTS = 1 << 24
"""In memory at a time."""

FEW_QUERIES = 16
"""Up to so many, FAISS is faster on float16 itself than numpy on a float32 copy."""

Vectors = NDArray[np.float32] | NDArray[np.float16]

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Queries and rows of a block, shape (n_pairs,) each."""

PairFilter = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]]
"""Of queries and rows of a block, shape (n_pairs,) each: which pairs may be."""


def largest_error(n_features: int) -> float:
    """Most by which a float32 product of two unit vectors may be wrong."""
    return SAFETY * UNIT_ROUNDOFF * n_features


def farthest_from_cosine(vectors: Vectors) -> float:
    """Most by which a float32 product of a unit vector and a stored one may not be their cosine."""
    roundoff = float(np.finfo(vectors.dtype).eps) / 2
    return largest_error(vectors.shape[1]) + SAFETY * roundoff


def open_engine(queries: NDArray[np.float32], n_neighbours: int, error: float, name: str) -> Engine:
    """An engine: FAISS or numpy by name, or with ``auto`` FAISS where it is installed.

    Parameters
    ----------
    queries : ndarray, shape (n_queries, n_features)
        Vectors of unit length, all finite.
    n_neighbours : int
        How many of the largest cosines of each query matter.
    error : float
        Most by which a product may not be a cosine.
    name : {'auto', 'faiss', 'numpy'}
        Which.

    Raises
    ------
    MissingExtraError
        If FAISS is asked for and not installed.
    """
    if name == "numpy":
        return Engine(queries, n_neighbours, error)
    try:
        faiss = import_extra("faiss", extra="search", purpose="searching with FAISS")
    except MissingExtraError:
        if name == "faiss":
            raise
        return Engine(queries, n_neighbours, error)
    return FaissEngine(faiss, queries, n_neighbours, error)


class Engine:
    """Multiplies fixed queries with one block of vectors after the other, by numpy."""

    def __init__(self, queries: NDArray[np.float32], n_neighbours: int, error: float) -> None:
        self.queries, self.n_neighbours = queries, n_neighbours
        self._margin = 2 * error
        self._many = 2 * n_neighbours + 32  # candidates above which a better bound is looked for

    def candidates(self, block: Vectors, bound: NDArray[np.float64], allowed: PairFilter) -> Pairs:
        """Every allowed pair that may be among the best of its query, and a few more.

        Parameters
        ----------
        block : ndarray, shape (n_rows, n_features)
            Vectors; those with a NaN are in no pair.
        bound : ndarray, shape (n_queries,)
            Products below it do not matter; -inf where there is no bound yet.
        allowed : PairFilter
            Which pairs may be.
        """
        return self.of_queries(np.arange(len(bound)), self.full(block), bound, allowed)

    def full(self, block: Vectors) -> NDArray[np.float32]:
        """The vectors as float32."""
        return np.ascontiguousarray(block, np.float32)

    def of_queries(
        self,
        numbers: NDArray[np.int64],
        block: NDArray[np.float32],
        bound: NDArray[np.float64],
        allowed: PairFilter,
    ) -> Pairs:
        """As `candidates`, for some of the queries by their numbers; ``bound`` is that of all."""
        return joined(
            [
                self._of_group(group, block, bound, allowed)
                for group in in_groups(numbers, len(block))
            ]
        )

    def _of_group(
        self,
        group: NDArray[np.int64],
        block: NDArray[np.float32],
        bound: NDArray[np.float64],
        allowed: PairFilter,
    ) -> Pairs:
        with np.errstate(invalid="ignore", over="ignore"):
            products = self.queries[group] @ block.T
        lowest = rounded_down(bound[group])
        crowded = np.count_nonzero(products >= lowest[:, np.newaxis], axis=1) > self._many
        for place in np.flatnonzero(crowded):
            raised = self._raised(group[place], products[place], allowed)
            lowest[place] = max(lowest[place], raised)
        number, row = true_pairs(products >= lowest[:, np.newaxis])
        query = group[number]
        kept = allowed(query, row)
        return query[kept], row[kept]

    def _raised(self, query: int, products: NDArray[np.float32], allowed: PairFilter) -> np.float32:
        """A bound from the largest products of a block themselves; -inf if too few are allowed."""
        known = np.where(np.isfinite(products), products, -np.inf)
        row = np.argpartition(known, -self._many)[-self._many :]
        found = known[row][allowed(np.full(len(row), query), row) & np.isfinite(known[row])]
        if len(found) < self.n_neighbours:
            return np.float32(-np.inf)
        last = np.float64(np.sort(found)[-self.n_neighbours])
        return np.float32(rounded_down(np.array([last - self._margin]))[0])


class FaissEngine(Engine):
    """FAISS for vectors of float16, numpy for others; see `open_engine`."""

    def __init__(
        self, faiss: ModuleType, queries: NDArray[np.float32], n_neighbours: int, error: float
    ) -> None:
        super().__init__(queries, n_neighbours, error)
        self._half = faiss.IndexScalarQuantizer(
            queries.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )

    def candidates(self, block: Vectors, bound: NDArray[np.float64], allowed: PairFilter) -> Pairs:
        """As `Engine.candidates`."""
        if block.dtype != np.float16 or len(self.queries) > FEW_QUERIES:
            return super().candidates(block, bound, allowed)
        n_listed = min(self._many, len(block))
        product, row = self._largest(block, n_listed)
        query = np.broadcast_to(np.arange(len(bound))[:, np.newaxis], row.shape)
        known = (row >= 0) & np.isfinite(product)
        known[known] = allowed(query[known], row[known])
        lowest = np.maximum(bound, self._bound_of(np.where(known, product, -np.inf)))
        complete = (row[:, -1] < 0) | (product[:, -1] < lowest) | (n_listed == len(block))
        chosen = known & (product >= lowest[:, np.newaxis]) & complete[:, np.newaxis]
        pairs = [(query[chosen], row[chosen])]
        left = np.flatnonzero(~complete)
        if len(left):
            pairs.append(self.of_queries(left, self.full(block), bound, allowed))
        return joined(pairs)

    def full(self, block: Vectors) -> NDArray[np.float32]:
        """The vectors as float32, which FAISS makes of float16 several times as fast."""
        if block.dtype != np.float16:
            return super().full(block)
        return np.asarray(self._half.sa_decode(_codes(block)))

    def _largest(
        self, block: Vectors, n_listed: int
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The largest products of each query, and their rows, shape (n_queries, n_listed)."""
        self._half.reset()
        self._half.add_sa_codes(_codes(block))
        product, row = self._half.search(self.queries, n_listed)
        return product, row

    def _bound_of(self, products: NDArray[np.float32]) -> NDArray[np.float64]:
        """A bound for each query from what is listed; -inf where that is too little."""
        if products.shape[1] < self.n_neighbours:
            return np.full(len(products), -np.inf)
        ordered = np.sort(products, axis=1)
        return np.asarray(ordered[:, -self.n_neighbours].astype(np.float64) - self._margin)


def in_groups(numbers: NDArray[np.int64], n_rows: int) -> Iterator[NDArray[np.int64]]:
    """Numbers of queries, so many at a time that their products with the rows fit in memory."""
    step = max(1, MOST_PRODUCTS // max(1, n_rows))
    for start in range(0, len(numbers), step):
        yield numbers[start : start + step]


def joined(pairs: Sequence[Pairs]) -> Pairs:
    """The pairs of several lists as one."""
    empty = np.empty(0, np.int64)
    query = np.concatenate([empty, *(found for found, _ in pairs)])
    return query, np.concatenate([empty, *(row for _, row in pairs)])


def true_pairs(choice: NDArray[np.bool_]) -> Pairs:
    """Where a matrix is true, as `numpy.nonzero` and several times as fast."""
    place = np.flatnonzero(choice).astype(np.int64, copy=False)
    return np.divmod(place, max(1, choice.shape[1]))


def rounded_down(bound: NDArray[np.float64]) -> NDArray[np.float32]:
    """Bounds as float32, none larger than it was."""
    return np.nextafter(bound.astype(np.float32), np.float32(-np.inf))


def _codes(block: Vectors) -> NDArray[np.uint8]:
    """Vectors of float16 as FAISS's codes for them: their bytes, shape (n_rows, 2 n_features)."""
    return np.ascontiguousarray(block).view(np.uint8)
