"""FITS binary tables, written in blocks of rows, that say what each of their columns is."""

from __future__ import annotations

import errno
import gzip
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import fitsio
import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import OutputError
from photoz_ssl.files import atomic_output, claim_output, output_errors
from photoz_ssl.fingerprints import spelled
from photoz_ssl.survey.tables.checksums import write_checksums
from photoz_ssl.survey.tables.headers import (
    LONG_STRINGS,
    Card,
    TableColumn,
    column_cards,
    storable,
    write_card,
    write_cards,
)

__all__ = [
    "STDOUT",
    "Rows",
    "TableFile",
    "TableWriter",
    "Tables",
    "claim_table",
    "scratch_tables",
    "write_table",
    "write_tables",
]

STDOUT = "-"
"""The path that stands for standard output."""

SPARE_CARDS = 36
"""Cards that can be added to a header after the rows without moving them."""

CFITSIO_WRITE_ERRORS = re.compile(r"FITSIO status = (105|106|110)\b")
"""What CFITSIO reports when a file can neither be created, written nor closed."""

CFITSIO_SYNTAX = re.compile(r"[\[\]()!+]|://|\.gz$|\.Z$|\.bz2$", re.IGNORECASE)
"""What CFITSIO would not take for a plain file name."""


class Rows(Protocol):
    """A table that takes rows; see `TableWriter`."""

    def append(self, rows: NDArray[np.void]) -> None:
        """Write rows below those that are there."""


class Tables(Protocol):
    """A file, or a stream, that takes one table after the other; see `TableFile`."""

    def table(
        self,
        extname: str,
        columns: Sequence[TableColumn],
        dtype: np.dtype[Any],
        cards: Sequence[Card] = (),
        *,
        n_rows: int | None = None,
    ) -> Rows:
        """Begin the next table."""


class TableWriter:
    """Appends rows to a table; see `write_table`."""

    def __init__(self, hdu: Any, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.n_rows = 0
        self._hdu = hdu

    def append(self, rows: NDArray[np.void]) -> None:
        """Write rows below those that are there.

        Parameters
        ----------
        rows : structured ndarray, shape (n,)
            Its fields are the table's columns. Letters that are not ASCII become ``?``.
        """
        if len(rows) == 0:
            return
        plain = np.empty(len(rows), dtype=self.dtype)
        for name in plain.dtype.names or ():
            values = rows[name]
            plain[name] = _ascii(values) if values.dtype.kind == "U" else values
        self._hdu.write(plain, firstrow=self.n_rows)
        self.n_rows += len(rows)

    def write_card(self, keyword: str, value: str | int | float | bool, comment: str) -> None:
        """Write, or replace, a header card that is only known once the rows are."""
        write_card(self._hdu, (keyword, value, comment))


class TableFile:
    """Writes tables one after the other into a file; see `write_tables`."""

    def __init__(self, fits: Any) -> None:
        self._fits = fits
        fits.create_image_hdu(None)
        write_cards(fits[0], ())

    def table(
        self,
        extname: str,
        columns: Sequence[TableColumn],
        dtype: np.dtype[Any],
        cards: Sequence[Card] = (),
        *,
        n_rows: int | None = None,
    ) -> TableWriter:
        """Begin the file's next table; the table before it is then complete.

        Parameters
        ----------
        extname : str
            Name of the HDU.
        columns : sequence of TableColumn
            One for each field of ``dtype``, in the same order.
        dtype : numpy dtype
            Structured; strings are stored as ASCII.
        cards : sequence of (keyword, value, comment)
            Header cards; strings may be long.
        n_rows : int, optional
            How many rows there will be, where somebody knows; not needed here.
        """
        kind = storable(dtype)
        if [column.name for column in columns] != list(kind.names or ()):
            raise ValueError("the columns described are not those of the dtype")
        of_columns = column_cards(columns, kind)
        self._fits.create_table_hdu(
            dtype=kind,
            extname=extname,
            units=[column.unit for column in columns],
            header=[None] * (len(of_columns) + len(cards) + SPARE_CARDS),
        )
        hdu = self._fits[-1]
        write_cards(hdu, [LONG_STRINGS, *of_columns, *cards])
        return TableWriter(hdu, kind)

    def offsets(self) -> list[tuple[int, int, int]]:
        """Where each HDU's header and data start, and where it ends, in bytes."""
        self._fits.reopen()
        found = [hdu.get_offsets() for hdu in self._fits]
        return [(place["header_start"], place["data_start"], place["data_end"]) for place in found]


@contextmanager
def write_table(
    path: str,
    *,
    extname: str,
    columns: Sequence[TableColumn],
    dtype: np.dtype[Any],
    cards: Sequence[Card] = (),
    overwrite: bool = False,
) -> Iterator[TableWriter]:
    """Write a FITS file with one binary table, in bounded memory.

    The file appears under its name when the block ends, and not at all if it fails. Each
    HDU has CHECKSUM, DATASUM and DATE; the same rows give the same bytes where
    SOURCE_DATE_EPOCH is set.

    Parameters
    ----------
    path : str
        File to write, compressed where it ends in ``.gz``; ``-`` is standard output.
    extname, columns, dtype, cards
        As `TableFile.table`.
    overwrite : bool
        Whether an existing file may be replaced.

    Yields
    ------
    TableWriter
        Takes the rows.

    Raises
    ------
    OutputError
        If the file exists already or cannot be written, or if standard output is a terminal.
    """
    with write_tables(path, overwrite=overwrite) as file:
        yield file.table(extname, columns, dtype, cards)


@contextmanager
def write_tables(path: str, *, overwrite: bool = False) -> Iterator[TableFile]:
    """Write a FITS file of several tables, as `write_table` does one."""
    claim_table(path, overwrite=overwrite)
    if path == STDOUT:
        with _staged(Path(tempfile.gettempdir(), "standard-output.fits"), None) as staged:
            with _fits_file(staged) as file:
                yield file
            with staged.open("rb") as finished, output_errors(Path("standard output")):
                shutil.copyfileobj(finished, sys.stdout.buffer, 1 << 20)
                sys.stdout.buffer.flush()
    elif path.lower().endswith(".gz"):
        target = Path(path)
        replacing = atomic_output(target, overwrite=overwrite)
        with replacing as temporary, _staged(target, target.parent) as staged:
            with _fits_file(staged) as file:
                yield file
            _compress(staged, temporary)
    else:
        target = Path(path)
        replacing = atomic_output(target, overwrite=overwrite)
        with replacing as temporary, _cfitsio_errors(target), _fits_file(temporary) as file:
            yield file


@contextmanager
def scratch_tables(path: Path) -> Iterator[TableFile]:
    """A FITS file for scratch, made anew, without care for checksums or a crash."""
    path.unlink(missing_ok=True)
    with _cfitsio_errors(path), fitsio.FITS(str(path), "rw") as fits:
        yield TableFile(fits)


def claim_table(path: str, *, overwrite: bool) -> None:
    """Refuse an output that `write_table` would refuse, before any work is done for it.

    Raises
    ------
    OutputError
        If the file exists already, its folder does not, or standard output is a terminal.
    """
    if path != STDOUT:
        claim_output(Path(path), overwrite=overwrite)
    elif sys.stdout.isatty():
        raise OutputError(
            "a FITS table is not written to a terminal",
            "redirect standard output or name a file with --output",
        )


@contextmanager
def _staged(target: Path, folder: Path | None) -> Iterator[Path]:
    """A name in a temporary folder for a file that is not the output itself."""
    with (
        output_errors(target),
        _cfitsio_errors(target),
        tempfile.TemporaryDirectory(prefix=".photoz-ssl-", dir=folder) as staging,
    ):
        yield Path(staging) / "table.fits"


def _compress(source: Path, target: Path) -> None:
    """Gzip a file, without a name or time inside."""
    with (
        source.open("rb") as plain,
        target.open("xb") as packed,
        gzip.GzipFile("", "wb", fileobj=packed, mtime=0) as compressor,
    ):
        shutil.copyfileobj(plain, compressor, 1 << 20)


@contextmanager
def _fits_file(path: Path) -> Iterator[TableFile]:
    """Create a FITS file; fill in its checksums when the block ends."""
    with _plain_name(path) as name:
        fits = fitsio.FITS(name, "rw")
        try:
            file = TableFile(fits)
            yield file
            offsets = file.offsets()
        finally:
            fits.close()
    if path.stat().st_size < offsets[-1][-1]:  # CFITSIO does not always tell of a full disk
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    write_checksums(path, offsets)


@contextmanager
def _plain_name(path: Path) -> Iterator[str]:
    """A name by which CFITSIO creates the file.

    Brackets in a path mean other things to it, and bytes that are no letters nothing.
    """
    if not CFITSIO_SYNTAX.search(str(path)) and spelled(str(path)) == str(path):
        yield str(path)
        return
    with tempfile.TemporaryDirectory(prefix="photoz-ssl-") as folder:
        link = Path(folder) / "table.fits"
        link.symlink_to(path.absolute())
        yield str(link)


@contextmanager
def _cfitsio_errors(path: Path) -> Iterator[None]:
    """Tell of a full disk, which CFITSIO reports without the system's error number."""
    try:
        yield
    except OSError as error:
        if error.errno is None and CFITSIO_WRITE_ERRORS.search(str(error)):
            raise OutputError(
                f"{path} could not be written: the disk is full, or the folder read-only",
                "free some space or choose another --output",
            ) from error
        raise


def _ascii(values: NDArray[np.str_]) -> NDArray[np.bytes_]:
    return np.asarray(np.char.encode(values, "ascii", "replace"))
