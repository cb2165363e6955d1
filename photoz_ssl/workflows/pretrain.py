"""Learn representations without redshifts."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from photoz_ssl import __version__
from photoz_ssl.config import PretrainConfig
from photoz_ssl.datasets.galaxies import Rows
from photoz_ssl.errors import ArchiveError, CheckpointError
from photoz_ssl.networks.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from photoz_ssl.networks.compilation import compile_for_training
from photoz_ssl.networks.encoder import Encoder
from photoz_ssl.networks.moco import MomentumContrast
from photoz_ssl.networks.ranks import World
from photoz_ssl.networks.runtimes import choose_arithmetic
from photoz_ssl.progress import Progress, Stop, never, silent
from photoz_ssl.survey.archive import Archive, open_archive
from photoz_ssl.training.contrastive import contrastive_step, measure_band_mad
from photoz_ssl.training.distributed import join_world, require_equal_parts, synchronised
from photoz_ssl.training.loop import Plan, train
from photoz_ssl.training.optimizers import make_optimizer
from photoz_ssl.training.run_folder import MODELS, RunFolder, training_in
from photoz_ssl.training.schedule import cosine_factor
from photoz_ssl.workflows.counting import counted
from photoz_ssl.workflows.trained.encoders import TrainingStart, training_start

__all__ = ["PretrainReport", "pretrain", "start_of_pretraining", "usable_batch_size"]


@dataclass(frozen=True)
class PretrainReport:
    """What pretraining did.

    Parameters
    ----------
    encoder : Path
        The encoder file.
    n_galaxies, epochs : int
        Galaxies that were learned from, and how often.
    loss : float
        Mean of the last epoch; NaN if nothing was left to do and what tells it is gone.
    seconds : float
        It took in this process.
    notices : tuple of str
        What a user should know.
    """

    encoder: Path
    n_galaxies: int
    epochs: int
    loss: float
    seconds: float
    notices: tuple[str, ...] = ()

    def summary(self) -> str:
        """One line for a person."""
        loss = f", last loss {self.loss:.3f}" if math.isfinite(self.loss) else ""
        return (
            f"pretrained {counted(self.epochs, 'epoch')} on {counted(self.n_galaxies, 'galaxy')} in"
            f" {self.seconds:.0f} s{loss} → {self.encoder}"
        )


def pretrain(
    config: PretrainConfig, *, progress: Progress = silent, stop: Stop = never
) -> PretrainReport:
    """Pretrain an encoder by momentum contrast (method sections 3 and 4).

    Parameters
    ----------
    config : PretrainConfig
        Archive, run folder and all constants.
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
    begun = time.monotonic()
    with join_world(config.device) as world, ExitStack() as held:
        with world.together():
            start = start_of_pretraining(config, world)
            run = training_in(config, "pretrain", start.identity, writes=world.leads)
            folder = held.enter_context(run)
        plan = start.plan
        network = _network(config, start.encoder, world.device)
        groups = [(network.query_network, config.learning_rate)]
        optimizer = make_optimizer(groups, config, weight_decay=config.weight_decay)
        mad = measure_band_mad(plan.archive, plan.rows).to(world.device)
        compile_for_training(
            network.query_network, network.key_network, device=world.device, n_steps=plan.n_steps
        )
        trained = synchronised(network, world)
        step = contrastive_step(trained, mad, config, world, plan.n_steps)
        train(network, optimizer, step, plan, folder, progress=progress, stop=stop)
        with world.together():
            last = _last_metrics(folder)
            path = _save(folder, start, last, mad.tolist())
    loss, seconds = last.get("loss", float("nan")), time.monotonic() - begun
    return PretrainReport(path, len(plan.rows), config.epochs, loss, seconds)


def start_of_pretraining(config: PretrainConfig, world: World) -> TrainingStart[PretrainConfig]:
    """What `pretrain` finds before it looks at the run folder; nothing is written."""
    archive = open_archive(config.archive)
    plan = _plan(config, archive, archive.rows(split="train"), world)
    return training_start("pretrain", config, plan)


def _network(config: PretrainConfig, encoder: Encoder, device: torch.device) -> MomentumContrast:
    network = MomentumContrast(
        encoder,
        projection_size=config.projection_size,
        queue_size=config.queue_size,
        key_momentum=config.key_momentum,
        temperature=config.temperature,
        batchnorm_groups=config.batchnorm_groups,
        seed=config.seed,
    ).to(device)
    return network.to(memory_format=torch.channels_last)


def _plan(config: PretrainConfig, archive: Archive, rows: Rows, world: World) -> Plan:
    batch_size = usable_batch_size(config, len(rows), world.size)
    steps = len(rows) // batch_size
    n_steps, warmup = config.epochs * steps, config.warmup_epochs * steps
    return Plan(
        stage="pretraining images",
        archive=archive,
        rows=rows,
        epochs=config.epochs,
        batch_size=batch_size,
        seed=config.seed,
        rate_factor=lambda step: cosine_factor(step, n_steps, warmup),
        world=world,
        bfloat16=choose_arithmetic(config.precision, world.device),
        steadier="lower --learning-rate, or raise --temperature",
    )


def usable_batch_size(config: PretrainConfig, n_galaxies: int, n_processes: int = 1) -> int:
    """The batch size, lowered to what the galaxies fill and groups and processes divide.

    Parameters
    ----------
    config : PretrainConfig
        The batch size asked for, and the BatchNorm groups.
    n_galaxies : int
        Galaxies to train on.
    n_processes : int
        Processes among which a batch is split; each cuts its part into groups.

    Raises
    ------
    ArchiveError
        If there is no galaxy, or if that leaves fewer than two a group.
    ConfigError
        If the batch size asked for does not split evenly over the processes.
    """
    require_equal_parts(config.batch_size, n_processes)
    groups = n_processes * math.ceil(config.batchnorm_groups / n_processes)
    batch_size = min(config.batch_size, n_galaxies)
    if n_galaxies == 0:
        raise ArchiveError(
            f"{config.archive} has no usable galaxy to train on",
            "prepare it with other splits (--split or --split-column), or with images that can be"
            " used",
        )
    batch_size -= batch_size % math.lcm(config.batchnorm_groups, n_processes)
    if batch_size < 2 * groups:
        split = f" on {n_processes} processes" if n_processes > 1 else ""
        raise ArchiveError(
            f"{config.archive} has {counted(n_galaxies, 'galaxy')} to train on, too few for batches"
            f" of {config.batch_size} in {groups} BatchNorm groups{split}",
            "prepare more galaxies, or lower --batchnorm-groups",
        )
    return batch_size


def _last_metrics(folder: RunFolder) -> Mapping[str, float]:
    """Of the last epoch, from the finished encoder if nothing else tells them any more."""
    if last := folder.last_metrics():
        return last
    with suppress(CheckpointError):  # it may be gone, or damaged: it is to be written anew
        return load_checkpoint(folder.path / MODELS["pretrain"]).metrics
    return {}


def _save(
    folder: RunFolder,
    start: TrainingStart[PretrainConfig],
    metrics: Mapping[str, float],
    mad: list[float],
) -> Path:
    path = folder.path / MODELS["pretrain"]
    if not folder.writes:
        return path
    provenance: dict[str, Any] = {
        "program": f"photoz-ssl {__version__}",
        "method": "MoCo v2",
        "trained_on": f"{len(start.plan.rows)} galaxies of {start.config.archive.name}",
        "epochs": start.config.epochs,
        "band_mad": mad,
        "history": [{"command": "pretrain", **folder.options()}],
    }
    checkpoint = Checkpoint(
        kind="encoder",
        spec=start.plan.archive.spec,
        encoder=start.encoder.config,
        state=start.encoder.state_dict(),
        provenance=provenance,
        metrics=metrics,
    )
    save_checkpoint(path, checkpoint, overwrite=True)
    return path
