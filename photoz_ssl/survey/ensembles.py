"""Redshift PDFs as the HDUs that LSST DESC's ``qp`` library reads (class ``hist``).

``qp.read`` takes META (one row: class, version, bin edges), DATA (a density a bin, one row a
galaxy) and ANCIL (what belongs to each) from the file, whatever other tables it holds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.files import output_errors
from photoz_ssl.survey.tables import TableColumn, Tables

__all__ = ["PdfSpool", "spool_pdfs"]

ROWS_AT_A_TIME = 10_000

ANCIL_COLUMNS = (
    TableColumn("ROW", "", "meta.record", "Row of the redshift table, from 0", "I12"),
    TableColumn("zmode", "", "src.redshift.phot", "Redshift where the PDF peaks", "F8.5"),
    TableColumn("FLAGS", "", "meta.code.qual", "Bit mask, as in the redshift table", "I10"),
)
ANCIL_DTYPE = np.dtype([("ROW", "i8"), ("zmode", "f8"), ("FLAGS", "i4")])


class PdfSpool:
    """Keeps the PDFs of a catalogue on disk until its redshift table is complete.

    Parameters
    ----------
    edges : ndarray, shape (n_bins + 1,)
        Edges of the redshift bins.
    file : binary file
        Where the PDFs wait.
    """

    def __init__(self, edges: NDArray[np.float64], file: IO[bytes]) -> None:
        self._edges = edges
        self._file = file
        self._n_rows = 0
        bins = (len(edges) - 1,)
        self._dtype = np.dtype([*ANCIL_DTYPE.descr, ("pdfs", "f4", bins)])

    def append(
        self,
        pdf: NDArray[np.float64],
        mode: NDArray[np.float64],
        flags: NDArray[np.int32],
    ) -> None:
        """Take the PDFs of the catalogue's next rows.

        Parameters
        ----------
        pdf : ndarray, shape (n, n_bins)
            Probability of each bin; NaN for a galaxy that has no PDF.
        mode : ndarray, shape (n,)
            Redshift where each peaks.
        flags : ndarray, shape (n,)
            Flags of each.
        """
        rows = np.empty(len(pdf), dtype=self._dtype)
        rows["ROW"] = self._n_rows + np.arange(len(pdf))
        rows["zmode"], rows["FLAGS"] = mode, flags
        rows["pdfs"] = pdf / np.diff(self._edges)
        self._file.write(rows.tobytes())
        self._n_rows += len(pdf)

    def write(self, file: Tables) -> None:
        """Add META, DATA and ANCIL to a file as its next tables."""
        self._write_meta(file)
        pdfs = np.dtype([("pdfs", self._dtype["pdfs"])])
        density = TableColumn(
            "pdfs",
            "",
            "stat.probability;src.redshift.phot",
            "Probability density in each redshift bin; NaN where there is no redshift",
        )
        data = file.table("DATA", [density], pdfs, n_rows=self._n_rows)
        for rows in self._blocks():
            data.append(_fields(rows, pdfs))
        ancil = file.table("ANCIL", ANCIL_COLUMNS, ANCIL_DTYPE, n_rows=self._n_rows)
        for rows in self._blocks():
            ancil.append(_fields(rows, ANCIL_DTYPE))

    def _write_meta(self, file: Tables) -> None:
        columns = (
            TableColumn("pdf_name", "", "meta.id", "Class of the PDFs in qp"),
            TableColumn("pdf_version", "", "meta.version", "Version of the class"),
            TableColumn("bins", "", "src.redshift.phot", "Edges of the redshift bins"),
        )
        dtype = np.dtype(
            [("pdf_name", "S4"), ("pdf_version", "i8"), ("bins", "f8", self._edges.shape)]
        )
        row = np.zeros(1, dtype)
        row["pdf_name"], row["bins"] = b"hist", self._edges
        file.table("META", columns, dtype, n_rows=1).append(row)

    def _blocks(self) -> Iterator[NDArray[np.void]]:
        self._file.seek(0)
        while chunk := self._file.read(ROWS_AT_A_TIME * self._dtype.itemsize):
            yield np.frombuffer(chunk, dtype=self._dtype)


@contextmanager
def spool_pdfs(edges: NDArray[np.float64], folder: Path | None) -> Iterator[PdfSpool]:
    """A `PdfSpool` in a nameless file that vanishes with the block.

    Parameters
    ----------
    edges : ndarray, shape (n_bins + 1,)
        Edges of the redshift bins.
    folder : Path, optional
        Folder on whose disk it lies; by default the system's for temporary files.
    """
    where = folder if folder is not None else Path(tempfile.gettempdir())
    with output_errors(where), tempfile.TemporaryFile(dir=where) as file:
        yield PdfSpool(edges, file)


def _fields(rows: NDArray[np.void], dtype: np.dtype[Any]) -> NDArray[np.void]:
    """Some of the fields of rows, as rows."""
    chosen = np.empty(len(rows), dtype=dtype)
    for name in dtype.names or ():
        chosen[name] = rows[name]
    return chosen
