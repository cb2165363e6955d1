"""Which galaxies are learnt from, and which are kept to test by: drawn by object."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.config import SPLITS
from photoz_ssl.object_ids import tells_apart
from photoz_ssl.survey.archive_columns import SPECTRUM_ID
from photoz_ssl.survey.blocks import GalaxyBlock
from photoz_ssl.workflows.counting import counted

__all__ = ["StrangeSplits", "draw_split", "object_keys"]

PLACES_A_DEGREE = 60
"""Places of the sky are an arcminute apart: a second position of a galaxy, a little off, is nearly
always in the same, and so are some neighbours of it."""


def object_keys(block: GalaxyBlock, id_column: str | None) -> NDArray[np.int64]:
    """What an object is told by, shape (n,): its id, number or text, else its place on the sky.

    A galaxy observed twice has two ids of spectra, so that these tell it only where it has no
    position. A row that has neither is an object of its own.
    """
    rows = np.arange(block.start, block.start + len(block), dtype=np.int64)
    kind = block.table.dtype[id_column].kind if id_column else ""
    if kind in ("i", "u"):
        keys, known = block.object_id, tells_apart(block.object_id)
    elif id_column and kind == "S":
        words = np.char.strip(block.table[id_column])
        keys, known = _hashed(bytes(word) for word in words), words != b""
    else:
        keys, known = rows, np.zeros(len(block), bool)
    placed = np.isfinite(block.ra) & np.isfinite(block.dec)
    if id_column and id_column.upper() == SPECTRUM_ID:
        known = known & ~placed
    if known.all():
        return keys
    ra, dec = (np.where(placed, angle, 0) * PLACES_A_DEGREE for angle in (block.ra, block.dec))
    places = np.stack([np.rint(ra) % (360 * PLACES_A_DEGREE), np.rint(dec)], axis=1)
    of_place = _hashed(place.tobytes() for place in places.astype(np.int64))
    return np.where(known, keys, np.where(placed, of_place, rows))


def _hashed(parts: Iterable[bytes]) -> NDArray[np.int64]:
    digests = b"".join(hashlib.blake2b(part, digest_size=8).digest() for part in parts)
    return np.frombuffer(digests, "<i8").astype(np.int64)


def draw_split(
    object_key: NDArray[np.int64], fractions: tuple[float, ...], seed: int
) -> NDArray[np.str_]:
    """Draw train, valid or test for each object from its key alone.

    An object is on the same side wherever it stands in a catalogue, and however often.

    Parameters
    ----------
    object_key : ndarray, shape (n,), int64
        Of `object_keys`.
    fractions : tuple of float
        Of train, valid and test; they sum to 1.
    seed : int
        Another seed draws other splits.

    Returns
    -------
    ndarray, shape (n,), str
    """
    mixed = _mix(object_key.astype(np.uint64) ^ _mix(np.array([seed], np.uint64)))
    uniform = mixed / 2.0**64
    return np.array(SPLITS)[np.searchsorted(np.cumsum(fractions)[:-1], uniform, side="right")]


def _mix(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64 bits: the finaliser of SplitMix64 (Steele, Lea & Flood 2014)."""
    bits = bits + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


@dataclass
class StrangeSplits:
    """Galaxies that are in no split, as their column of splits says something else.

    Parameters
    ----------
    column : str
        The column, as the user named it.
    n_galaxies : int
        How many were met.
    first : str
        What it says of the first of them.
    """

    column: str
    n_galaxies: int = 0
    first: str = ""

    def add(self, block: GalaxyBlock) -> None:
        """Count those of the next block."""
        named = (name for name in block.table.dtype.names or () if self._is_meant(name))
        name = next(named, None)
        if name is None or block.table.dtype[name].shape:
            return
        words = np.char.strip(block.table[name].astype("S"))
        strange = np.flatnonzero((block.split == "") & (words != b""))
        self.n_galaxies += len(strange)
        if len(strange) and not self.first:
            self.first = words[strange[0]].decode("ascii", "replace")

    def _is_meant(self, name: str) -> bool:
        return name.upper() == self.column.upper()

    @property
    def notices(self) -> tuple[str, ...]:
        """What a user should know of them."""
        if not self.n_galaxies:
            return ()
        return (
            f"{counted(self.n_galaxies, 'galaxy')} in no split: {self.column} says neither"
            f" {', '.join(SPLITS[:-1])} nor {SPLITS[-1]}, of the first {self.first!r}",
        )
