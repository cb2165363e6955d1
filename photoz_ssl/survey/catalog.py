"""Catalogues, read in blocks of rows, with CFITSIO's file-name syntax."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import CatalogError
from photoz_ssl.files import scratch_folder, temporary_errors
from photoz_ssl.fingerprints import file_and_selection
from photoz_ssl.survey.named_columns import NamedColumns
from photoz_ssl.survey.plain_table import plain_table
from photoz_ssl.survey.tables.table_file import (
    SHOWN_STDIN,
    cards_of,
    dtype_of,
    file_name,
    read_rows,
    reason_of,
    refuse_damage,
    table_hdu,
)
from photoz_ssl.survey.tables.table_stream import open_stream

__all__ = ["Catalog", "has_beside", "open_beside", "open_catalog", "selected_rows"]

CONDITION = re.compile(r"(\[[^\[\]]*\])?\[([^\[\]]+)\]")
"""Brackets that name a table, or none, and that select rows of it."""

STDIN = "-"

MOST_TABLES = 10
"""That a hint lists."""


@dataclass(frozen=True)
class Catalog(NamedColumns):
    """A table of galaxies opened for reading.

    Parameters
    ----------
    path : str
        As the user named it.
    folder : Path
        Where file names in it are relative to.
    n_rows : int
        Its rows; 0 only where `open_catalog` was told that it may be empty.
    dtype : numpy dtype
        Structured: its columns, in native byte order, text as bytes.
    cards : dict of str to dict
        For each column its TFORM, TUNIT, TUCD, TDISP, TCOMM and TNULL cards, where it has them.
    hdu : HDU of fitsio
        Where its rows are read from.
    file : str
        The FITS file of that, unpacked and rewritten where need be; empty for a stream.
    selection : str
        What stands in brackets behind its name.
    left_out : tuple of str
        Columns of a file in another format that FITS cannot have.
    """

    path: str
    folder: Path
    n_rows: int
    dtype: np.dtype[Any]
    cards: dict[str, dict[str, str]]
    hdu: Any
    file: str = ""
    selection: str = ""
    left_out: tuple[str, ...] = ()

    def or_another_table(self, hint: str) -> str:
        """A hint, and what else may help: other tables of the file, where none was named."""
        if not self.file or self.selection:
            return hint
        with fitsio.FITS(self.file) as file:
            tables = [hdu for hdu in file if hdu.get_exttype() != "IMAGE_HDU"]
            names = [f"[{hdu.get_extname() or hdu.get_extnum()}]" for hdu in tables[1:]]
        if not names:
            return hint
        others = " or ".join(names[:MOST_TABLES])
        return f"{hint}; or name another table than the first, as {others} behind the file"

    def read(self, start: int, stop: int) -> NDArray[np.void]:
        """Rows ``start`` to ``stop``, without the latter.

        Raises
        ------
        CatalogError
            If the file cannot be read there.
        """
        rows = read_rows(self.hdu, start, stop, self.path)
        table = np.empty(len(rows), self.dtype)
        for name in self.names:
            values = rows[name]
            if values.dtype.kind == "U":
                values = np.char.encode(values, "ascii", "replace")
            table[name] = values
        return table


@contextmanager
def open_catalog(
    path: str, *, streaming: bool = False, may_be_empty: bool = False
) -> Iterator[Catalog]:
    """Open a table: FITS, or VOTable, Parquet, ECSV or qp, which is first rewritten as FITS.

    Parameters
    ----------
    path : str
        A path in CFITSIO's syntax, such as ``cat.fits[1][R < 17.8]``, or ``-`` for a table on
        standard input. Where it names no HDU, the first table is read.
    streaming : bool
        Whether rows are asked for in order, so that a table on standard input need not be
        there as a whole before its first row is read.
    may_be_empty : bool
        Whether a table without rows, as of a selection that nothing meets, is no error.

    Raises
    ------
    CatalogError
        If it is missing, damaged, truncated, holds no table, or has no rows and should.
    """
    with _opened_anywhere(path, streaming) as catalog:
        if not (catalog.n_rows or may_be_empty):
            raise _without_rows(catalog)
        yield catalog


def _without_rows(catalog: Catalog) -> CatalogError:
    if catalog.selection:
        return CatalogError(f"{catalog.path} selects no rows", "check what its brackets ask for")
    return CatalogError(f"{catalog.path} has no rows", "name a table with galaxies")


@contextmanager
def _opened_anywhere(path: str, streaming: bool) -> Iterator[Catalog]:
    if path == STDIN and streaming:
        with _streamed_stdin() as catalog:
            yield catalog
    elif path == STDIN or path.startswith(f"{STDIN}["):
        shown = f"{SHOWN_STDIN}{path[1:]}"
        with _spooled_stdin() as spooled, _opened(shown, spooled + path[1:], Path()) as catalog:
            yield catalog
    else:
        path = _with_brackets(path)
        folder = Path(file_name(path)).parent if "://" not in path else Path()
        with _opened(path, path, folder) as catalog:
            yield catalog


@contextmanager
def _streamed_stdin() -> Iterator[Catalog]:
    """The table on standard input, read as it comes where its form allows that."""
    shown = SHOWN_STDIN
    _require_stdin()
    with scratch_folder(f"for {shown}") as folder:
        stream, seen = open_stream(sys.stdin.buffer, folder)
        if stream is None:
            with _spooled_stdin(seen) as spooled, _opened(shown, spooled, Path()) as catalog:
                yield catalog
        else:
            n_rows, dtype = stream.get_nrows(), dtype_of(shown, stream)
            yield Catalog(shown, Path(), n_rows, dtype, cards_of(stream, dtype), stream)


def _require_stdin() -> None:
    if sys.stdin is None or sys.stdin.isatty():
        raise CatalogError("there is no table on standard input", "pipe one in or name a file")


@contextmanager
def _spooled_stdin(seen: bytes = b"") -> Iterator[str]:
    """Copy standard input to a temporary file, as CFITSIO has to seek in it.

    What has been read of it already comes first.
    """
    _require_stdin()
    with (
        temporary_errors(f"for {SHOWN_STDIN}"),
        closing(tempfile.NamedTemporaryFile(suffix=".fits")) as file,
    ):
        file.write(seen)
        shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
        file.flush()
        yield file.name


@contextmanager
def _opened(shown: str, path: str, folder: Path) -> Iterator[Catalog]:
    with plain_table(path, shown=file_name(shown)) as (name, left_out):
        refuse_damage(shown, name)
        try:
            file = fitsio.FITS(name)
        except (OSError, ValueError) as error:
            hint = "copy it again"
            if "://" in name:
                hint = "download it, and name the copy"
            elif "[" in name:
                hint = "check the HDU and the selection in its brackets"
            raise CatalogError(f"{shown} cannot be read: {reason_of(error, name)}", hint) from error
        with file:
            hdu = table_hdu(shown, name, file)
            n_rows = int(hdu.get_nrows())
            dtype = dtype_of(shown, hdu)
            cards = cards_of(hdu, dtype)
            plain, selection = file_and_selection(name)
            yield Catalog(shown, folder, n_rows, dtype, cards, hdu, plain, selection, left_out)


def has_beside(catalog: Catalog, extname: str) -> bool:
    """Whether the file of a catalogue that is open has another table of this name."""
    with fitsio.FITS(catalog.file) as file:
        return extname in [hdu.get_extname() for hdu in file]


@contextmanager
def open_beside(catalog: Catalog, extname: str) -> Iterator[Catalog]:
    """Open another table of the file of a catalogue that is open, whatever rows were selected.

    Raises
    ------
    CatalogError
        As `open_catalog`.
    """
    shown = f"{file_name(catalog.path)}[{extname}]"
    with _opened(shown, f"{catalog.file}[{extname}]", catalog.folder) as table:
        if not table.n_rows:
            raise _without_rows(table)
        yield table


def selected_rows(catalog: Catalog) -> NDArray[np.int64] | None:
    """Which rows of its table, from 0, are those of a catalogue that a condition selected.

    Returns
    -------
    ndarray, shape (n_rows,), or None
        None where its brackets are of another kind, such as ``[col ...]``.
    """
    match = CONDITION.fullmatch(catalog.selection)
    if match is None:
        return None
    try:
        with fitsio.FITS(catalog.file) as file:
            table = table_hdu(catalog.path, f"{catalog.file}{match[1] or ''}", file)
            rows = np.asarray(table.where(match[2]), np.int64)
    except (CatalogError, OSError, ValueError):
        return None
    return rows if len(rows) == catalog.n_rows else None


def _with_brackets(path: str) -> str:
    """``cat.fits+1``, CFITSIO's other way of naming an HDU, as ``cat.fits[1]``."""
    match = re.fullmatch(r"([^\[]+)\+(\d+)(\[.*)?", path, re.DOTALL)
    if match is None or Path(file_name(path)).exists() or not Path(match[1]).exists():
        return path
    return f"{match[1]}[{match[2]}]{match[3] or ''}"
