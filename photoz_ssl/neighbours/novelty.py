"""How unlike the galaxies of an atlas an image is, on the scale of these galaxies themselves.

Three distances are measured, each from the nearest galaxies of the atlas: between
representations, between descriptions of the image's looks, and between those of how the
object's light is spread. Each is divided by what 99 in a hundred of the atlas's own galaxies stay
below when they are left out; the largest counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.neighbours.atlas import Atlas
from photoz_ssl.neighbours.query import Neighbours, Restriction, find_neighbours, queries_of_rows
from photoz_ssl.neighbours.unusual import chord
from photoz_ssl.samples import SIGMA_OF_MAD, evenly_spread

__all__ = ["Crowd", "Norms", "find_norms", "mean_distance", "percentile_among"]

N_SAMPLE = 2000
"""Galaxies of the atlas whose own distances are the scale."""

N_CROWD = 20_000
"""Galaxies of the atlas that looks are compared with."""

NEIGHBOUR = 5
"""From the k-th nearest in looks the distance is measured."""

USUAL = 0.99
"""Share of the atlas's own galaxies whose distance is at most 1 on the common scale."""

ROBUST_LIMIT, FAR_LIMIT = 5.0, 20.0
"""Deviations at which numbers are cut off, to fit the axes and to measure."""

QUERIES_AT_ONCE = 256

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


def percentile_among(values: Floats, own: Floats) -> Floats:
    """Per cent of the atlas's own numbers that are smaller; NaN for NaN, or where there are none.

    Parameters
    ----------
    values : ndarray, shape (n,)
        Numbers to place.
    own : ndarray, shape (m,)
        Ascending.

    Returns
    -------
    ndarray, shape (n,)
        0 to 100.
    """
    if not len(own):
        return np.full(len(values), np.nan)
    percentile = 100.0 * np.searchsorted(own, values) / len(own)
    return np.where(np.isfinite(values), percentile, np.nan)


def mean_distance(found: Neighbours, n_queries: int) -> Floats:
    """Mean distance of each query from its neighbours, 0 to 2; NaN without any."""
    total = np.bincount(found.query, chord(found.similarity), minlength=n_queries)
    count = np.bincount(found.query, minlength=n_queries)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


@dataclass(frozen=True)
class Crowd:
    """Descriptions of galaxies, on axes on which they are spread alike; see `of`.

    Parameters
    ----------
    centre, scale : ndarray, shape (n_numbers,)
        Median and robust deviation of each number.
    axes : ndarray, shape (n_numbers, n_numbers)
        To axes without correlation.
    members : ndarray, shape (n_members, n_numbers)
        The galaxies on these axes.
    """

    centre: Floats
    scale: Floats
    axes: Floats
    members: Floats

    @classmethod
    def of(cls, numbers: NDArray[np.floating]) -> Crowd:
        """Fit the axes; ``numbers``, shape (n, n_numbers), are finite."""
        values = np.asarray(numbers, np.float64)
        centre = np.median(values, axis=0)
        scale = SIGMA_OF_MAD * np.median(np.abs(values - centre), axis=0) + 1e-3
        usual = np.clip((values - centre) / scale, -ROBUST_LIMIT, ROBUST_LIMIT)
        covariance = usual.T @ usual / len(usual) + 1e-3 * np.eye(usual.shape[1])
        axes = np.linalg.cholesky(np.linalg.inv(covariance))
        empty = cls(centre, scale, axes, np.empty((0, len(centre))))
        return cls(centre, scale, axes, empty._placed(values))

    def distance(self, numbers: NDArray[np.floating], own: Rows | None = None) -> Floats:
        """Distance from the fifth nearest member, shape (n,); NaN for a NaN.

        Parameters
        ----------
        numbers : ndarray, shape (n, n_numbers)
            What to place.
        own : ndarray, shape (n,), optional
            The member that each is itself, and that does not count.
        """
        distance = np.full(len(numbers), np.nan)
        for start in range(0, len(numbers), QUERIES_AT_ONCE):
            part = slice(start, start + QUERIES_AT_ONCE)
            placed = self._placed(np.asarray(numbers[part], np.float64))
            left_out = None if own is None else own[part]
            distance[part] = self._from_nearest(placed, left_out)
        return np.where(np.isfinite(numbers).all(axis=1), distance, np.nan)

    def _placed(self, values: Floats) -> Floats:
        deviations = np.nan_to_num((values - self.centre) / self.scale)
        placed: Floats = np.clip(deviations, -FAR_LIMIT, FAR_LIMIT) @ self.axes
        return placed

    def _from_nearest(self, placed: Floats, left_out: Rows | None) -> Floats:
        squares = (placed**2).sum(axis=1)[:, np.newaxis] + (self.members**2).sum(axis=1)
        squares -= 2 * placed @ self.members.T
        if left_out is not None:
            squares[np.arange(len(placed)), left_out] = np.inf
        last = min(NEIGHBOUR, squares.shape[1]) - 1
        return np.asarray(np.sqrt(np.maximum(np.partition(squares, last, axis=1)[:, last], 0)))


@dataclass(frozen=True)
class Norms:
    """What is usual among the galaxies of an atlas; see `find_norms`.

    Parameters
    ----------
    distance : ndarray, shape (n_sample,)
        Their mean distances from their own neighbours, ascending.
    crowds : tuple of Crowd
        Looks, and the spread of light; empty where the atlas has none recorded.
    n_spread : int
        Of a description, how many numbers at its end are of the spread of light.
    usual : ndarray, shape (1 + len(crowds),)
        What nearly all of them stay below, in each distance.
    score : ndarray, shape (n_sample,)
        Their own scores, ascending.
    """

    distance: Floats
    crowds: tuple[Crowd, ...]
    n_spread: int
    usual: Floats
    score: Floats

    def scores(self, distance: Floats, looks: NDArray[np.floating] | None) -> Floats:
        """How unusual galaxies are, shape (n,); above 1 in a way that is rare in the atlas.

        Parameters
        ----------
        distance : ndarray, shape (n,)
            From `mean_distance`.
        looks : ndarray, shape (n, n_numbers), optional
            Descriptions, as those in the atlas; not used where the atlas has none.
        """
        parts = [distance]
        if self.crowds and looks is not None:
            described = (looks, looks[:, -self.n_spread :])
            parts += [
                crowd.distance(part) for crowd, part in zip(self.crowds, described, strict=True)
            ]
        return _largest(np.stack(parts), self.usual)


def find_norms(atlas: Atlas, n_neighbours: int, among: NDArray[np.bool_], n_spread: int) -> Norms:
    """Measure what is usual in an atlas, on a sample that is spread evenly over its rows.

    Parameters
    ----------
    atlas : Atlas
        The atlas.
    n_neighbours : int
        Neighbours whose mean distance counts.
    among : ndarray, shape (n_galaxies,), bool
        Galaxies that count.
    n_spread : int
        As in `Norms`.
    """
    rows = np.flatnonzero(among)
    sample = rows[evenly_spread(len(rows), N_SAMPLE)]
    found = find_neighbours(
        queries_of_rows(atlas, sample), atlas, n_neighbours, Restriction(among=among)
    )
    parts = [mean_distance(found, len(sample))]
    crowds: tuple[Crowd, ...] = ()
    if atlas.looks is not None and len(rows) > 1:
        parts, crowds = _with_looks(atlas.looks, rows, sample, parts, n_spread)
    measured = np.stack(parts)
    measured = measured[:, np.isfinite(measured).all(axis=0)]
    if not measured.shape[1]:
        nothing = np.empty(0)
        return Norms(nothing, crowds, n_spread, np.ones(len(parts)), nothing)
    usual = np.maximum(np.quantile(measured, USUAL, axis=1), 1e-6)
    return Norms(np.sort(measured[0]), crowds, n_spread, usual, np.sort(_largest(measured, usual)))


def _with_looks(
    looks: NDArray[np.float32], rows: Rows, sample: Rows, parts: list[Floats], n_spread: int
) -> tuple[list[Floats], tuple[Crowd, ...]]:
    """Add the distances in looks of the sample; its members stand for all."""
    crowd_rows = np.union1d(rows[evenly_spread(len(rows), N_CROWD)], sample)
    finite = np.isfinite(looks[crowd_rows]).all(axis=1)
    crowd_rows = crowd_rows[finite]
    if len(crowd_rows) < 2:
        return parts, ()
    own = np.searchsorted(crowd_rows, sample).clip(max=len(crowd_rows) - 1)
    described = np.asarray(looks[sample])
    crowds = []
    for part in (slice(None), slice(-n_spread, None)):
        crowd = Crowd.of(looks[crowd_rows][:, part])
        crowds.append(crowd)
        parts = [*parts, crowd.distance(described[:, part], own)]
    return parts, tuple(crowds)


def _largest(parts: Floats, usual: Floats) -> Floats:
    """The largest of some distances on the common scale; NaN if the first is."""
    scores = parts / usual[:, np.newaxis]
    return np.where(np.isfinite(parts[0]), np.nan_to_num(scores, nan=0.0).max(axis=0), np.nan)
