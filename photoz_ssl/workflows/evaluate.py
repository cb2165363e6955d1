"""How good a redshift table is, by its spectroscopic redshifts (method section 5)."""

from __future__ import annotations

import json
import math
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.config import EvaluateConfig
from photoz_ssl.errors import CatalogError
from photoz_ssl.files import atomic_output, claim_output, require_other
from photoz_ssl.redshift.metrics import (
    IntervalMetrics,
    PdfMetrics,
    PointMetrics,
    interval_metrics,
    point_metrics,
    quantile_edges,
    score_metrics,
    subsets,
)
from photoz_ssl.workflows.counting import counted, share_with
from photoz_ssl.workflows.pictures.figures import draw_figures, require_matplotlib
from photoz_ssl.workflows.prediction.predictions import Predictions, read_predictions

__all__ = ["EvaluateReport", "Quality", "QualityInBin", "evaluate"]

STDOUT = Path("-")
PIT_BINS = 20
REDSHIFT_STEP = 0.05
"""Width of the bins in redshift; those of other quantities hold equally many galaxies."""
MOST_REDSHIFT_BINS = 20
QUANTILE_BINS = 5

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Quality:
    """All the metrics of a set of galaxies.

    Parameters
    ----------
    point : PointMetrics
        Of the point estimates.
    interval : IntervalMetrics or None
        Of the credible intervals, where the table has them.
    pdf : PdfMetrics or None
        Of the PDFs, where the file has them.
    """

    point: PointMetrics
    interval: IntervalMetrics | None
    pdf: PdfMetrics | None

    def to_dict(self) -> dict[str, float | None]:
        """All metrics by name, those of a part that is missing left out; NaN is None."""
        known = asdict(self.point)
        for part in (self.interval, self.pdf):
            if part is not None:
                known |= {name: value for name, value in asdict(part).items() if "n_" not in name}
        return {name: None if math.isnan(value) else value for name, value in known.items()}


@dataclass(frozen=True, kw_only=True)
class QualityInBin:
    """The metrics of the galaxies between two values of a quantity.

    Parameters
    ----------
    quantity : str
        Its column.
    low, high : float
        The bin's edges.
    quality : Quality
        The metrics there.
    """

    quantity: str
    low: float
    high: float
    quality: Quality


@dataclass(frozen=True, kw_only=True)
class EvaluateReport:
    """What `evaluate` found.

    Parameters
    ----------
    predictions : str
        The table.
    n_rows : int
        Its rows, whether or not they count.
    quality : Quality
        The metrics of all galaxies that were chosen.
    in_bins : tuple of QualityInBin
        The same in bins of true redshift, r magnitude and E(B-V).
    pit_histogram : tuple of int
        Galaxies in 20 equal bins of PIT; empty without PDFs.
    figures : tuple of Path
        The figures that were drawn.
    notices : tuple of str
        What was left out, one sentence each.
    """

    predictions: str
    n_rows: int
    quality: Quality
    in_bins: tuple[QualityInBin, ...]
    pit_histogram: tuple[int, ...]
    figures: tuple[Path, ...] = ()
    notices: tuple[str, ...] = ()

    def summary(self) -> str:
        """One line: the scatter, the outliers and the bias."""
        point = self.quality.point
        return (
            f"photoz-ssl: {counted(point.n_galaxies, 'galaxy')} of {self.predictions}:"
            f" sigma_MAD {point.sigma_mad:.4f}, outliers {100 * point.outlier_fraction:.2f} %,"
            f" bias {point.bias:+.4f}"
        )

    def to_json(self) -> str:
        """All metrics as indented JSON; a metric that is not known is null."""
        bins: dict[str, list[dict[str, float | None]]] = {}
        for entry in self.in_bins:
            edges: dict[str, float | None] = {"low": entry.low, "high": entry.high}
            bins.setdefault(entry.quantity, []).append(edges | entry.quality.to_dict())
        content: dict[str, Any] = {"predictions": self.predictions, "n_rows": self.n_rows}
        content |= self.quality.to_dict()
        content |= {"pit_histogram": list(self.pit_histogram), "bins": bins}
        return json.dumps(content, indent=2, allow_nan=False) + "\n"


def evaluate(config: EvaluateConfig) -> EvaluateReport:
    """Compare a redshift table with its spectroscopic redshifts.

    Galaxies without one of the two redshifts are left out and counted. JSON for standard
    output (``config.json`` is ``-``) is left to the caller.

    Raises
    ------
    PhotozError
        If the table cannot be read, no galaxy has both redshifts, or an output exists or
        cannot be written.
    """
    if config.plot is not None:
        require_matplotlib()
    if config.json is not None and config.json != STDOUT:
        claim_output(config.json, overwrite=config.overwrite)
        require_other(config.json, config.predictions)
    predictions = read_predictions(
        config.predictions, redshift_column=config.redshift_column, split=config.split
    )
    everything = np.ones(len(predictions.z_spec), bool)
    quality = _quality(predictions, everything, config.seed)
    notices = (*_dropped(predictions), *_without_pdf(predictions), *predictions.notices)
    if quality.point.n_galaxies == 0:
        raise CatalogError(
            f"{config.predictions} has nothing to compare: {notices[0]}",
            "name the column of spectroscopic redshifts with --redshift-column"
            if not np.isfinite(predictions.z_spec).any()
            else "the rows with a spectroscopic redshift need one of photoz-ssl predict, too",
        )
    report = EvaluateReport(
        predictions=config.predictions,
        n_rows=predictions.n_rows,
        quality=quality,
        in_bins=_in_bins(predictions, config.seed),
        pit_histogram=_pit_histogram(predictions),
        notices=notices,
    )
    with ExitStack() as outputs:
        if config.json is not None and config.json != STDOUT:
            file = outputs.enter_context(atomic_output(config.json, overwrite=config.overwrite))
            file.write_text(report.to_json(), encoding="utf-8")
        return replace(report, figures=_draw(predictions, quality, config))


def _quality(predictions: Predictions, rows: NDArray[np.bool_], seed: int) -> Quality:
    z_spec = predictions.z_spec[rows]
    interval = None
    if predictions.intervals is not None:
        low68, high68, low95, high95, odds = (edge[rows] for edge in predictions.intervals)
        interval = interval_metrics(z_spec, (low68, high68), (low95, high95), odds)
    return Quality(
        point=point_metrics(predictions.z_phot[rows], z_spec, seed=seed),
        interval=interval,
        pdf=None if predictions.scores is None else score_metrics(predictions.scores[rows]),
    )


def _in_bins(predictions: Predictions, seed: int) -> tuple[QualityInBin, ...]:
    compared = np.isfinite(predictions.z_spec) & np.isfinite(predictions.z_phot)
    quantities = {
        name: np.where(compared, values, np.nan) for name, values in predictions.binned_by.items()
    }
    return tuple(
        QualityInBin(
            quantity=name,
            low=subset.low,
            high=subset.high,
            quality=_quality(predictions, subset.rows, seed),
        )
        for number, (name, values) in enumerate(quantities.items())
        for subset in subsets(
            values,
            _redshift_edges(values) if number == 0 else quantile_edges(values, QUANTILE_BINS),
        )
    )


def _redshift_edges(z_spec: Array) -> Array:
    """Edges of equal bins that hold all redshifts, or of bins by quantile if they reach far."""
    finite = z_spec[np.isfinite(z_spec)]
    if not len(finite):
        return np.empty(0)
    first = min(math.floor(finite.min() / REDSHIFT_STEP), 0)
    last = max(math.ceil(finite.max() / REDSHIFT_STEP), 1)
    if last - first > MOST_REDSHIFT_BINS:
        return quantile_edges(finite, QUANTILE_BINS)
    return np.round(np.arange(first, last + 1) * REDSHIFT_STEP, 10)


def _dropped(predictions: Predictions) -> tuple[str, ...]:
    """One sentence for each kind of row that does not count."""
    unlabelled = ~np.isfinite(predictions.z_spec)
    failed = ~np.isfinite(predictions.z_phot) & ~unlabelled
    n_rows = len(unlabelled)
    return tuple(
        f"{share_with(count, n_rows, 'row')} no {kind} redshift and {'is' if count == 1 else 'are'}"
        " left out"
        for count, kind in ((unlabelled.sum(), "spectroscopic"), (failed.sum(), "photometric"))
        if count
    )


def _without_pdf(predictions: Predictions) -> tuple[str, ...]:
    """A sentence where some of the galaxies that are compared have no PDF."""
    if predictions.scores is None:
        return ()
    compared = np.isfinite(predictions.z_spec) & np.isfinite(predictions.z_phot)
    missing = (compared & ~np.isfinite(predictions.scores.pit)).sum()
    told = share_with(missing, compared.sum(), "galaxy")
    return (f"{told} no PDF: PIT, CRPS and CDE loss are of the others",) if missing else ()


def _pit_histogram(predictions: Predictions) -> tuple[int, ...]:
    if predictions.scores is None:
        return ()
    pit = predictions.scores.pit
    counts, _ = np.histogram(pit[np.isfinite(pit)], bins=PIT_BINS, range=(0, 1))
    return tuple(int(count) for count in counts)


def _draw(predictions: Predictions, quality: Quality, config: EvaluateConfig) -> tuple[Path, ...]:
    if config.plot is None:
        return ()
    pit = None if predictions.scores is None else predictions.scores.pit
    return draw_figures(
        config.plot,
        predictions.z_phot,
        predictions.z_spec,
        quality.point,
        pit=pit,
        overwrite=config.overwrite,
    )
