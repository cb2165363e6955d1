"""Learn redshift PDFs from labels."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from photoz_ssl import __version__
from photoz_ssl.config import FinetuneConfig
from photoz_ssl.datasets.galaxies import Rows
from photoz_ssl.errors import ArchiveError
from photoz_ssl.networks.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from photoz_ssl.networks.redshift_head import RedshiftNetwork
from photoz_ssl.networks.runtimes import choose_device
from photoz_ssl.progress import Progress, Stop, never, silent
from photoz_ssl.redshift.calibration import Calibration, fit_calibration
from photoz_ssl.redshift.grid import RedshiftGrid
from photoz_ssl.redshift.metrics import normalised_residual, outlier_fraction, sigma_mad
from photoz_ssl.survey.archive import Archive, open_archive
from photoz_ssl.training.loop import Plan, train
from photoz_ssl.training.run_folder import RunFolder, identity_of, open_run_folder
from photoz_ssl.training.schedule import cosine_factor, steps_factor
from photoz_ssl.training.supervised import (
    Evaluation,
    evaluate_logits,
    finetuning_optimizer,
    some_labels,
    supervised_step,
)
from photoz_ssl.workflows.pretrain import is_file, load_encoder, uses_bfloat16

__all__ = ["FinetuneReport", "finetune", "labelled_rows"]

HELD_OUT = 0.1
"""Share of the training rows that validate where the archive has no valid split."""


@dataclass(frozen=True)
class FinetuneReport:
    """What fine-tuning did.

    Parameters
    ----------
    model : Path
        The redshift model.
    n_labels, n_valid, epochs : int
        Labels that were learned from and validated on, and passes over them.
    sigma_mad, outlier_fraction : float
        Of the validation galaxies' mean redshifts.
    seconds : float
        It took in this process.
    """

    model: Path
    n_labels: int
    n_valid: int
    epochs: int
    sigma_mad: float
    outlier_fraction: float
    seconds: float

    def summary(self) -> str:
        """One line for a person."""
        return (
            f"fine-tuned {self.epochs} epochs on {self.n_labels} labels in {self.seconds:.0f} s:"
            f" sigma_MAD {self.sigma_mad:.4f}, outliers {100 * self.outlier_fraction:.2f} % of"
            f" {self.n_valid} validation galaxies → {self.model}"
        )


def finetune(
    config: FinetuneConfig, *, progress: Progress = silent, stop: Stop = never
) -> FinetuneReport:
    """Fine-tune an encoder on labels, or train one from scratch (method section 4).

    Parameters
    ----------
    config : FinetuneConfig
        Archive, encoder, run folder and all constants.
    progress : callable
        Told after every step.
    stop : callable
        Asked after every step whether to save the state and stop.

    Raises
    ------
    photoz_ssl.errors.PhotozError
        If the archive, the run folder or the encoder cannot be used.
    photoz_ssl.progress.Stopped
        If ``stop`` said so before training was done.
    """
    start = time.monotonic()
    archive = open_archive(config.archive)
    rows, valid = labelled_rows(archive, config)
    device, grid = choose_device(config.device), RedshiftGrid()
    encoder = load_encoder(config.encoder, archive.spec, str(config.archive), seed=config.seed)
    folder = open_run_folder(config, "finetune", identity_of(archive, rows))
    pretrained = is_file(config.encoder)
    frozen = pretrained and config.encoder_rate == 0
    network = RedshiftNetwork(encoder, grid.n_bins, seed=config.seed, frozen=frozen).to(device)
    network = network.to(memory_format=torch.channels_last)
    optimizer = finetuning_optimizer(network, config, pretrained=pretrained)

    def validate() -> Evaluation:
        return evaluate_logits(network, archive, valid, config.batch_size, device)

    train(
        network,
        optimizer,
        supervised_step(network, grid, config),
        _plan(config, archive, rows, device),
        folder,
        after_epoch=lambda: _metrics(validate(), Calibration(), grid),
        progress=progress,
        stop=stop,
    )
    evaluation = validate()
    calibration = fit_calibration(evaluation.logits, evaluation.redshift, grid)
    metrics = _metrics(evaluation, calibration, grid)
    path = _save(folder, network, archive, config, grid, calibration, metrics, len(rows))
    return FinetuneReport(
        model=path,
        n_labels=len(rows),
        n_valid=len(valid),
        epochs=config.epochs,
        sigma_mad=metrics["valid_sigma_mad"],
        outlier_fraction=metrics["valid_outlier_fraction"],
        seconds=time.monotonic() - start,
    )


def labelled_rows(archive: Archive, config: FinetuneConfig) -> tuple[Rows, Rows]:
    """Rows to learn from and to validate on."""
    rows = archive.rows(split="train", labelled=True)
    valid = archive.rows(split="valid", labelled=True)
    if len(valid) == 0:
        order = np.random.default_rng([config.seed, 2]).permutation(len(rows))
        n_valid = round(HELD_OUT * len(rows))
        rows, valid = np.sort(rows[order[n_valid:]]), np.sort(rows[order[:n_valid]])
    if len(rows) < 2 or len(valid) == 0:
        raise ArchiveError(
            f"{archive.path} has {len(rows)} labelled galaxies to train on and {len(valid)} to"
            " validate on",
            "prepare it with a column of spectroscopic redshifts (--redshift-column)",
        )
    return some_labels(rows, config.label_fraction, seed=config.seed), valid


def _plan(config: FinetuneConfig, archive: Archive, rows: Rows, device: torch.device) -> Plan:
    batch_size = min(config.batch_size, len(rows))
    n_steps = config.epochs * (len(rows) // batch_size)
    factor = cosine_factor if config.schedule == "cosine" else steps_factor
    return Plan(
        stage="fine-tuning images",
        archive=archive,
        rows=rows,
        epochs=config.epochs,
        batch_size=batch_size,
        seed=config.seed,
        rate_factor=lambda step: factor(step, n_steps),
        device=device,
        bfloat16=uses_bfloat16(config.precision, device),
    )


def _metrics(
    evaluation: Evaluation, calibration: Calibration, grid: RedshiftGrid
) -> dict[str, float]:
    mean = calibration.apply(evaluation.logits) @ grid.centres
    dz = normalised_residual(mean, evaluation.redshift)
    return {
        "valid_sigma_mad": sigma_mad(dz),
        "valid_outlier_fraction": outlier_fraction(dz),
        "valid_bias": float(np.mean(dz)),
    }


def _save(
    folder: RunFolder,
    network: RedshiftNetwork,
    archive: Archive,
    config: FinetuneConfig,
    grid: RedshiftGrid,
    calibration: Calibration,
    metrics: dict[str, float],
    n_labels: int,
) -> Path:
    path = folder.path / "photoz.safetensors"
    history: list[Any] = []
    if is_file(config.encoder):
        history = list(load_checkpoint(Path(config.encoder)).provenance.get("history", []))
    provenance = {
        "program": f"photoz-ssl {__version__}",
        "trained_on": f"{n_labels} labels of {archive.path.name}",
        "epochs": config.epochs,
        "history": [*history, {"command": "finetune", **folder.options()}],
    }
    checkpoint = Checkpoint(
        kind="photoz",
        spec=archive.spec,
        encoder=network.encoder.config,
        state=network.state_dict(),
        grid=grid,
        calibration=calibration,
        provenance=provenance,
        metrics=metrics,
    )
    save_checkpoint(path, checkpoint, overwrite=True)
    return path
