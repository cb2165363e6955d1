"""One training at a time in a run folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from photoz_ssl.errors import OutputError
from photoz_ssl.files import output_errors
from photoz_ssl.locks import hold

__all__ = ["LOCK", "sole_training"]

LOCK = ".lock"
"""Name of the file that a training holds a lock on; it is taken away at the end."""


@contextmanager
def sole_training(folder: Path) -> Iterator[None]:
    """Keep other trainings out of a folder, while this process lives, until the block ends.

    The lock is the system's: it ends with the process, however that ends. Copies of the process
    do not keep it. Where the system or the disk has no locks, nothing is kept out.

    Parameters
    ----------
    folder : Path
        A folder that exists.

    Raises
    ------
    OutputError
        If another training is at work there, or if the folder cannot be written to.
    """
    path = folder / LOCK
    with output_errors(path):
        file = path.open("ab")
    with file:
        if not hold(file, path):
            raise OutputError(
                f"another training is at work in {folder}",
                "wait for its end, or name another --output",
            )
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=file.close)
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink()
