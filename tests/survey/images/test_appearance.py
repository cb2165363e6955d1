"""Plain numbers of a stamp: defined for any pixels, and different for what is no galaxy."""

from __future__ import annotations

import numpy as np
import pytest

from photoz_ssl.survey.images.appearance import N_SPREAD, appearance
from tests.conftest import toy_block


def test_one_description_a_stamp_and_finite() -> None:
    images = toy_block(6).images
    numbers = appearance(images)
    assert numbers.shape == (6, 39)
    assert np.isfinite(numbers).all()
    assert appearance(images[:0]).shape == (0, 39)
    assert N_SPREAD < 39


def test_only_the_central_pixels_count() -> None:
    images = toy_block(3).images
    centre = images[:, :, 21:85, 21:85]
    np.testing.assert_array_equal(appearance(images), appearance(centre))


def test_a_description_does_not_depend_on_the_others() -> None:
    images = toy_block(5).images
    one_by_one = np.concatenate([appearance(image[np.newaxis]) for image in images])
    np.testing.assert_allclose(appearance(images), one_by_one, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38, -3e38])
def test_what_is_no_light_has_no_description_and_leaves_the_others(value: float) -> None:
    images = toy_block(3).images
    spoilt = images.copy()
    spoilt[1, 2, 50:, 50:] = value
    numbers = appearance(spoilt)
    assert np.isnan(numbers[1]).all()
    np.testing.assert_array_equal(numbers[[0, 2]], appearance(images)[[0, 2]])


def test_the_brightest_light_has_a_description_that_is_finite() -> None:
    images = np.zeros((3, 5, 64, 64), np.float32)
    images[0, :, 32, 32], images[1], images[2, :, ::2] = 9e19, -9e19, 9e19
    assert np.isfinite(appearance(images)).all()


def test_empty_and_constant_stamps_are_numbers() -> None:
    assert np.isfinite(appearance(np.zeros((1, 5, 64, 64), np.float32))).all()
    assert np.isfinite(appearance(np.full((1, 5, 64, 64), 1e6, np.float32))).all()


def test_a_hot_pixel_is_sharp_and_a_lost_band_has_no_noise() -> None:
    images = toy_block(1).images
    hot, lost = images.copy(), images.copy()
    hot[0, 2, 30, 70] += 20
    lost[0, 3] = 0
    noise, sharpness = slice(0, 5), slice(10, 15)
    usual = appearance(images)[0]
    assert np.argmax(appearance(hot)[0, sharpness] - usual[sharpness]) == 2
    assert np.argmin(appearance(lost)[0, noise] - usual[noise]) == 3


def test_a_galaxy_on_its_pixel_is_at_no_distance_from_the_centre() -> None:
    y, x = np.indices((64, 64)) - 32
    galaxy = 50 * np.exp(-np.hypot(y, x) / 3)
    noise = np.random.default_rng(1).normal(0, 0.01, (3, 5, 64, 64))
    images = np.broadcast_to(galaxy, (5, 64, 64)) + noise
    images[1], images[2] = np.roll(images[1], 1, axis=1), np.roll(images[2], -1, axis=2)
    offset = 10 ** appearance(images.astype(np.float32))[:, 30] - 0.1
    np.testing.assert_allclose(offset, [0, 1, 1], atol=0.01)
