"""Work that can be taken up again stops when a batch system asks for it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from photoz_ssl.progress import Stop

__all__ = ["stop_on_signals"]

SIGNALS = ("SIGTERM", "SIGUSR1")
"""What batch systems send before they end a job."""


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
