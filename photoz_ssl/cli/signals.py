"""What becomes of the work when a batch system, or a terminal that closes, asks for its end."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from photoz_ssl.progress import Stop

__all__ = ["ended_by_signals", "stop_on_signals"]

SIGNALS = ("SIGTERM", "SIGUSR1", "SIGHUP")
"""What batch systems send before they end a job, and what a terminal sends that closes."""

ENDING = ("SIGTERM", "SIGHUP")
"""What ends a program that takes no note of it."""


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the work as Ctrl-C does, which takes temporary files away.

    One that somebody ignores, as ``nohup`` does, stays ignored; so does a second one, which
    would cut the tidying short.
    """
    process = os.getpid()

    def end(number: int, frame: object) -> None:
        if os.getpid() != process:  # a copy of this process has nothing to tidy up
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        for other in numbers:
            signal.signal(other, signal.SIG_IGN)
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ENDING if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []  # Python lets no other thread set them
    numbers = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Whether one of `SIGNALS` has come; what they did before is put back at the end.

    A SIGHUP that somebody ignores, as ``nohup`` does, stays ignored.
    """
    came: list[int] = []

    def take_note(number: int, frame: object) -> None:
        came.append(number)

    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        numbers.remove(signal.SIGHUP)
    before = {number: signal.signal(number, take_note) for number in numbers}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
