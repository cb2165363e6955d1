"""A model whose PDFs are calibrated anew, on labels that it has not learned from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from photoz_ssl.datasets.galaxies import Rows
from photoz_ssl.errors import ArchiveError, CheckpointError
from photoz_ssl.networks.checkpoint import Checkpoint
from photoz_ssl.networks.ranks import World
from photoz_ssl.networks.redshift_head import RedshiftNetwork
from photoz_ssl.networks.runtimes import choose_device
from photoz_ssl.redshift.calibration import Calibration, fit_calibration
from photoz_ssl.redshift.estimates import summarise
from photoz_ssl.redshift.grid import RedshiftGrid
from photoz_ssl.redshift.metrics import normalised_residual
from photoz_ssl.samples import evenly_spread
from photoz_ssl.survey.archive import Archive
from photoz_ssl.training.supervised import Evaluation, evaluate_logits, valid_metrics
from photoz_ssl.workflows.counting import counted

__all__ = ["FEWEST_LABELS", "recalibrated"]

FEWEST_LABELS, MOST_LABELS = 100, 5000
"""With fewer, three numbers are fitted to chance; more do not make them any better."""

BATCH_SIZE = 256


def recalibrated(checkpoint: Checkpoint, archive: Archive) -> tuple[Checkpoint, str]:
    """A redshift model with the temperature, blur and shift that some labels ask for.

    Parameters
    ----------
    checkpoint : Checkpoint
        A redshift model.
    archive : Archive
        Galaxies with redshifts: its validation split, or all of them if it has no splits, at most
        5,000 evenly spaced.

    Returns
    -------
    checkpoint : Checkpoint
        The same, with another `Checkpoint.calibration`, and the metrics of its redshifts on these
        labels alone, since those that it had are of other PDFs; its weights are untouched.
    found : str
        What it changed on the same galaxies, as a sentence without the full stop.

    Raises
    ------
    photoz_ssl.errors.PhotozError
        If the model is an encoder, or the archive is of other images or has too few labels.
    """
    if checkpoint.grid is None:
        raise CheckpointError(
            "an encoder has no PDFs to calibrate", "fine-tune it with photoz-ssl finetune"
        )
    archive.spec.require_usable_by(
        checkpoint.spec, here=str(archive.path), there="the model that is to be calibrated"
    )
    rows = _labelled(archive)
    network, device = checkpoint.network(), choose_device("auto")
    assert isinstance(network, RedshiftNetwork)  # as it has a grid
    evaluation = evaluate_logits(
        network.to(device), archive, rows, BATCH_SIZE, World(device=device)
    )
    before = checkpoint.calibration or Calibration()
    after = fit_calibration(evaluation.logits, evaluation.redshift, checkpoint.grid)
    provenance = {
        **{name: value for name, value in checkpoint.provenance.items() if name != "name"},
        "calibrated_on": f"{len(rows)} labels of {archive.path.name}",
    }  # without its name: it is another model now, known by its file's
    was, now = (_told(calibration, evaluation, checkpoint.grid) for calibration in (before, after))
    found = f"on the {len(rows)} labels that the PDFs are fitted to: {was} before, {now} now"
    metrics = valid_metrics(evaluation, after, checkpoint.grid)
    return replace(checkpoint, calibration=after, provenance=provenance, metrics=metrics), found


def _labelled(archive: Archive) -> Rows:
    """Labels that the model has not learned from, and that nothing will be measured on."""
    where = " in its validation split" if archive.has_splits else ""
    rows = archive.rows(split="valid" if archive.has_splits else None, labelled=True)
    if len(rows) < FEWEST_LABELS:
        raise ArchiveError(
            f"{archive.path} has {counted(len(rows), 'usable galaxy')} with redshifts{where}, and"
            f" PDFs are calibrated on {FEWEST_LABELS} or more",
            "prepare more of them, or an archive without splits: all of it is used then",
        )
    return rows[evenly_spread(len(rows), MOST_LABELS)]


def _told(calibration: Calibration, evaluation: Evaluation, grid: RedshiftGrid) -> str:
    """How good calibrated PDFs are, in a few words."""
    redshift = evaluation.redshift
    estimates = summarise(calibration.apply(evaluation.logits), grid)
    bias = np.mean(normalised_residual(estimates.mean, redshift))
    inside = np.mean((estimates.l68 <= redshift) & (redshift <= estimates.u68))
    return f"a bias of {bias:+.4f} and {100 * inside:.0f} % inside the 68 % interval"
