"""Finding galaxies of an atlas by what they are called and where they are."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import ArchiveError
from photoz_ssl.neighbours.atlas import Atlas
from photoz_ssl.neighbours.exact import NOBODY
from photoz_ssl.neighbours.windows import separation

__all__ = ["is_number", "nearest_on_sky", "row_of", "rows_of_ids", "rows_of_names"]

ROWS_AT_ONCE = 1 << 18

Rows = NDArray[np.int64]


def rows_of_ids(atlas: Atlas, object_id: Rows) -> Rows:
    """Rows of galaxies by their ids, shape (n,); `NOBODY` for an id that is not there.

    Raises
    ------
    ArchiveError
        If an id stands for several galaxies.
    """
    return _rows_of(atlas, atlas.object_id, object_id)


def rows_of_names(atlas: Atlas, name: NDArray[np.bytes_]) -> Rows:
    """Rows of galaxies by their ids of text, as `rows_of_ids`; nobody's where there are none."""
    rows, wanted = np.full(len(name), NOBODY, np.int64), np.char.strip(name)
    if atlas.names is not None:
        some = wanted != b""
        rows[some] = _rows_of(atlas, atlas.names, wanted[some])
    return rows


def is_number(text: str) -> bool:
    """Whether a text is an id that is a signed 64-bit integer."""
    return bool(re.fullmatch(r"\s*[+-]?[0-9]{1,19}\s*", text)) and abs(int(text)) < 2**63


def row_of(atlas: Atlas, text: str) -> int:
    """The row of the galaxy that an id names, be it text or a whole number; or `NOBODY`.

    Raises
    ------
    ArchiveError
        If it stands for several galaxies.
    """
    spellings = (text.encode(), text.encode("ascii", "backslashreplace"))  # the latter as in FITS
    row = rows_of_names(atlas, np.array(spellings)).max()
    if row == NOBODY and is_number(text):
        (row,) = rows_of_ids(atlas, np.array([int(text)]))
    return int(row)


def _rows_of(atlas: Atlas, known: NDArray[Any], object_id: NDArray[Any]) -> Rows:
    wanted, place = np.unique(object_id, return_inverse=True)
    row = np.full(len(wanted), NOBODY, np.int64)
    for start in range(0, len(atlas) if len(wanted) else 0, ROWS_AT_ONCE):
        ids = np.asarray(known[start : start + ROWS_AT_ONCE])
        ids = np.char.strip(ids) if ids.dtype.kind == "S" else ids
        guess = np.minimum(np.searchsorted(wanted, ids), len(wanted) - 1)
        hits = np.flatnonzero(wanted[guess] == ids)
        found, counts = np.unique(guess[hits], return_counts=True)
        repeated = found[(counts > 1) | (row[found] != NOBODY)]
        if len(repeated):
            text = wanted[repeated[0]]
            spelled = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
            raise ArchiveError(
                f"the id {spelled} stands for several galaxies of {atlas.path}",
                "ask by position with --near, or make the atlas again with --id-column",
            )
        row[guess[hits]] = start + hits
    return row[place]


def nearest_on_sky(atlas: Atlas, ra: float, dec: float) -> tuple[int, float]:
    """The galaxy nearest to a position, and how far it is, degrees.

    Raises
    ------
    ArchiveError
        If the atlas has no positions.
    """
    best, closest = NOBODY, np.inf
    for start in range(0, len(atlas), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        angle = separation(np.array(ra), np.array(dec), atlas.ra[rows], atlas.dec[rows])
        angle = np.where(np.isfinite(angle), angle, np.inf)
        if angle.min(initial=np.inf) < closest:
            best, closest = start + int(angle.argmin()), float(angle.min())
    if best == NOBODY:
        raise ArchiveError(
            f"{atlas.path} has no positions", "make it again from a catalogue with RA and DEC"
        )
    return best, closest
