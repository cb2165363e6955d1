"""How many of the true neighbours an index finds, and how thoroughly it has to be searched."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import numpy as np

from photoz_ssl.neighbours.atlas import Atlas
from photoz_ssl.neighbours.exact import NOBODY, nearest
from photoz_ssl.neighbours.index import Index
from photoz_ssl.neighbours.query import Restriction, queries_of_rows, window_of
from photoz_ssl.progress import Progress
from photoz_ssl.samples import evenly_spread

__all__ = ["Recall", "measure_recall", "tuned"]

N_TRIALS, N_QUERIES = 256, 1000
"""Galaxies by which an index is tuned, and measured."""

RECALL_AT = 10
GOOD_RECALL = 0.99
DEPTHS = (2, 4, 8, 16, 32)
"""Candidates over what is asked for that are tried."""


@dataclass(frozen=True)
class Recall:
    """How an index compares with exact search.

    Parameters
    ----------
    share : float
        Of the ten nearest that it finds; NaN where there are none.
    n_queries : int
        Galaxies that were asked about.
    speed : float
        Time of the exact search over that of the index.
    """

    share: float
    n_queries: int
    speed: float


def measure_recall(index: Index, atlas: Atlas, n_queries: int = N_QUERIES) -> Recall:
    """Compare an index with exact search.

    Parameters
    ----------
    index : Index
        The index.
    atlas : Atlas
        Its atlas.
    n_queries : int
        Galaxies of the atlas to ask about, spread evenly over it.
    """
    trial = _Trial(atlas, n_queries)
    start = time.perf_counter()
    share = trial.recall(index)
    spent = max(time.perf_counter() - start, 1e-9)
    return Recall(share, trial.n_queries, trial.exact_seconds / spent)


class _Trial:
    """Galaxies of an atlas whose ten nearest are known exactly."""

    def __init__(self, atlas: Atlas, n_queries: int) -> None:
        rows = evenly_spread(len(atlas), n_queries)
        known = np.isfinite(queries_of_rows(atlas, rows).vectors).all(axis=1)
        self._atlas, self._queries = atlas, queries_of_rows(atlas, rows[known])
        self._window = window_of(self._queries, atlas, Restriction())
        self.n_queries = len(self._queries)
        start = time.perf_counter()
        self._exact = nearest(
            self._queries.vectors,
            atlas.representations,
            RECALL_AT,
            vector_id=atlas.object_id,
            window=self._window,
        )
        self.exact_seconds = time.perf_counter() - start

    def recall(self, index: Index) -> float:
        """What the lists alone find, without the exact search of those that find too few."""
        vectors = self._queries.vectors
        found = index.look_up(vectors, self._atlas, RECALL_AT, None, self._window)
        there = self._exact.row != NOBODY
        same = (found.row[:, :, np.newaxis] == self._exact.row[:, np.newaxis]).any(axis=1)
        n_there = np.count_nonzero(there)
        return float(np.count_nonzero(same & there) / n_there) if n_there else math.nan


def tuned(index: Index, atlas: Atlas, progress: Progress) -> Index:
    """The index, looked through as little as a recall of 0.99 at ten allows, by trial.

    Parameters
    ----------
    index : Index
        The index, however thoroughly it is searched so far.
    atlas : Atlas
        Its atlas.
    progress : Progress
        Told of what was tried.
    """
    trial, n_lists = _Trial(atlas, N_TRIALS), len(index.codec.centres)
    best = index.probing(n_lists, DEPTHS[-1])
    tried = [2**power for power in range(n_lists.bit_length())]
    for depth in DEPTHS:
        for number, n_probe in enumerate(tried, start=1):
            best = index.probing(n_probe, depth)
            best = replace(best, recall=trial.recall(best))
            progress("tuning the index", number, len(tried), recall=best.recall)
            if not best.recall < GOOD_RECALL:
                return best
    return best
