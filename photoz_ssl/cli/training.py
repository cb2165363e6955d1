"""What commands that train share: of several processes one talks, and a signal stops all."""

from __future__ import annotations

import importlib
from typing import Any, Protocol

from photoz_ssl.cli.console import note, say, show_progress
from photoz_ssl.cli.signals import stop_on_signals
from photoz_ssl.progress import Progress, Stop, Stopped

__all__ = ["leads", "run_training"]


class Report(Protocol):
    """What a workflow did."""

    @property
    def notices(self) -> tuple[str, ...]:
        """What a user should know."""

    def summary(self) -> str:
        """One line for a person."""


class Training(Protocol):
    """A workflow that trains."""

    def __call__(self, config: Any, /, *, progress: Progress, stop: Stop) -> Report:
        """Train as a config says."""


def leads() -> bool:
    """Whether this process is the one that talks, of those that train together."""
    from photoz_ssl.training.distributed import launched

    return launched().rank == 0


def run_training(command: str, config: Any, *, quiet: bool) -> None:
    """Run the workflow of a command that trains, and say on stderr how it ended.

    A signal is heeded from before torch is imported, which takes seconds.
    """
    with stop_on_signals() as stop:
        from photoz_ssl.workflows.dry_run import precision_notices, recipe_departures

        name = command.replace("-", "_")
        train = getattr(importlib.import_module(f"photoz_ssl.workflows.{name}"), name)
        quiet = quiet or not leads()
        note((*recipe_departures(config, command), *precision_notices(config)), quiet=quiet)
        _train(train, config, stop, quiet=quiet)


def _train(train: Training, config: Any, stop: Stop, *, quiet: bool) -> None:
    try:
        with show_progress(quiet=quiet) as progress:
            report = train(config, progress=progress, stop=stop)
        note(report.notices, quiet=quiet)
        say(report.summary(), quiet=quiet)
    except Stopped as stopped:
        say(stopped.summary(), quiet=quiet)
    except KeyboardInterrupt:
        from photoz_ssl.training.run_folder import STATE

        if (config.output / STATE).exists():
            say(f"{config.output} keeps its last state; --resume goes on from there", quiet=quiet)
        raise
