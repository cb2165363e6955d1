"""Values of a table as text."""

from __future__ import annotations

import warnings
from collections.abc import Container, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.table import Column, Table
from astropy.units import UnitsWarning
from numpy.typing import NDArray

if TYPE_CHECKING:
    from photoz_ssl.survey.exchange.formats import TableLayout
    from photoz_ssl.survey.tables.headers import TableColumn

__all__ = ["described_table", "text_rows"]


def described_table(
    layout: TableLayout, n_rows: int = 0, held_by: Mapping[str, str] = MappingProxyType({})
) -> Table:
    """A table of astropy's with the layout's columns, units and descriptions, and no values.

    Parameters
    ----------
    layout : TableLayout
        The columns.
    n_rows : int
        Its length.
    held_by : mapping of str to str
        For types that the format lacks those in their place, such as ``u2`` and ``i4``.
    """
    table = Table()
    for column in layout.scalar_columns:
        kind = layout.dtype[column.name]
        kind = np.dtype(held_by.get(kind.str[1:], kind))
        kind = np.dtype(f"U{kind.itemsize}") if kind.kind == "S" else kind
        meta = {"ucd": column.ucd} if column.ucd else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnitsWarning)  # units of others are kept as such
            table[column.name] = Column(
                np.zeros(n_rows, kind),
                unit=column.unit or None,
                description=column.description or None,
                meta=meta,
            )
    table.meta = {keyword: value for keyword, value, _ in layout.cards}
    return table


def text_rows(
    layout: TableLayout,
    rows: NDArray[np.void],
    spelling: Mapping[str, str] | None = None,
    *,
    blank_nulls_of: Container[str],
) -> Iterator[tuple[str, ...]]:
    """Rows as words, numbers with as many digits as tell them from their neighbours.

    Parameters
    ----------
    layout : TableLayout
        Their columns.
    rows : structured ndarray, shape (n,)
        The rows.
    spelling : mapping of str to str, optional
        Other words for Python's ``nan``, ``inf``, ``-inf``, ``True`` and ``False``.
    blank_nulls_of : container of str
        Types of integers, such as ``u8``, of which the one for no value is an empty word.
    """

    def null_of(column: TableColumn) -> int | None:
        kind = layout.dtype[column.name].str[1:]
        return layout.null(column) if kind in blank_nulls_of else None

    columns = [
        _words(rows[column.name], spelling or {}, null_of(column))
        for column in layout.scalar_columns
    ]
    return zip(*columns, strict=True)


def _words(values: NDArray[Any], spelling: Mapping[str, str], null: int | None) -> list[str]:
    if values.dtype.kind == "S":
        return [value.decode("ascii", "replace").rstrip() for value in values.tolist()]
    numbers = values if values.dtype.kind == "f" else values.tolist()  # float32 in its own digits
    words = ("" if number == null else str(number) for number in numbers)
    return [spelling.get(word, word) for word in words]
