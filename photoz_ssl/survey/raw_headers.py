"""Headers of FITS files as bytes, before CFITSIO sees what some of them would make it die of."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np

__all__ = [
    "BLOCK",
    "CARD",
    "data_bytes",
    "overwritten",
    "read_header",
    "refuse_absurd_tiles",
    "repeated_structure",
    "split_cards",
    "whole_number",
]

CARD, BLOCK = 80, 2880
MOST_HEADER_BLOCKS = 4096
MOST_HDUS = 10_000

STRUCTURE = re.compile(r"(TFORM|TDIM|NAXIS)\d+|TFIELDS|NAXIS|BITPIX|PCOUNT|GCOUNT")
"""Keywords that say where the bytes of an HDU are; of two in a header, readers differ in which."""

TILED = re.compile(rb"ZIMAGE  =")
TILE_SIDE = re.compile(rb"(?:ZNAXIS|ZTILE)\d* *=")
POSITIVE = re.compile(rb" *\+?0*[1-9]\d{0,17} *(/.*)?")


def read_header(stream: IO[bytes]) -> tuple[bytes, bool]:
    """The blocks up to the one that has END, and whether there is one; a stream need not seek."""
    header = bytearray()
    for _ in range(MOST_HEADER_BLOCKS):
        block = stream.read(BLOCK)
        header += block
        if len(block) < BLOCK:
            break
        if any(card.rstrip() == b"END" for card in split_cards(block)):
            return bytes(header), True
    return bytes(header), False


def whole_number(header: bytes, keyword: str, default: int | None = None) -> int:
    """The number in a card; without one the default, and a ValueError if there is none."""
    start = f"{keyword:<8}=".encode("ascii")
    for card in split_cards(header):
        if card.startswith(start) and (found := re.match(rb" *(-?\d{1,18})\b", card[9:])):
            return int(found[1])
    if default is None:
        raise ValueError(f"there is no number {keyword}")
    return default


def data_bytes(header: bytes) -> int:
    """The length of an HDU's data, padding included; a ValueError where that is negative."""
    n_axes = whole_number(header, "NAXIS")
    sides = [whole_number(header, f"NAXIS{axis + 1}") for axis in range(n_axes)]
    pixels = int(np.prod(sides, dtype=object)) if sides else 0
    groups, heap = whole_number(header, "GCOUNT", 1), whole_number(header, "PCOUNT", 0)
    if min(n_axes, groups, heap, *sides) < 0:
        raise ValueError("an HDU has a negative length")
    total = abs(whole_number(header, "BITPIX")) // 8 * groups * (heap + pixels)
    return -(-total // BLOCK) * BLOCK


def repeated_structure(keywords: Iterable[str | None]) -> str | None:
    """The first keyword of a header that says where its bytes are, and is there twice."""
    counts = Counter(word for word in keywords if word and STRUCTURE.fullmatch(word))
    return next((word for word, count in counts.items() if count > 1), None)


def refuse_absurd_tiles(path: Path) -> None:
    """Refuse a compressed image by whose sides, or those of its tiles, CFITSIO would divide.

    It divides while it opens the file, and where one is 0 the process ends there.

    Raises
    ------
    ValueError
        If one of them is not a positive whole number.
    """
    with path.open("rb") as stream:
        for header in _headers(stream):
            if TILED.search(header) is None:
                continue
            for card in split_cards(header):
                start = TILE_SIDE.match(card)
                if start and not POSITIVE.fullmatch(card[start.end() :]):
                    raise ValueError("a compressed image has a side that is no positive number")


def _headers(stream: IO[bytes]) -> Iterator[bytes]:
    """The headers of a file that can seek; up to the first that makes no sense, CFITSIO's too."""
    for _ in range(MOST_HDUS):
        header, ends = read_header(stream)
        if not ends:
            return
        yield header
        try:
            stream.seek(data_bytes(header), 1)
        except (ValueError, OverflowError, OSError):
            return


def overwritten(header: bytes, start: bytes, text: bytes) -> bytes:
    """The header with a text behind what a card of it starts with; a ValueError if none does."""
    for place in range(0, len(header), CARD):
        if header.startswith(start, place):
            first = place + len(start)
            return header[:first] + text + header[first + len(text) :]
    raise ValueError(f"the header has no card {start.decode()}")


def split_cards(header: bytes) -> Iterator[bytes]:
    """The cards of a header, END and the blanks behind it among them."""
    return (header[place : place + CARD] for place in range(0, len(header), CARD))
