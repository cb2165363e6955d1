"""The real galaxies that a simulated survey descends from, and their split."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, fields
from importlib import metadata
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from photoz_ssl.config import SPLITS
from photoz_ssl.errors import OutputError
from photoz_ssl.extras import import_extra
from photoz_ssl.files import atomic_output, cache_folder
from photoz_ssl.survey.bands import R_SF11, ebv_from_extinction, extinction_from_ebv
from photoz_ssl.survey.simulation.seds import (
    TemplateFluxes,
    fit_coefficients,
    photometric_residual,
    template_fluxes,
)

__all__ = ["MAGNITUDE_LIMIT", "REDSHIFT_RANGE", "SourceGalaxies", "load_source_galaxies"]

REDSHIFT_RANGE = (0.005, 0.4)
"""Redshifts of sources and of simulated galaxies (method section 6)."""

MAGNITUDE_LIMIT = 17.8
"""Faintest dereddened Petrosian r (method section 6)."""

SPLIT_FRACTIONS = (0.8, 0.1, 0.1)
SPLIT_SEED = 20210112
"""Fixed for ever: a source is on the same side in every survey, whatever its seed."""

CACHE_VERSION = 2


@dataclass(frozen=True)
class SourceGalaxies:
    """Real SDSS galaxies, described so that they can be moved in redshift.

    Parameters
    ----------
    redshift : ndarray, shape (n_sources,)
        Spectroscopic.
    ra, dec : ndarray, shape (n_sources,)
        Degrees.
    ebv : ndarray, shape (n_sources,)
        E(B-V) of SFD, magnitudes.
    flux, error : ndarray, shape (n_sources, n_bands)
        Model fluxes and their errors, nanomaggies, corrected for Galactic extinction.
    coefficients : ndarray, shape (n_sources, n_templates)
        Of the templates, for the source's own distance.
    residual : ndarray, shape (n_sources, n_bands)
        True flux over the templates' flux.
    side : ndarray, shape (n_sources,), int8
        Which of `photoz_ssl.config.SPLITS` the source belongs to.
    grid_redshift, grid_nanomaggies : ndarray
        The `templates`' own arrays.
    """

    redshift: NDArray[np.float64]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    ebv: NDArray[np.float64]
    flux: NDArray[np.float64]
    error: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    residual: NDArray[np.float64]
    side: NDArray[np.int8]
    grid_redshift: NDArray[np.float64]
    grid_nanomaggies: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.redshift)

    @property
    def templates(self) -> TemplateFluxes:
        """The templates that the coefficients belong to."""
        return TemplateFluxes(self.grid_redshift, self.grid_nanomaggies)


def load_source_galaxies() -> SourceGalaxies:
    """The source galaxies from kcorrect's table, or from the user's cache of them.

    The cache is in ``$XDG_CACHE_HOME/photoz-ssl``; a damaged or unwritable one is passed over.

    Raises
    ------
    photoz_ssl.errors.MissingExtraError
        If kcorrect is not installed.
    """
    try:
        version = metadata.version("kcorrect")
    except metadata.PackageNotFoundError:
        import_extra("kcorrect", extra="sim", purpose="simulating galaxies")
        version = "unknown"
    path = cache_folder() / f"source-galaxies-{CACHE_VERSION}-kcorrect-{version}.npz"
    cached = _read_cache(path)
    if cached is not None:
        return cached
    sources = _derive_sources()
    _write_cache(path, sources)
    return sources


def _read_cache(path: Path) -> SourceGalaxies | None:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return SourceGalaxies(
                **{field.name: arrays[field.name] for field in fields(SourceGalaxies)}
            )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _write_cache(path: Path, sources: SourceGalaxies) -> None:
    arrays = {field.name: getattr(sources, field.name) for field in fields(sources)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_output(path, overwrite=True) as temporary:
            np.savez(temporary, **arrays)
    except (OSError, OutputError):
        return


def _derive_sources() -> SourceGalaxies:
    """Select, deredden and fit the galaxies of kcorrect's table."""
    kcorrect = import_extra("kcorrect", extra="sim", purpose="simulating galaxies")
    table = fits.getdata(f"{kcorrect.KCORRECT_DIR}/data/test/gst_tests_small.fits", 1)
    table = table[_selected(table)]
    redshift = table["Z"].astype(np.float64)
    ebv = ebv_from_extinction(table["EXTINCTION"])
    transparency = 10 ** (-0.4 * extinction_from_ebv(ebv, R_SF11))
    flux = table["MODELFLUX"] / transparency
    error = 1 / np.sqrt(table["MODELFLUX_IVAR"]) / transparency
    templates = template_fluxes()
    coefficients = fit_coefficients(flux, error, redshift, templates)
    model = templates.flux(coefficients, redshift)
    return SourceGalaxies(
        redshift=redshift,
        ra=table["RA"].astype(np.float64),
        dec=table["DEC"].astype(np.float64),
        ebv=ebv,
        flux=flux,
        error=error,
        coefficients=coefficients,
        residual=photometric_residual(flux, error, model, redshift),
        side=_split_sides(len(table)),
        grid_redshift=templates.redshift,
        grid_nanomaggies=templates.nanomaggies,
    )


def _selected(table: fits.FITS_rec) -> NDArray[np.bool_]:
    """The Main Galaxy Sample's cuts, and usable photometry."""
    petrosian_r = table["PETROFLUX"][:, 2] * 10 ** (0.4 * table["EXTINCTION"][:, 2])
    usable = np.all(table["MODELFLUX_IVAR"] > 0, axis=1) & np.all(
        table["MODELFLUX"][:, 1:] > 0, axis=1
    )
    low, high = REDSHIFT_RANGE
    bright = petrosian_r >= 10 ** (0.4 * (22.5 - MAGNITUDE_LIMIT))
    return np.asarray(usable & bright & (table["Z"] > low) & (table["Z"] < high))


def _split_sides(n_sources: int) -> NDArray[np.int8]:
    """A fixed random share of the sources for each of `SPLITS`, shape (n_sources,)."""
    order = np.random.default_rng(SPLIT_SEED).permutation(n_sources)
    edges = np.round(np.cumsum(SPLIT_FRACTIONS) * n_sources).astype(int)[: len(SPLITS) - 1]
    sides = np.empty(n_sources, np.int8)
    sides[order] = np.searchsorted(edges, np.arange(n_sources), side="right")
    return sides
