"""How a command whose work is kept in parts is stopped, and what it says then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from photoz_ssl.cli.console import EXIT_INTERRUPTED, say, show_progress
from photoz_ssl.cli.signals import stop_on_signals
from photoz_ssl.progress import Progress, Stop, Stopped

__all__ = ["resumable"]


@contextmanager
def resumable(
    unfinished: Callable[[], Path | None], *, quiet: bool
) -> Iterator[tuple[Progress, Stop]]:
    """A listener for the work, and whether it is to stop; one line says how to go on.

    Parameters
    ----------
    unfinished : callable
        Gives the part file that an interrupted run leaves; None if there is none.
    quiet : bool
        Whether to say nothing.
    """
    try:
        with stop_on_signals() as stop, show_progress(quiet=quiet) as progress:
            yield progress, stop
    except Stopped as stopped:
        say(stopped.summary(), quiet=quiet)
        click.get_current_context().exit(EXIT_INTERRUPTED)
    except KeyboardInterrupt:
        if (part := unfinished()) is not None:
            say(f"{part} keeps what is done; the same command with --resume goes on", quiet=quiet)
        raise
