"""A galaxy's light in numbers that another observation of it would give again.

A network that is pretrained by contrast tells kinds of galaxies apart, and hardly two of a kind:
it averages its maps over the whole image, and with them the noise of all of its pixels. What is
measured here in the way of photometry, about the galaxy's own centre, sums its light and no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.spec import NETWORK_SIZE, network_pixels
from photoz_ssl.survey.bands import R_SF11, SKY_NOISE, extinction_from_ebv

__all__ = ["N_MEASURED", "ProfileSpace", "fit_profile_space", "light_profile"]

Floats = NDArray[np.float64]

RADII = (1, 2, 3, 4, 5, 6, 8, 10, 13, 17, 22, 28)
"""Of the apertures, pixels of 0.396 arcseconds."""

SOFTENING = 20 * np.array(SKY_NOISE)
"""Flux, nanomaggies, below which an aperture counts linearly: 20 pixels of noise (method 6)."""

MOMENT_WIDTHS = (3.0, 6.0, 12.0)
"""Standard deviations, pixels, of the weights of the second moments."""

N_MEASURED = 5 * len(RADII) + 2 * len(MOMENT_WIDTHS)

CENTRE_BANDS = slice(1, 4)
"""g, r and i, whose sum shows where the galaxy is."""

SEARCHED = 6.0
"""Pixels about the middle of a stamp within which its galaxy's brightest point lies."""

FARTHEST_CENTRE = 9.0
CENTROID_WIDTH, CENTROID_STEPS = 3.0, 6
SMOOTHING = 1.5
PHASES = 8
"""Places of a centre within a pixel, along each axis, for which apertures are kept."""

STRANGE = 12.0
"""Times the median change beyond which something else was measured: another object, say."""

SHRINKAGE = 1e-3
"""Of the scatter, added to its diagonal."""

PIXELS = np.arange(NETWORK_SIZE) - NETWORK_SIZE // 2
"""Columns, or rows, of the central pixels, from the middle one."""

HALF = max(RADII) + 1
MARGIN = HALF + int(FARTHEST_CENTRE) + 1 - NETWORK_SIZE // 2
"""Pixels by which an aperture may reach beyond a stamp."""


@dataclass(frozen=True)
class ProfileSpace:
    """Directions in which light profiles tell galaxies apart, in units of their own scatter.

    Parameters
    ----------
    mean : ndarray, shape (N_MEASURED,), float32
        Of the profiles; the point from which directions are seen.
    axes : ndarray, shape (N_MEASURED, n_axes), float32
        Linear discriminants (Fisher 1936) between galaxies that are observed twice.
    weight : float
        Share of the cosine between joined vectors that is the profiles'.
    """

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]
    weight: float

    def __post_init__(self) -> None:
        fits = self.mean.shape == (N_MEASURED,) and self.axes.shape[:1] == (N_MEASURED,)
        finite = np.isfinite(self.mean).all() and np.isfinite(self.axes).all()
        if not (fits and self.axes.ndim == 2 and finite and 0 < self.weight < 1):
            raise ValueError(f"a space of light profiles has {N_MEASURED} finite rows of axes")

    @property
    def n_axes(self) -> int:
        """Numbers that a profile adds to a representation."""
        return int(self.axes.shape[1])

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready values."""
        return {"mean": self.mean.tolist(), "axes": self.axes.tolist(), "weight": self.weight}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ProfileSpace:
        """Rebuild from `to_dict`.

        Raises
        ------
        KeyError, TypeError, ValueError
            If the fields describe none.
        """
        mean, axes = (np.array(fields[name], np.float32) for name in ("mean", "axes"))
        return cls(mean, axes, float(fields["weight"]))

    def joined(
        self,
        representations: NDArray[np.float32],
        images: NDArray[np.float32],
        ebv: NDArray[np.floating],
    ) -> NDArray[np.float32]:
        """Unit vectors of representations and profiles, shape (n, n_features + n_axes).

        The cosine of two of them is the weighted mean of that of their representations and
        that of their profiles.

        Parameters
        ----------
        representations : ndarray, shape (n, n_features)
            Unit vectors.
        images, ebv
            As of `light_profile`.
        """
        seen = (light_profile(images, ebv) - self.mean) @ self.axes
        length = np.linalg.norm(seen, axis=1, keepdims=True)
        seen = np.sqrt(self.weight) * seen / np.where(length > 0, length, 1)
        return np.concatenate(
            [np.sqrt(1 - self.weight) * representations, seen], axis=1, dtype=np.float32
        )


def light_profile(images: NDArray[np.float32], ebv: NDArray[np.floating]) -> Floats:
    """Light in apertures about the galaxy's centre, and how wide and how round it is.

    Neither a turn nor a mirror changes it, nor a shift of a few pixels.

    Parameters
    ----------
    images : ndarray, shape (n, 5, S, S), S >= 64
        Nanomaggies, of which the middle 64 pixels are used.
    ebv : ndarray, shape (n,)
        E(B-V) of SFD that the images are reddened by, magnitudes.

    Returns
    -------
    ndarray, shape (n, N_MEASURED)
        For each band arcsinh of the flux within each of `RADII` over `SOFTENING`; then for each of
        `MOMENT_WIDTHS` the logarithm of the weighted second moment and the ellipticity.
    """
    middle = network_pixels(images.shape[-1])
    brightening = 10 ** (0.4 * extinction_from_ebv(ebv, R_SF11))
    stamps = images[:, :, middle, middle] * brightening[:, :, np.newaxis, np.newaxis].astype("f4")
    light = stamps[:, CENTRE_BANDS].sum(axis=1)
    x, y = _centres(light)
    fluxes = np.arcsinh(_aperture_fluxes(stamps, x, y) / SOFTENING[:, np.newaxis])
    shapes = [number for width in MOMENT_WIDTHS for number in _shape(light, x, y, width)]
    numbers = fluxes.reshape(-1, N_MEASURED - len(shapes))
    return np.concatenate([numbers, np.stack(shapes, axis=1)], axis=1)


def _centres(light: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Column and row of the galaxies' centres, from the middle pixel: weighted centroids."""
    x, y = _brightest(light)
    for _ in range(CENTROID_STEPS):
        along_x, along_y = (_gaussian(at, CENTROID_WIDTH) for at in (x, y))
        rows = np.einsum("nyx,nx->ny", light, along_x, optimize=True)
        total = np.einsum("ny,ny->n", rows, along_y)
        new_y = np.einsum("ny,ny->n", rows, along_y * PIXELS)
        columns = np.einsum("nyx,ny->nx", light, along_y, optimize=True)
        new_x = np.einsum("nx,nx->n", columns, along_x * PIXELS)
        safe = np.where(total > 0, total, 1)
        new_x, new_y = new_x / safe, new_y / safe
        moved = (total > 0) & (np.maximum(np.abs(new_x), np.abs(new_y)) < FARTHEST_CENTRE)
        x, y = np.where(moved, new_x, x), np.where(moved, new_y, y)
    return x, y


def _brightest(light: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Column and row, from the middle pixel, of the brightest point near the middle."""
    reach = int(SEARCHED)
    near = np.arange(-reach, reach + 1)
    kernel = _gaussian(near, SMOOTHING).astype("f4")  # (n_near, 64)
    smooth = kernel @ light @ kernel.T
    outside = np.hypot(near, near[:, np.newaxis]) > SEARCHED
    place = np.where(outside, -np.inf, smooth).reshape(-1, len(near) ** 2).argmax(axis=1)
    row, column = np.divmod(place, len(near))
    return near[column].astype(float), near[row].astype(float)


def _gaussian(centres: NDArray[Any], width: float) -> Floats:
    """Gaussian weights of `PIXELS`, shape (n_centres, 64), with a maximum of 1."""
    return np.asarray(np.exp(-((PIXELS - centres[:, np.newaxis]) ** 2) / (2 * width**2)))


def _aperture_fluxes(stamps: NDArray[np.float32], x: Floats, y: Floats) -> Floats:
    """Flux within each of `RADII` about a centre, shape (n, n_bands, n_radii)."""
    n, n_bands = stamps.shape[:2]
    steps = np.round(np.stack([y, x], axis=1) * PHASES).astype(np.int64)
    whole, phase = np.divmod(steps, PHASES)
    fluxes = np.empty((n, n_bands, len(RADII)))
    padded = np.pad(stamps, ((0, 0), (0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN)))
    for place in np.unique(phase, axis=0):
        members = np.flatnonzero((phase == place).all(axis=1))
        side = 2 * HALF + 1
        corner = whole[members] + NETWORK_SIZE // 2 - HALF + MARGIN
        patches = np.stack(
            [
                padded[number, :, row : row + side, column : column + side]
                for number, (row, column) in zip(members, corner, strict=True)
            ]
        )
        apertures = _apertures(int(place[0]), int(place[1]))
        fluxes[members] = patches.reshape(len(members), n_bands, -1) @ apertures
    return fluxes


@lru_cache(maxsize=PHASES**2)
def _apertures(row_phase: int, column_phase: int) -> NDArray[np.float32]:
    """How much of each pixel lies in each aperture, shape (side * side, n_radii)."""
    pixels = np.arange(-HALF, HALF + 1)
    row, column = pixels - row_phase / PHASES, pixels - column_phase / PHASES
    radius = np.hypot(row[:, np.newaxis], column)
    inside = np.clip(np.array(RADII)[:, np.newaxis, np.newaxis] + 0.5 - radius, 0, 1)
    return np.ascontiguousarray(inside.reshape(len(RADII), -1).T, np.float32)


def _shape(light: NDArray[np.float32], x: Floats, y: Floats, width: float) -> tuple[Floats, Floats]:
    """Logarithm of the weighted second moment, and ellipticity, shape (n,) each."""
    dx, dy = PIXELS - x[:, np.newaxis], PIXELS - y[:, np.newaxis]
    along_x, along_y = _gaussian(x, width), _gaussian(y, width)

    def moment(power_x: int, power_y: int) -> Floats:
        columns = np.einsum("nyx,ny->nx", light, along_y * dy**power_y, optimize=True)
        return np.asarray(np.einsum("nx,nx->n", columns, along_x * dx**power_x))

    total = moment(0, 0)
    safe = np.where(total > 0, total, np.inf)
    xx, yy, xy = moment(2, 0) / safe, moment(0, 2) / safe, moment(1, 1) / safe
    size = np.clip(xx + yy, 0.1, 4 * width**2)
    ellipticity = np.clip(np.sqrt((xx - yy) ** 2 + 4 * xy**2) / size, 0, 2)
    return np.log(size), ellipticity


def fit_profile_space(
    first: Floats, again: Floats, *, n_axes: int, tempering: float, weight: float
) -> ProfileSpace:
    """Fit the directions in which galaxies differ most from each other, and least from themselves.

    Parameters
    ----------
    first : ndarray, shape (n, N_MEASURED)
        Profiles of galaxies.
    again : ndarray, shape (m, N_MEASURED), m <= n
        Profiles of the first m of them in another observation.
    n_axes : int
        Directions to keep.
    tempering : float
        Power of the ratio of both scatters by which an axis is divided: with 0 the sharpest
        direction, apparent brightness, rules; with 1 all are alike.
    weight : float
        As of `ProfileSpace`.
    """
    change = again - first[: len(again)]
    usual = np.median(np.abs(change), axis=0) + 1e-9
    change = change[(np.abs(change) < STRANGE * usual).all(axis=1)]
    within = change.T @ change / len(change)
    within += SHRINKAGE * np.diag(np.diag(within))
    inverse = np.linalg.inv(np.linalg.cholesky(within))
    ratio, directions = np.linalg.eigh(inverse @ np.cov(first.T) @ inverse.T)
    best = np.argsort(-ratio)[:n_axes]
    axes = inverse.T @ directions[:, best] * np.sqrt(ratio[best]) ** -tempering
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(n_axes)])
    mean = np.median(first, axis=0)
    return ProfileSpace(mean.astype(np.float32), axes.astype(np.float32), weight)
