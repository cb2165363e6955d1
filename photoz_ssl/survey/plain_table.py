"""The file of a catalogue as one that CFITSIO reads as it is, and in bounded memory."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from photoz_ssl.errors import CatalogError
from photoz_ssl.files import scratch_folder
from photoz_ssl.fingerprints import file_and_selection, spelled
from photoz_ssl.survey.exchange.reading import format_of_file, rewrite_as_fits
from photoz_ssl.survey.unpacking import UNPACKING_ERRORS, is_packed, unpack

__all__ = ["plain_table"]

LeftOut = tuple[str, ...]
"""Columns of a table in another format that FITS cannot have."""


@contextmanager
def plain_table(path: str, *, shown: str) -> Iterator[tuple[str, LeftOut]]:
    """The path in CFITSIO's syntax of a FITS file that holds the table, and what it lacks.

    That is another file, for a while, where the table is compressed by gzip or bzip2, which
    CFITSIO would unpack in memory, where it is in another format, and where CFITSIO would take
    brackets in its name for its syntax, or not take its name at all.

    Parameters
    ----------
    path : str
        As the user named it; what is no file stays as it is.
    shown : str
        What an error calls the file.

    Raises
    ------
    CatalogError
        If the file is a pipe, or cannot be unpacked or rewritten.
    OutputError
        If there is no room for it.
    """
    name, selection = file_and_selection(path)
    source = Path(name)
    if source.is_fifo():
        raise CatalogError(
            f"{shown} is a pipe", "give the table on standard input, as -, or save it first"
        )
    packed = source.is_file() and is_packed(source)
    if not packed and format_of_file(source) is None and _is_plain(name):
        yield path, ()
        return
    with scratch_folder() as folder:
        unpacked = _unpacked(source, folder / "unpacked.fits", shown) if packed else source
        rewritten, left_out = _rewritten(unpacked, folder, shown)
        yield f"{rewritten}{selection}", left_out


def _unpacked(source: Path, target: Path, shown: str) -> Path:
    try:
        with target.open("xb") as file:
            unpack(source, file, most_bytes=sys.maxsize)
    except UNPACKING_ERRORS as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of the disk, not of what is in the file
        raise CatalogError(
            f"{shown} cannot be unpacked: it is cut off or damaged", "copy or make it again"
        ) from error
    return target


def _rewritten(source: Path, folder: Path, shown: str) -> tuple[Path, LeftOut]:
    """A FITS file of the same table, with a name that CFITSIO takes for one; what it lacks."""
    kind = format_of_file(source)
    if kind is not None:
        rewritten = folder / "catalog.fits"
        return rewritten, rewrite_as_fits(source, kind, rewritten, shown=shown)
    if _is_plain(str(source)):
        return source, ()
    suffix = source.suffix if re.fullmatch(r"\.\w+", source.suffix) else ".fits"
    link = folder / f"catalog{suffix}"
    link.symlink_to(source.absolute())
    return link, ()


def _is_plain(name: str) -> bool:
    """Whether a name has neither brackets nor bytes that are no letters."""
    return "[" not in name and spelled(name) == name
