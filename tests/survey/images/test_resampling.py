"""Resampling agrees with reproject; what it cannot do right it refuses."""

from __future__ import annotations

import bz2
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray
from reproject import reproject_interp

from photoz_ssl.survey.images.resampling import corners_in, resampled

SIZE = 64
HEIGHT, WIDTH = 150, 180


def tangent(turn: float = 0.0, x: float = 0.0, y: float = 0.0) -> WCS:
    """A frame's WCS, turned by degrees and moved by pixels."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval = ["RA---TAN", "DEC--TAN"], [150.0, 20.0]
    wcs.wcs.crpix = [WIDTH / 2 + x, HEIGHT / 2 + y]
    sine, cosine = np.sin(np.radians(turn)), np.cos(np.radians(turn))
    wcs.wcs.cd = np.array([[-cosine, sine], [sine, cosine]]) * 0.396 / 3600
    return wcs


def by_reproject(
    image: NDArray[np.float32], wcs: WCS, reference: WCS, left: int, bottom: int, size: int = SIZE
) -> NDArray[np.float64]:
    """The same from the library, which asks the WCS about every pixel."""
    target = reference[bottom : bottom + size, left : left + size]
    found = reproject_interp(
        (image, wcs), target, shape_out=(size, size), order="bicubic", return_footprint=False
    )
    return np.asarray(found)


def stamp_of(
    image: NDArray[np.float32], wcs: WCS, reference: WCS, left: int, bottom: int, size: int = SIZE
) -> NDArray[np.float32] | None:
    corners = corners_in(wcs, reference, np.array([left]), np.array([bottom]), size)
    return resampled(image, corners[0], size)


@pytest.fixture
def noise() -> NDArray[np.float32]:
    return np.random.default_rng(5).standard_normal((HEIGHT, WIDTH), np.float32)


@pytest.mark.parametrize("turn", [0.0, 0.3, 7.0])
def test_it_is_what_reproject_makes(noise: NDArray[np.float32], turn: float) -> None:
    wcs, reference = tangent(turn, 3.3, -5.8), tangent()
    stamp = stamp_of(noise, wcs, reference, 50, 40)
    assert stamp is not None
    np.testing.assert_allclose(
        stamp, by_reproject(noise, wcs, reference, 50, 40), rtol=0, atol=2e-4
    )


def test_the_same_grid_gives_the_same_pixels(noise: NDArray[np.float32]) -> None:
    stamp = stamp_of(noise, tangent(), tangent(), 50, 40)
    assert stamp is not None
    np.testing.assert_allclose(stamp, noise[40 : 40 + SIZE, 50 : 50 + SIZE], rtol=0, atol=1e-5)


def test_a_straight_gradient_stays_one() -> None:
    rows, columns = np.indices((HEIGHT, WIDTH), dtype=np.float32)
    image: NDArray[np.float32] = 3 * columns - 2 * rows
    stamp = stamp_of(image, tangent(0, 0.25, 0.75), tangent(), 50, 40)
    assert stamp is not None
    expected = image[40 : 40 + SIZE, 50 : 50 + SIZE] + np.float32(3 * 0.25 - 2 * 0.75)
    np.testing.assert_allclose(stamp, expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize(
    ("left", "bottom", "x", "y"),
    [(0, 40, -1, 0), (50, 0, 0, -1), (WIDTH - SIZE, 40, 1, 0), (50, HEIGHT - SIZE, 0, 1)],
)
def test_nothing_is_made_up_beyond_an_edge(
    noise: NDArray[np.float32], left: int, bottom: int, x: float, y: float
) -> None:
    assert stamp_of(noise, tangent(0, x, y), tangent(), left, bottom) is None
    assert stamp_of(noise, tangent(0, -x, -y), tangent(), left, bottom) is not None


def test_a_frame_of_the_other_side_of_the_sky_shows_nothing(noise: NDArray[np.float32]) -> None:
    away = tangent()
    away.wcs.crval = [330.0, -20.0]
    assert stamp_of(noise, away, tangent(), 50, 40) is None


@pytest.mark.parametrize("bend", [0.1, -0.1])
def test_a_bent_grid_is_refused(noise: NDArray[np.float32], bend: float) -> None:
    corners = corners_in(tangent(), tangent(), np.array([50]), np.array([40]), SIZE)[0]
    corners[-1] += bend
    with pytest.raises(ValueError, match="bent"):
        resampled(noise, corners, SIZE)


def test_real_frames_are_as_reproject_makes_them(sdss_frames: Path) -> None:
    field = sdss_frames / "003918-3-0213"
    frames = {}
    for band in "rz":
        with bz2.open(next(field.glob(f"frame-{band}-*"))) as stream, fits.open(stream) as hdus:
            header = hdus[0].header
            header.pop("RADECSYS", None)
            frames[band] = np.asarray(hdus[0].data, np.float32), WCS(header, fix=False)
    (image, wcs), (_, reference) = frames["z"], frames["r"]
    for left, bottom in ((900, 600), (200, 1200)):
        stamp = stamp_of(image, wcs, reference, left, bottom, 107)
        assert stamp is not None
        expected = by_reproject(image, wcs, reference, left, bottom, 107)
        scale = np.abs(expected).max()
        np.testing.assert_allclose(stamp, expected, rtol=0, atol=1e-4 * scale)
