"""Files under a name by which CFITSIO reads them as they are, decompressed in bounded space."""

from __future__ import annotations

import bz2
import gzip
import re
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

from photoz_ssl.files import temporary_errors

__all__ = [
    "PACKED_STARTS",
    "UNPACKING_ERRORS",
    "is_packed",
    "open_unpacked",
    "plain_file",
    "unpack",
]

GZIP, BZIP2 = b"\x1f\x8b", b"BZh"

PACKED_STARTS = (GZIP, BZIP2)
"""First bytes of compressed files."""

CHUNK = 1 << 20

READ_DIFFERENTLY = re.compile(r"[\[\](){}$!~+]|^\s|\s$")
"""What CFITSIO, or fitsio before it, takes for syntax in a file's name."""

UNPACKING_ERRORS = (OSError, EOFError, ValueError, zlib.error)
"""What a truncated, damaged or too large packed file raises."""


def is_packed(path: Path) -> bool:
    """Whether a file is compressed with gzip or bzip2, by its first bytes."""
    with path.open("rb") as stream:
        start = stream.read(3)
    return start.startswith(PACKED_STARTS)


@contextmanager
def plain_file(path: Path, *, most_bytes: int) -> Iterator[str]:
    """A name that CFITSIO can open for an uncompressed file of this content.

    That is the path itself, or a temporary copy where the file is compressed or its name has
    characters that CFITSIO takes for its own syntax.

    Raises
    ------
    UNPACKING_ERRORS
        If the file is damaged, or unpacks to more than ``most_bytes``.
    OutputError
        If there is no room for the copy.
    """
    if not (is_packed(path) or READ_DIFFERENTLY.search(str(path))):
        yield str(path)
        return
    with (
        temporary_errors("to unpack images"),
        closing(tempfile.NamedTemporaryFile(suffix=".fits")) as copy,
    ):
        unpack(path, copy, most_bytes=most_bytes)
        copy.flush()
        yield copy.name


def unpack(path: Path, target: IO[bytes], *, most_bytes: int) -> None:
    """Write a file's decompressed content to another.

    Raises
    ------
    UNPACKING_ERRORS
        If the file is damaged, or unpacks to more than ``most_bytes``.
    """
    written = 0
    with open_unpacked(path) as stream:
        while chunk := stream.read(CHUNK):
            written += len(chunk)
            if written > most_bytes:
                raise ValueError(f"unpacks to more than {most_bytes} bytes")
            target.write(chunk)


def open_unpacked(path: Path) -> IO[bytes]:
    """Open a file for reading its decompressed content, whatever its suffix says."""
    with path.open("rb") as stream:
        start = stream.read(3)
    if start.startswith(GZIP):
        return gzip.open(path)  # type: ignore[return-value]
    if start.startswith(BZIP2):
        return bz2.open(path)
    return path.open("rb")
