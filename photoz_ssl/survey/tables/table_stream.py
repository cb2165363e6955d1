"""FITS tables through pipes: rows are read, and written, before the last of them is there."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import fitsio
import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import CatalogError
from photoz_ssl.files import output_errors, temporary_errors
from photoz_ssl.survey.raw_headers import (
    BLOCK,
    CARD,
    data_bytes,
    overwritten,
    read_header,
    split_cards,
    whole_number,
)
from photoz_ssl.survey.tables.headers import Card, TableColumn
from photoz_ssl.survey.tables.writer import scratch_tables

__all__ = ["InputStream", "TableStream", "open_stream"]

MOST_ROW_BYTES = 1 << 28
FIRST_CARDS = (f"SIMPLE  = {'T':>20}", f"BITPIX  = {8:>20}", f"NAXIS   = {0:>20}", "END")
NO_IMAGE = "".join(card.ljust(CARD) for card in FIRST_CARDS).ljust(BLOCK).encode("ascii")
"""The primary HDU that comes before a table."""


class NotAStreamError(Exception):
    """What has been read begins no table that can be read from a stream."""


class InputStream:
    """The rows of a binary table as they come, with what `Catalog` asks of an HDU.

    Rows can be read again as long as none behind them have been asked for.

    Parameters
    ----------
    file : binary file
        It stands where the table's data begin.
    header : bytes
        The table's header.
    folder : Path
        For scratch.
    number : int
        Of its HDU in the file, from 0.
    """

    def __init__(self, file: IO[bytes], header: bytes, folder: Path, number: int) -> None:
        self._file, self._header, self._number = file, header, number
        self._scratch = folder / "rows.fits"
        self._row_bytes = whole_number(header, "NAXIS1")
        self._n_rows = whole_number(header, "NAXIS2")
        self._kept, self._first = bytearray(), 0

    def get_nrows(self) -> int:
        """Rows that the header promises."""
        return self._n_rows

    def get_extnum(self) -> int:
        """Number of its HDU in the file, from 0."""
        return self._number

    def get_colnames(self) -> list[str]:
        """Names of its columns."""
        with self._table() as table:
            return list(table.get_colnames())

    def read_header(self) -> Any:
        """The header, as fitsio gives it."""
        with self._table() as table:
            return table.read_header()

    def read_header_list(self) -> list[dict[str, Any]]:
        """The header's cards, each as often as it is there."""
        with self._table() as table:
            return list(table.read_header_list())

    def get_rec_dtype(self) -> Any:
        """What fitsio takes the columns for, first."""
        with self._table() as table:
            return table.get_rec_dtype()

    def __getitem__(self, rows: slice) -> NDArray[np.void]:
        with self._table(rows.start, rows.stop) as table:
            return np.asarray(table[:])

    def read_column(self, name: str, rows: range) -> NDArray[Any]:
        """Some rows of a column."""
        with self._table(rows.start, rows.stop) as table:
            return np.asarray(table.read_column(name))

    @contextmanager
    def _table(self, start: int = 0, stop: int = 0) -> Iterator[Any]:
        """An HDU of fitsio's that holds some rows and nothing else; without any, the header."""
        content = self._content(start, min(stop, self._n_rows)) if stop else b""
        with fitsio.FITS(str(self._written(content, len(content) // self._row_bytes))) as file:
            yield file[1]

    def _content(self, start: int, stop: int) -> bytes:
        """The bytes of some rows."""
        if start < self._first:
            raise ValueError(f"row {start} of a stream is gone")
        del self._kept[: (start - self._first) * self._row_bytes]
        self._first = start
        missing = (stop - start) * self._row_bytes - len(self._kept)
        if missing > 0:
            self._kept += self._file.read(missing)
        content = bytes(self._kept[: (stop - start) * self._row_bytes])
        if len(content) < (stop - start) * self._row_bytes:
            raise CatalogError(
                f"the table on standard input ends in row {start + len(content) // self._row_bytes}"
                f" of the {self._n_rows} that its header promises",
                "see why the program before the pipe has stopped",
            )
        return content

    def _written(self, rows: bytes, n_rows: int) -> Path:
        """A scratch file that holds some rows and nothing else."""
        header = _of_rows(self._header, n_rows)
        padding = b"\0" * (-len(rows) % BLOCK)
        with temporary_errors("for the table on standard input"):
            self._scratch.write_bytes(NO_IMAGE + header + rows + padding)
        return self._scratch


def open_stream(file: IO[bytes], folder: Path) -> tuple[InputStream | None, bytes]:
    """Read a FITS file up to the data of its first table.

    Parameters
    ----------
    file : binary file
        It need not be able to seek.
    folder : Path
        For scratch.

    Returns
    -------
    stream : InputStream, optional
        None where the file has to be read as a whole: it is compressed, its table has columns
        of variable length, or it is damaged or not FITS.
    seen : bytes
        In that case, what has been read; empty otherwise.
    """
    seen = bytearray()
    try:
        header, number = _next_header(file, seen), 0
        if not header.startswith(b"SIMPLE  ="):
            raise NotAStreamError
        while not header.startswith(b"XTENSION= 'BINTABLE'"):
            _skip(file, seen, data_bytes(header))
            header, number = _next_header(file, seen), number + 1
        if (
            whole_number(header, "PCOUNT")
            or whole_number(header, "NAXIS2") < 0
            or not 0 < whole_number(header, "NAXIS1") <= MOST_ROW_BYTES
        ):
            raise NotAStreamError
        return InputStream(file, header, folder, number), b""
    except (NotAStreamError, ValueError):
        return None, bytes(seen)


def _next_header(file: IO[bytes], seen: bytearray) -> bytes:
    header, ends = read_header(file)
    seen += header
    if not ends or not header.isascii():
        raise NotAStreamError
    return header


def _skip(file: IO[bytes], seen: bytearray, n_bytes: int) -> None:
    """Read over the data of an HDU before the table; they are small, or it is no stream."""
    if n_bytes > MOST_ROW_BYTES:
        raise NotAStreamError
    data = file.read(n_bytes)
    seen += data
    if len(data) < n_bytes:
        raise NotAStreamError


def _of_rows(header: bytes, n_rows: int) -> bytes:
    """The header with another number of rows."""
    return overwritten(header, b"NAXIS2  =", b" %20d" % n_rows)


class TableStream:
    """Writes tables to standard output as their rows come; made like a `TableFile`.

    The bytes are those of a file, but for the checksums, which stand before what they sum.

    Parameters
    ----------
    folder : Path
        For scratch.
    """

    def __init__(self, folder: Path) -> None:
        self._scratch = folder / "stream.fits"
        self._begun = False

    def table(
        self,
        extname: str,
        columns: Sequence[TableColumn],
        dtype: np.dtype[Any],
        cards: Sequence[Card] = (),
        *,
        n_rows: int | None = None,
    ) -> TableStreamWriter:
        """Begin the next table, of a length that is known."""
        if n_rows is None:
            raise ValueError("a table in a stream has a length from the start")
        with scratch_tables(self._scratch) as file:
            file.table(extname, columns, dtype, cards)
        content = _without_sums(self._scratch.read_bytes())
        start = content.index(b"XTENSION")
        _put(b"" if self._begun else content[:start])
        _put(_of_rows(content[start:], n_rows))
        self._begun = True
        return TableStreamWriter(self._scratch, (extname, columns, dtype), n_rows)


class TableStreamWriter:
    """Sends the rows of a table; see `TableStream`."""

    def __init__(
        self,
        scratch: Path,
        layout: tuple[str, Sequence[TableColumn], np.dtype[Any]],
        n_rows: int,
    ) -> None:
        self._scratch, self._layout = scratch, layout
        self._missing, self._sent = n_rows, 0

    def append(self, rows: NDArray[np.void]) -> None:
        """Send the next rows; behind the last, what pads a FITS file to its blocks."""
        if len(rows) == 0:
            return
        with scratch_tables(self._scratch) as file:
            table = file.table(*self._layout)
            table.append(rows)
            _, start, _ = file.offsets()[-1]
        size = table.dtype.itemsize * len(rows)
        with self._scratch.open("rb") as content:
            content.seek(start)
            _put(content.read(size))
        self._sent += size
        self._missing -= len(rows)
        if self._missing == 0:
            _put(b"\0" * (-self._sent % BLOCK))


def _without_sums(content: bytes) -> bytes:
    """Headers without the cards of sums that are not known yet."""
    return b"".join(
        b" " * CARD if card.startswith((b"CHECKSUM=", b"DATASUM =")) else card
        for card in split_cards(content)
    )


def _put(content: bytes) -> None:
    with output_errors(Path("standard output")):
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
