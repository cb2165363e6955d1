"""How a workflow tells what it is doing, without knowing who listens."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Progress", "silent"]


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
