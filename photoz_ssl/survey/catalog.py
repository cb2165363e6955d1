"""Catalogues, read in blocks of rows, with CFITSIO's file-name syntax."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import CatalogError, columns_hint
from photoz_ssl.files import file_and_selection, temporary_errors
from photoz_ssl.survey.angles import degrees_of
from photoz_ssl.survey.carried import RENAMED
from photoz_ssl.survey.headers import null_in, null_of
from photoz_ssl.survey.plain_table import plain_table
from photoz_ssl.survey.table_file import (
    cards_of,
    dtype_of,
    file_name,
    read_rows,
    reason_of,
    refuse_damage,
    table_hdu,
)
from photoz_ssl.survey.table_stream import open_stream

__all__ = ["Catalog", "open_beside", "open_catalog", "selected_rows"]

ID_NAMES = (
    *("OBJID", "OBJ_ID", "OBJECTID", "OBJECT_ID", "ID", "SOURCE_ID"),
    *("BESTOBJID", "SPECOBJID", "TARGETID"),
)
RA_NAMES = ("RA", "RAJ2000", "_RAJ2000", "RA_ICRS", "RADEG", "ALPHA_J2000", "RA_J2000")
DEC_NAMES = ("DEC", "DEJ2000", "_DEJ2000", "DE_ICRS", "DEDEG", "DELTA_J2000", "DEC_J2000", "DECL")
REDSHIFT_NAMES = ("Z_SPEC", "SPECZ_REDSHIFT", "ZSPEC", "SPECZ", "SPEC_Z", "REDSHIFT", "Z")
CARRIED_REDSHIFT = f"Z{RENAMED}"
"""What a table that `predict` wrote calls its input's ``Z``, beside a ``z`` of its own."""

ESTIMATED_BESIDE = ("ZMEDIAN", "PHOTOERRORCLASS", "NNCOUNT")
"""Columns of redshift tables in SDSS's style, ours and CasJobs', whose ``z`` is an estimate."""

REDSHIFT_ERROR_NAMES = ("Z_SPEC_ERR", "SPECZ_REDSHIFT_ERR", "ZSPEC_ERR", "SPECZ_ERR", "Z_ERR")
SPLIT_NAMES = ("SPLIT",)

CONDITION = re.compile(r"(\[[^\[\]]*\])?\[([^\[\]]+)\]")
"""Brackets that name a table, or none, and that select rows of it."""

ANGLES = ("deg", "degree", "degrees", "rad", "radian", "h", "hour", "hourangle")
DEGREES = {"rad": 180 / np.pi, "radian": 180 / np.pi, "h": 15.0, "hour": 15.0, "hourangle": 15.0}
"""Degrees in the units of angle, other than degrees, that a position may have."""

STDIN = "-"


@dataclass(frozen=True)
class Catalog:
    """A table of galaxies opened for reading.

    Parameters
    ----------
    path : str
        As the user named it.
    folder : Path
        Where file names in it are relative to.
    n_rows : int
        Its rows; never 0.
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
    """

    path: str
    folder: Path
    n_rows: int
    dtype: np.dtype[Any]
    cards: dict[str, dict[str, str]]
    hdu: Any
    file: str = ""
    selection: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of its columns, in order."""
        return self.dtype.names or ()

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

    def find(
        self, candidates: Sequence[str], *, ucd: str = "", units: Sequence[str] = ("",)
    ) -> str | None:
        """The first column with one of these names, whatever its case, or with this UCD.

        A UCD alone is believed only beside one of the units: a program that drops a column,
        and does not know of UCDs, leaves its UCD to the next one.
        """
        by_name = {name.upper(): name for name in reversed(self.names)}
        for candidate in candidates:
            if candidate.upper() in by_name:
                return by_name[candidate.upper()]
        for name in self.names if ucd else ():
            words = self.cards[name].get("TUCD", "").lower().split(";")
            unit = self.cards[name].get("TUNIT", "").strip().lower()
            if words[: ucd.count(";") + 1] == ucd.split(";") and unit in units:
                return name
        return None

    def require(self, name: str, purpose: str, option: str = "") -> str:
        """The column that the user named, or could name otherwise with an option.

        Raises
        ------
        CatalogError
            If there is none of that name.
        """
        found = self.find((name,))
        if found is None:
            columns = columns_hint(self.names)
            raise CatalogError(
                f"{self.path} has no column {name} {purpose}",
                f"name it with {option}; {columns}" if option else columns,
            )
        return found

    def is_number(self, name: str) -> bool:
        """Whether a column holds one real number a row."""
        kind = self.dtype[name]
        return kind.kind in "iuf" and kind.shape == ()

    def null(self, name: str) -> int | None:
        """The integer that stands for no value in a column; None where there is none."""
        return null_in(self.dtype[name], null_of(self.cards[name]))

    def id_column(self) -> str | None:
        """The column of ids, found by its name, or by its UCD if it holds whole numbers or text."""
        name = self.find(ID_NAMES)
        if name is None:
            name = self.find((), ucd="meta.id;meta.main")
            name = name if name and self.dtype[name].kind in "iuS" else None
        return name

    def position_columns(self) -> tuple[str | None, str | None]:
        """The columns of right ascension and declination, numbers or text; both or neither."""
        ra = self.find(RA_NAMES, ucd="pos.eq.ra", units=ANGLES)
        dec = self.find(DEC_NAMES, ucd="pos.eq.dec", units=ANGLES)
        if ra is None or dec is None or not (self._is_angle(ra) and self._is_angle(dec)):
            return None, None
        return ra, dec

    def _is_angle(self, name: str) -> bool:
        """Whether a column may hold an angle a row: a number, or one written as text."""
        return self.is_number(name) or (
            self.dtype[name].kind == "S" and self.dtype[name].shape == ()
        )

    def redshift_columns(self) -> tuple[str | None, str | None]:
        """The columns of spectroscopic redshift and its error.

        A column ``Z`` beside one named ``R`` or ``G`` is a magnitude, not a redshift, and one
        that was predicted is none to learn from.
        """
        redshift = self.find(REDSHIFT_NAMES, ucd="src.redshift")
        if redshift is not None and redshift.upper() == "Z":
            if self._is_estimated(redshift):
                redshift = self.find((CARRIED_REDSHIFT,))
            if self.find(("R", "G")):
                redshift = None
        if redshift is not None and not self.is_number(redshift):
            redshift = None
        error = self.find(REDSHIFT_ERROR_NAMES) if redshift else None
        return redshift, error if error and self.is_number(error) else None

    def _is_estimated(self, name: str) -> bool:
        """Whether a column of redshifts holds photometric ones, by its UCD or its neighbours."""
        ucd = self.cards[name].get("TUCD", "").lower()
        return ucd.startswith("src.redshift.phot") or self.find(ESTIMATED_BESIDE) is not None

    def split_column(self) -> str | None:
        """The column that says train, valid or test."""
        name = self.find(SPLIT_NAMES)
        return name if name is not None and self.dtype[name].kind == "S" else None

    def degrees(self, rows: NDArray[np.void], name: str) -> NDArray[np.float64]:
        """A column of angles, shape (n,), in degrees whatever its unit.

        Of text such as ``10:00:00`` those of right ascension are hours, unless the column says
        that they are degrees.
        """
        unit = self.cards[name].get("TUNIT", "").strip().lower()
        factor = DEGREES.get(unit, 1.0)
        if self.dtype[name].kind == "S":
            hours = name == self.position_columns()[0] and unit not in ANGLES[:3]
            return degrees_of(rows[name], hours=hours, factor=factor)
        return np.asarray(rows[name], dtype=np.float64) * factor


@contextmanager
def open_catalog(path: str, *, streaming: bool = False) -> Iterator[Catalog]:
    """Open a table: FITS, or VOTable, Parquet, ECSV or qp, which is first rewritten as FITS.

    Parameters
    ----------
    path : str
        A path in CFITSIO's syntax, such as ``cat.fits[1][R < 17.8]``, or ``-`` for a table on
        standard input. Where it names no HDU, the first table is read.
    streaming : bool
        Whether rows are asked for in order, so that a table on standard input need not be
        there as a whole before its first row is read.

    Raises
    ------
    CatalogError
        If it is missing, damaged, truncated, holds no table, or has no rows.
    """
    if path == STDIN and streaming:
        with _streamed_stdin() as catalog:
            yield catalog
    elif path == STDIN or path.startswith(f"{STDIN}["):
        shown = f"the table on standard input{path[1:]}"
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
    shown = "the table on standard input"
    _require_stdin()
    with (
        temporary_errors(f"for {shown}"),
        tempfile.TemporaryDirectory(prefix="photoz-ssl-") as folder,
    ):
        stream, seen = open_stream(sys.stdin.buffer, Path(folder))
        if stream is None:
            with _spooled_stdin(seen) as spooled, _opened(shown, spooled, Path()) as catalog:
                yield catalog
        elif stream.get_nrows() <= 0:
            raise CatalogError(f"{shown} has no rows", "name a table with galaxies")
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
        temporary_errors("for the table on standard input"),
        tempfile.NamedTemporaryFile(suffix=".fits") as file,
    ):
        file.write(seen)
        shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
        file.flush()
        yield file.name


@contextmanager
def _opened(shown: str, path: str, folder: Path) -> Iterator[Catalog]:
    with plain_table(path, shown=file_name(shown)) as name:
        refuse_damage(shown, name)
        try:
            file = fitsio.FITS(name)
        except (OSError, ValueError) as error:
            raise CatalogError(
                f"{shown} cannot be read: {reason_of(error, name)}",
                "check the HDU and the selection in its brackets"
                if "[" in name
                else "copy it again",
            ) from error
        with file:
            hdu = table_hdu(shown, name, file)
            n_rows = int(hdu.get_nrows())
            if n_rows == 0 and "[" in name:
                raise CatalogError(f"{shown} selects no rows", "check what its brackets ask for")
            if n_rows == 0:
                raise CatalogError(f"{shown} has no rows", "name a table with galaxies")
            dtype = dtype_of(shown, hdu)
            cards = cards_of(hdu, dtype)
            plain, selection = file_and_selection(name)
            yield Catalog(shown, folder, n_rows, dtype, cards, hdu, plain, selection)


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
