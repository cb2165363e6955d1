"""Plain numbers that tell images of galaxies from those of anything else.

An encoder is trained on galaxies: a stamp that is all nonsense may lie close to some of them in
its space. These numbers ask the pixels themselves: how strong and how grainy the noise is, how
sharp the sharpest pixel, how compact and how central the light, and how alike the bands are.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.samples import SIGMA_OF_MAD
from photoz_ssl.spec import NETWORK_SIZE, network_pixels

__all__ = ["N_NUMBERS", "N_SPREAD", "appearance"]

N_NUMBERS = 39
"""Numbers of a description."""

N_SPREAD = 6
"""Numbers at the end that tell how the object's light is spread: a star's is like no galaxy's."""

Floats = NDArray[np.floating]

CORE_PIXELS = 4.0
"""Radius within which light counts as that of the object's core."""

APERTURES = (1.5, 3.0, 5.0, 12.0)
"""Radii, pixels, between which the growth of light tells a star from a galaxy."""

OBJECT_PIXELS = 12.0
"""Radius within which light counts as the object's."""

BRIGHTEST = 1e20
"""Nanomaggies, more than the Sun's; sums and squares of pixels below it are numbers."""

FAINTEST = 1e-6
"""Relative to the noise, under logarithms."""


def appearance(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Numbers that describe the looks of stamps.

    Parameters
    ----------
    images : ndarray, shape (n, 5, S, S), S >= 64
        Nanomaggies; the central 64 pixels count.

    Returns
    -------
    ndarray, shape (n, 39)
        For each band the logarithm of the noise, the noise's correlation over one pixel, the
        sharpest pixel, the light of the core and that of the object beside all light, and the
        brightest pixel outside the object; then how far the centre of light is from the stamp's,
        how wide the object is, and how little alike the bands are; then the brightness of the
        core in g, r and i, and how the object's light grows with radius. NaN where a pixel is not
        finite, or brighter than the Sun.
    """
    centre = network_pixels(images.shape[-1])
    stamps = np.asarray(images[:, :, centre, centre], np.float32)
    if not len(stamps):
        return np.empty((0, N_NUMBERS), np.float32)
    bad = np.asarray(~(np.abs(stamps) < BRIGHTEST).all(axis=(1, 2, 3)))
    stamps = np.where(bad[:, np.newaxis, np.newaxis, np.newaxis], 0, stamps)
    light = stamps - np.median(stamps[..., ::2, ::2], axis=(-2, -1), keepdims=True)
    noise = _noise(light)
    columns = [
        np.log10(noise),
        _grain(light),
        _sharpness(light, noise),
        *_concentration(light, noise),
        _brightest_elsewhere(light, noise),
        _whole(light / noise[:, :, np.newaxis, np.newaxis]),
        _core_brightness(light, noise)[:, 1:4],
        _growth(light),
    ]
    numbers = np.concatenate(columns, axis=1)
    numbers[bad] = np.nan
    return numbers.astype(np.float32)


def _noise(light: Floats) -> Floats:
    """Standard deviation of a pixel, from differences of neighbours, shape (n, bands)."""
    steps = np.abs(np.diff(light[..., ::2, :], axis=-1))
    deviation = SIGMA_OF_MAD / np.sqrt(2) * np.median(steps, axis=(-2, -1))
    return np.asarray(np.maximum(deviation, FAINTEST), np.float32)


def _grain(light: Floats) -> Floats:
    """Differences of neighbours beside those of pixels three apart; interpolation lowers it."""
    lines = light[..., ::2, :]
    near = np.median(np.abs(np.diff(lines, axis=-1)), axis=(-2, -1))
    far = np.median(np.abs(lines[..., 3:] - lines[..., :-3]), axis=(-2, -1))
    return np.asarray(np.log10((near + FAINTEST) / (far + FAINTEST)))


def _sharpness(light: Floats, noise: Floats) -> Floats:
    """How far the sharpest pixel stands out of its neighbours, beside noise and light there."""
    across = (light[..., 1:-1, :-2] + light[..., 1:-1, 2:]) / 2
    along = (light[..., :-2, 1:-1] + light[..., 2:, 1:-1]) / 2
    expected = np.maximum(across, along)
    doubt = 3 * noise[:, :, np.newaxis, np.newaxis] + 0.3 * np.abs(expected)
    excess = (light[..., 1:-1, 1:-1] - expected) / doubt
    return np.asarray(np.log10(np.maximum(excess.max(axis=(-2, -1)), 0.1)))


def _concentration(light: Floats, noise: Floats) -> tuple[Floats, Floats]:
    """Light of the core, and of the object beside all light, logarithms, shape (n, bands)."""
    radius = _radius()
    bright = np.maximum(light - 2 * noise[:, :, np.newaxis, np.newaxis], 0)
    least = noise
    whole = bright.sum(axis=(-2, -1)) + least
    core = (bright * (radius <= CORE_PIXELS)).sum(axis=(-2, -1)) + least
    inside = (bright * (radius <= OBJECT_PIXELS)).sum(axis=(-2, -1)) + least
    return np.log10(core / inside), np.log10(inside / whole)


def _brightest_elsewhere(light: Floats, noise: Floats) -> Floats:
    """Logarithm of the brightest pixel outside the object, in units of the noise."""
    outside = light[..., _radius() > OBJECT_PIXELS].max(axis=-1)
    return np.asarray(np.log10(np.maximum(outside / noise, 1.0)))


def _core_brightness(light: Floats, noise: Floats) -> Floats:
    """Magnitudes of the core, softened at the noise so that no light is a number, too."""
    core = light[..., _radius() <= CORE_PIXELS].sum(axis=-1)
    return np.asarray(np.arcsinh(core / (2 * noise)), np.float32)


def _growth(light: Floats) -> Floats:
    """Light in g, r and i within each of `APERTURES` beside that within the next, logarithms."""
    radius, total = _radius(), light[:, 1:4].sum(axis=1)
    within = np.stack([total[:, radius <= limit].sum(axis=-1) for limit in APERTURES], axis=1)
    shares = within[:, :-1] / np.maximum(within[:, 1:], FAINTEST)
    return np.asarray(np.log10(np.clip(shares, 0.01, 10)), np.float32)


def _whole(signal: Floats) -> Floats:
    """Offset and width of the object, and how little alike the bands are, shape (n, 3)."""
    y, x = _offsets()
    radius = _radius()
    bright = np.maximum(signal[:, 1:4].mean(axis=1) - 2, 0) * (radius <= 2 * OBJECT_PIXELS)
    weight = bright.sum(axis=(-2, -1)) + FAINTEST
    middle_y = (bright * y).sum(axis=(-2, -1)) / weight
    middle_x = (bright * x).sum(axis=(-2, -1)) / weight
    spread = (bright * radius).sum(axis=(-2, -1)) / weight
    compressed = np.arcsinh(signal[:, 1:4]).reshape(len(signal), 3, -1)
    compressed = compressed - compressed.mean(axis=-1, keepdims=True)
    norm = np.sqrt((compressed**2).sum(axis=-1)) + FAINTEST
    alike = compressed @ compressed.transpose(0, 2, 1) / (norm[:, :, None] * norm[:, None])
    pairs = alike[:, [0, 1], [1, 2]].min(axis=-1)
    return np.stack(
        [
            np.log10(np.hypot(middle_y, middle_x) + 0.1),
            np.log10(spread + 0.1),
            np.log10(1.0001 - np.clip(pairs, -1, 1)),
        ],
        axis=1,
    )


def _radius() -> Floats:
    """Of each pixel from the galaxy's, shape (64, 64)."""
    return np.asarray(np.hypot(*_offsets()))


def _offsets() -> Floats:
    """Of each pixel from the one that the galaxy lies on, along y and x, shape (2, 64, 64)."""
    return np.asarray(np.indices((NETWORK_SIZE, NETWORK_SIZE)) - NETWORK_SIZE // 2, np.float64)
