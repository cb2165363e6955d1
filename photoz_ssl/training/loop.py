"""The one training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import torch
from torch import Tensor, nn

from photoz_ssl.datasets.galaxies import GalaxyBatch, Rows, batch_rows, gather, read_ahead
from photoz_ssl.errors import ArchiveError, OutputError, PhotozError, TrainingError
from photoz_ssl.networks.ranks import World
from photoz_ssl.progress import Progress, Stop, Stopped, never
from photoz_ssl.survey.archive import Archive
from photoz_ssl.training.run_folder import RunFolder

__all__ = ["Plan", "Step", "step_generator", "train"]

SECONDS_BETWEEN_STATES = 300.0
SHARE_OF_SAVING = 0.05
"""Most of the time that saving the state after every epoch may take."""

SECONDS_BETWEEN_NEWS = 0.2

NO_FLUX = 1e12
"""Nanomaggies that no pixel has, but for marks such as 1e30: the Sun would have 5e19 in all."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is done how often.

    Parameters
    ----------
    stage : str
        Name for the progress, e.g. ``"pretraining images"``.
    archive : Archive
        The galaxies.
    rows : ndarray, shape (n_galaxies,)
        Those to train on.
    epochs, batch_size, seed : int
        As in `photoz_ssl.config.TrainingConfig`; a batch cannot be larger than ``rows``.
    rate_factor : callable
        Step → factor of the learning rate.
    world : World
        Where the network is, and the processes among which each batch is split.
    bfloat16 : bool
        Whether the network is run under autocast.
    steadier : str
        What to do about a loss that is no number any more.
    """

    stage: str
    archive: Archive
    rows: Rows
    epochs: int
    batch_size: int
    seed: int
    rate_factor: Callable[[int], float]
    world: World
    bfloat16: bool
    steadier: str = "lower --learning-rate"

    @property
    def steps_an_epoch(self) -> int:
        """Complete batches in an epoch."""
        return len(self.rows) // self.batch_size

    @property
    def n_steps(self) -> int:
        """Steps in all."""
        return self.epochs * self.steps_an_epoch

    def own_rows(self, step: int) -> Rows:
        """The rows of a step's batch that this process works on."""
        rows = batch_rows(self.rows, self.batch_size, seed=self.seed, step=step)
        return rows[self.world.part(self.batch_size)]


Step = Callable[[GalaxyBatch, torch.Generator], tuple[Tensor, dict[str, Tensor]]]
"""Batch and generator → loss, and figures worth logging."""


def step_generator(seed: int, step: int, device: torch.device) -> torch.Generator:
    """The source of a step's random draws: a function of seed and step alone."""
    return torch.Generator(device).manual_seed((seed * 1_000_003 + step) % 2**63)


def train(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_of: Step,
    plan: Plan,
    folder: RunFolder,
    *,
    after_epoch: Callable[[int], dict[str, float]] = lambda epoch: {},
    progress: Progress,
    stop: Stop = never,
) -> None:
    """Train a network in place, from where the run folder's state left off.

    Since order and views depend on seed and step alone, a resumed run equals an
    uninterrupted one.

    Parameters
    ----------
    network : Module
        What the state is saved of.
    optimizer : Optimizer
        Its groups carry their peak rate as ``peak``.
    loss_of : callable
        One step; see `Step`.
    plan : Plan
        What is done how often.
    folder : RunFolder
        Where state and metrics go.
    after_epoch : callable
        Measures something on the network after each epoch, the first being number 1.
    progress : callable
        Told after every step; with a GPU five times a second, since a number from there
        is waited for.
    stop : callable
        Asked after every step whether to save the state and stop.

    Raises
    ------
    photoz_ssl.progress.Stopped
        If ``stop`` said so before the last step was done.
    ArchiveError, TrainingError
        If the loss is no number any more; such a state is not saved.
    """
    world = plan.world
    first, sums = _resume(network, optimizer, folder, world)
    order = (plan.own_rows(step) for step in range(first, plan.n_steps))
    clock, tell = _StateClock(), _Teller(plan, first, progress)
    for step, batch in enumerate(read_ahead(plan.archive, order, world.device), start=first):
        network.train()
        figures = _descend(loss_of, batch, step, optimizer, plan)
        for name, value in figures.items():
            sums[name] = sums.get(name, torch.zeros_like(value)) + value
        rate = {"rate": optimizer.param_groups[-1]["lr"]}
        no_number = tell(step + 1, figures["loss"], **rate)
        epoch, place = divmod(step + 1, plan.steps_an_epoch)
        epoch_ends = place == 0
        stopping, due = world.any(stop(), no_number or clock.due(epoch_ends=epoch_ends))
        if due := due or stopping or step + 1 == plan.n_steps:
            with world.together():
                tell.require_number(step + 1, figures["loss"])
        if epoch_ends:
            means = {name: float(value) / plan.steps_an_epoch for name, value in sums.items()}
            line = {"step": step + 1, "epoch": epoch, **rate, **means, **after_epoch(epoch)}
            with world.together():
                folder.log(**line)
            sums = {}
        if due:
            with world.together(), clock:
                tell.require_numbers(step + 1, network)
                folder.save_state(_state(network, optimizer, step + 1, sums))
        if stopping and step + 1 < plan.n_steps:
            raise Stopped(step + 1, plan.n_steps)


class _StateClock:
    """Says when to save the state: after an epoch, or when the last one is five minutes old.

    Where an epoch is short and the network large, some epochs' ends are passed over, lest
    saving take more than a twentieth of the time. Saving is done within the clock.
    """

    def __init__(self) -> None:
        self.saved, self.cost = time.monotonic(), 0.0

    def due(self, *, epoch_ends: bool) -> bool:
        """Whether it is time."""
        age = time.monotonic() - self.saved
        affordable = age * SHARE_OF_SAVING >= self.cost
        return age > SECONDS_BETWEEN_STATES or (epoch_ends and affordable)

    def __enter__(self) -> None:
        self.saved = time.monotonic()

    def __exit__(self, *error: object) -> None:
        start, self.saved = self.saved, time.monotonic()
        self.cost = self.saved - start


class _Teller:
    """Tells of steps done, so that a GPU seldom has to be waited for, and looks at their loss."""

    def __init__(self, plan: Plan, first: int, progress: Progress) -> None:
        self._plan, self._progress = plan, progress
        self._pause = SECONDS_BETWEEN_NEWS if plan.world.device.type == "cuda" else 0.0
        self._told, self._seen, self._kept = time.monotonic(), first, first

    def __call__(self, done: int, loss: Tensor, **figures: float) -> bool:
        """Tell of a step, unless the last news is recent; whether its loss is no number.

        That is for `require_number` to end, on all processes together: each has its own clock.
        """
        plan = self._plan
        if done < plan.n_steps and time.monotonic() - self._told < self._pause:
            return False
        value = float(loss)
        if not math.isfinite(value):
            return True
        galaxies, total = done * plan.batch_size, plan.n_steps * plan.batch_size
        self._progress(plan.stage, galaxies, total, loss=value, **figures)
        self._told, self._seen = time.monotonic(), done
        return False

    def require_number(self, done: int, loss: Tensor) -> float:
        """The loss of a step.

        Raises
        ------
        ArchiveError
            If it is none as a galaxy seen since the last look has pixels that are not finite.
        TrainingError
            If it is none for another reason.
        """
        value = float(loss)
        if not math.isfinite(value):
            raise self._no_number("the loss is", range(self._seen, done))
        self._seen = done
        return value

    def require_numbers(self, done: int, network: nn.Module) -> None:
        """Refuse to keep weights and statistics of BatchNorm that no file could be read with.

        The loss does not show all of them: a variance that is infinite divides a galaxy away.

        Raises
        ------
        ArchiveError, TrainingError
            As `require_number`, of the steps since the last state.
        """
        if not all(bool(torch.isfinite(values).all()) for values in network.state_dict().values()):
            raise self._no_number("the network is", range(self._kept, done))
        self._kept = done

    def _no_number(self, what: str, steps: range) -> PhotozError:
        plan = self._plan
        for step in steps:
            rows = batch_rows(plan.rows, plan.batch_size, seed=plan.seed, step=step)
            for row, stamp in zip(rows, gather(plan.archive, rows).images, strict=True):
                peak = float(stamp.flatten()[stamp.abs().argmax()])  # NaN if one is
                if not abs(peak) < NO_FLUX:
                    return _not_of_a_galaxy(f"row {row + 1} of {plan.archive.path}", peak)
        return TrainingError(
            f"{what} no number any more after step {steps.stop} of {plan.n_steps}",
            f"{plan.steadier}, and start again with --overwrite",
        )


def _not_of_a_galaxy(row: str, peak: float) -> ArchiveError:
    if math.isfinite(peak):
        return ArchiveError(
            f"{row} has a pixel of {peak:.2g} nanomaggies",
            "make such pixels NaN, and the archive with photoz-ssl prepare, which flags their rows",
        )
    return ArchiveError(
        f"{row} has pixels that are not finite",
        "make the archive with photoz-ssl prepare, which flags such rows",
    )


def _descend(
    loss_of: Step, batch: GalaxyBatch, step: int, optimizer: torch.optim.Optimizer, plan: Plan
) -> dict[str, Tensor]:
    """One step down the gradient; the loss and its figures, over all processes."""
    device = plan.world.device
    for group in optimizer.param_groups:
        group["lr"] = plan.rate_factor(step) * group["peak"]
    generator = step_generator(plan.seed, step, device)
    with torch.autocast(device.type, torch.bfloat16, enabled=plan.bfloat16):
        loss, figures = loss_of(batch, generator)
    optimizer.zero_grad(set_to_none=True)
    with plan.world.peers():
        loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return plan.world.mean({"loss": loss.detach(), **figures})


def _state(
    network: nn.Module, optimizer: torch.optim.Optimizer, step: int, sums: dict[str, Tensor]
) -> dict[str, Any]:
    """All that the next step depends on, as plain tensors and numbers."""
    return {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "sums": dict(sums),
    }


def _resume(
    network: nn.Module, optimizer: torch.optim.Optimizer, folder: RunFolder, world: World
) -> tuple[int, dict[str, Tensor]]:
    """Load the folder's state, if it has one; return the next step and the epoch's sums."""
    with world.together():
        state = folder.load_state() or {"step": 0, "sums": {}}
        folder.forget_metrics_after(state["step"])
    if not world.agree(state["step"], crc32(folder.fingerprint.encode())):
        raise OutputError(
            "the processes do not have the same options, or do not see the same archive and run"
            f" folder {folder.path}",
            "start all of them by one command, and put both on a disk that all nodes share",
        )
    if "network" in state:
        network.load_state_dict(state["network"])
        for group, saved in zip(
            optimizer.param_groups, state["optimizer"]["param_groups"], strict=True
        ):
            saved["fused"] = group["fused"]  # by the device, which may be another
        optimizer.load_state_dict(state["optimizer"])
    sums = {name: value.to(world.device) for name, value in state["sums"].items()}
    return int(state["step"]), sums
