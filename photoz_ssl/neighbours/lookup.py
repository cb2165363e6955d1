"""Finding galaxies of an atlas by what they are called and where they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import ArchiveError
from photoz_ssl.neighbours.atlas import Atlas
from photoz_ssl.neighbours.exact import NOBODY
from photoz_ssl.neighbours.windows import separation

__all__ = ["nearest_on_sky", "rows_of_ids"]

ROWS_AT_ONCE = 1 << 18

Rows = NDArray[np.int64]


def rows_of_ids(atlas: Atlas, object_id: Rows) -> Rows:
    """Rows of galaxies by their ids, shape (n,); `NOBODY` for an id that is not there.

    Raises
    ------
    ArchiveError
        If an id stands for several galaxies.
    """
    wanted, place = np.unique(object_id, return_inverse=True)
    row = np.full(len(wanted), NOBODY, np.int64)
    for start in range(0, len(atlas) if len(wanted) else 0, ROWS_AT_ONCE):
        ids = np.asarray(atlas.object_id[start : start + ROWS_AT_ONCE])
        guess = np.minimum(np.searchsorted(wanted, ids), len(wanted) - 1)
        hits = np.flatnonzero(wanted[guess] == ids)
        found, counts = np.unique(guess[hits], return_counts=True)
        repeated = found[(counts > 1) | (row[found] != NOBODY)]
        if len(repeated):
            raise ArchiveError(
                f"the id {wanted[repeated[0]]} stands for several galaxies of {atlas.path}",
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
