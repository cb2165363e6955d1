"""Numbers that sum up a redshift PDF: the point estimates, the intervals and the odds.

A PDF is a histogram: within a bin its density is constant, so that its cumulative
distribution is linear between the edges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.redshift.grid import RedshiftGrid

__all__ = ["ODDS_WINDOW", "PointEstimates", "quantiles", "summarise"]

ODDS_WINDOW = 0.03
"""Half-width of the odds' window about the mode, in units of 1 + z."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PointEstimates:
    """What the redshift table says of each galaxy; NaN where it has no PDF.

    Parameters
    ----------
    mean : ndarray, shape (n,), float64
        Sum of probability times bin centre: the paper's point estimate.
    median : ndarray, shape (n,), float64
        Redshift below which half of the probability lies.
    mode : ndarray, shape (n,), float64
        Centre of the most probable bin, the lowest of equals.
    std : ndarray, shape (n,), float64
        Standard deviation of the histogram, the width of a bin included.
    l68, u68 : ndarray, shape (n,), float64
        Edges of the 68 % interval, with 16 % of the probability beyond each.
    l95, u95 : ndarray, shape (n,), float64
        Edges of the 95 % interval, with 2.5 % of the probability beyond each.
    odds : ndarray, shape (n,), float64
        Probability within `ODDS_WINDOW` times (1 + mode) of the mode (Benitez 2000).
    """

    mean: Floats
    median: Floats
    mode: Floats
    std: Floats
    l68: Floats
    u68: Floats
    l95: Floats
    u95: Floats
    odds: Floats


def summarise(pdf: NDArray[np.floating], grid: RedshiftGrid) -> PointEstimates:
    """Point estimates, intervals and odds of redshift PDFs.

    Parameters
    ----------
    pdf : ndarray, shape (n, n_bins)
        Probability of each bin. Rows are normalised to 1; a row with a NaN, or without any
        probability, gives NaN throughout. ``n`` may be 0.
    grid : RedshiftGrid
        The bins.
    """
    pdf, known = _normalised(pdf, grid)
    mean = pdf @ grid.centres
    mode = grid.centres[pdf.argmax(axis=1)]
    spread = grid.centres - mean[:, np.newaxis]
    std = np.sqrt(np.sum(pdf * spread**2, axis=1) + grid.width**2 / 12)
    cumulative = _cumulative(pdf)
    l95, l68, median, u68, u95 = _quantiles(cumulative, (0.025, 0.16, 0.5, 0.84, 0.975), grid)
    window = ODDS_WINDOW * (1 + mode)
    odds = _below(cumulative, mode + window, grid) - _below(cumulative, mode - window, grid)
    columns = (mean, median, mode, std, l68, u68, l95, u95, odds)
    return PointEstimates(*(np.where(known, values, np.nan) for values in columns))


def quantiles(
    pdf: NDArray[np.floating], probabilities: tuple[float, ...], grid: RedshiftGrid
) -> Floats:
    """Redshifts below which given fractions of a PDF lie.

    Parameters
    ----------
    pdf : ndarray, shape (n, n_bins)
        Probability of each bin, as for `summarise`.
    probabilities : tuple of float
        Fractions in [0, 1].
    grid : RedshiftGrid
        The bins.

    Returns
    -------
    ndarray, shape (len(probabilities), n)
        Linear interpolation of the cumulative distribution between the bins' edges.
    """
    pdf, known = _normalised(pdf, grid)
    return np.where(known, _quantiles(_cumulative(pdf), probabilities, grid), np.nan)


def _normalised(pdf: NDArray[np.floating], grid: RedshiftGrid) -> tuple[Floats, NDArray[np.bool_]]:
    """The rows that are PDFs, summing to 1, and which they are; the others become flat."""
    pdf = np.asarray(pdf, dtype=np.float64)
    if pdf.ndim != 2 or pdf.shape[1] != grid.n_bins:
        raise ValueError(f"PDFs of shape {pdf.shape} are not (n, {grid.n_bins})")
    total = pdf.sum(axis=1)
    known = np.isfinite(total) & (total > 0)
    flat = np.full(grid.n_bins, 1 / grid.n_bins)
    safe_total = np.where(known, total, 1.0)[:, np.newaxis]
    return np.where(known[:, np.newaxis], pdf / safe_total, flat), known


def _cumulative(pdf: Floats) -> Floats:
    """Probability below each edge, shape (n, n_bins + 1)."""
    return np.pad(np.cumsum(pdf, axis=1), ((0, 0), (1, 0)))


def _quantiles(cumulative: Floats, probabilities: tuple[float, ...], grid: RedshiftGrid) -> Floats:
    """Invert the cumulative distribution, shape (len(probabilities), n)."""
    rows = np.arange(len(cumulative))
    found = np.empty((len(probabilities), len(cumulative)))
    for number, probability in enumerate(probabilities):
        reached = cumulative[:, 1:] >= np.minimum(probability, cumulative[:, -1:])
        inside = reached.argmax(axis=1)
        below, above = cumulative[rows, inside], cumulative[rows, inside + 1]
        gained = np.where(above > below, above - below, 1.0)
        fraction = np.clip((probability - below) / gained, 0.0, 1.0)
        found[number] = grid.edges[inside] + fraction * grid.width
    return found


def _below(cumulative: Floats, redshift: Floats, grid: RedshiftGrid) -> Floats:
    """Probability below one redshift a row, with the fraction of the bin it lies in."""
    position = np.clip(redshift / grid.width, 0, grid.n_bins)
    lower = np.minimum(position.astype(np.int64), grid.n_bins - 1)
    rows = np.arange(len(cumulative))
    below, above = cumulative[rows, lower], cumulative[rows, lower + 1]
    return np.asarray(below + (position - lower) * (above - below))
