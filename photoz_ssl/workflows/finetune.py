"""Learn redshift PDFs from labels."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from photoz_ssl import __version__
from photoz_ssl.config import FinetuneConfig
from photoz_ssl.datasets.galaxies import Rows
from photoz_ssl.errors import ArchiveError, TrainingError
from photoz_ssl.networks.checkpoint import Checkpoint, save_checkpoint
from photoz_ssl.networks.compilation import compile_for_training
from photoz_ssl.networks.encoder import Encoder
from photoz_ssl.networks.engines.quantised import require_quantiser
from photoz_ssl.networks.published import read_model
from photoz_ssl.networks.ranks import World
from photoz_ssl.networks.redshift_head import RedshiftNetwork
from photoz_ssl.networks.runtimes import choose_arithmetic
from photoz_ssl.object_ids import tells_apart
from photoz_ssl.progress import Progress, Stop, never, silent
from photoz_ssl.redshift.calibration import Calibration, fit_calibration
from photoz_ssl.redshift.grid import RedshiftGrid
from photoz_ssl.survey.archive import Archive, open_archive
from photoz_ssl.training.distributed import join_world, require_equal_parts, synchronised
from photoz_ssl.training.loop import Plan, train
from photoz_ssl.training.run_folder import RunFolder, training_in
from photoz_ssl.training.schedule import cosine_factor, steps_factor
from photoz_ssl.training.supervised import (
    Evaluation,
    evaluate_logits,
    finetuning_optimizer,
    some_labels,
    supervised_step,
    usual_blur,
    usual_encoder_rate,
    valid_metrics,
)
from photoz_ssl.workflows.counting import counted
from photoz_ssl.workflows.trained.encoders import TrainingStart, is_file, training_start
from photoz_ssl.workflows.trained.quantisation import calibrated

__all__ = [
    "FinetuneReport",
    "finetune",
    "labelled_rows",
    "notices_of_labels",
    "start_of_finetuning",
]

STEPS_BETWEEN_VALIDATIONS = 50
HELD_OUT = 0.1
"""Share of the training rows that validate where the archive has no valid split."""

LEAST_LABELS = 6
"""So many labels have one that validates, if all of them are for training."""


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
    notices : tuple of str
        What a user should know.
    """

    model: Path
    n_labels: int
    n_valid: int
    epochs: int
    sigma_mad: float
    outlier_fraction: float
    seconds: float
    notices: tuple[str, ...] = ()

    def summary(self) -> str:
        """One line for a person."""
        return (
            f"fine-tuned {counted(self.epochs, 'epoch')} on {counted(self.n_labels, 'label')}"
            f" in {self.seconds:.0f} s:"
            f" sigma_MAD {self.sigma_mad:.4f}, outliers {100 * self.outlier_fraction:.2f} % of"
            f" {counted(self.n_valid, 'validation galaxy')} → {self.model}"
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
    begun, grid = time.monotonic(), RedshiftGrid()
    with join_world(config.device) as world, ExitStack() as held:
        with world.together():
            start, valid = start_of_finetuning(config, world)
            config, plan = start.config, start.plan
            run = training_in(config, "finetune", start.identity, writes=world.leads)
            folder = held.enter_context(run)
        network = _network(config, start.encoder, grid, world.device)
        validate = partial(evaluate_logits, network, plan.archive, valid, config.batch_size, world)
        _learn(network, config, plan, folder, grid, validate, progress, stop)
        evaluation = validate()
        with world.together():
            path, metrics = _save(folder, network, plan, config, grid, evaluation)
    return FinetuneReport(
        model=path,
        n_labels=len(plan.rows),
        n_valid=len(valid),
        epochs=config.epochs,
        sigma_mad=metrics["valid_sigma_mad"],
        outlier_fraction=metrics["valid_outlier_fraction"],
        seconds=time.monotonic() - begun,
        notices=(
            *_notices_of(evaluation),
            *notices_of_labels(plan.archive.redshift[np.union1d(plan.rows, valid)], grid),
        ),
    )


def start_of_finetuning(
    config: FinetuneConfig, world: World
) -> tuple[TrainingStart[FinetuneConfig], Rows]:
    """What `finetune` finds before it looks at the run folder, and the rows that validate."""
    if config.calibrate:
        require_quantiser()
    archive = open_archive(config.archive)
    rows, valid = labelled_rows(archive, config)
    config = _with_usual_choices(config, len(rows))
    return training_start("finetune", config, _plan(config, archive, rows, world)), valid


def _network(
    config: FinetuneConfig, encoder: Encoder, grid: RedshiftGrid, device: torch.device
) -> RedshiftNetwork:
    frozen = is_file(config.encoder) and config.encoder_rate == 0
    network = RedshiftNetwork(encoder, grid.n_bins, seed=config.seed, frozen=frozen)
    return network.to(device).to(memory_format=torch.channels_last)


def labelled_rows(archive: Archive, config: FinetuneConfig) -> tuple[Rows, Rows]:
    """Rows to learn from and to validate on."""
    rows = archive.rows(split="train", labelled=True)
    valid = archive.rows(split="valid", labelled=True)
    if len(valid) == 0:
        held = _held_out(archive.object_id[rows], config.seed)
        rows, valid = rows[~held], rows[held]
    if len(rows) < 2 or len(valid) == 0:
        raise _too_few_labels(archive, len(rows), len(valid))
    return some_labels(rows, config.label_fraction, seed=config.seed), valid


def _held_out(object_id: NDArray[np.int64], seed: int) -> NDArray[np.bool_]:
    """A random tenth of some galaxies, shape (n,), and what else has their ids."""
    order = np.random.default_rng([seed, 2]).permutation(len(object_id))
    held = np.zeros(len(object_id), bool)
    held[order[: round(HELD_OUT * len(object_id))]] = True
    ids = object_id[held]
    return held | np.isin(object_id, ids[tells_apart(ids)])


def _too_few_labels(archive: Archive, n_train: int, n_valid: int) -> ArchiveError:
    n_labels = len(archive.rows(labelled=True))
    if not n_labels:
        return ArchiveError(
            f"{archive.path} has no labelled galaxies that can be used",
            "those with redshifts have flags, or no reddening"
            if np.any(np.isfinite(archive.redshift))
            else "prepare it with a column of spectroscopic redshifts (--redshift-column)",
        )
    split = np.any(archive.split != "")
    return ArchiveError(
        f"{archive.path} has {counted(n_labels, 'labelled galaxy')}: {n_train} to train on and"
        f" {n_valid} to validate on",
        "prepare it with other splits (--split or --split-column)"
        if split and n_labels >= LEAST_LABELS
        else "prepare it with more spectroscopic redshifts",
    )


def notices_of_labels(redshift: NDArray[np.float32], grid: RedshiftGrid) -> tuple[str, ...]:
    """What a user should know of labels, shape (n_labels,), that a grid does not hold."""
    n_beyond = int(np.sum(redshift >= grid.z_max))
    if n_beyond == 0:
        return ()
    return (
        f"labels beyond the model's redshifts, 0 to {grid.z_max:g}, count as its last bin:"
        f" {n_beyond} of {len(redshift)}",
    )


def _with_usual_choices(config: FinetuneConfig, n_labels: int) -> FinetuneConfig:
    """A configuration that says what goes by the number of labels where it said nothing."""
    blur, rate = config.label_blur, config.encoder_rate
    if blur is None:
        blur = round(usual_blur(n_labels), 2)
    if rate is None:
        rate = round(usual_encoder_rate(n_labels), 2) if is_file(config.encoder) else 1.0
    return dataclasses.replace(config, label_blur=blur, encoder_rate=rate)


def _plan(config: FinetuneConfig, archive: Archive, rows: Rows, world: World) -> Plan:
    batch_size = _labels_a_step(config, len(rows), world.size)
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
        world=world,
        bfloat16=choose_arithmetic(config.precision, world.device),
    )


def _labels_a_step(config: FinetuneConfig, n_labels: int, n_processes: int) -> int:
    """The batch size, lowered to what the labels fill and the processes divide.

    Raises
    ------
    ArchiveError
        If there are fewer labels than processes.
    ConfigError
        If the batch size asked for does not split evenly over the processes.
    """
    require_equal_parts(config.batch_size, n_processes)
    batch_size = min(config.batch_size, n_labels)
    if batch_size < n_processes:
        raise ArchiveError(
            f"{config.archive} has {counted(n_labels, 'label')} to train on, fewer than the"
            f" {n_processes} processes",
            "start fewer processes",
        )
    return batch_size - batch_size % n_processes


def _learn(
    network: RedshiftNetwork,
    config: FinetuneConfig,
    plan: Plan,
    folder: RunFolder,
    grid: RedshiftGrid,
    validate: Callable[[], Evaluation],
    progress: Progress,
    stop: Stop,
) -> None:
    """Train a network in place, and log every now and then what it reaches."""
    world = plan.world
    optimizer = finetuning_optimizer(network, config, pretrained=is_file(config.encoder))
    compile_for_training(network.encoder, device=world.device, n_steps=plan.n_steps)
    step = supervised_step(synchronised(network, world), grid, config, world)
    # epochs of few labels are over in no time, and validation would take most of it
    pause = max(1, STEPS_BETWEEN_VALIDATIONS // plan.steps_an_epoch)

    def after_epoch(epoch: int) -> dict[str, float]:
        due = epoch % pause == 0 or epoch == plan.epochs
        return valid_metrics(validate(), Calibration(), grid) if due else {}

    train(
        network,
        optimizer,
        step,
        plan,
        folder,
        after_epoch=after_epoch,
        progress=progress,
        stop=stop,
    )


def _require_redshifts(evaluation: Evaluation, plan: Plan) -> None:
    """Refuse to keep a network whose numbers overflow: its last steps led it too far."""
    if not np.isfinite(evaluation.logits).all(axis=1).any():
        raise TrainingError(
            f"the network gives none of {counted(len(evaluation.logits), 'validation galaxy')} a"
            " redshift that is a number",
            f"{plan.steadier}, and start again with --overwrite",
        )


def _notices_of(evaluation: Evaluation) -> tuple[str, ...]:
    n_without = int(np.sum(~np.isfinite(evaluation.logits).all(axis=1)))
    if n_without == 0:
        return ()
    return (
        f"the model gives {n_without} of {counted(len(evaluation.logits), 'validation galaxy')} no"
        " redshift; a lower --learning-rate may mend that",
    )


def _save(
    folder: RunFolder,
    network: RedshiftNetwork,
    plan: Plan,
    config: FinetuneConfig,
    grid: RedshiftGrid,
    evaluation: Evaluation,
) -> tuple[Path, dict[str, float]]:
    """Calibrate and save the model; return where it is, and what it reached."""
    _require_redshifts(evaluation, plan)
    calibration = fit_calibration(evaluation.logits, evaluation.redshift, grid)
    metrics = valid_metrics(evaluation, calibration, grid)
    path = folder.path / "photoz.safetensors"
    if not folder.writes:
        return path, metrics
    history: list[Any] = []
    if is_file(config.encoder):
        history = list(read_model(Path(config.encoder)).provenance.get("history", []))
    provenance = {
        "program": f"photoz-ssl {__version__}",
        "trained_on": f"{len(plan.rows)} labels of {plan.archive.path.name}",
        "epochs": config.epochs,
        "history": [*history, {"command": "finetune", **folder.options()}],
    }
    checkpoint = Checkpoint(
        kind="photoz",
        spec=plan.archive.spec,
        encoder=network.encoder.config,
        state={name: values.cpu() for name, values in network.state_dict().items()},
        grid=grid,
        calibration=calibration,
        provenance=provenance,
        metrics=metrics,
    )
    save_checkpoint(path, checkpoint, overwrite=True)
    if config.calibrate:  # may fail, and the model is there all the same
        save_checkpoint(path, calibrated(checkpoint, plan.archive)[0], overwrite=True)
    return path, metrics
