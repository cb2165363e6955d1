"""Which format a table is written in, and what writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import OutputError
from photoz_ssl.fields import TABLE_FORMATS
from photoz_ssl.files import atomic_output
from photoz_ssl.survey.exchange.ecsv import EcsvWriter
from photoz_ssl.survey.exchange.parquet import ParquetWriter, require_pyarrow
from photoz_ssl.survey.exchange.qp_file import QpWriter
from photoz_ssl.survey.exchange.votable import VotableWriter
from photoz_ssl.survey.tables.headers import Card, TableColumn, null_in
from photoz_ssl.survey.tables.manifest import PdfRows
from photoz_ssl.survey.tables.pdf_form import PdfForm

__all__ = [
    "SUFFIXES_OF_TABLES",
    "ExchangeWriter",
    "TableLayout",
    "exchange_file",
    "format_of",
    "notices_of_format",
    "require_writer",
]

SUFFIXES = {
    **dict.fromkeys((".vot", ".votable", ".xml"), "votable"),
    **dict.fromkeys((".parquet", ".parq", ".pq"), "parquet"),
    ".ecsv": "ecsv",
    **dict.fromkeys((".hdf5", ".h5"), "qp"),
}

FOREIGN = (
    *(".csv", ".tsv", ".txt", ".dat", ".tab", ".asc", ".ascii", ".json", ".tex", ".html", ".xlsx"),
    *(".npy", ".npz", ".feather", ".arrow", ".asdf", ".db", ".sqlite"),
)
"""Suffixes of tables of other kinds, in which a FITS file would not be looked for."""

GZIP = ".gz"
PACKED = (GZIP, ".bz2", ".xz", ".zst", ".zip")
"""Suffixes of packed files; CFITSIO packs FITS files by the first."""

SUFFIXES_OF_TABLES = frozenset((".fits", ".fit", *SUFFIXES, *FOREIGN, *PACKED))
"""What nobody calls a folder."""


class ExchangeWriter(Protocol):
    """Takes the rows of a table; see `exchange_file`."""

    def append(self, rows: NDArray[np.void], pdfs: PdfRows | None = None) -> None:
        """Write the next rows, and their PDFs where the format holds them."""

    def close(self) -> None:
        """Write what comes after the last row."""


@dataclass(frozen=True, kw_only=True)
class TableLayout:
    """What a table is; see `photoz_ssl.survey.tables.manifest.Manifest`.

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
        """The columns that other formats than FITS get."""
        return [column for column in self.columns if _is_scalar(self.dtype[column.name])]

    def null(self, column: TableColumn) -> int | None:
        """The value that stands for none in a column; None where there is no such value."""
        return null_in(self.dtype[column.name], column.null)


def _is_scalar(kind: np.dtype[Any]) -> bool:
    """Whether a column has one value a row, and not a complex one."""
    return not kind.shape and kind.kind != "c"


HOLD_PDFS = ("fits", "qp")

WRITERS: dict[str, Callable[[Path, TableLayout], ExchangeWriter]] = {
    "votable": VotableWriter,
    "parquet": ParquetWriter,
    "ecsv": EcsvWriter,
    "qp": QpWriter,
}
"""What writes each format."""


def format_of(output: str, chosen: str) -> str:
    """The format of an output: the one that was chosen, or by its suffix.

    Raises
    ------
    OutputError
        If the suffix is that of a format which is not written, or not packed.

    >>> format_of("z.parquet", "auto"), format_of("z.fits.gz", "auto"), format_of("z.txt", "ecsv")
    ('parquet', 'fits', 'ecsv')
    """
    assert chosen in TABLE_FORMATS
    packing = PurePath(output).suffix.lower()
    is_packed = packing in PACKED
    suffix = PurePath(PurePath(output).stem).suffix.lower() if is_packed else packing
    kind = SUFFIXES.get(suffix, "fits") if chosen == "auto" else chosen
    if is_packed and (kind, packing) != ("fits", GZIP):
        raise OutputError(
            f"{output} would be no {packing} file: FITS tables alone are packed, as NAME.fits.gz",
            f"leave out the {packing}, and pack the table afterwards",
        )
    if chosen == "auto" and suffix in FOREIGN:
        raise OutputError(
            f"{output} would be no {suffix} file: tables are written as FITS, VOTable, Parquet"
            " and ECSV, those of PDFs as qp files, too",
            "name it .fits, .vot, .parquet or .ecsv, or choose the format with --format",
        )
    return kind


def notices_of_format(kind: str, dtype: np.dtype[Any], pdf_form: PdfForm | None) -> tuple[str, ...]:
    """What a table in some format lacks, one sentence each.

    Parameters
    ----------
    kind : str
        The format; see `format_of`.
    dtype : numpy dtype
        Structured: the rows that it is made of.
    pdf_form : PdfForm, optional
        What PDFs were asked for.
    """
    if kind == "fits":
        return ()
    lacking = [name for name in dtype.names or () if not _is_scalar(dtype[name])]
    notices = []
    if lacking:
        notices.append(
            f"the {kind} table is without {', '.join(lacking)}: FITS alone holds columns of several"
            " values a row, or of complex ones"
        )
    if pdf_form is not None and kind not in HOLD_PDFS:
        notices.append(f"the PDFs are left out of the {kind} table: FITS and qp files hold them")
    return tuple(notices)


def require_writer(kind: str) -> None:
    """Refuse a format whose package is not installed, before any work is done for it.

    Raises
    ------
    MissingExtraError
        That names the package.
    """
    if kind == "parquet":
        require_pyarrow("writing Parquet")


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
