"""A table of another format on its way into FITS: its columns, and its rows a block at a time."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.survey.tables.headers import LONGEST_NAME, TableColumn, stored_null

__all__ = [
    "LONGEST_TEXT",
    "ROWS_AT_ONCE",
    "Incoming",
    "IncomingTable",
    "Masked",
    "ascii_text",
    "incoming_table",
    "unescaped",
]

ROWS_AT_ONCE = 10_000

LONGEST_TEXT = 4096
"""Bytes of a text; a column with longer ones is left out, as FITS gives each row as many."""

ROOM_FOR_NULL = {"b1": "i2", "i1": "i2", "u1": "i2", "i2": "i4", "u2": "i4", "u4": "i8"}
"""For types of integers some of which are missing, one with a value to spare for these."""

ESCAPE = re.compile(r"\\(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")

Masked = tuple[NDArray[Any], NDArray[np.bool_]]
"""Values of a column, shape (n, ...), and which of them are missing, of the same shape."""


@dataclass(frozen=True, kw_only=True)
class Incoming:
    """What another format says of a column.

    Parameters
    ----------
    name : str
        Its name there.
    kind : numpy dtype
        Of its values: any but objects; of text the longest.
    shape : tuple of int
        Of one value; ``()`` for most.
    has_missing : bool
        Whether some rows have no value.
    unit, ucd, description : str
        Empty where they are not told.
    """

    name: str
    kind: np.dtype[Any]
    shape: tuple[int, ...] = ()
    has_missing: bool = False
    unit: str = ""
    ucd: str = ""
    description: str = ""

    @property
    def stored(self) -> np.dtype[Any]:
        """The type in which FITS holds its values."""
        letter, n_bytes = self.kind.kind, self.kind.itemsize
        if letter == "U":
            return np.dtype(f"S{max(n_bytes // 4, 1)}")
        if letter in "iub" and self.has_missing:
            held = f"{letter}{n_bytes}"
            return np.dtype(ROOM_FOR_NULL.get(held, held))
        if letter == "f":
            return np.dtype(f"f{min(max(n_bytes, 4), 8)}")
        return self.kind.newbyteorder("=")

    @property
    def null(self) -> int | None:
        """The integer that stands for no value, the one furthest from 0; None where none does."""
        if not self.has_missing or self.stored.kind not in "iu":
            return None
        limits = np.iinfo(self.stored)
        return int(limits.min if self.stored.kind == "i" else limits.max)

    def fill(self, values: NDArray[Any], missing: NDArray[np.bool_]) -> NDArray[Any]:
        """Values as they are stored, with what stands for none in the place of missing ones."""
        if self.kind.kind == "U":
            values = ascii_text(values)
            if values.dtype.itemsize > self.stored.itemsize:
                raise ValueError(f"its {self.name} has letters that are not ASCII")
        stored = values.astype(self.stored, casting="unsafe" if missing.any() else "same_kind")
        if missing.any():
            nothing: Any = b"" if self.stored.kind == "S" else np.nan
            stored[missing] = nothing if self.null is None else self.null
        return stored


def ascii_text(values: NDArray[np.str_]) -> NDArray[np.bytes_]:
    r"""Text, any shape, with Python's escapes for letters that FITS lacks: ids stay different.

    >>> ascii_text(np.array(["NGC 1", "Gal\u00e9"])).tolist()
    [b'NGC 1', b'Gal\\xe9']
    """
    return np.asarray(np.char.encode(values, "ascii", "backslashreplace"))


def unescaped(text: str) -> str:
    r"""Text with the letters that `ascii_text` has made escapes of.

    >>> unescaped(r"Gal\xe9\u03b1 C:\new"), unescaped(r"\x41\udcff\Uffffffff")
    ('Galéα C:\\new', '\\x41\\udcff\\Uffffffff')
    """
    return ESCAPE.sub(_letter, text)


def _letter(escape: re.Match[str]) -> str:
    code = int(escape[0][2:], 16)
    is_letter = 0x80 <= code <= sys.maxunicode and not 0xD800 <= code <= 0xDFFF
    return chr(code) if is_letter else escape[0]


@dataclass(frozen=True)
class IncomingTable:
    """A table as FITS will hold it; see `incoming_table`.

    Parameters
    ----------
    columns : sequence of TableColumn
        Its columns.
    dtype : numpy dtype
        Structured: its rows.
    blocks : iterator of structured ndarray
        Its rows, in order.
    left_out : sequence of str
        Names of columns that FITS does not get.
    beside : mapping of str to IncomingTable
        Further tables of the file, by name.
    """

    columns: Sequence[TableColumn]
    dtype: np.dtype[Any]
    blocks: Iterator[NDArray[np.void]]
    left_out: Sequence[str] = ()
    beside: Mapping[str, IncomingTable] = field(default_factory=dict)


def incoming_table(
    columns: Sequence[Incoming],
    blocks: Iterable[Mapping[str, Masked]],
    left_out: Sequence[str] = (),
) -> IncomingTable:
    """A table of these columns.

    Parameters
    ----------
    columns : sequence of Incoming
        The columns.
    blocks : iterable of mapping
        The rows, in order: the values of each column by its name.
    left_out : sequence of str
        Names of further columns of the file, whose values FITS cannot have.
    """
    names = _names_in_fits([column.name for column in columns])
    dtype = np.dtype([(names[column.name], column.stored, column.shape) for column in columns])
    told = [
        TableColumn(
            names[column.name],
            column.unit,
            column.ucd,
            column.description,
            null=stored_null(column.stored, column.null),
        )
        for column in columns
    ]

    def rows() -> Iterator[NDArray[np.void]]:
        for block in blocks:
            filled = {column.name: column.fill(*block[column.name]) for column in columns}
            table = np.empty(len(next(iter(filled.values()))), dtype)
            for name, values in filled.items():
                table[names[name]] = values
            yield table

    return IncomingTable(told, dtype, rows(), left_out)


def _names_in_fits(names: Sequence[str]) -> dict[str, str]:
    """A name for each column that a card can hold, and that tells it from those before it.

    FITS knows no case.

    >>> _names_in_fits(["Z", "z"])
    {'Z': 'Z', 'z': 'z_2'}
    """
    chosen: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        plain = unlike = name.encode("ascii", "replace").decode().strip()[:LONGEST_NAME] or "COLUMN"
        number = 1
        while unlike.upper() in taken:
            number += 1
            unlike = f"{plain[: LONGEST_NAME - 6]}_{number}"
        taken.add(unlike.upper())
        chosen[name] = unlike
    return chosen
