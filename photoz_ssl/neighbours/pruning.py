"""Exact search with most products left out: few numbers bound the products of many.

Split vectors into their part in a small subspace and the rest. The product of two is that of
the parts in the subspace plus that of the rests, which is at most the product of their lengths
(Cauchy and Schwarz). So the short vectors (part in the subspace, length of the rest) have
products that bound those of the long ones from above, and a pair whose bound is too small needs
no more work. Representations lie near a small subspace: it is found by the singular vectors of
a sample, and where there is none, nothing is left out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.neighbours.products import (
    Engine,
    PairFilter,
    Pairs,
    Vectors,
    in_groups,
    joined,
    largest_error,
    rounded_down,
    true_pairs,
)
from photoz_ssl.neighbours.projection import principal_axes, share_outside
from photoz_ssl.samples import evenly_spread

__all__ = ["Pruned", "pruned"]

MOST_AXES = 64
MOST_OF_FEATURES = 0.25
"""Axes over features."""

MOST_ENERGY_LEFT = 0.02
"""Of the sample's outside the subspace: beyond it too few products would be left out."""

SAMPLE_ROWS = 4096

FEWEST_ROWS = 1 << 15
"""Vectors below which looking for a subspace takes longer than it saves."""

QUERIES_AN_AXIS = 2
"""Queries below which it takes longer to project the vectors than to multiply them."""

FEW_LEFT = 1 / 64
"""Share of a block that is worth checking pair by pair."""


def pruned(engine: Engine, vectors: Vectors) -> Engine | Pruned:
    """The engine, with products left out if that saves time on these vectors."""
    n_queries, n_features = engine.queries.shape
    n_axes = min(MOST_AXES, int(MOST_OF_FEATURES * n_features))
    if len(vectors) < FEWEST_ROWS or n_axes == 0 or n_queries < QUERIES_AN_AXIS * n_axes:
        return engine
    sample = np.asarray(vectors[evenly_spread(len(vectors), SAMPLE_ROWS)], np.float32)
    sample = sample[np.isfinite(sample).all(axis=1)]
    axes = principal_axes(sample, n_axes)
    return Pruned(engine, axes) if share_outside(sample, axes) <= MOST_ENERGY_LEFT else engine


class Pruned:
    """An engine that multiplies in full only what may matter; see `pruned`.

    Parameters
    ----------
    engine : Engine
        For queries without a bound yet, or with too many candidates.
    axes : ndarray, shape (n_features, n_axes)
        Of the subspace, orthonormal.
    """

    def __init__(self, engine: Engine, axes: NDArray[np.float32]) -> None:
        self._engine, self._axes = engine, axes
        self._error = largest_error(axes.shape[0])
        self._short_queries = self._shortened(engine.queries)

    def candidates(self, block: Vectors, bound: NDArray[np.float64], allowed: PairFilter) -> Pairs:
        """As `Engine.candidates`."""
        full = self._engine.full(block)
        short = self._shortened(full)
        bounded = np.isfinite(bound)
        pairs = []
        for group in in_groups(np.flatnonzero(bounded), len(full)):
            products = self._short_queries[group] @ short.T
            above = products >= rounded_down(bound[group])[:, np.newaxis]
            crowded = np.count_nonzero(above, axis=1) > FEW_LEFT * len(full)
            bounded[group[crowded]] = False
            above[crowded] = False
            number, row = true_pairs(above)
            pairs.append(self._checked(group[number], row, full, bound, allowed))
        left = np.flatnonzero(~bounded)
        if len(left):
            pairs.append(self._engine.of_queries(left, full, bound, allowed))
        return joined(pairs)

    def _shortened(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Part in the subspace, and length of the rest with all that rounding may hide.

        Shape (n, 1 + n_axes). The part is wrong by no more than its number of axes, root, times
        the error of a product; a NaN makes a vector of NaN.
        """
        n_axes = self._axes.shape[1]
        short = np.empty((len(vectors), n_axes + 1), np.float32)
        with np.errstate(invalid="ignore", over="ignore"):
            np.matmul(vectors, self._axes, out=short[:, :n_axes])
            rest = np.einsum("ij,ij->i", vectors, vectors)
            rest -= np.einsum("ij,ij->i", short[:, :n_axes], short[:, :n_axes])
        hidden = (4 * np.sqrt(n_axes) + 2) * self._error
        short[:, n_axes] = np.sqrt(np.maximum(rest, 0) + np.float32(hidden))
        return short

    def _checked(
        self,
        query: NDArray[np.int64],
        row: NDArray[np.int64],
        block: NDArray[np.float32],
        bound: NDArray[np.float64],
        allowed: PairFilter,
    ) -> Pairs:
        """Those of some pairs whose products themselves reach their bound."""
        with np.errstate(invalid="ignore", over="ignore"):
            products = np.einsum("ij,ij->i", self._engine.queries[query], block[row])
        kept = products >= rounded_down(bound[query])
        query, row = query[kept], row[kept]
        kept = allowed(query, row)
        return query[kept], row[kept]
