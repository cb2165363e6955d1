"""VOTables and ECSV files as catalogues, read by astropy as a whole."""

from __future__ import annotations

import csv
import math
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import votable
from astropy.table import Column, Table
from numpy.typing import NDArray

from photoz_ssl.survey.exchange.incoming import (
    LONGEST_TEXT,
    ROWS_AT_ONCE,
    Incoming,
    IncomingTable,
    Masked,
    ascii_text,
    incoming_table,
)

__all__ = ["read_ecsv", "read_votable", "refuse_traps", "spelled_unit"]

LARGEST_FILE = 512 << 20
"""Bytes; a table of text takes several times its file in memory."""

LARGEST_VALUE = 1 << 20
"""Numbers or letters in one value of a VOTable."""

ENTITIES = re.compile(rb"<!ENTITY")
ELSEWHERE = re.compile(rb"<(\w+:)?STREAM\b[^<]*\bhref\b")
INSIDE_FITS = re.compile(rb"<(\w+:)?FITS\b")
ARRAYSIZE = re.compile(rb"\barraysize\s*=\s*[\"']\s*([\dx]+)")
N_ROWS = re.compile(rb"\bnrows\s*=\s*[\"']\s*(\d+)")


def read_ecsv(path: Path) -> IncomingTable:
    """The columns of an ECSV file that have values of one type and shape.

    Parameters
    ----------
    path : Path
        The file.
    """
    _refuse_large(path)
    with warnings.catch_warnings(), _values_of_any_length():
        warnings.simplefilter("ignore")
        return _incoming(Table.read(path, format="ascii.ecsv"))


@contextmanager
def _values_of_any_length() -> Iterator[None]:
    """Let Python read a value longer than its usual 131,072 letters, as an image is."""
    usual = csv.field_size_limit(LARGEST_FILE)
    try:
        yield
    finally:
        csv.field_size_limit(usual)


def read_votable(path: Path) -> IncomingTable:
    """The columns of a VOTable's first table that have values of one type and shape.

    Parameters
    ----------
    path : Path
        The file. Its rows have to be in it: nothing is fetched from elsewhere.
    """
    _refuse_large(path)
    refuse_traps(path.read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        document = votable.parse(path, verify="ignore")
        return _incoming(document.get_first_table().to_table(use_names_over_ids=True))


def _refuse_large(path: Path) -> None:
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"it is a table of text with more than {LARGEST_FILE >> 20} MB")


def refuse_traps(content: bytes) -> None:
    """Refuse what would make the reader fetch other files, or take far more memory than bytes."""
    if ENTITIES.search(content):
        raise ValueError("it defines entities, as a VOTable needs not")
    if ELSEWHERE.search(content):
        raise ValueError("its rows are in another file")
    if INSIDE_FITS.search(content):
        raise ValueError("its rows are a FITS file inside, which astropy does not read")
    sizes = (
        math.prod(int(axis) for axis in match[1].split(b"x") if axis)
        for match in ARRAYSIZE.finditer(content)
    )
    n_rows = (int(match[1]) for match in N_ROWS.finditer(content))
    if max(sizes, default=0) > LARGEST_VALUE or max(n_rows, default=0) > len(content):
        raise ValueError("it promises more than it can hold")


def _incoming(table: Table) -> IncomingTable:
    values = {name: _values(table[name]) for name in table.colnames}
    plain = {name: found for name, found in values.items() if found is not None}
    columns = [
        Incoming(
            name=name,
            kind=numbers.dtype,
            shape=numbers.shape[1:],
            has_missing=bool(missing.any()),
            unit=spelled_unit(table[name].unit),
            ucd=str(table[name].meta.get("ucd") or ""),
            description=str(table[name].description or ""),
        )
        for name, (numbers, missing) in plain.items()
    ]
    left_out = [name for name in values if name not in plain]
    return incoming_table(columns, _blocks(plain, len(table)), left_out)


def _blocks(columns: Mapping[str, Masked], n_rows: int) -> Iterator[Mapping[str, Masked]]:
    for start in range(0, n_rows, ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        yield {name: (values[rows], missing[rows]) for name, (values, missing) in columns.items()}


def _values(column: Any) -> Masked | None:
    """A column's values and which are missing; None where they are of no one type and shape."""
    if not isinstance(column, Column):  # a time, a sky coordinate
        return None
    missing: NDArray[np.bool_] = np.broadcast_to(np.ma.getmaskarray(column), column.shape)
    values: NDArray[Any] = np.ma.getdata(np.ma.asarray(column))
    if values.dtype.kind == "O":
        if not all(isinstance(value, (str, bytes)) for value in values[~missing]):
            return None
        values = np.array([_text(value) for value in np.where(missing, "", values)], np.str_)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    if values.dtype.kind == "U":
        values = ascii_text(values).astype(np.str_)
    too_long = values.dtype.kind == "U" and values.dtype.itemsize > 4 * LONGEST_TEXT
    return (values, missing) if values.dtype.kind in "iubfcU" and not too_long else None


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def spelled_unit(unit: Any) -> str:
    """A unit of astropy's, or a word for one, as FITS spells it; empty for None."""
    if unit is None:
        return ""
    try:
        return str(unit.to_string("fits"))
    except (ValueError, AttributeError):
        return str(unit)
