"""Redshift PDFs as the HDUs that LSST DESC's ``qp`` library reads.

``qp.read`` takes META (one row: class, version, and bins or quantiles), DATA (one row a galaxy:
a density a bin, or a redshift a quantile) and ANCIL (what belongs to each) from the file,
whatever other tables it holds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.survey.tables.headers import TableColumn
from photoz_ssl.survey.tables.manifest import PdfRows
from photoz_ssl.survey.tables.pdf_form import MODE, PdfForm
from photoz_ssl.survey.tables.writer import Tables

__all__ = ["PdfSpool", "spool_pdfs"]

ROWS_AT_A_TIME = 10_000

ANCIL_COLUMNS = (
    TableColumn("ROW", "", "meta.record", "Row of the redshift table, from 0", "I12"),
    TableColumn(MODE, "", "src.redshift.phot", "Redshift where the PDF peaks", "F8.5"),
    TableColumn("FLAGS", "", "meta.code.qual", "Bit mask, as in the redshift table", "I10"),
)
ANCIL_DTYPE = np.dtype([("ROW", "i8"), (MODE, "f8"), ("FLAGS", "i4")])


class PdfSpool:
    """Keeps the PDFs of a catalogue on disk until its redshift table is complete.

    Parameters
    ----------
    form : PdfForm
        What they are kept as.
    file : binary file
        Where the PDFs wait.
    """

    def __init__(self, form: PdfForm, file: IO[bytes]) -> None:
        self._form = form
        self._file = file
        self._n_rows = 0
        self._dtype = np.dtype([*ANCIL_DTYPE.descr, (form.column.name, "f4", (form.n_values,))])

    def append(self, pdfs: PdfRows) -> None:
        """Take the PDFs of the catalogue's next rows; NaN for a galaxy that has none."""
        rows = np.empty(len(pdfs), dtype=self._dtype)
        rows["ROW"] = self._n_rows + np.arange(len(pdfs))
        rows[MODE], rows["FLAGS"] = pdfs["mode"], pdfs["flags"]
        rows[self._form.column.name] = pdfs["pdf"]
        self._file.write(rows.tobytes())
        self._n_rows += len(pdfs)

    def write(self, file: Tables) -> None:
        """Add META, DATA and ANCIL to a file as its next tables."""
        columns, row = self._form.meta()
        file.table("META", columns, row.dtype, n_rows=1).append(row)
        column = self._form.column
        pdfs = np.dtype([(column.name, self._dtype[column.name])])
        data = file.table("DATA", [column], pdfs, n_rows=self._n_rows)
        for rows in self._blocks():
            data.append(_fields(rows, pdfs))
        ancil = file.table("ANCIL", ANCIL_COLUMNS, ANCIL_DTYPE, n_rows=self._n_rows)
        for rows in self._blocks():
            ancil.append(_fields(rows, ANCIL_DTYPE))

    def _blocks(self) -> Iterator[NDArray[np.void]]:
        self._file.seek(0)
        while chunk := self._file.read(ROWS_AT_A_TIME * self._dtype.itemsize):
            yield np.frombuffer(chunk, dtype=self._dtype)


@contextmanager
def spool_pdfs(form: PdfForm, folder: Path | None) -> Iterator[PdfSpool]:
    """A `PdfSpool` in a nameless file that vanishes with the block.

    A full disk is an OSError, of which who writes the output tells.

    Parameters
    ----------
    form : PdfForm
        What they are kept as.
    folder : Path, optional
        Folder on whose disk it lies; by default the system's for temporary files.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        yield PdfSpool(form, file)


def _fields(rows: NDArray[np.void], dtype: np.dtype[Any]) -> NDArray[np.void]:
    """Some of the fields of rows, as rows."""
    chosen = np.empty(len(rows), dtype=dtype)
    for name in dtype.names or ():
        chosen[name] = rows[name]
    return chosen
