"""Galaxies a block at a time: what every command reads, whatever file they come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.flags import UNUSABLE, RowFlag

__all__ = ["GalaxyBlock", "GalaxySource", "RowProblem"]


@dataclass(frozen=True)
class RowProblem:
    """Why a row has no usable image.

    Parameters
    ----------
    row : int
        Row of the catalogue, from 0.
    object_id : int or str
        The object's id.
    flag : RowFlag
        The kind of problem.
    message : str
        One sentence that names the file.
    """

    row: int
    object_id: int | str
    flag: RowFlag
    message: str


@dataclass(frozen=True)
class GalaxyBlock:
    """Consecutive rows of a catalogue or archive, with their images.

    Parameters
    ----------
    start : int
        Row of the input that the block's first row is.
    object_id : ndarray, shape (n,), int64
        Ids; the row number where the input has no integer ids.
    ra, dec : ndarray, shape (n,), float64
        Degrees; NaN where missing.
    images : ndarray, shape (n, n_bands, size, size), float32
        Nanomaggies, not dereddened; zeros for a row whose flags are `UNUSABLE`.
    ebv : ndarray, shape (n,), float32
        E(B-V) of SFD, magnitudes; NaN where unknown.
    flags : ndarray, shape (n,), int32
        `RowFlag` bits.
    redshift, redshift_error : ndarray, shape (n,), float32
        Spectroscopic; NaN where there is none.
    split : ndarray, shape (n,), str
        ``train``, ``valid``, ``test`` or empty.
    table : structured ndarray, shape (n,)
        The input's own columns, without image columns.
    problems : tuple of RowProblem
        One for each row without a usable image.
    """

    start: int
    object_id: NDArray[np.int64]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    images: NDArray[np.float32]
    ebv: NDArray[np.float32]
    flags: NDArray[np.int32]
    redshift: NDArray[np.float32]
    redshift_error: NDArray[np.float32]
    split: NDArray[np.str_]
    table: NDArray[np.void]
    problems: tuple[RowProblem, ...] = ()

    def __len__(self) -> int:
        return len(self.object_id)

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which rows have an image that a network can be given, shape (n,)."""
        return np.asarray((self.flags & int(UNUSABLE)) == 0)


class GalaxySource(Protocol):
    """Galaxies in the order of their file; see `survey.sources.open_source`."""

    @property
    def n_rows(self) -> int:
        """Rows of the input."""

    @property
    def spec(self) -> ImageSpec:
        """What the images are."""

    @property
    def table_dtype(self) -> np.dtype[Any]:
        """Structured: the columns of each block's ``table``."""

    @property
    def column_cards(self) -> dict[str, dict[str, str]]:
        """For each column those of its cards that `Catalog.cards` has."""

    @property
    def id_column(self) -> str | None:
        """Which column is the id."""

    @property
    def ra_column(self) -> str | None:
        """Which column is the right ascension."""

    @property
    def dec_column(self) -> str | None:
        """Which column is the declination."""

    @property
    def dust(self) -> tuple[str, ...]:
        """Where the reddening is from; to be read after the blocks."""

    @property
    def notices(self) -> tuple[str, ...]:
        """What a user should know; to be read after the blocks."""

    def blocks(
        self, block_size: int, start: int = 0, stop: int | None = None
    ) -> Iterator[GalaxyBlock]:
        """Rows in order, all unless told from which to which, ``block_size`` at a time."""
