"""How well each redshift PDF foretold the true redshift (method section 5).

A PDF is an array of bin probabilities with a constant density within a bin, so that the
integrals below are exact. Every score has one entry a galaxy. The bins may be each galaxy's own:
those between quantiles hold the probabilities between them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["PdfScores", "cde_loss", "crps", "ks_distance", "pdf_scores", "pit_values"]

Array = NDArray[np.float64]

ROWS_AT_ONCE = 8192
"""Galaxies whose PDFs are scored together, which bounds the memory."""

NARROWEST = 1e-6
"""Width of a bin below which its density is that of this one: a density has to be finite."""


def pit_values(pdf: Array, edges: Array, z_spec: Array) -> Array:
    """Probability integral transform: each PDF's cumulative probability at the true redshift.

    Parameters
    ----------
    pdf : ndarray, shape (n_galaxies, n_bins)
        Probabilities of the bins, with a sum of 1 a galaxy; constant density within a bin.
    edges : ndarray, shape (n_bins + 1,) or (n_galaxies, n_bins + 1)
        Of the redshift bins, ascending.
    z_spec : ndarray, shape (n_galaxies,)
        True redshifts; below the first edge the value is 0, above the last it is 1.

    Returns
    -------
    ndarray, shape (n_galaxies,)
        In [0, 1]; NaN where the PDF or the redshift is NaN.
    """
    below = np.sum(pdf * _fraction_below(edges, z_spec), axis=1)
    return np.asarray(np.clip(below, 0.0, 1.0))


def crps(pdf: Array, edges: Array, z_spec: Array) -> Array:
    """Continuous ranked probability score: the integral of (F(z) - [z >= z_spec])² over z.

    The cumulative distribution F is linear within a bin, so that the integral is exact.

    Parameters
    ----------
    pdf, edges, z_spec
        As in `pit_values`.

    Returns
    -------
    ndarray, shape (n_galaxies,)
        In units of redshift, 0 is best; NaN where the PDF or the redshift is NaN.

    References
    ----------
    Gneiting & Raftery (2007), Journal of the American Statistical Association 102, 359.
    """
    below = _fraction_below(edges, z_spec)
    upper = np.cumsum(pdf, axis=1)
    lower = upper - pdf
    at_truth = lower + below * pdf
    left = below * (lower**2 + lower * at_truth + at_truth**2)
    right = (1 - below) * ((1 - at_truth) ** 2 + (1 - at_truth) * (1 - upper) + (1 - upper) ** 2)
    below_all, above_all = edges[..., 0] - z_spec, z_spec - edges[..., -1]
    outside = np.maximum(below_all, 0) + np.maximum(above_all, 0)
    return np.asarray(np.sum((left + right) * np.diff(edges), axis=1) / 3 + outside)


def cde_loss(pdf: Array, edges: Array, z_spec: Array) -> Array:
    """Loss of a conditional density f: the integral of f² over z, minus 2 f(z_spec).

    Its mean estimates the integrated squared error of the density, up to a constant.

    Parameters
    ----------
    pdf, edges, z_spec
        As in `pit_values`; outside the edges the density is 0.

    Returns
    -------
    ndarray, shape (n_galaxies,)
        Lower is better; NaN where the PDF or the redshift is NaN.

    References
    ----------
    Izbicki & Lee (2017), Electronic Journal of Statistics 11, 2800; Dalmasso et al. (2020).
    """
    widths = np.maximum(np.diff(edges), NARROWEST)
    density = pdf / widths
    bins = np.sum(z_spec[:, np.newaxis] >= edges[..., 1:-1], axis=1)
    inside = (z_spec >= edges[..., 0]) & (z_spec <= edges[..., -1])
    at_truth = np.where(inside, density[np.arange(len(pdf)), bins], 0.0)
    loss = np.sum(density**2 * widths, axis=1) - 2 * at_truth
    return np.where(np.isfinite(z_spec), loss, np.nan)


def _fraction_below(edges: Array, z_spec: Array) -> Array:
    """Fraction of each bin that lies below each redshift, shape (n_galaxies, n_bins)."""
    beyond, widths = z_spec[:, np.newaxis] - edges[..., :-1], np.diff(edges)
    with np.errstate(invalid="ignore", divide="ignore"):
        position = np.where(widths > 0, beyond / widths, beyond >= 0)
    return np.asarray(np.clip(position, 0.0, 1.0))


def ks_distance(pit: Array) -> float:
    """Largest distance between the distribution of PIT values and the uniform one."""
    if not len(pit):
        return float("nan")
    ordered = np.sort(pit)
    ranks = np.arange(len(pit) + 1) / len(pit)
    return float(max(np.max(ranks[1:] - ordered), np.max(ordered - ranks[:-1])))


@dataclass(frozen=True)
class PdfScores:
    """Scores of PDFs, one a galaxy: shape (n_galaxies,) each, NaN where unknown.

    Parameters
    ----------
    pit, crps, cde_loss : ndarray
        See the functions of these names.
    """

    pit: Array
    crps: Array
    cde_loss: Array

    def __getitem__(self, rows: NDArray[np.bool_]) -> PdfScores:
        return PdfScores(self.pit[rows], self.crps[rows], self.cde_loss[rows])


def pdf_scores(pdf: ArrayLike, edges: ArrayLike, z_spec: ArrayLike) -> PdfScores:
    """Score PDFs galaxy by galaxy, a block of galaxies at a time.

    Parameters
    ----------
    pdf, edges, z_spec
        As in `pit_values`; a PDF need not be normalised.
    """
    densities, true = np.asarray(pdf), np.asarray(z_spec, np.float64)
    limits = np.asarray(edges, np.float64)
    own = limits.ndim > 1
    scores = np.full((3, len(true)), np.nan)
    for start in range(0, len(true), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        mass = np.asarray(densities[rows], np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            mass = mass / mass.sum(axis=1, keepdims=True)
        for number, score in enumerate((pit_values, crps, cde_loss)):
            scores[number, rows] = score(mass, limits[rows] if own else limits, true[rows])
    return PdfScores(*scores)
