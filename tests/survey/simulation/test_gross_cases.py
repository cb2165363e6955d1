"""Spoilt stamps: the same for a seed, of the same shape, and finite."""

from __future__ import annotations

import numpy as np
import pytest

from photoz_ssl.survey.simulation.gross_cases import (
    GROSS_CASES,
    brighter_neighbour,
    double_scale,
    half_scale,
    noise_of,
    saturated_star,
    stellar_fluxes,
)
from tests.conftest import toy_block


@pytest.mark.parametrize("case", GROSS_CASES)
def test_a_case_is_reproducible_and_leaves_its_input(case: str) -> None:
    images = toy_block(4).images
    before = images.copy()
    one, other = (GROSS_CASES[case](images, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(images, before)
    assert one.shape == images.shape
    assert one.dtype == np.float32
    assert np.isfinite(one).all()
    assert not np.array_equal(one, images)


def test_other_pixels_keep_the_flux_of_the_galaxy() -> None:
    images = toy_block(4).images
    generator = np.random.default_rng(1)
    centre = images[:, 2, 44:63, 44:63].sum(axis=(1, 2))
    finer = half_scale(images, generator)[:, 2, 34:72, 34:72].sum(axis=(1, 2))
    coarser = double_scale(images, generator)[:, 2, 48:59, 48:59].sum(axis=(1, 2))
    np.testing.assert_allclose(finer, centre, rtol=0.15)
    np.testing.assert_allclose(coarser, centre, rtol=0.15)


def test_a_brighter_neighbour_is_as_much_brighter_as_said_and_adds_no_noise() -> None:
    images = toy_block(40).images
    added = brighter_neighbour(images, np.random.default_rng(1)) - images
    own = images[:, 2, 40:67, 40:67].sum(axis=(1, 2)).clip(1)
    brightness = added[:, 2].sum(axis=(1, 2)) / own
    assert brightness.min() > 1.9
    assert brightness.max() < 5.1
    noise = noise_of(images)
    assert np.all(noise_of(images + added) < 1.5 * noise)


def test_a_neighbour_is_beside_the_galaxy() -> None:
    images = toy_block(40).images
    added = (brighter_neighbour(images, np.random.default_rng(1)) - images)[:, 2]
    brightest = added.reshape(40, -1).argmax(axis=1)
    distance = np.hypot(brightest // 107 - 53, brightest % 107 - 53)
    assert distance.min() > 4
    assert distance.max() < 13


@pytest.mark.parametrize("case", ["satellite trail", "cosmic rays", "missing band"])
def test_a_case_of_one_band_leaves_the_others(case: str) -> None:
    images = toy_block(20).images
    changed = GROSS_CASES[case](images, np.random.default_rng(1)) != images
    of_bands = changed.any(axis=(2, 3))
    assert of_bands.sum(axis=1).tolist() == [1] * 20
    assert of_bands.any(axis=0).all()  # each band has its turn


def test_a_saturated_star_is_cut_off() -> None:
    images = toy_block(4).images
    added = saturated_star(images, np.random.default_rng(1)) - images
    assert added.max(axis=(1, 2, 3)).tolist() == pytest.approx([100.0] * 4, abs=1e-3)
    flat = np.sum(added > 99.99, axis=(2, 3))
    assert flat[:, 2].min() > 10  # the top, and columns


def test_a_star_is_brighter_the_redder_the_band() -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        fluxes = stellar_fluxes(16.0, generator)
        assert 22.5 - 2.5 * np.log10(fluxes[2]) == pytest.approx(16.0)
        assert np.all(np.diff(fluxes) > 0)
