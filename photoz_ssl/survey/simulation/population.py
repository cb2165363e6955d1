"""The galaxies of a simulated survey: which they are, how bright, how large, of what shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.survey.bands import R_SF11, extinction_from_ebv
from photoz_ssl.survey.simulation.seds import luminosity_distance
from photoz_ssl.survey.simulation.source_galaxies import (
    MAGNITUDE_LIMIT,
    REDSHIFT_RANGE,
    SourceGalaxies,
)

__all__ = [
    "SimulatedGalaxy",
    "absolute_magnitude",
    "draw_galaxy",
    "half_light_radius",
    "intrinsic_flux",
]

Flux = NDArray[np.float64]

R_BAND, U_BAND = 2, 0
RED_SEQUENCE = 2.22
"""Rest-frame u - r that parts early from late types (Strateva et al. 2001)."""
TYPE_WIDTH = 0.12
"""Softness of that division, magnitudes."""

REDSHIFT_SMEAR = 0.01
"""Standard deviation of the move in redshift, but at most a seventh of the redshift."""

DISC_THICKNESS = 0.18
"""Axis ratio of a disc seen edge-on."""

PETROSIAN_SHARE = (0.99, 0.83)
"""Petrosian over total flux of an exponential and of a de Vaucouleurs profile."""

BULGE_REDDENING = np.array([-0.30, -0.12, 0.0, 0.05, 0.08])
"""Magnitudes by which the bulge's share differs from that in r: a colour gradient."""

POSITION_JITTER = 1 / 60
"""Half-width, degrees, of the scatter of positions about the source's."""

SHIFT_OF_BAND = 0.1
"""Redshift of the band in which Shen et al. (2003) give absolute magnitudes."""

MAX_TRIES = 1000


@dataclass(frozen=True)
class SimulatedGalaxy:
    """One galaxy before it is rendered.

    Parameters
    ----------
    object_id : int
        Its id.
    source : int
        Row of the source galaxy.
    ra, dec : float
        Degrees.
    redshift : float
        True.
    ebv : float
        E(B-V) of SFD at the source's position, magnitudes.
    flux : ndarray, shape (n_bands,)
        Total, as reddened by the Galaxy, nanomaggies.
    flux_error : ndarray, shape (n_bands,)
        Of a measurement, nanomaggies.
    bulge_share : ndarray, shape (n_bands,)
        Of the total flux.
    bulge_radius, disc_radius : float
        Half-light radii, arcseconds: of a round profile, which its axis ratio then squeezes in
        one direction and stretches in the other.
    bulge_axis_ratio, disc_axis_ratio : float
        Minor over major axis.
    angle : float
        Position angle, radians.
    """

    object_id: int
    source: int
    ra: float
    dec: float
    redshift: float
    ebv: float
    flux: Flux
    flux_error: Flux
    bulge_share: Flux
    bulge_radius: float
    disc_radius: float
    bulge_axis_ratio: float
    disc_axis_ratio: float
    angle: float

    @property
    def petrosian_flux(self) -> Flux:
        """Flux in the Petrosian aperture, shape (n_bands,), nanomaggies."""
        exponential, de_vaucouleurs = PETROSIAN_SHARE
        share = exponential + (de_vaucouleurs - exponential) * self.bulge_share
        return self.flux * share


def intrinsic_flux(sources: SourceGalaxies, row: int, redshift: float) -> Flux:
    """A source galaxy's flux, without Galactic dust, were it at another redshift.

    Parameters
    ----------
    sources : SourceGalaxies
        Real galaxies.
    row : int
        Which of them.
    redshift : float
        Where it is moved to; its own gives its own photometry, less that share of its
        residual from the templates that is noise.

    Returns
    -------
    ndarray, shape (n_bands,)
        Nanomaggies.
    """
    own = float(sources.redshift[row])
    dimming = float((luminosity_distance(own) / luminosity_distance(redshift)) ** 2)
    coefficients = sources.coefficients[row] * dimming
    model = sources.templates.flux(coefficients, np.asarray(redshift))
    return np.asarray(model * sources.residual[row])


def absolute_magnitude(sources: SourceGalaxies, row: int) -> float:
    """A source galaxy's absolute magnitude in the r band of redshift 0.1 (Blanton et al. 2003)."""
    flux = intrinsic_flux(sources, row, SHIFT_OF_BAND)[R_BAND]
    modulus = 5 * np.log10(float(luminosity_distance(SHIFT_OF_BAND))) + 25
    return float(22.5 - 2.5 * np.log10(flux) - modulus + 2.5 * np.log10(1 + SHIFT_OF_BAND))


def half_light_radius(
    absolute_magnitude: float, *, early: bool, generator: np.random.Generator
) -> float:
    """Half-light radius, kpc, from the size-luminosity relation of Shen et al. (2003).

    Parameters
    ----------
    absolute_magnitude : float
        In the r band of redshift 0.1.
    early : bool
        Which of the two relations (their equations 14 and 15).
    generator : Generator
        For the log-normal scatter of their equation 16.
    """
    faintness = 10 ** (-0.4 * (absolute_magnitude + 20.52))
    if early:
        mean = -0.4 * 0.60 * absolute_magnitude - 4.63
    else:
        mean = -0.4 * 0.21 * absolute_magnitude + 0.32 * np.log10(1 + faintness) - 1.31
    scatter = 0.25 + 0.23 / (1 + faintness**2)
    return float(10**mean * np.exp(scatter * generator.standard_normal()))


def draw_galaxy(
    sources: SourceGalaxies, object_id: int, generator: np.random.Generator
) -> SimulatedGalaxy:
    """Draw a galaxy that the Main Galaxy Sample would have.

    Parameters
    ----------
    sources : SourceGalaxies
        Real galaxies to draw from.
    object_id : int
        The new galaxy's id.
    generator : Generator
        Source of every draw.
    """
    for _ in range(MAX_TRIES):
        row = int(generator.integers(len(sources)))
        redshift = _moved(float(sources.redshift[row]), generator)
        intrinsic = intrinsic_flux(sources, row, redshift)
        early = generator.random() < _early_probability(sources, row)
        share = _bulge_share(early, generator)
        petrosian = intrinsic[R_BAND] * (0.99 - 0.16 * share[R_BAND])
        if 22.5 - 2.5 * np.log10(petrosian) <= MAGNITUDE_LIMIT:
            break
    ebv = float(sources.ebv[row])
    reddened = intrinsic * 10 ** (-0.4 * extinction_from_ebv(np.asarray(ebv), R_SF11))
    noise_scale = np.sqrt(np.clip(intrinsic / np.maximum(sources.flux[row], 1e-3), 0.3, 10))
    kiloparsec = 206.265 * (1 + redshift) ** 2 / float(luminosity_distance(redshift))  # arcseconds
    magnitude = absolute_magnitude(sources, row)
    radius = kiloparsec * half_light_radius(magnitude, early=early, generator=generator)
    disc_ratio, bulge_ratio = _axis_ratios(early, generator)
    shift = POSITION_JITTER * generator.uniform(-1, 1, 2)
    dec = float(np.clip(sources.dec[row] + shift[1], -89.9, 89.9))
    return SimulatedGalaxy(
        object_id=object_id,
        source=row,
        ra=float((sources.ra[row] + shift[0] / np.cos(np.radians(dec))) % 360),
        dec=dec,
        redshift=redshift,
        ebv=ebv,
        flux=reddened,
        flux_error=sources.error[row] * noise_scale * reddened / intrinsic,
        bulge_share=share,
        bulge_radius=radius * (0.9 if early else 0.35),
        disc_radius=radius * (1.3 if early else 1.1),
        bulge_axis_ratio=bulge_ratio,
        disc_axis_ratio=disc_ratio,
        angle=float(generator.uniform(0, np.pi)),
    )


def _moved(redshift: float, generator: np.random.Generator) -> float:
    smear = min(REDSHIFT_SMEAR, redshift / 7)
    low, high = REDSHIFT_RANGE
    for _ in range(MAX_TRIES):
        moved = redshift + smear * float(generator.standard_normal())
        if low < moved < high:
            return moved
    return redshift


def _early_probability(sources: SourceGalaxies, row: int) -> float:
    """From the rest-frame u - r of the templates."""
    rest = sources.templates.flux(sources.coefficients[row], np.asarray(0.0))
    colour = 2.5 * np.log10(rest[R_BAND] / max(rest[U_BAND], 1e-9 * rest[R_BAND]))
    return float(1 / (1 + np.exp(-np.clip((colour - RED_SEQUENCE) / TYPE_WIDTH, -50, 50))))


def _bulge_share(early: bool, generator: np.random.Generator) -> Flux:
    """Bulge over total flux in each band; the total's colour stays as it is."""
    share = generator.beta(6, 2) if early else generator.beta(1.5, 7)
    strength = generator.uniform(0.3, 1.0)
    return np.clip(share * 10 ** (0.4 * strength * BULGE_REDDENING), 0, 0.99)


def _axis_ratios(early: bool, generator: np.random.Generator) -> tuple[float, float]:
    """Axis ratios of a randomly inclined disc and of a bulge."""
    cosine = generator.uniform(0.5 if early else 0.0, 1)
    disc = np.sqrt((1 - DISC_THICKNESS**2) * cosine**2 + DISC_THICKNESS**2)
    return float(disc), float(generator.uniform(0.6, 1.0))
