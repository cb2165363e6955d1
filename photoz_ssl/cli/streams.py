"""The standard streams as a shell leaves them: closed, full, or without anybody who reads."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from typing import TextIO, cast

__all__ = ["abandon_stdout", "usable_streams"]

NO_READER = getattr(select, "POLLERR", 0) | getattr(select, "POLLHUP", 0)


class Heedless:
    """Standard error of which a reader may have had enough: what is written then is dropped.

    Parameters
    ----------
    stream : text stream
        Standard error.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text if anybody reads it."""
        try:
            return self._stream.write(text)
        except OSError:
            _point_at_nothing(self._stream)
            return len(text)

    def flush(self) -> None:
        """Send off what has been written."""
        try:
            self._stream.flush()
        except OSError:
            _point_at_nothing(self._stream)


@contextmanager
def usable_streams() -> Iterator[None]:
    """Streams that are there, and a standard error that never fails.

    A stream that the shell has closed, as by ``>&-``, becomes the null device: the next file
    that is opened would be in its place.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115
    with redirect_stderr(cast(TextIO, Heedless(sys.stderr))):
        yield


def abandon_stdout() -> bool:
    """Drop what standard output does not take; whether that is as its reader has gone."""
    gone = False
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    with suppress(OSError, ValueError):  # neither a file nor a pipe, in a test
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        gone = any(event & NO_READER for _, event in poll.poll(0))
    _point_at_nothing(sys.stdout)
    return gone


def _point_at_nothing(stream: TextIO) -> None:
    """Let a stream's descriptor lead to the null device, so that closing it cannot fail."""
    with suppress(OSError, ValueError):
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)
