"""The images in a FITS file: by CFITSIO, and small plain ones without it, which is faster."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import fitsio
import numpy as np
from numpy.typing import NDArray

from photoz_ssl.survey.raw_headers import BLOCK, CARD, refuse_absurd_tiles
from photoz_ssl.survey.units import ZERO_POINTS
from photoz_ssl.survey.unpacking import (
    PACKED_STARTS,
    UNPACKING_ERRORS,
    open_unpacked,
    plain_file,
)

__all__ = ["IMAGE_ERRORS", "MOST_BYTES", "Header", "Image", "open_images"]

IMAGE_ERRORS = (
    *UNPACKING_ERRORS,
    *(ArithmeticError, AttributeError, LookupError, MemoryError, RuntimeError),
    *(SystemError, TypeError),
)
"""What a damaged image, or a header that is not what it should be, makes a library raise."""

Card = dict[str, Any]
"""A card: its ``name``, its ``value`` and its ``card_string``."""

Header = dict[str, Card]
"""The cards of an HDU by their names."""

MOST_BYTES = 1 << 29
"""That a compressed file may unpack to."""

SMALL_BYTES = 1 << 22
"""In a file that is taken into memory as a whole."""

SMALL_PIXELS = 1 << 19
"""In an image that CFITSIO reads as a whole sooner than a part of it, row by row."""

MOST_TILE_PIXELS = 1 << 26
"""In a tile of a compressed image, which CFITSIO holds in memory whole."""

MOST_CARDS = 2000

NAME_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
"""All that the name of a card may have, besides the blanks behind it."""

STRUCTURE = "SIMPLE XTENSION BITPIX NAXIS PCOUNT GCOUNT GROUPS INHERIT BSCALE BZERO BLANK CONTINUE"
WORLD = (
    "CTYPE1 CTYPE2 CRPIX1 CRPIX2 CRVAL1 CRVAL2 CDELT1 CDELT2 CUNIT1 CUNIT2 CROTA1 CROTA2"
    " CD1_1 CD1_2 CD2_1 CD2_2 PC1_1 PC1_2 PC2_1 PC2_2 EQUINOX RADESYS RADECSYS LONPOLE LATPOLE"
)
DISTORTION = (
    *(f"PV{axis}_{number}" for axis in (1, 2) for number in range(40)),
    *(f"{side}_ORDER" for side in ("A", "B", "AP", "BP")),
    *(f"{side}_{i}_{j}" for side in ("A", "B", "AP", "BP") for i in range(10) for j in range(10)),
)
"""Cards of TPV and SIP."""

USED = frozenset(
    (
        *STRUCTURE.split(),
        *(f"NAXIS{axis}" for axis in range(1, 10)),
        *("BUNIT", "BANDS", "BAND", "FILTER", "EXTNAME", "EBV"),
        *ZERO_POINTS,
        *(f"{word}{plane}" for word in ("BAND", "FILTER") for plane in range(10)),
        *WORLD.split(),
        *DISTORTION,
    )
)
"""Names of the cards that any of our readers looks at; all other cards are passed over."""

USED_WORDS = {name.ljust(8).encode(): name for name in USED}
"""As they stand in a card."""

LEFT_TO_CFITSIO = frozenset(("BSCALE", "BZERO", "BLANK", "GROUPS", "INHERIT", "CONTINUE"))
"""Cards with which a file counts as no longer plain."""

PLAIN_TYPES: dict[int, np.dtype[Any]] = {-32: np.dtype(">f4"), -64: np.dtype(">f8")}

NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d{1,3})?")
TEXT = re.compile(rb"'((?:[^']|'')*)' *(/.*)?")


class Image(Protocol):
    """An image of two or three axes in a file that is open."""

    @property
    def header(self) -> Header:
        """The cards that this package uses."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of its pixels: (height, width) or (n_planes, height, width)."""

    def part(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Some rows and columns of all planes, of whatever type the file has."""


@contextmanager
def open_images(path: Path) -> Iterator[Sequence[Image]]:
    """All images of two or three axes in a file, in their order.

    Axes of one pixel before the rows, such as NAXIS4 = 1, count as none. Where a primary HDU
    without an image says BUNIT, this is the unit of those that do not.

    Parameters
    ----------
    path : Path
        FITS, also packed by gzip or bzip2.

    Raises
    ------
    IMAGE_ERRORS
        If the file is damaged, or unpacks to more than `MOST_BYTES`.
    OutputError
        If there is no room to unpack it.
    """
    content = _small_content(path)
    plain = None if content is None else _plain_images(content)
    if plain is not None:
        yield plain
        return
    with plain_file(path, most_bytes=MOST_BYTES) as name:
        refuse_absurd_tiles(Path(name))
        with fitsio.FITS(name) as file:
            images = [_CfitsioImage(hdu) for hdu in file if _is_image(hdu)]
            if images and not file[0].get_dims():
                _hand_down(_header(file[0]), images)
            yield images


def _hand_down(primary: Header, images: Sequence[Image]) -> None:
    """Give images without a unit that of the primary HDU, if that has one."""
    if "BUNIT" in primary:
        for image in images:
            image.header.setdefault("BUNIT", primary["BUNIT"])


def _header(hdu: Any) -> Header:
    return {card["name"]: card for card in hdu.read_header_list()}


def _is_image(hdu: Any) -> bool:
    return hdu.get_exttype() == "IMAGE_HDU" and len(_telling(hdu.get_dims())) in (2, 3)


def _telling(lengths: Sequence[int]) -> tuple[int, ...]:
    """Lengths of an image's axes without those of one pixel that come before its rows.

    >>> _telling((1, 5, 64, 48)), _telling((1, 64, 1))
    ((5, 64, 48), (64, 1))
    """
    return (*(int(length) for length in lengths[:-2] if length != 1), *map(int, lengths[-2:]))


class _CfitsioImage:
    """An image as CFITSIO reads it, whatever its kind."""

    def __init__(self, hdu: Any) -> None:
        self._hdu = hdu
        self.header = _header(hdu)
        self._lengths = [int(length) for length in hdu.get_dims()]
        self.shape = _telling(self._lengths)

    def part(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Some rows and columns; of a small image by way of all, which is faster."""
        names = [f"ZTILE{number + 1}" for number in range(len(self._lengths))]
        tile = [int(self.header[name]["value"]) for name in names if name in self.header]
        if np.prod(np.array(tile, dtype=float)) > MOST_TILE_PIXELS:
            raise ValueError("a compressed image has tiles of an absurd size")
        if np.prod(np.array(self.shape, dtype=float)) <= SMALL_PIXELS:
            return np.asarray(self._hdu.read().reshape(self.shape)[..., rows, columns])
        planes = (slice(0, length) for length in self._lengths[:-2])
        part = np.asarray(self._hdu[(*planes, rows, columns)])
        return part.reshape(*self.shape[:-2], *part.shape[-2:])


@dataclass(frozen=True)
class _PlainImage:
    """An image of floating-point numbers in a file that is in memory."""

    header: Header
    shape: tuple[int, ...]
    content: bytes
    offset: int
    dtype: np.dtype[Any]

    def part(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Some rows and columns."""
        pixels = np.ndarray(self.shape, self.dtype, self.content, self.offset)
        return pixels[..., rows, columns]


def _small_content(path: Path) -> bytes | None:
    """What is in a file, unpacked; None where that is much."""
    with path.open("rb", buffering=0) as stream:
        size = os.fstat(stream.fileno()).st_size
        content = stream.read(size) if size <= SMALL_BYTES else None
    if content is not None and content.startswith(PACKED_STARTS):
        with open_unpacked(path) as packed:
            content = packed.read(SMALL_BYTES + 1)
    return content if content is None or len(content) <= SMALL_BYTES else None


def _plain_images(content: bytes) -> list[_PlainImage] | None:
    """The images in a FITS file; None if it is anything but whole, of float images and simple.

    What is wrong with a file is for CFITSIO to find; nothing is raised here.
    """
    images: list[_PlainImage] = []
    primary: Header = {}
    place = 0
    while place < len(content):
        header, start = _cards(content, place)
        shape = None if header is None else _shape(header, first=place == 0)
        if header is None or shape is None:
            return None
        dtype = PLAIN_TYPES.get(header["BITPIX"]["value"])
        if shape and dtype is None:
            return None
        size = math.prod(shape) * dtype.itemsize if shape and dtype is not None else 0
        if start + size > len(content):
            return None
        if place == 0 and not shape:
            primary = header
        axes = _telling(shape)
        if dtype is not None and len(axes) in (2, 3):
            images.append(_PlainImage(header, axes, content, start, dtype))
        place = start + -(-size // BLOCK) * BLOCK
    _hand_down(primary, images)
    return images if place == len(content) and content else None


def _cards(content: bytes, place: int) -> tuple[Header | None, int]:
    """The cards we use of the header at a place, and where its data start; None if not simple."""
    header: Header = {}
    for number in range(MOST_CARDS):
        start = place + number * CARD
        word = content[start : start + 8]
        if word == b"END     ":
            return header, place + -(-(number + 1) * CARD // BLOCK) * BLOCK
        key = USED_WORDS.get(word)
        if key is None and len(word) == 8 and not word.rstrip().translate(None, NAME_LETTERS):
            continue
        card = None if key is None else _card(key, content[start : start + CARD])
        if key is None or card is None or key in header or key in LEFT_TO_CFITSIO:
            break
        header[key] = card
    return None, place


@lru_cache(maxsize=1024)
def _card(key: str, card: bytes) -> Card | None:
    """What we know of a card, the same in file after file; None where it is not plain."""
    value = _value(card)
    if value is None:
        return None
    return {"name": key, "value": value, "card_string": card.decode("latin-1")}


def _value(card: bytes) -> str | int | float | bool | None:
    """What a card says; None where that is not written in one of the plain ways."""
    if card[8:10] != b"= " or len(card) < CARD or not card.isascii():
        return None
    written = card[10:].strip()
    if text := TEXT.fullmatch(written):
        return text[1].replace(b"''", b"'").rstrip().decode()
    word = written.partition(b"/")[0].rstrip()
    if word in (b"T", b"F"):
        return word == b"T"
    if not (number := NUMBER.fullmatch(word)):
        return None
    whole = number[2] is None and b"." not in word
    return int(word) if whole else float(word.upper().replace(b"D", b"E"))


def _shape(header: Header, *, first: bool) -> tuple[int, ...] | None:
    """Shape of an image's pixels, () for none; None if the header is not of a plain image."""

    def value(name: str, default: Any = None) -> Any:
        return header[name]["value"] if name in header else default

    kind = value("SIMPLE") if first else value("XTENSION") == "IMAGE"
    n_axes = value("NAXIS")
    if kind is not True or type(n_axes) is not int or not 0 <= n_axes <= 9:
        return None
    if type(value("BITPIX")) is not int or (value("PCOUNT", 0), value("GCOUNT", 1)) != (0, 1):
        return None
    lengths = [value(f"NAXIS{axis}") for axis in range(n_axes, 0, -1)]
    if any(type(length) is not int or length < 1 for length in lengths):
        return None
    return tuple(lengths)
