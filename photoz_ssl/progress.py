"""How a workflow tells what it is doing and is asked to stop, without knowing who listens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

__all__ = ["Progress", "Stop", "Stopped", "never", "silent", "stopping"]


class Progress(Protocol):
    """A listener: called whenever a stage of the work has moved on."""

    def __call__(self, stage: str, done: int, total: int | None, /, **figures: float) -> None:
        """Take note that ``done`` of ``total`` units of ``stage`` are finished.

        Parameters
        ----------
        stage : str
            What is being done and in what unit, e.g. ``"predicting galaxies"``.
        done, total : int
            Units finished and units in all (None where that is not known).
        **figures : float
            Numbers worth showing beside the bar, e.g. ``loss=2.13``.
        """


def silent(stage: str, done: int, total: int | None, /, **figures: float) -> None:
    """Ignore all progress."""


Stop = Callable[[], bool]
"""Asked after every step whether work that can be taken up again is to stop there."""


def never() -> bool:
    """Go on to the end."""
    return False


def stopping(progress: Progress, stop: Stop) -> Progress:
    """A listener that ends work which keeps no parts, asked to stop, as Ctrl-C does."""

    def listen(stage: str, done: int, total: int | None, /, **figures: float) -> None:
        progress(stage, done, total, **figures)
        if stop():
            raise KeyboardInterrupt

    return listen


class Stopped(Exception):  # noqa: N818 (it is none)
    """Not an error: work has stopped as it was asked to, and can be taken up again.

    Parameters
    ----------
    done, total : int
        Steps that are done, and steps in all.
    unit : str
        What a step is.
    """

    def __init__(self, done: int, total: int, unit: str = "step") -> None:
        super().__init__(done, total, unit)
        self.done, self.total, self.unit = done, total, unit

    def summary(self) -> str:
        """One line for a person."""
        return (
            f"stopped after {self.unit} {self.done} of {self.total}, as asked;"
            " the same command with --resume goes on from there"
        )
