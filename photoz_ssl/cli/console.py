"""What a person sees on stderr while a command works, and the line at its end."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from photoz_ssl.progress import Progress, silent

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

__all__ = ["EXIT_ERROR", "EXIT_INTERRUPTED", "note", "say", "show_progress"]

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130

SECONDS_BETWEEN_LINES = 10.0


def say(line: str, *, quiet: bool = False) -> None:
    """Print one line on stderr, unless asked to be quiet."""
    if line and not quiet:
        click.echo(line, err=True)


def note(notices: Iterable[str], *, quiet: bool = False) -> None:
    """Print what else there is to know on stderr, a line each, unless asked to be quiet."""
    for notice in notices:
        say(f"Note: {notice}.", quiet=quiet)


@contextmanager
def show_progress(*, quiet: bool = False) -> Iterator[Progress]:
    """A listener for workflows: bars on a terminal, plain lines elsewhere, or silence."""
    if quiet:
        yield silent
    elif sys.stderr.isatty():
        with _rich_progress() as bars:
            yield _Bars(bars)
    else:
        yield _Lines()


def _rich_progress() -> RichProgress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


class _Bars:
    """One bar a stage."""

    def __init__(self, bars: RichProgress) -> None:
        self.bars = bars
        self.tasks: dict[str, TaskID] = {}
        self.rates: dict[str, _Rate] = {}

    def __call__(self, stage: str, done: int, total: int | None, /, **figures: float) -> None:
        if stage not in self.tasks:
            self.tasks[stage] = self.bars.add_task(stage, total=total, rate="", figures="")
            self.rates[stage] = _Rate(done)
        self.bars.update(
            self.tasks[stage],
            completed=done,
            total=total,
            rate=_spell_rate(self.rates[stage](done)),
            figures=_spell(figures),
        )


class _Lines:
    """A line every few seconds, and one at the end of a stage that has had any.

    What is over sooner needs none: its command says what it did.
    """

    def __init__(self) -> None:
        self.last: dict[str, float] = {}
        self.told: set[str] = set()
        self.rates: dict[str, _Rate] = {}

    def __call__(self, stage: str, done: int, total: int | None, /, **figures: float) -> None:
        now = time.monotonic()
        rate = self.rates.setdefault(stage, _Rate(done))(done)
        finished = total is not None and done >= total
        due = now - self.last.setdefault(stage, now) >= SECONDS_BETWEEN_LINES
        if not due and not (finished and stage in self.told):
            return
        self.last[stage] = now
        self.told.add(stage)
        of_total = "" if total is None else f" of {total}"
        spelled = f", {_spell(figures)}" if figures else ""
        click.echo(f"{stage}: {done}{of_total}{spelled}{_pace(rate, done, total)}", err=True)


def _pace(rate: float, done: int, total: int | None) -> str:
    """The rate and the time left, as the end of a line; nothing where they are not known yet."""
    if not rate:
        return ""
    left = f", {(total - done) / rate:.0f} s left" if total is not None and done < total else ""
    return f", {_spell_rate(rate)}{left}"


def _spell_rate(rate: float) -> str:
    if not rate:
        return ""
    return f"{rate:.0f}/s" if rate >= 10 else f"{rate:.2g}/s"


class _Rate:
    """Units a second since the first call, or since the stage began anew."""

    def __init__(self, done: int) -> None:
        self.start, self.first, self.last = time.monotonic(), done, done

    def __call__(self, done: int) -> float:
        if done < self.last:  # one training after the other, say
            self.start, self.first = time.monotonic(), done
        self.last = done
        return (done - self.first) / max(time.monotonic() - self.start, 1e-3)


def _spell(figures: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
