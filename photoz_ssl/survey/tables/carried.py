"""The columns of an input table that an output table carries over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from photoz_ssl.errors import CatalogError, columns_hint
from photoz_ssl.survey.tables.headers import LONGEST_NAME, TableColumn, null_of

__all__ = ["RENAMED", "CarriedColumn", "carry_columns"]

EBV = "EBV"
RENAMED = "_INPUT"

SAME_MEANING = (EBV,)
"""Columns of ours that are, by definition, what a column of that name in the input is."""

VARIABLE = re.compile(r"\d*[PQ]")
"""TFORM of a column of arrays of any length, which are read as long as the longest."""

UNPRINTABLE = re.compile(r"[^ -~]|['\"]")
"""What cannot be in the name of a column."""

HELD_BY = {("f", 2): "f4", ("f", 16): "f8", ("c", 32): "c16"}
"""For kinds and bytes of numbers that FITS does not know, the type that takes their place."""

DESCRIPTIONS: dict[str, TableColumn] = {
    "Z_SPEC": TableColumn("", "", "src.redshift", "Spectroscopic redshift", "F8.5"),
    "Z_SPEC_ERR": TableColumn("", "", "stat.error;src.redshift", "Error of Z_SPEC", "F8.5"),
    "SPLIT": TableColumn("", "", "meta.code.class", "Part of the survey: train, valid or test"),
    "CUTOUT": TableColumn("", "", "meta.id;meta.file", "File of the cutout"),
}
"""What the columns of our own files are, where they do not say so themselves."""


@dataclass(frozen=True)
class CarriedColumn:
    """A column of the input that goes into the output.

    Parameters
    ----------
    source : str
        Its name in the input.
    column : TableColumn
        What it is in the output, where its name may differ.
    dtype : numpy dtype
        Kind of one entry; it may have a shape.
    """

    source: str
    column: TableColumn
    dtype: np.dtype[Any]


def carry_columns(
    dtype: np.dtype[Any],
    cards: Mapping[str, Mapping[str, str]],
    *,
    keep: str,
    own: Iterable[str],
    id_column: str | None,
    ra_column: str | None,
    dec_column: str | None,
) -> tuple[tuple[CarriedColumn, ...], tuple[str, ...]]:
    """Choose what to carry over: the id, the position, then what was asked for.

    An input column with the name of one of the output's own gives way: it is renamed, except
    for EBV, which means the same in both.

    Parameters
    ----------
    dtype : numpy dtype
        Structured: the columns of the input.
    cards : mapping of str to mapping
        For each column its TFORM, TUNIT, TUCD, TDISP, TCOMM and TNULL cards, where it has them.
    keep : str
        ``"all"``, ``"none"``, or names separated by commas; case does not matter.
    own : iterable of str
        Names of the output's own columns.
    id_column, ra_column, dec_column : str or None
        Columns that come first and are kept in any case.

    Returns
    -------
    tuple of CarriedColumn
        In the order of the output.
    tuple of str
        Notices: what was renamed or left out.

    Raises
    ------
    CatalogError
        If a column that was asked for is not there.
    """
    roles = {
        name: role
        for name, role in (
            (id_column, TableColumn("", "", "meta.id;meta.main", "Object identifier")),
            (ra_column, TableColumn("", "deg", "pos.eq.ra;meta.main", "Right ascension")),
            (dec_column, TableColumn("", "deg", "pos.eq.dec;meta.main", "Declination")),
        )
        if name is not None and name in (dtype.names or ())
    }
    names = [*roles, *(name for name in _asked_for(dtype, keep) if name not in roles)]
    taken = {name.upper() for name in own}
    carried, notices = [], []
    for name in names:
        if dtype[name].base.kind in "OV" or VARIABLE.match(cards.get(name, {}).get("TFORM", "")):
            notices.append(f"the column {name} has variable length and is left out")
            continue
        new_name = _free_name(UNPRINTABLE.sub("_", name), taken)
        if new_name is None:
            continue
        if new_name != name:
            shown = repr(name) if UNPRINTABLE.search(name) else name
            notices.append(f"the input's column {shown} is carried over as {new_name}")
        taken.add(new_name.upper())
        said = cards.get(name, {})
        column = _described(name, said, roles.get(name))
        if dtype[name].base.kind == "S":  # what we know of it is about numbers
            column = replace(column, unit=said.get("TUNIT", ""), display=said.get("TDISP", ""))
        carried.append(CarriedColumn(name, replace(column, name=new_name), _in_fits(dtype[name])))
    return tuple(carried), tuple(notices)


def _asked_for(dtype: np.dtype[Any], keep: str) -> Sequence[str]:
    names = dtype.names or ()
    if keep.strip().lower() == "all":
        return names
    if keep.strip().lower() == "none":
        return ()
    by_name = {name.upper(): name for name in names}
    wanted = [name.strip() for name in keep.split(",") if name.strip()]
    for name in wanted:
        if name.upper() not in by_name:
            raise CatalogError(
                f"the input has no column {name} to keep",
                columns_hint(names),
            )
    return list(dict.fromkeys(by_name[name.upper()] for name in wanted))


def _free_name(name: str, taken: set[str]) -> str | None:
    """The name, another where it is taken, or None where ours says the same."""
    if name.upper() not in taken:
        return name
    if name.upper() in SAME_MEANING:
        return None
    stem = name[: LONGEST_NAME - len(RENAMED) - 4]
    candidates = [f"{stem}{RENAMED}", *(f"{stem}{RENAMED}_{count}" for count in range(2, 1000))]
    return next(candidate for candidate in candidates if candidate.upper() not in taken)


def _in_fits(kind: np.dtype[Any]) -> np.dtype[Any]:
    """The type of FITS that holds a type."""
    held = HELD_BY.get((kind.base.kind, kind.base.itemsize))
    return kind if held is None else np.dtype((held, kind.shape))


def _described(name: str, cards: Mapping[str, str], role: TableColumn | None) -> TableColumn:
    """What a column says of itself, and where it is silent what we know of it."""
    known = role or DESCRIPTIONS.get(name.upper(), TableColumn(""))
    return TableColumn(
        name,
        unit=cards.get("TUNIT", "") or known.unit,
        ucd=known.ucd if role else cards.get("TUCD", "") or known.ucd,
        description=cards.get("TCOMM", "")
        or known.description
        or f"{name}, carried over from the input",
        display=cards.get("TDISP", "") or known.display,
        null=null_of(cards),
    )
