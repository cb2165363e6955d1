"""Tables of other formats, rewritten as FITS, so that a catalogue in any of them is read alike."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from xml.parsers.expat import ExpatError

from photoz_ssl.errors import CatalogError
from photoz_ssl.survey.exchange.incoming import IncomingTable
from photoz_ssl.survey.exchange.parquet_reader import read_parquet
from photoz_ssl.survey.exchange.qp_reader import is_other_hdf5, read_qp
from photoz_ssl.survey.exchange.text_reader import read_ecsv, read_votable
from photoz_ssl.survey.tables.table_file import by_stilts
from photoz_ssl.survey.tables.writer import scratch_tables

__all__ = ["format_of_file", "rewrite_as_fits"]

FIRST_BYTES = 4096
"""How far into a file the tag that makes it a VOTable may stand, behind comments."""

MARKS = MappingProxyType(
    {
        "parquet": re.compile(rb"PAR1"),
        "qp": re.compile(rb"\x89HDF\r\n\x1a\n"),
        "ecsv": re.compile(rb"(\xef\xbb\xbf)?# %ECSV "),
        "votable": re.compile(rb"(\xef\xbb\xbf)?\s*<[^\0]*<?(\w+:)?VOTABLE\b", re.DOTALL),
    }
)
"""What a file of each format starts with."""

READERS: MappingProxyType[str, Callable[[Path], IncomingTable]] = MappingProxyType(
    {"parquet": read_parquet, "qp": read_qp, "ecsv": read_ecsv, "votable": read_votable}
)

DAMAGE = (
    *(ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, SyntaxError),
    *(TypeError, ValueError, MemoryError, ExpatError, csv.Error),
)
"""What the readers of these formats raise of a file that is not what it says."""


WHERE_IT_WAS = re.compile(r"^(None:\?:\?: )?([EW]\d\d: )?")
"""What astropy's messages begin with where they name no place in the file."""


def format_of_file(path: Path) -> str | None:
    """Which of the other formats a table is in, by its first bytes; None for FITS and the rest.

    Parameters
    ----------
    path : Path
        The file; one that cannot be opened is of no format.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(FIRST_BYTES)
    except (OSError, ValueError):
        return None
    kind = next((kind for kind, mark in MARKS.items() if mark.match(start)), None)
    return None if kind == "qp" and is_other_hdf5(path) else kind


def rewrite_as_fits(path: Path, kind: str, target: Path, *, shown: str) -> tuple[str, ...]:
    """Write the columns of a table, those with one value a row, as a FITS table; PDFs as others.

    Text is kept as ASCII. An integer or truth value that is missing makes its column one of
    signed integers with a TNULL; a missing number is NaN, and missing text is empty.

    Parameters
    ----------
    path : Path
        The table.
    kind : {'parquet', 'qp', 'ecsv', 'votable'}
        Its format; see `format_of_file`.
    target : Path
        The FITS file, which is scratch.
    shown : str
        What an error calls the table.

    Returns
    -------
    tuple of str
        The columns that were left out.

    Raises
    ------
    CatalogError
        If the table is damaged, too large for its format, or has no columns.
    MissingExtraError
        If the format needs a package that is not installed.
    """
    with _damage_told(shown, kind):
        table = READERS[kind](path)
    if not table.columns:
        raise CatalogError(f"{shown} has no columns", "name a table with galaxies")
    with scratch_tables(target) as file:
        for name, one in {"CATALOG": table, **table.beside}.items():
            writer = file.table(name, one.columns, one.dtype)
            while True:
                with _damage_told(shown, kind):
                    block = next(one.blocks, None)
                if block is None:
                    break
                writer.append(block)
    return tuple(table.left_out)


@contextmanager
def _damage_told(shown: str, kind: str) -> Iterator[None]:
    try:
        yield
    except DAMAGE as error:
        if kind == "qp" and _is_of_hdf5(error):
            raise CatalogError(
                f"{shown} is truncated or damaged", "copy or make it again"
            ) from error
        first_line = WHERE_IT_WAS.sub("", str(error).strip().partition("\n")[0])
        reason = first_line.rstrip(".: ") or type(error).__name__
        converted = "" if kind == "qp" else f", or convert it: {by_stilts(shown, kind)}"
        raise CatalogError(
            f"{shown} cannot be read as {kind}: {reason}", f"copy or make it again{converted}"
        ) from error


def _is_of_hdf5(error: Exception) -> bool:
    """Whether it was HDF5 that could not read on, which tells addresses; not we, nor the system."""
    of_library = isinstance(error, OSError | RuntimeError | LookupError)
    return of_library and getattr(error, "errno", None) is None
