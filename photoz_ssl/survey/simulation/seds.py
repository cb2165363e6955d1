"""Galaxy spectra as sums of kcorrect's templates: fitted, moved in redshift, seen in ugriz.

Blanton & Roweis (2007): the flux of a galaxy in a band is A(z) c, with c the non-negative
coefficients of five templates. A template's A conserves the bolometric flux when it is
redshifted, so that all of the distance is in c, which scales as 1 / d_L(z)^2.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from photoz_ssl.extras import import_extra
from photoz_ssl.samples import SIGMA_OF_MAD
from photoz_ssl.survey.bands import BANDS

__all__ = [
    "AB_OFFSETS",
    "TEMPLATE_SCATTER",
    "TemplateFluxes",
    "fit_coefficients",
    "luminosity_distance",
    "photometric_residual",
    "template_fluxes",
]

REDSHIFT_GRID = np.linspace(0.0, 1.0, 501)
"""Redshifts at which the templates' fluxes are computed; linear between them."""

AB_OFFSETS = np.array([-0.036, 0.012, 0.010, 0.028, 0.040])
"""m(AB) - m(SDSS) in ugriz: Eisenstein's sdss-calib/1152, as in kcorrect."""

TEMPLATE_SCATTER = np.array([0.05, 0.02, 0.02, 0.02, 0.03])
"""Relative scatter of real galaxies about the templates (Blanton & Roweis 2007, section 2)."""

GALAXIES_A_BIN = 400
"""Galaxies whose median tells where the templates are off at a redshift."""

HUBBLE_CONSTANT, MATTER_DENSITY = 70.0, 0.3
"""The cosmology of Shen et al. (2003): km/s/Mpc, and flat."""


@dataclass(frozen=True)
class TemplateFluxes:
    """The templates' fluxes in the five bands against redshift.

    Parameters
    ----------
    redshift : ndarray, shape (n_redshifts,)
        Increasing grid.
    nanomaggies : ndarray, shape (n_redshifts, n_bands, n_templates)
        Flux of each template, in SDSS's own magnitude system.
    """

    redshift: NDArray[np.float64]
    nanomaggies: NDArray[np.float64]

    def at(self, redshift: NDArray[np.floating]) -> NDArray[np.float64]:
        """Fluxes at some redshifts, shape (..., n_bands, n_templates).

        Parameters
        ----------
        redshift : ndarray, shape (...)
            Inside the grid; beyond its ends the end's value is taken.
        """
        place = np.interp(redshift, self.redshift, np.arange(len(self.redshift)))
        lower = np.minimum(place.astype(int), len(self.redshift) - 2)
        fraction = (place - lower)[..., np.newaxis, np.newaxis]
        return np.asarray(
            (1 - fraction) * self.nanomaggies[lower] + fraction * self.nanomaggies[lower + 1]
        )

    def flux(
        self, coefficients: NDArray[np.floating], redshift: NDArray[np.floating]
    ) -> NDArray[np.float64]:
        """Fluxes in the five bands, shape (..., n_bands), nanomaggies.

        Parameters
        ----------
        coefficients : ndarray, shape (..., n_templates)
            Of the templates, for the distance that the galaxies are at.
        redshift : ndarray, shape (...)
            Of the galaxies.
        """
        return np.asarray(np.einsum("...bt,...t->...b", self.at(redshift), coefficients))


@cache
def _distance_table() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from astropy.cosmology import FlatLambdaCDM

    redshift = np.geomspace(1e-3, 1.1, 600)
    cosmology = FlatLambdaCDM(H0=HUBBLE_CONSTANT, Om0=MATTER_DENSITY)
    return np.log(redshift), np.log(cosmology.luminosity_distance(redshift).value)


def luminosity_distance(redshift: NDArray[np.floating] | float) -> NDArray[np.float64]:
    """Luminosity distance, Mpc, for 0.001 < z < 1.1 (H0 = 70, flat, Omega_m = 0.3)."""
    return np.asarray(np.exp(np.interp(np.log(redshift), *_distance_table())))


def template_fluxes(redshift: NDArray[np.floating] = REDSHIFT_GRID) -> TemplateFluxes:
    """Project kcorrect's default templates onto the SDSS responses.

    The integrals are kcorrect's own, taken on the templates' wavelengths with a linearly
    interpolated response; they agree with ``kcorrect.response.Response.project``, mostly to
    0.1 % and where a narrow line is at a band's edge to 0.4 %, and take a second instead of
    twenty.

    Parameters
    ----------
    redshift : ndarray, shape (n_redshifts,)
        Increasing grid of redshifts.

    Raises
    ------
    photoz_ssl.errors.MissingExtraError
        If kcorrect is not installed.
    """
    purpose = "simulating galaxies"
    kcorrect = import_extra("kcorrect", extra="sim", purpose=purpose)
    response = import_extra("kcorrect.response", extra="sim", purpose=purpose)
    path = f"{kcorrect.KCORRECT_DIR}/data/templates/kcorrect-default-v4.fits"
    with fits.open(path, memmap=False) as hdus:
        spectra = hdus["FLUX"].data
        wavelength = np.asarray(spectra["wave"][0], np.float64)
        flux = np.asarray(spectra["flux"][0], np.float64)
    columns = []
    for band in BANDS:
        with warnings.catch_warnings():  # kcorrect leaves its file to the garbage collector
            warnings.simplefilter("ignore", ResourceWarning)
            curve = response.Response(filename=f"sdss_{band}0.dat")
        transmission = (np.asarray(curve.wave, float), np.asarray(curve.response, float))
        columns.append([_project(wavelength, flux, z, *transmission) for z in redshift])
    maggies = np.moveaxis(np.array(columns), 0, 1)
    to_sdss = 10 ** (0.4 * AB_OFFSETS)[:, np.newaxis]
    return TemplateFluxes(np.asarray(redshift, np.float64), 1e9 * maggies * to_sdss)


SPEED_OF_LIGHT = 2.99792458e18
"""Angstrom a second."""

AB_ZERO_POINT = 3.631e-20
"""erg / s / cm^2 / Hz of a source of magnitude 0."""


def _project(
    rest_wavelength: NDArray[np.float64],
    rest_flux: NDArray[np.float64],
    redshift: float,
    band_wavelength: NDArray[np.float64],
    transmission: NDArray[np.float64],
) -> NDArray[np.float64]:
    """AB maggies of redshifted spectra through one response, shape (n_templates,)."""
    observed = rest_wavelength * (1 + redshift)
    first, last = np.searchsorted(observed, band_wavelength[[0, -1]])
    seen = slice(max(first - 1, 0), last + 1)
    wavelength = np.union1d(observed[seen], band_wavelength)
    response = np.interp(wavelength, band_wavelength, transmission, left=0, right=0)
    weight = response * wavelength
    flat = AB_ZERO_POINT * SPEED_OF_LIGHT / wavelength**2
    spectra = [np.interp(wavelength, observed[seen], flux[seen]) for flux in rest_flux]
    signal = np.array([_integral(flux * weight, wavelength) for flux in spectra])
    return np.asarray(signal / (1 + redshift) / _integral(flat * weight, wavelength))


def _integral(values: NDArray[np.float64], abscissa: NDArray[np.float64]) -> float:
    return float(np.sum(0.5 * (values[1:] + values[:-1]) * np.diff(abscissa)))


def fit_coefficients(
    flux: NDArray[np.floating],
    error: NDArray[np.floating],
    redshift: NDArray[np.floating],
    templates: TemplateFluxes,
) -> NDArray[np.float64]:
    """Non-negative coefficients of the templates that fit observed fluxes best.

    Parameters
    ----------
    flux, error : ndarray, shape (n_galaxies, n_bands)
        Nanomaggies, corrected for Galactic extinction; `TEMPLATE_SCATTER` is added to the
        errors in quadrature.
    redshift : ndarray, shape (n_galaxies,)
        Of the galaxies.
    templates : TemplateFluxes
        What to fit.

    Returns
    -------
    ndarray, shape (n_galaxies, n_templates)
    """
    from scipy.optimize import nnls

    weight = 1 / np.hypot(error, TEMPLATE_SCATTER * np.abs(flux))
    matrices = templates.at(redshift) * weight[..., np.newaxis]
    scale = np.linalg.norm(matrices, axis=1)  # (n_galaxies, n_templates)
    fits = [
        nnls(matrix / unit, values, maxiter=1000)[0] / unit
        for matrix, values, unit in zip(matrices, flux * weight, scale, strict=True)
    ]
    return np.array(fits).reshape(len(flux), matrices.shape[-1])


def photometric_residual(
    flux: NDArray[np.floating],
    error: NDArray[np.floating],
    model: NDArray[np.floating],
    redshift: NDArray[np.floating],
) -> NDArray[np.float64]:
    """How galaxies' true fluxes most likely differ from their templates', as a ratio.

    The observed ratio is shrunk, by the share of its variance that is photometric noise,
    towards the median of galaxies at that redshift, which is where the templates themselves
    are off: a simulated observation adds noise of its own, and the noise of the source, large
    in u, must not be counted twice. The share is sigma^2 / (s^2 + sigma^2), with s the scatter
    about that median which the noise does not explain, and at least `TEMPLATE_SCATTER`.

    Parameters
    ----------
    flux, error, model : ndarray, shape (n_galaxies, n_bands)
        Observed fluxes, their errors, and the templates' fluxes, nanomaggies.
    redshift : ndarray, shape (n_galaxies,)
        Of the galaxies.

    Returns
    -------
    ndarray, shape (n_galaxies, n_bands)
        Between 1/2 and 2.
    """
    ratio = flux / model
    noise = (error / model) ** 2
    centre = np.stack([_running_median(redshift, band) for band in ratio.T], axis=1)
    spread = SIGMA_OF_MAD * np.median(np.abs(ratio - centre), axis=0)
    unexplained = spread**2 - np.median(noise, axis=0)
    signal = np.maximum(unexplained, TEMPLATE_SCATTER**2)
    share = signal / (signal + noise)
    return np.asarray(np.clip(centre + share * (ratio - centre), 0.5, 2.0))


def _running_median(abscissa: NDArray[np.floating], values: NDArray[np.floating]) -> NDArray[Any]:
    """Median of values in bins of equal number, interpolated between the bins' centres."""
    order = np.argsort(abscissa)
    bins = np.array_split(order, max(1, len(order) // GALAXIES_A_BIN))
    places = [np.median(abscissa[rows]) for rows in bins]
    return np.asarray(np.interp(abscissa, places, [np.median(values[rows]) for rows in bins]))
