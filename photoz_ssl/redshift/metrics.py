"""How good redshifts are: point estimates, intervals and PDFs against true ones (method section 5).

The functions that score galaxies take and return one entry a galaxy; the ones that end in
``metrics`` drop the galaxies that have a NaN, say how many they were, and summarise the rest.
A metric of no galaxy is NaN, and so is the bootstrap error of fewer than two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from photoz_ssl.redshift.scores import PdfScores, ks_distance
from photoz_ssl.samples import SIGMA_OF_MAD

__all__ = [
    "N_BOOTSTRAP",
    "OUTLIER_THRESHOLD",
    "IntervalMetrics",
    "PdfMetrics",
    "PointMetrics",
    "Subset",
    "bias",
    "bootstrap_error",
    "coverage",
    "interval_metrics",
    "mean_error",
    "normalised_residual",
    "outlier_fraction",
    "point_metrics",
    "quantile_edges",
    "score_metrics",
    "sigma_mad",
    "subsets",
]

Array = NDArray[np.float64]
Statistic = Callable[[Array], float]

OUTLIER_THRESHOLD = 0.05
"""|dz| beyond which a redshift is an outlier."""

N_BOOTSTRAP = 200
"""Resamples behind a bootstrap error."""


def normalised_residual(z_phot: ArrayLike, z_spec: ArrayLike) -> Array:
    """Residual (z_phot - z_spec) / (1 + z_spec), one a galaxy; NaN where either is."""
    estimated, true = np.asarray(z_phot, np.float64), np.asarray(z_spec, np.float64)
    return np.asarray((estimated - true) / (1 + true))


def bias(dz: Array) -> float:
    """Mean of the normalised residuals."""
    return _mean(dz)


def _mean(values: Array) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def sigma_mad(dz: Array) -> float:
    """1.4826 times the median absolute deviation of the residuals from their median."""
    if not len(dz):
        return float("nan")
    return float(SIGMA_OF_MAD * np.median(np.abs(dz - np.median(dz))))


def outlier_fraction(dz: Array, threshold: float = OUTLIER_THRESHOLD) -> float:
    """Fraction of galaxies with |dz| above the threshold."""
    return _mean((np.abs(dz) > threshold).astype(np.float64))


def bootstrap_error(
    values: Array, statistic: Statistic, *, seed: int = 0, n_resamples: int = N_BOOTSTRAP
) -> float:
    """Standard deviation of a statistic over resamples of the galaxies with replacement.

    Parameters
    ----------
    values : ndarray, shape (n_galaxies,)
        Without NaN.
    statistic : callable
        From such an array to one number.
    seed : int
        The same seed draws the same resamples.
    n_resamples : int
        How many.

    Returns
    -------
    float
        NaN for fewer than two galaxies.
    """
    if len(values) < 2:
        return float("nan")
    generator = np.random.default_rng(seed)
    draws = [
        statistic(values[generator.integers(len(values), size=len(values))])
        for _ in range(n_resamples)
    ]
    return float(np.std(draws, ddof=1))


def mean_error(values: Array) -> float:
    """Bootstrap error of a mean, in closed form: the limit of infinitely many resamples."""
    if len(values) < 2:
        return float("nan")
    return float(np.std(values) / np.sqrt(len(values)))


@dataclass(frozen=True, kw_only=True)
class PointMetrics:
    """What `point_metrics` measures; the errors are bootstrap standard deviations.

    Parameters
    ----------
    n_galaxies, n_dropped : int
        Galaxies that count, and those left out because a redshift is not finite.
    bias, bias_error : float
        Mean dz.
    sigma_mad, sigma_mad_error : float
        Scatter of dz.
    outlier_fraction, outlier_fraction_error : float
        Fraction of galaxies with a residual beyond 0.05.
    """

    n_galaxies: int
    n_dropped: int
    bias: float
    bias_error: float
    sigma_mad: float
    sigma_mad_error: float
    outlier_fraction: float
    outlier_fraction_error: float


def point_metrics(z_phot: ArrayLike, z_spec: ArrayLike, *, seed: int = 0) -> PointMetrics:
    """Bias, scatter and outliers of redshift estimates.

    Parameters
    ----------
    z_phot, z_spec : array_like, shape (n_galaxies,)
        Estimated and spectroscopic redshifts; galaxies where either is not finite are
        dropped and counted.
    seed : int
        Of the bootstrap of `sigma_mad`; the other errors are those of means.
    """
    residual = normalised_residual(z_phot, z_spec)
    dz = residual[np.isfinite(residual)]

    outlying = (np.abs(dz) > OUTLIER_THRESHOLD).astype(np.float64)
    return PointMetrics(
        n_galaxies=len(dz),
        n_dropped=len(residual) - len(dz),
        bias=bias(dz),
        bias_error=mean_error(dz),
        sigma_mad=sigma_mad(dz),
        sigma_mad_error=bootstrap_error(dz, sigma_mad, seed=seed),
        outlier_fraction=outlier_fraction(dz),
        outlier_fraction_error=mean_error(outlying),
    )


def coverage(z_spec: Array, low: Array, high: Array) -> Array:
    """Whether each true redshift lies in its interval, ends included: 1 or 0; NaN for NaN."""
    known = np.isfinite(z_spec) & np.isfinite(low) & np.isfinite(high)
    inside = (low <= z_spec) & (z_spec <= high)
    return np.asarray(np.where(known, inside, np.nan), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class IntervalMetrics:
    """What `interval_metrics` measures.

    Parameters
    ----------
    n_galaxies, n_dropped : int
        Galaxies that count, and those left out because of a NaN.
    coverage68, coverage68_error, coverage95, coverage95_error : float
        Fraction of true redshifts inside the interval of that nominal probability.
    odds : float
        Mean PDF mass close to the mode.
    """

    n_galaxies: int
    n_dropped: int
    coverage68: float
    coverage68_error: float
    coverage95: float
    coverage95_error: float
    odds: float


def interval_metrics(
    z_spec: ArrayLike,
    interval68: tuple[ArrayLike, ArrayLike],
    interval95: tuple[ArrayLike, ArrayLike],
    odds: ArrayLike,
) -> IntervalMetrics:
    """Coverage of the credible intervals, and the mean odds.

    Parameters
    ----------
    z_spec : array_like, shape (n_galaxies,)
        Spectroscopic redshifts.
    interval68, interval95 : pair of array_like, shape (n_galaxies,)
        Lower and upper ends.
    odds : array_like, shape (n_galaxies,)
        PDF mass within 0.03 (1 + z) of the mode.
    """
    true = np.asarray(z_spec, np.float64)
    inside68, inside95 = (
        coverage(true, np.asarray(low, np.float64), np.asarray(high, np.float64))
        for low, high in (interval68, interval95)
    )
    mass = np.asarray(odds, np.float64)
    kept = np.isfinite(inside68) & np.isfinite(inside95) & np.isfinite(mass)

    return IntervalMetrics(
        n_galaxies=int(kept.sum()),
        n_dropped=int((~kept).sum()),
        coverage68=_mean(inside68[kept]),
        coverage68_error=mean_error(inside68[kept]),
        coverage95=_mean(inside95[kept]),
        coverage95_error=mean_error(inside95[kept]),
        odds=_mean(mass[kept]),
    )


@dataclass(frozen=True, kw_only=True)
class PdfMetrics:
    """What `score_metrics` measures.

    Parameters
    ----------
    n_galaxies, n_dropped : int
        Galaxies that count, and those left out because of a NaN.
    pit_ks : float
        Distance of the PIT values from a uniform distribution.
    crps, crps_error : float
        Mean continuous ranked probability score, in redshift.
    cde_loss, cde_loss_error : float
        Mean loss of the conditional density.
    """

    n_galaxies: int
    n_dropped: int
    pit_ks: float
    crps: float
    crps_error: float
    cde_loss: float
    cde_loss_error: float


def score_metrics(scores: PdfScores) -> PdfMetrics:
    """Summarise the scores of PDFs; galaxies with a NaN score are dropped and counted."""
    kept = np.isfinite(scores.pit) & np.isfinite(scores.crps) & np.isfinite(scores.cde_loss)
    chosen = scores[kept]

    return PdfMetrics(
        n_galaxies=int(kept.sum()),
        n_dropped=int((~kept).sum()),
        pit_ks=ks_distance(chosen.pit),
        crps=_mean(chosen.crps),
        crps_error=mean_error(chosen.crps),
        cde_loss=_mean(chosen.cde_loss),
        cde_loss_error=mean_error(chosen.cde_loss),
    )


@dataclass(frozen=True)
class Subset:
    """The galaxies in one bin of a quantity.

    Parameters
    ----------
    low, high : float
        The bin: low <= value < high, and value <= high in the last one.
    rows : ndarray, shape (n_galaxies,), bool
        Which galaxies are in it.
    """

    low: float
    high: float
    rows: NDArray[np.bool_]


def subsets(values: ArrayLike, edges: ArrayLike) -> Iterator[Subset]:
    """The galaxies bin by bin of a quantity; bins without any are left out.

    Parameters
    ----------
    values : array_like, shape (n_galaxies,)
        The quantity, e.g. the true redshift; a NaN is in no bin.
    edges : array_like, shape (n_bins + 1,)
        Ascending.
    """
    quantity, limits = np.asarray(values, np.float64), np.asarray(edges, np.float64)
    for low, high in pairwise(limits):
        below = quantity <= high if high == limits[-1] else quantity < high
        rows = (quantity >= low) & below
        if np.any(rows):
            yield Subset(float(low), float(high), rows)


def quantile_edges(values: ArrayLike, n_bins: int) -> Array:
    """Edges of at most ``n_bins`` bins with equally many galaxies; empty where none is finite."""
    quantity = np.asarray(values, np.float64)
    finite = quantity[np.isfinite(quantity)]
    if not len(finite):
        return np.empty(0)
    edges = np.unique(np.quantile(finite, np.linspace(0, 1, n_bins + 1)))
    return edges if len(edges) > 1 else np.repeat(edges, 2)
