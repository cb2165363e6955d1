"""What ``pretrain`` and ``finetune`` share: they stop when asked to, and one process talks."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from photoz_ssl.cli.console import say, show_progress
from photoz_ssl.progress import Progress, Stop, Stopped

__all__ = ["leads", "run_training", "stop_on_signals"]

SIGNALS = ("SIGTERM", "SIGUSR1")
"""What batch systems send before they end a job."""


class Report(Protocol):
    """What a workflow did."""

    def summary(self) -> str:
        """One line for a person."""


class Training(Protocol):
    """A workflow that trains."""

    def __call__(self, config: Any, /, *, progress: Progress, stop: Stop) -> Report:
        """Train as a config says."""


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Whether SIGTERM or SIGUSR1 has come; what they did before is put back at the end."""
    came: list[int] = []

    def take_note(number: int, frame: object) -> None:
        came.append(number)

    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    before = {number: signal.signal(number, take_note) for number in numbers}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leads() -> bool:
    """Whether this process is the one that talks, of those that train together."""
    from photoz_ssl.training.distributed import launched

    return launched().rank == 0


def run_training(train: Training, config: Any, stop: Stop, *, quiet: bool) -> None:
    """Train, and say on stderr how it ended."""
    try:
        with show_progress(quiet=quiet) as progress:
            report = train(config, progress=progress, stop=stop)
        say(report.summary(), quiet=quiet)
    except Stopped as stopped:
        say(stopped.summary(), quiet=quiet)
