"""Galaxies as SDSS sees them: GalSim profiles, seeing, neighbours, stars and noise."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.extras import import_extra
from photoz_ssl.survey.bands import BANDS, PIXEL_SCALE, R_SF11, SKY_NOISE, extinction_from_ebv
from photoz_ssl.survey.simulation.population import SimulatedGalaxy
from photoz_ssl.survey.simulation.source_galaxies import SourceGalaxies

__all__ = ["ELECTRONS", "SEEING", "render", "render_again"]

SEEING = np.array([1.53, 1.44, 1.32, 1.26, 1.29])
"""Median FWHM of SDSS's point spread function in ugriz, arcseconds."""

SEEING_SCATTER = (0.10, 0.03)
"""Relative scatter from field to field, and from band to band in a field."""

MOFFAT_BETA = 3.5

SKY_SCATTER = 0.10

ELECTRONS = np.array([140.0, 870.0, 920.0, 780.0, 140.0])
"""Electrons a nanomaggy, from typical gains and calibrations of SDSS frames."""

FAINT_LIMIT = 21.5
"""Faintest neighbours, magnitudes in r."""

GALAXIES_A_SQUARE_DEGREE, STARS_A_SQUARE_DEGREE = 7000.0, 5000.0
"""Down to that limit, away from the Galactic plane."""

GALAXY_SLOPE, STAR_SLOPE = 0.55, 0.20
"""d log10(counts) / d magnitude."""

MAGNITUDE_SPAN = 6.0
"""Neighbours are at most this much brighter than the limit."""

CENTRE_JITTER = 0.5
"""Half-width, pixels, of the galaxy's place about the central pixel's centre."""


@cache
def _galsim() -> ModuleType:
    return import_extra("galsim", extra="sim", purpose="rendering galaxies")


@cache
def _accuracy() -> Any:
    return _galsim().GSParams(
        folding_threshold=2e-2, maxk_threshold=1e-2, kvalue_accuracy=1e-4, maximum_fft_size=8192
    )


def render(
    galaxy: SimulatedGalaxy, sources: SourceGalaxies, size: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Draw a galaxy's stamp.

    Parameters
    ----------
    galaxy : SimulatedGalaxy
        At the centre of pixel ``size // 2``, give or take half a pixel.
    sources : SourceGalaxies
        Real galaxies whose colours the neighbours have.
    size : int
        Side of the stamp, pixels of 0.396 arcseconds.
    generator : Generator
        Source of every draw.

    Returns
    -------
    ndarray, shape (n_bands, size, size), float32
        Nanomaggies, with the sky subtracted.
    """
    seeing = _draw_seeing(generator)
    objects = _field(galaxy, sources, size, generator)
    return _observed(objects, seeing, size, generator)


def render_again(
    galaxy: SimulatedGalaxy,
    sources: SourceGalaxies,
    size: int,
    generator: np.random.Generator,
    other: np.random.Generator,
    *,
    max_shift: float,
) -> NDArray[np.float32]:
    """Draw what `render` draws as it is seen in another observation.

    The field is turned about the stamp's centre and moved; seeing, sky and noise are new.

    Parameters
    ----------
    galaxy, sources, size, generator
        As of `render`: of the first observation.
    other : Generator
        Source of all that is new.
    max_shift : float
        Largest shift along an axis, pixels.
    """
    _draw_seeing(generator)
    objects = _field(galaxy, sources, size, generator)
    angle = other.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = other.uniform(-max_shift, max_shift, 2) * PIXEL_SCALE
    moved = [
        (turn @ offset + shift, flux, profiles and _turned(profiles, angle))
        for offset, flux, profiles in objects
    ]
    return _observed(moved, _draw_seeing(other), size, other)


def _turned(profiles: list[tuple[NDArray[np.float64], Any]], angle: float) -> list[Any]:
    galsim = _galsim()
    return [(share, shape.rotate(angle * galsim.radians)) for share, shape in profiles]


def _field(
    galaxy: SimulatedGalaxy, sources: SourceGalaxies, size: int, generator: np.random.Generator
) -> list[Any]:
    """What there is to see: offset from the centre, fluxes and profiles of each object."""
    offset = generator.uniform(-CENTRE_JITTER, CENTRE_JITTER, 2) * PIXEL_SCALE
    objects = [(offset, galaxy.flux, galaxy_profiles(galaxy))]
    return objects + neighbours(galaxy, sources, size, generator)


def _observed(
    objects: list[Any], seeing: NDArray[np.float64], size: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    """A stamp of all objects in such a seeing, with noise; shape (n_bands, size, size)."""
    clean = np.stack(
        [_draw_band(objects, band, float(seeing[band]), size) for band in range(len(BANDS))]
    )
    sky = np.array(SKY_NOISE) * np.exp(SKY_SCATTER * generator.standard_normal(len(BANDS)))
    variance = sky[:, None, None] ** 2 + np.clip(clean, 0, None) / ELECTRONS[:, None, None]
    noise = np.sqrt(variance) * generator.standard_normal(clean.shape)
    return np.asarray(clean + noise, np.float32)


def _draw_seeing(generator: np.random.Generator) -> NDArray[np.float64]:
    field, band = SEEING_SCATTER
    scatter = field * generator.standard_normal() + band * generator.standard_normal(len(SEEING))
    return SEEING * np.exp(scatter)


def galaxy_profiles(galaxy: SimulatedGalaxy) -> list[tuple[NDArray[np.float64], Any]]:
    """Bulge and disc of flux 1, each with its share of the flux in the five bands."""
    galsim, accuracy = _galsim(), _accuracy()
    angle = galaxy.angle * galsim.radians
    bulge = galsim.DeVaucouleurs(half_light_radius=max(galaxy.bulge_radius, 0.1), gsparams=accuracy)
    disc = galsim.Exponential(half_light_radius=max(galaxy.disc_radius, 0.1), gsparams=accuracy)
    return [
        (galaxy.bulge_share, bulge.shear(q=galaxy.bulge_axis_ratio, beta=angle)),
        (1 - galaxy.bulge_share, disc.shear(q=galaxy.disc_axis_ratio, beta=angle)),
    ]


def _draw_band(objects: list[Any], band: int, seeing: float, size: int) -> NDArray[np.float64]:
    """All objects in one band; the seeing includes the pixel, so that none is added."""
    galsim, accuracy = _galsim(), _accuracy()
    psf = galsim.Moffat(beta=MOFFAT_BETA, fwhm=seeing, trunc=6 * seeing, gsparams=accuracy)
    stamp = galsim.ImageD(size, size, scale=PIXEL_SCALE)
    centre = size // 2 - (size - 1) / 2
    for offset, flux, profiles in objects:
        if profiles is None:
            light = flux[band] * psf
        else:
            light = galsim.Convolve(
                galsim.Add(*(flux[band] * share[band] * shape for share, shape in profiles)),
                psf,
                gsparams=accuracy,
            )
        place = (offset[0] / PIXEL_SCALE + centre, offset[1] / PIXEL_SCALE + centre)
        light.drawImage(stamp, method="no_pixel", offset=place, add_to_image=True)
    return np.asarray(stamp.array)


def neighbours(
    galaxy: SimulatedGalaxy, sources: SourceGalaxies, size: int, generator: np.random.Generator
) -> list[Any]:
    """Field galaxies and stars at random places of the stamp, behind the galaxy's own dust."""
    galsim = _galsim()
    area = (size * PIXEL_SCALE / 3600) ** 2
    transparency = 10 ** (-0.4 * extinction_from_ebv(np.asarray(galaxy.ebv), R_SF11))
    of_its_side = np.flatnonzero(sources.side == sources.side[galaxy.source])
    found: list[Any] = []
    for _ in range(generator.poisson(GALAXIES_A_SQUARE_DEGREE * area)):
        magnitude = _neighbour_magnitude(GALAXY_SLOPE, generator)
        row = of_its_side[generator.integers(len(of_its_side))]
        colours = sources.flux[row] / sources.flux[row, 2]
        radius = float(np.clip(0.35 * 10 ** (0.15 * (FAINT_LIMIT - magnitude)), 0.3, 5))
        shape = galsim.Exponential(half_light_radius=radius, gsparams=_accuracy())
        angle = generator.uniform(0, np.pi) * galsim.radians
        shape = shape.shear(q=generator.uniform(0.3, 1), beta=angle)
        flux = transparency * colours * 10 ** (0.4 * (22.5 - magnitude))
        found.append((_place(size, generator), flux, [(np.ones(len(BANDS)), shape)]))
    for _ in range(generator.poisson(STARS_A_SQUARE_DEGREE * area)):
        magnitude = _neighbour_magnitude(STAR_SLOPE, generator)
        flux = transparency * _star_flux(magnitude, generator)
        found.append((_place(size, generator), flux, None))
    return found


def _neighbour_magnitude(slope: float, generator: np.random.Generator) -> float:
    """From counts that rise as 10 to the slope times the magnitude."""
    return FAINT_LIMIT - min(float(generator.exponential(1 / (slope * np.log(10)))), MAGNITUDE_SPAN)


def _place(size: int, generator: np.random.Generator) -> NDArray[np.float64]:
    return generator.uniform(-size / 2, size / 2, 2) * PIXEL_SCALE


def _star_flux(magnitude: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """Nanomaggies of a star on the stellar locus: blue dwarfs, then M dwarfs of g - r 1.4."""
    blue = generator.random() < 0.5
    g_r = generator.normal(0.5, 0.15) if blue else generator.normal(1.35, 0.1)
    r_i = 0.4 * g_r - 0.02 if blue else generator.uniform(0.5, 1.8)
    u_g, i_z = (1.0 + 0.9 * (g_r - 0.3), 0.5 * r_i) if blue else (2.5, 0.55 * r_i)
    relative = np.array([u_g + g_r, g_r, 0.0, -r_i, -r_i - i_z])
    return np.asarray(10 ** (0.4 * (22.5 - magnitude - relative)))
