"""A FITS table as its file holds it, which may be cut off, damaged, or not what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
from fitsio.hdu import AsciiTableHDU, TableHDU
from numpy.typing import NDArray

from photoz_ssl.errors import CatalogError
from photoz_ssl.fingerprints import file_and_selection
from photoz_ssl.survey.raw_headers import refuse_absurd_tiles, repeated_structure

__all__ = [
    "SHOWN_STDIN",
    "by_stilts",
    "cards_of",
    "dtype_of",
    "file_name",
    "read_rows",
    "reason_of",
    "refuse_damage",
    "table_hdu",
]

SHOWN_STDIN = "the table on standard input"
"""What a table on standard input is called."""

CARDS = ("TFORM", "TUNIT", "TUCD", "TDISP", "TCOMM", "TNULL")

INTEGER_FORM = re.compile(r"\d*([BIJK])(?![0-9])")
"""TFORM of a binary table's column that is stored as integers."""

INTEGER_BYTES = {"B": 1, "I": 2, "J": 4, "K": 8}

OTHER_SUFFIXES = {".csv": "csv", ".tsv": "tst"}
"""What stilts calls the tables of text that are not read, by their suffixes."""

HDF5 = b"\x89HDF"

NO_TABLES = (
    b"\x89PNG",
    b"\xff\xd8\xff",
    b"GIF8",
    b"%PDF",
    b"<!DOCTYPE",
    b"<html",
    b"{",
)
"""First bytes of files in which stilts would find no table, in any case."""

EXTENSION = b"XTENSION"
"""How the header of every HDU but the first begins."""

PACKED_FOR_CFITSIO = (b"\x1f\x9d", b"\x1f\x1e", b"\x1f\xa0", b"PK")
"""First bytes of what compress, pack, lzh and zip make, which CFITSIO unpacks itself."""


def file_name(path: str) -> str:
    """The path without what CFITSIO is to select, which follows it in brackets."""
    return file_and_selection(path)[0]


def reason_of(error: Exception, path: str) -> str:
    """The first of CFITSIO's messages that is not about itself or the file's name."""
    if isinstance(error, UnicodeDecodeError):
        return "a header has letters that are not ASCII"
    text = re.sub(r",\s*\n\s*", ", ", str(error))
    first, *others = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    names = (path, file_name(path))
    telling = (
        line for line in others if not (line.endswith(":") or "ffopen" in line or line in names)
    )
    reason = next(telling, first.partition(": ")[2] or first or type(error).__name__)
    return re.sub(r"^ff\w+ ", "", reason).rstrip(".")


def refuse_damage(shown: str, path: str) -> None:
    """Refuse a local file that is missing, not FITS, or shorter than its headers promise."""
    if "://" in path:
        return
    name = Path(file_name(path))
    if not file_name(path).strip():
        raise CatalogError("no catalogue is named", "name a FITS table, or - for standard input")
    if not name.exists():
        raise CatalogError(f"there is no catalogue {file_name(shown)}", "check the path")
    if name.is_dir():
        raise CatalogError(f"{file_name(shown)} is a folder", "name a FITS table")
    with name.open("rb") as stream:
        start = stream.read(80)
    if not start:
        raise CatalogError(f"{file_name(shown)} is an empty file", "copy or make it again")
    if start.startswith(PACKED_FOR_CFITSIO):
        return
    if start.startswith(HDF5):
        raise CatalogError(
            f"{file_name(shown)} is an HDF5 file, but none of qp's",
            "an archive is named without brackets, where galaxies are asked for;"
            " its redshifts are in the table that photoz-ssl predict writes",
        )
    if not start.startswith(b"SIMPLE  ="):
        raise CatalogError(
            f"{file_name(shown)} is not a FITS file", _what_else(file_name(shown), start)
        )
    _refuse_truncated(file_name(shown), name)


def _what_else(shown: str, start: bytes) -> str:
    """What to do with a file of another kind, or with standard input where it is no file."""
    name = Path(shown)
    unknown = b"\0" in start and name.suffix.lower() not in OTHER_SUFFIXES  # no text, either
    if unknown or start.lower().startswith(tuple(first.lower() for first in NO_TABLES)):
        return "name a table: FITS, VOTable, Parquet, ECSV or qp"
    first = start.partition(b"\n")[0]
    semicolons = b";" in first and b"," not in first
    usual = "csv" if b"," in first or semicolons else "ascii"
    kind = OTHER_SUFFIXES.get(name.suffix.lower(), usual)
    line = by_stilts(shown, kind, semicolons=semicolons and kind == "csv")
    return f"convert it, for example with: {line}"


def by_stilts(shown: str, kind: str, *, semicolons: bool = False) -> str:
    """The line that makes a FITS table beside a file, or of standard input where it is no file."""
    name = Path(shown)
    made = name.with_suffix(".fits")
    if made == name:
        made = name.with_name(f"{name.stem}-table.fits")
    source, target = map(shlex.quote, (shown, str(made)) if name.exists() else ("-", "-"))
    first = ""
    if semicolons:  # for stilts commas part values
        first = "tr ';' ',' | " if source == "-" else f"tr ';' ',' < {source} | "
        source = "-"
    return f"{first}stilts tpipe in={source} ifmt={kind} ofmt=fits out={target}"


def _refuse_truncated(shown: str, name: Path) -> None:
    size = name.stat().st_size
    try:
        refuse_absurd_tiles(name)
        with fitsio.FITS(str(name)) as file:
            promised, n_whole = max(int(hdu.get_offsets()["data_end"]) for hdu in file), len(file)
    except (OSError, ValueError) as error:
        raise CatalogError(
            f"{shown} is damaged: {reason_of(error, str(name))}", "copy or make it again"
        ) from error
    if promised > size:
        raise CatalogError(
            f"{shown} is truncated: it has {size} of the {promised} bytes its headers promise",
            "copy or make it again",
        )
    with name.open("rb") as stream:
        stream.seek(promised)
        if stream.read(len(EXTENSION)) == EXTENSION:  # CFITSIO takes no notice of it
            raise CatalogError(
                f"{shown} is truncated or damaged: the header of its HDU {n_whole} has no end",
                "copy or make it again",
            )


def table_hdu(shown: str, path: str, file: Any) -> Any:
    """The HDU in the path's first brackets, else the first table."""
    try:
        tables = [hdu for hdu in file if hdu.get_exttype() != "IMAGE_HDU"]
    except (OSError, ValueError) as error:
        raise CatalogError(
            f"{shown} is damaged: {reason_of(error, path)}", "copy it again"
        ) from error
    bracket = re.match(r"[^\[]*\[\s*([^\]]*?)\s*\]", path)
    if bracket and re.fullmatch(r"\d+|[A-Za-z_]\w*(\s*,\s*\d+)?", bracket[1]):
        wanted = bracket[1].partition(",")[0].strip()
        index = int(wanted) if wanted.isdigit() else wanted.upper()
        tables = [hdu for hdu in tables if index in (hdu.get_extnum(), hdu.get_extname().upper())]
    if not tables:
        there = " in that HDU" if bracket else ""
        raise CatalogError(f"{shown} holds no table{there}", "name a FITS file with a table HDU")
    return tables[0]


def read_rows(hdu: Any, start: int, stop: int, shown: str) -> NDArray[np.void]:
    """Rows from start to stop, structured, shape (stop - start,); a `CatalogError` if damaged."""
    try:
        rows = _with_bits(hdu, np.asarray(hdu[start:stop]), start)
        return _with_nulls_of_text(hdu, rows, start)
    except UnicodeDecodeError as error:
        name = _of_other_letters(hdu, start, stop)
        raise CatalogError(
            f"rows {start + 1} to {stop} of {shown} have text that is not ASCII, in {name}",
            f"leave that column out with brackets: '{_selecting(hdu, shown)}[col -{name}]'",
        ) from error
    except (OSError, ValueError) as error:
        raise CatalogError(
            f"rows {start + 1} to {stop} of {shown} cannot be read",
            "the file is damaged; copy or make it again",
        ) from error


def _with_bits(hdu: Any, rows: NDArray[np.void], start: int) -> NDArray[np.void]:
    """The rows with their columns of bits, which fitsio leaves packed where there are lists."""
    small = [name for name in rows.dtype.names or () if rows.dtype[name].base == np.int8]
    if not small or not isinstance(hdu, TableHDU):
        return rows
    forms = dict(zip(rows.dtype.names or (), _forms(hdu), strict=True))
    bits = [name for name in small if forms[name].endswith("X")]
    if not bits:
        return rows
    kinds = [
        (name, bool if name in bits else rows.dtype[name].base, rows.dtype[name].shape)
        for name in rows.dtype.names or ()
    ]
    unpacked = np.empty(len(rows), kinds)
    for name in rows.dtype.names or ():
        unpacked[name] = hdu[name][start : start + len(rows)] if name in bits else rows[name]
    return unpacked


def _with_nulls_of_text(hdu: Any, rows: NDArray[np.void], start: int) -> NDArray[np.void]:
    """The rows with what stands for no value where a table of text says that there is none.

    Fitsio reads 0 there.
    """
    if not isinstance(hdu, AsciiTableHDU):
        return rows
    header = hdu.read_header()
    for number, name in enumerate(rows.dtype.names or (), start=1):
        kind, null = rows.dtype[name], header.get(f"TNULL{number}")
        if kind.kind in "if" and null is not None:
            missing = hdu.where(f"ISNULL(${name}$)", start, start + len(rows))
            rows[name][missing] = np.nan if kind.kind == "f" else _integer_for(null, kind)
    return rows


def _integer_for(null: Any, kind: np.dtype[Any]) -> int:
    """The integer that stands for no value where a table of text has a word that does."""
    try:
        return int(null)
    except ValueError:
        return int(np.iinfo(kind).min)


def _selecting(hdu: Any, shown: str) -> str:
    """What names a table, as it is to be named where a column of it is left out."""
    source, selection = file_and_selection(shown)
    source = "-" if source == SHOWN_STDIN else source
    return f"{source}{selection or f'[{hdu.get_extnum()}]'}"


def _forms(hdu: Any) -> list[str]:
    header = hdu.read_header()
    return [str(header[f"TFORM{number + 1}"]).strip() for number in range(header["TFIELDS"])]


def _of_other_letters(hdu: Any, start: int, stop: int) -> str:
    """The first column whose text fitsio does not take."""
    for name in hdu.get_colnames():
        try:
            hdu.read_column(name, rows=range(start, stop))
        except UnicodeDecodeError:
            return str(name)
    return "COLUMN"


def dtype_of(shown: str, hdu: Any) -> np.dtype[Any]:
    """The columns' kinds, as a row that is read has them; a `CatalogError` if there are none."""
    try:
        _refuse_misread(shown, hdu)
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise CatalogError(
            f"the header of {shown} is damaged: {reason_of(error, shown)}", "copy or make it again"
        ) from error
    row = read_rows(hdu, 0, 1, shown)
    fields = []
    for name in row.dtype.names or ():
        kind, shape = row.dtype[name].base, row.dtype[name].shape
        if kind.kind == "U":
            kind = np.dtype(f"S{max(kind.itemsize // 4, 1)}")
        fields.append((name, kind.newbyteorder("="), shape))
    return np.dtype(fields)


def _refuse_misread(shown: str, hdu: Any) -> None:
    """Refuse a table of which fitsio believes something else than its file says.

    Where it takes rows to be shorter than they are, CFITSIO would write over other memory.
    """
    cards = hdu.read_header_list()
    values = {card["name"]: card["value"] for card in cards if card["name"]}
    again = "copy or make it again"
    if repeated := repeated_structure(card["name"] for card in cards):
        raise CatalogError(f"{shown} is damaged: its header has {repeated} more than once", again)
    if not values.get("TFIELDS"):
        raise CatalogError(f"{shown} has no columns", "name a table with galaxies")
    _refuse_namesakes(shown, hdu, values)
    row = hdu.get_rec_dtype()[0]
    _refuse_scaled(shown, row, values)
    width = values["NAXIS1"]
    if _is_read_whole(values) and row.itemsize != width:
        problem = f"its columns have {row.itemsize} bytes a row, not the {width} of NAXIS1"
        raise CatalogError(f"{shown} is damaged: {problem}", again)


def _refuse_namesakes(shown: str, hdu: Any, values: dict[str, Any]) -> None:
    """Refuse two columns of one name, as joined tables may have them; fitsio takes none of them."""
    seen = set[str]()
    for number in range(1, int(values["TFIELDS"]) + 1):
        name = str(values.get(f"TTYPE{number}") or "").strip()
        if name and name in seen:
            renamed = f'[col *; #TTYPE{number}="{name}_{number}"]'
            raise CatalogError(
                f"{shown} has more than one column {name}",
                f"name the other otherwise with brackets: '{_selecting(hdu, shown)}{renamed}'",
            )
        seen.add(name)


def _is_read_whole(values: dict[str, Any]) -> bool:
    """Whether fitsio reads rows as they are in the file; those with lists or bits it does not."""
    forms = (str(value) for name, value in values.items() if name.startswith("TFORM"))
    by_column = any(re.match(r"\d*[PQX]", form) for form in forms)
    return str(values["XTENSION"]).strip() == "BINTABLE" and not by_column


def _refuse_scaled(shown: str, row: np.dtype[Any], values: dict[str, Any]) -> None:
    """Refuse integers that stand for other numbers, not just unsigned ones.

    Fitsio misreads them, and the columns after them.
    """
    for number, name in enumerate(row.names or (), start=1):
        kind, match = row[name].base, INTEGER_FORM.match(str(values[f"TFORM{number}"]))
        if match and (kind.kind == "f" or kind.itemsize != INTEGER_BYTES[match[1]]):
            raise CatalogError(
                f"the column {name} of {shown} holds scaled integers (TSCAL, TZERO), which are not"
                " read",
                f"store plain numbers, for example with: {by_stilts(file_name(shown), 'fits')}",
            )


def cards_of(hdu: Any, dtype: np.dtype[Any]) -> dict[str, dict[str, str]]:
    """What the header says of each column, by the column's name and the card's."""
    header = hdu.read_header()
    cards: dict[str, dict[str, str]] = {}
    for number, name in enumerate(dtype.names or (), start=1):
        found = ((key, header.get(f"{key}{number}")) for key in CARDS)
        cards[name] = {key: str(value) for key, value in found if value is not None}
        if isinstance(hdu, AsciiTableHDU) and dtype[name].kind == "i" and "TNULL" in cards[name]:
            cards[name]["TNULL"] = str(_integer_for(cards[name]["TNULL"], dtype[name]))
    return cards
