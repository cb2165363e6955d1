"""Images that are no galaxies of the survey: what a flag for them has to catch.

Each function takes stamps of galaxies, shape (n, 5, S, S) in nanomaggies, and a generator, and
gives stamps of the same shape.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.spec import network_pixels

__all__ = ["GROSS_CASES"]

Stamps = NDArray[np.float32]
Case = Callable[[Stamps, np.random.Generator], Stamps]

SEEING_PIXELS = 1.5
"""Half of the width to which the seeing smears the middle of a galaxy."""

STELLAR_COLOURS = np.array([[0.9, 0.3, 0.1, 0.05], [2.6, 1.35, 0.9, 0.5]])
"""u-g, g-r, r-i and i-z of a star like the Sun or hotter, and of a cool one."""


def noise_of(stamps: Stamps) -> NDArray[np.float64]:
    """Standard deviation of a pixel in each band, shape (n, 5)."""
    return 1.0484 * np.median(np.abs(np.diff(stamps, axis=-1)), axis=(-2, -1))


def star_light(side: int, y: float, x: float, fwhm: float) -> NDArray[np.float64]:
    """A Moffat profile of flux 1 at (y, x) from the stamp's centre, pixels."""
    down, across = np.indices((side, side)) - side // 2
    width = fwhm / (2 * np.sqrt(2 ** (1 / 3.5) - 1))
    profile = (1 + ((down - y) ** 2 + (across - x) ** 2) / width**2) ** -3.5
    return np.asarray(profile / profile.sum())


def stellar_fluxes(r_magnitude: float, generator: np.random.Generator) -> NDArray[np.float64]:
    """Nanomaggies of a star in ugriz."""
    hot, cool = STELLAR_COLOURS
    ug, gr, ri, iz = hot + generator.uniform() * (cool - hot)
    magnitudes = r_magnitude + np.array([ug + gr, gr, 0, -ri, -ri - iz])
    return 10 ** (0.4 * (22.5 - magnitudes))


def stars(stamps: Stamps, generator: np.random.Generator) -> Stamps:
    """A star where the galaxy was."""
    made = np.empty_like(stamps)
    for image, noise in zip(made, noise_of(stamps), strict=True):
        fluxes = stellar_fluxes(generator.uniform(14, 17.5), generator)
        fwhm = generator.uniform(2.8, 4.2)
        image[:] = fluxes[:, None, None] * star_light(stamps.shape[-1], 0, 0, fwhm)
        image += generator.normal(size=image.shape) * noise[:, None, None]
    return made


def galaxy_light(
    side: int, y: float, x: float, generator: np.random.Generator
) -> NDArray[np.float64]:
    """A tilted exponential disc of flux 1 at (y, x) from the stamp's centre, pixels, as seen."""
    radius, axis_ratio = generator.uniform(2, 5), generator.uniform(0.3, 1)
    angle = generator.uniform(0, np.pi)
    down, across = np.indices((side, side)) - side // 2
    along = (down - y) * np.sin(angle) + (across - x) * np.cos(angle)
    beside = ((across - x) * np.sin(angle) - (down - y) * np.cos(angle)) / axis_ratio
    profile = np.exp(-np.sqrt(along**2 + beside**2 + SEEING_PIXELS**2) / radius)
    return np.asarray(profile / profile.sum())


def brighter_neighbour(stamps: Stamps, generator: np.random.Generator) -> Stamps:
    """Another galaxy, twice to five times as bright, 5 to 12 pixels away, with no noise added.

    It has the colours of one of the others; noise of its own would give it away.
    """
    made, middle = stamps.copy(), stamps.shape[-1] // 2
    near = slice(middle - 13, middle + 14)
    fluxes = np.maximum(stamps[:, :, near, near].sum(axis=(2, 3)), 0)
    for image, other, own in zip(made, generator.permutation(len(stamps)), fluxes, strict=True):
        angle, distance = generator.uniform(0, 2 * np.pi), generator.uniform(5, 12)
        y, x = distance * np.sin(angle), distance * np.cos(angle)
        brightness = generator.uniform(2, 5) * max(own[2], 1) / max(fluxes[other, 2], 1)
        light = galaxy_light(stamps.shape[-1], y, x, generator)
        image += (brightness * fluxes[other][:, None, None] * light).astype(np.float32)
    return made


def satellite_trail(stamps: Stamps, generator: np.random.Generator) -> Stamps:
    """A straight bright line through the stamp, in one band."""
    made = stamps.copy()
    side = stamps.shape[-1]
    y, x = np.indices((side, side)) - (side - 1) / 2
    for image, noise in zip(made, noise_of(stamps), strict=True):
        angle, offset = generator.uniform(0, np.pi), generator.uniform(-20, 20)
        distance = x * np.cos(angle) + y * np.sin(angle) - offset
        band = generator.integers(5)
        height = noise[band] * generator.uniform(20, 200)
        image[band] += (height * np.exp(-(distance**2) / (2 * 1.6**2))).astype(np.float32)
    return made


def saturated_star(stamps: Stamps, generator: np.random.Generator) -> Stamps:
    """A star of r = 9 to 12 in the stamp, cut off at the top, with bleeding columns."""
    made = stamps.copy()
    side = stamps.shape[-1]
    for image in made:
        y, x = generator.uniform(-25, 25, 2)
        fluxes = stellar_fluxes(generator.uniform(9, 12), generator)
        star = fluxes[:, None, None] * star_light(side, y, x, generator.uniform(2.8, 4.2))
        column = round(x + side / 2)
        star[:, :, column] += 0.3 * star.max(axis=(1, 2))[:, None]
        image += np.minimum(star, 100.0).astype(np.float32)
    return made


def cosmic_rays(stamps: Stamps, generator: np.random.Generator) -> Stamps:
    """Ten short tracks in one band, none of which an instrument's PSF could draw."""
    made = stamps.copy()
    seen = network_pixels(stamps.shape[-1])
    for image, noise in zip(made, noise_of(stamps), strict=True):
        band = generator.integers(5)
        for _ in range(10):
            y, x = generator.integers(seen.start + 2, seen.stop - 8, 2)
            down, right = generator.integers(0, 2, 2)
            for step in range(generator.integers(2, 7)):
                height = noise[band] * generator.uniform(30, 200)
                image[band, y + down * step, x + right * step] += np.float32(height)
    return made


def missing_band(stamps: Stamps, generator: np.random.Generator) -> Stamps:
    """One band is zero throughout."""
    made = stamps.copy()
    made[np.arange(len(made)), generator.integers(5, size=len(made))] = 0
    return made


def half_scale(stamps: Stamps, generator: np.random.Generator) -> Stamps:
    """Pixels half as wide, interpolated; the flux is kept."""
    first = stamps.shape[-1] // 2 - 18
    centre = stamps[:, :, first : first + 36, first : first + 36]
    finer = _doubled(_doubled(centre, -2), -1) / 4
    made = np.pad(finer, ((0, 0), (0, 0), (17, 18), (17, 18)), mode="reflect")
    return np.asarray(made, np.float32)


def _doubled(stamps: NDArray[np.floating], axis: int) -> NDArray[np.floating]:
    """Twice as many pixels along an axis, interpolated linearly."""
    near = np.repeat(stamps, 2, axis=axis)
    below, above = (np.roll(near, step, axis=axis) for step in (1, -1))
    return np.asarray((below + 2 * near + above) / 4)


def double_scale(stamps: Stamps, generator: np.random.Generator) -> Stamps:
    """Pixels twice as wide: the sum of four."""
    even = stamps[:, :, :106, :106]
    coarser = even.reshape(*even.shape[:2], 53, 2, 53, 2).sum(axis=(3, 5))
    made = np.pad(coarser, ((0, 0), (0, 0), (27, 27), (27, 27)), mode="reflect")
    return np.asarray(made, np.float32)


GROSS_CASES: dict[str, Case] = {
    "satellite trail": satellite_trail,
    "saturated star": saturated_star,
    "cosmic rays": cosmic_rays,
    "star": stars,
    "brighter neighbour": brighter_neighbour,
    "pixels x 0.5": half_scale,
    "pixels x 2": double_scale,
    "missing band": missing_band,
}
