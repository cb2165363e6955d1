"""The checksums of a FITS file (FITS Standard 4.0, appendix J), with no date in them.

CFITSIO writes the time of day into the comments of these two cards, so that no two files
that it makes are equal; here the same content gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from photoz_ssl.survey.raw_headers import BLOCK, overwritten

__all__ = ["PLACEHOLDERS", "write_checksums"]

CHUNK = 1024 * BLOCK

PLACEHOLDERS = (
    ("CHECKSUM", "0" * 16, "HDU checksum"),
    ("DATASUM", "0" * 10, "data unit checksum"),
)
"""Cards that each header must hold before `write_checksums` can fill them."""

CHECKSUM, DATASUM = b"CHECKSUM= '", b"DATASUM = '"
"""What these cards start with, up to their values."""

PUNCTUATION = frozenset([*range(0x3A, 0x41), *range(0x5B, 0x61)])


def write_checksums(path: Path, hdus: Sequence[tuple[int, int, int]]) -> None:
    """Fill the checksum cards of a finished file in place.

    Parameters
    ----------
    path : Path
        A FITS file whose headers hold the `PLACEHOLDERS`.
    hdus : sequence of (int, int, int)
        For each HDU the byte where its header starts, where its data start, and where it
        ends; all are multiples of 2880.
    """
    with path.open("r+b") as file:
        for header, data, end in hdus:
            file.seek(header)
            cards = file.read(data - header)
            datasum = _sum_of(file, data, end)
            cards = overwritten(cards, DATASUM, b"%-10d" % datasum)
            cards = overwritten(cards, CHECKSUM, b"0" * 16)
            total = _folded(_sum_of_bytes(cards) + datasum)
            cards = overwritten(cards, CHECKSUM, _encoded(~total & 0xFFFFFFFF))
            file.seek(header)
            file.write(cards)


def _sum_of(file: BinaryIO, start: int, end: int) -> int:
    """Ones' complement sum of the big-endian words of part of a file."""
    file.seek(start)
    total = 0
    while start < end:
        chunk = file.read(min(CHUNK, end - start))
        if not chunk:
            raise EOFError(f"the file ends at byte {start}, not at {end}")
        total = _folded(total + _sum_of_bytes(chunk))
        start += len(chunk)
    return total


def _sum_of_bytes(chunk: bytes) -> int:
    return _folded(int(np.frombuffer(chunk, dtype=">u4").sum(dtype=np.uint64)))


def _folded(total: int) -> int:
    """Carry what overflows 32 bits around to the low end."""
    while total >> 32:
        total = (total & 0xFFFFFFFF) + (total >> 32)
    return total


def _encoded(value: int) -> bytes:
    """Spell 32 bits as 16 letters and digits that sum to them."""
    letters = [0] * 16
    for byte_number in range(4):
        byte = value >> (24 - 8 * byte_number) & 0xFF
        quarters = [byte // 4 + ord("0") + byte % 4, *[byte // 4 + ord("0")] * 3]
        while PUNCTUATION.intersection(quarters):
            for first in (0, 2):
                if PUNCTUATION.intersection(quarters[first : first + 2]):
                    quarters[first] += 1
                    quarters[first + 1] -= 1
        letters[byte_number::4] = quarters
    return bytes(letters[-1:] + letters[:-1])
