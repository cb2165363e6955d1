"""Files that one process at a time may write."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

__all__ = ["hold"]


def hold(file: IO[bytes], path: Path) -> bool:
    """Lock an open file against other processes; where locks do not work, do without.

    Parameters
    ----------
    file : binary file
        Open for writing. The system ends the lock with it, or with the process.
    path : Path
        Its name.

    Returns
    -------
    bool
        False if another process holds it, or has just finished and taken the file away.
    """
    try:
        import fcntl
    except ImportError:  # not on this system
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a disk without locks
        return True
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
