"""What tells one input from another: its name, what is selected of it, and a digest of it."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

__all__ = ["file_and_selection", "fingerprint_of", "fingerprint_of_input", "sha256_of", "spelled"]

SAMPLES, SAMPLE = 64, 1 << 16
"""How many pieces `fingerprint_of` looks at, and bytes in each."""


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in bounded memory."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def spelled(name: str) -> str:
    """A file's name in letters: ``?`` where it has bytes that are none, as a name may have."""
    return name.encode("utf-8", "replace").decode("utf-8")


def fingerprint_of(path: Path) -> str:
    """Hexadecimal digest of a file's length and of 64 samples of it, its ends among them.

    A survey's catalogue with its images is too large to be read twice; another file, another
    selection or a file cut short is told by this.
    """
    digest = hashlib.sha256()
    size = path.stat().st_size
    digest.update(str(size).encode("ascii"))
    with path.open("rb") as stream:
        for number in range(SAMPLES):
            stream.seek(max(0, size - SAMPLE) * number // (SAMPLES - 1))
            digest.update(stream.read(SAMPLE))
    return digest.hexdigest()


def file_and_selection(name: str) -> tuple[str, str]:
    """The file of a catalogue, and what CFITSIO is to select of it in brackets behind its name.

    Brackets in the name of a file that is there are a part of that name.

    >>> file_and_selection("cat.fits[1][R < 17.8]")
    ('cat.fits', '[1][R < 17.8]')
    """
    ends = [len(name), *(found.start() for found in re.finditer(r"\[", name))]
    there = [end for end in ends if os.path.exists(name[:end])]  # noqa: PTH110 - never raises
    end = max(there) if there else min(ends)
    return name[:end], name[end:]


def fingerprint_of_input(name: str) -> str:
    """`fingerprint_of` the file of a catalogue in CFITSIO's syntax; empty where it is no file."""
    path = Path(file_and_selection(name)[0])
    return fingerprint_of(path) if path.is_file() else ""
