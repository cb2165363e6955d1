"""What the header of a table says: its columns, and the cards that are not of a column."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import numpy as np

from photoz_ssl.errors import ConfigError
from photoz_ssl.survey.tables.checksums import PLACEHOLDERS

__all__ = [
    "KEYWORD",
    "LONGEST_NAME",
    "LONG_STRINGS",
    "Card",
    "TableColumn",
    "column_cards",
    "date_card",
    "null_cards",
    "null_in",
    "null_of",
    "storable",
    "stored_null",
    "write_card",
    "write_cards",
]

Card = tuple[str, str | int | float | bool, str]
"""Keyword, value and comment."""

LONG_STRINGS: Card = ("LONGSTRN", "OGIP 1.0", "long strings go on in CONTINUE cards")
"""What fitsverify expects of a header with long strings."""

KEYWORD = re.compile(r"[A-Z0-9_-]{1,8}")
"""What names a card."""

LONGEST_NAME = 68
"""Letters of a column's name that fit into a card."""

STORED_LESS = {("u", 2): 1 << 15, ("u", 4): 1 << 31, ("u", 8): 1 << 63, ("i", 1): -128}
"""What FITS takes from integers of these kinds and bytes before it stores them."""


@dataclass(frozen=True)
class TableColumn:
    """What a column is; empty strings are left out of the header.

    Parameters
    ----------
    name : str
        Its name, TTYPE.
    unit : str
        FITS unit, TUNIT; empty where the column has no dimension.
    ucd : str
        Unified content descriptor of the IVOA, TUCD.
    description : str
        What it means, as one line, TCOMM.
    display : str
        Fortran format to show it in, TDISP, e.g. ``"F8.5"``.
    null : int, optional
        The integer that stands for no value, TNULL: as it is stored, see `null_in`.
    """

    name: str
    unit: str = ""
    ucd: str = ""
    description: str = ""
    display: str = ""
    null: int | None = None


def null_of(cards: Mapping[str, str]) -> int | None:
    """The integer that a column's cards say stands for no value; None where they do not."""
    try:
        return int(cards.get("TNULL", ""))
    except ValueError:
        return None


def null_in(kind: np.dtype[Any], stored: int | None) -> int | None:
    """The value, of a type, that stands for none, from the number that TNULL says is stored.

    FITS stores integers of the types that it does not know less a constant, TZERO.

    >>> null_in(np.dtype("u2"), -32768)
    0
    """
    if stored is None or kind.base.kind not in "iu":
        return None
    return stored + STORED_LESS.get((kind.base.kind, kind.base.itemsize), 0)


def stored_null(kind: np.dtype[Any], null: int | None) -> int | None:
    """The number that TNULL is to say, from the value of a type that stands for none.

    >>> stored_null(np.dtype("u2"), 0)
    -32768
    """
    return None if null is None else null - (null_in(kind, 0) or 0)


def null_cards(kind: np.dtype[Any], null: int | None) -> dict[str, str]:
    """The cards by which a table says that a value, of a type, stands for none."""
    stored = stored_null(kind, null)
    return {} if stored is None else {"TNULL": str(stored)}


def date_card() -> Card:
    """The DATE card: now, or the moment that SOURCE_DATE_EPOCH names, in UTC.

    A `ConfigError` where it names one that is none of our calendar.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    moment = datetime.now(tz=timezone.utc)
    try:
        if epoch.isdecimal():
            moment = datetime.fromtimestamp(int(epoch), tz=timezone.utc)
    except (ValueError, OverflowError, OSError) as error:
        raise ConfigError(
            f"SOURCE_DATE_EPOCH={epoch[:40]} is beyond the year 9999",
            "set it to seconds since 1970, or unset it",
        ) from error
    return "DATE", moment.strftime("%Y-%m-%dT%H:%M:%S"), "UTC date of this HDU"


def storable(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The dtype with bytes for text, native byte order, no padding and no empty strings."""
    fields = []
    for name in dtype.names or ():
        base, shape = dtype[name].base, dtype[name].shape
        if base.kind in "OV":
            raise ValueError(f"column {name} has variable length or nested fields")
        if base.kind in "SU":
            length = base.itemsize // (4 if base.kind == "U" else 1)
            base = np.dtype(f"S{max(length, 1)}")
        fields.append((name, base.newbyteorder("="), shape))
    return np.dtype(fields)


def column_cards(columns: Sequence[TableColumn], dtype: np.dtype[Any]) -> list[Card]:
    """The cards of columns, in their order, of tables whose rows are of a type."""
    cards: list[Card] = []
    for number, column in enumerate(columns, start=1):
        for keyword, value, comment in (
            ("TUCD", column.ucd, "unified content descriptor"),
            ("TDISP", column.display, "display format"),
            ("TCOMM", column.description, ""),
        ):
            if value:
                cards.append((f"{keyword}{number}", value, comment))
        if column.null is not None and dtype[column.name].base.kind in "iu":
            cards.append((f"TNULL{number}", column.null, "stands for no value"))
    return cards


def write_cards(hdu: Any, cards: Sequence[Card]) -> None:
    """Write cards, the date, and room for the checksums into the header of an HDU of fitsio."""
    for card in (*cards, date_card(), *PLACEHOLDERS):
        write_card(hdu, card)


def write_card(hdu: Any, card: Card) -> None:
    """Write one card; a ValueError where its keyword is none of FITS."""
    keyword, value, comment = card
    if not KEYWORD.fullmatch(keyword):
        raise ValueError(f"{keyword!r} is not a FITS keyword")
    if isinstance(value, str):
        value = _printable(value)
    hdu.write_key(keyword, value, comment=_printable(comment))


def _printable(text: str) -> str:
    """The text in the characters that a FITS header may hold."""
    dashes = str.maketrans({"\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "\N{EM DASH}": "-"})
    decomposed = unicodedata.normalize("NFKD", text.translate(dashes))
    marks_off = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return re.sub(r"[^ -~]", "?", re.sub(r"\s", " ", marks_off))
