"""Which format a table is written in, and what writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.fields import TABLE_FORMATS
from photoz_ssl.files import atomic_output
from photoz_ssl.survey.exchange.ecsv import EcsvWriter
from photoz_ssl.survey.exchange.parquet import ParquetWriter, require_pyarrow
from photoz_ssl.survey.exchange.qp_file import QpWriter
from photoz_ssl.survey.exchange.votable import VotableWriter
from photoz_ssl.survey.headers import Card, TableColumn, null_in
from photoz_ssl.survey.manifest import PdfRows
from photoz_ssl.survey.pdf_form import PdfForm

__all__ = ["ExchangeWriter", "TableLayout", "exchange_file", "format_of", "require_writer"]

SUFFIXES = {
    **dict.fromkeys((".vot", ".votable", ".xml"), "votable"),
    **dict.fromkeys((".parquet", ".parq", ".pq"), "parquet"),
    ".ecsv": "ecsv",
    **dict.fromkeys((".hdf5", ".h5"), "qp"),
}


class ExchangeWriter(Protocol):
    """Takes the rows of a table; see `exchange_file`."""

    def append(self, rows: NDArray[np.void], pdfs: PdfRows | None) -> None:
        """Write the next rows, and their PDFs where the format holds them."""

    def close(self) -> None:
        """Write what comes after the last row."""


@dataclass(frozen=True, kw_only=True)
class TableLayout:
    """What a table is; see `photoz_ssl.survey.manifest.Manifest`.

    Parameters
    ----------
    name : str
        Of the table.
    n_rows : int
        Its length.
    columns : sequence of TableColumn
        Its columns.
    dtype : numpy dtype
        Structured: its rows.
    cards : sequence of (keyword, value, comment)
        What else there is to say of it.
    pdf_form : PdfForm, optional
        What its PDFs are kept as; None where there are none.
    """

    name: str
    n_rows: int
    columns: Sequence[TableColumn]
    dtype: np.dtype[Any]
    cards: Sequence[Card]
    pdf_form: PdfForm | None

    @property
    def scalar_columns(self) -> list[TableColumn]:
        """The columns with one value a row, and not a complex one: all that other formats get."""
        kinds = self.dtype
        return [
            column
            for column in self.columns
            if not kinds[column.name].shape and kinds[column.name].kind != "c"
        ]

    def null(self, column: TableColumn) -> int | None:
        """The value that stands for none in a column; None where there is no such value."""
        return null_in(self.dtype[column.name], column.null)


WRITERS: dict[str, Callable[[Path, TableLayout], ExchangeWriter]] = {
    "votable": VotableWriter,
    "parquet": ParquetWriter,
    "ecsv": EcsvWriter,
    "qp": QpWriter,
}
"""What writes each format."""


def format_of(output: str, chosen: str) -> str:
    """The format of an output: the one that was chosen, or by its suffix.

    >>> format_of("z.parquet", "auto"), format_of("z.fits.gz", "auto"), format_of("z.txt", "ecsv")
    ('parquet', 'fits', 'ecsv')
    """
    assert chosen in TABLE_FORMATS
    if chosen != "auto":
        return chosen
    return SUFFIXES.get(PurePath(output).suffix.lower(), "fits")


def require_writer(kind: str) -> None:
    """Refuse a format whose package is not installed, before any work is done for it.

    Raises
    ------
    MissingExtraError
        That names the package.
    """
    if kind == "parquet":
        require_pyarrow()


@contextmanager
def exchange_file(
    path: Path, kind: str, layout: TableLayout, *, overwrite: bool = False
) -> Iterator[ExchangeWriter]:
    """Write a table in another format than FITS; it appears whole or not at all.

    Parameters
    ----------
    path : Path
        The file.
    kind : {'votable', 'parquet', 'ecsv', 'qp'}
        The format.
    layout : TableLayout
        What is written.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    OutputError
        If the file exists already or cannot be written.
    MissingExtraError
        If the format needs a package that is not installed.
    """
    with atomic_output(path, overwrite=overwrite) as temporary:
        writer = WRITERS[kind](temporary, layout)
        try:
            yield writer
        finally:
            writer.close()
