"""Light profiles: numbers of a galaxy that do not depend on how it happens to lie on its stamp."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from photoz_ssl.survey.bands import R_SF11
from photoz_ssl.survey.images.light_profile import (
    MOMENT_WIDTHS,
    N_MEASURED,
    RADII,
    SOFTENING,
    ProfileSpace,
    fit_profile_space,
    light_profile,
)

NO_DUST = np.zeros(1)
FLUX = np.array([3.0, 12.0, 25.0, 33.0, 40.0])


def galaxy(x: float = 0.0, y: float = 0.0, *, size: int = 64, wide: float = 4.0) -> Any:
    """A Gaussian galaxy, twice as long as wide, about a place from the middle pixel."""
    pixels = np.arange(size) - size // 2
    profile = np.exp(
        -((pixels - x) ** 2) / (2 * wide**2) - (pixels[:, None] - y) ** 2 / (wide**2 / 2)
    )
    image = FLUX[:, None, None] * profile / profile.sum()
    return image[np.newaxis].astype(np.float32)


def shapes(profile: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sizes and ellipticities, shape (n, n_widths, 2)."""
    return profile[:, 5 * len(RADII) :].reshape(len(profile), -1, 2)


def test_the_widest_aperture_has_all_the_light() -> None:
    fluxes = light_profile(galaxy(), NO_DUST)[0, : 5 * len(RADII)].reshape(5, -1)
    np.testing.assert_allclose(np.sinh(fluxes[:, -1]) * SOFTENING, FLUX, rtol=1e-3)
    assert (np.diff(fluxes, axis=1) >= 0).all()


def test_an_aperture_on_a_flat_sky_has_its_area() -> None:
    flat = np.ones((1, 5, 107, 107), np.float32)
    fluxes = light_profile(flat, NO_DUST)[0, : 5 * len(RADII)].reshape(5, -1)
    areas = np.pi * np.array(RADII[1:-1]) ** 2
    np.testing.assert_allclose(np.sinh(fluxes[2, 1:-1]) * SOFTENING[2], areas, rtol=0.06)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_or_mirrored_galaxy_is_the_same(turns: int) -> None:
    image = galaxy(0.3, -0.2)[..., 1:, 1:]  # whose middle is a pixel's
    image = np.pad(image, ((0, 0), (0, 0), (2, 2), (2, 2)))
    turned = np.ascontiguousarray(np.rot90(image, turns, (2, 3)))
    expected = light_profile(image, NO_DUST)
    np.testing.assert_allclose(light_profile(turned, NO_DUST), expected, atol=5e-3)
    np.testing.assert_allclose(light_profile(image[..., ::-1], NO_DUST), expected, atol=5e-3)


@pytest.mark.parametrize("angle", [0.4, np.pi / 4, 2.0])
def test_sizes_and_ellipticities_are_those_of_a_galaxy_turned_by_any_angle(angle: float) -> None:
    y, x = np.indices((64, 64)) - 32.0
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    profile = np.exp(-(along**2) / (2 * 4.0**2) - across**2 / (4.0**2 / 2))
    turned = (FLUX[:, None, None] * profile / profile.sum())[np.newaxis].astype(np.float32)
    expected = shapes(light_profile(galaxy(), NO_DUST))
    np.testing.assert_allclose(shapes(light_profile(turned, NO_DUST)), expected, atol=5e-3)


@pytest.mark.parametrize("band", [0, 4])
def test_light_in_u_or_z_alone_does_not_move_a_galaxy(band: int) -> None:
    image = galaxy()
    image[:, band] += 1000 * galaxy(4.0, 3.0, wide=2.0)[:, band]
    found, expected = light_profile(image, NO_DUST), light_profile(galaxy(), NO_DUST)
    np.testing.assert_array_equal(shapes(found), shapes(expected))


@pytest.mark.parametrize("place", [(2.0, -3.0), (0.5, 0.25), (-2.7, 1.1)])
def test_a_moved_galaxy_is_the_same(place: tuple[float, float]) -> None:
    moved, expected = light_profile(galaxy(*place), NO_DUST), light_profile(galaxy(), NO_DUST)
    np.testing.assert_allclose(moved, expected, atol=0.03)  # pixels are no points


def test_a_larger_stamp_is_the_same() -> None:
    large = light_profile(galaxy(size=107), NO_DUST)
    np.testing.assert_allclose(large, light_profile(galaxy(), NO_DUST), atol=2e-3)


def test_size_and_ellipticity_are_those_of_a_gaussian() -> None:
    wide = 3.0
    found = shapes(light_profile(galaxy(wide=wide), NO_DUST))[0]
    for (log_size, ellipticity), weight in zip(found, MOMENT_WIDTHS, strict=True):
        xx, yy = (1 / (1 / axis**2 + 1 / weight**2) for axis in (wide, wide / 2))
        assert log_size == pytest.approx(np.log(xx + yy), abs=1e-3)
        assert ellipticity == pytest.approx((xx - yy) / (xx + yy), abs=1e-3)


def test_dust_is_taken_out() -> None:
    ebv = np.array([0.2])
    reddened = galaxy() * (10 ** (-0.4 * R_SF11 * 0.2))[:, None, None].astype(np.float32)
    expected = light_profile(galaxy(), NO_DUST)
    np.testing.assert_allclose(light_profile(reddened, ebv), expected, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, -1.0, 1e20])
def test_what_is_no_galaxy_has_finite_numbers(value: float) -> None:
    images = np.full((2, 5, 64, 64), value, np.float32)
    profile = light_profile(images, np.zeros(2))
    assert profile.shape == (2, N_MEASURED)
    assert np.isfinite(profile).all()


def test_one_galaxy_does_not_depend_on_the_others() -> None:
    images = np.random.default_rng(0).normal(0, 0.05, (5, 5, 64, 64)).astype(np.float32)
    images += galaxy(1.2, 0.4)
    all_five, alone = light_profile(images, np.zeros(5)), light_profile(images[3:4], NO_DUST)
    np.testing.assert_allclose(all_five[3:4], alone, rtol=1e-5, atol=1e-6)
    assert light_profile(images[:0], np.zeros(0)).shape == (0, N_MEASURED)


def space(n_axes: int = 3) -> ProfileSpace:
    axes = np.random.default_rng(1).normal(size=(N_MEASURED, n_axes)).astype(np.float32)
    return ProfileSpace(np.zeros(N_MEASURED, np.float32), axes, 0.3)


def test_a_joined_cosine_is_the_weighted_mean_of_both() -> None:
    images = np.concatenate([galaxy(), galaxy(wide=2.0)])
    made = np.array([[1.0, 0.0], [0.6, 0.8]], np.float32)
    joined = space().joined(made, images, np.zeros(2))
    np.testing.assert_allclose(np.linalg.norm(joined, axis=1), 1, atol=1e-6)
    seen = light_profile(images, np.zeros(2)) @ space().axes
    seen /= np.linalg.norm(seen, axis=1, keepdims=True)
    assert joined[0] @ joined[1] == pytest.approx(0.7 * 0.6 + 0.3 * (seen[0] @ seen[1]), abs=1e-5)


def test_a_space_is_rebuilt_from_its_fields() -> None:
    again = ProfileSpace.from_dict(space().to_dict())
    np.testing.assert_array_equal(again.axes, space().axes)
    assert again.weight == space().weight
    with pytest.raises(KeyError):
        ProfileSpace.from_dict({"mean": []})


@pytest.mark.parametrize(
    "change",
    [
        {"weight": 1.0},
        {"mean": np.zeros(3, np.float32)},
        {"axes": np.full((N_MEASURED, 2), np.nan, np.float32)},
    ],
)
def test_a_space_of_another_kind_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="light profiles"):
        replace(space(), **change)


def test_the_first_axis_is_what_differs_between_galaxies_and_not_between_looks() -> None:
    generator = np.random.default_rng(2)
    first = generator.normal(size=(3000, N_MEASURED))
    first[:, 7] *= 30  # differs from galaxy to galaxy
    first[:, 11] *= 30  # differs as much, but from look to look, too
    again = first[:500] + 0.1 * generator.normal(size=(500, N_MEASURED))
    again[:, 11] += 30 * generator.normal(size=500)
    fitted = fit_profile_space(first, again, n_axes=2, tempering=0.0, weight=0.5)
    assert np.abs(fitted.axes[:, 0]).argmax() == 7
    shown = (first - fitted.mean) @ fitted.axes
    assert abs(np.corrcoef(shown[:, 0], first[:, 7])[0, 1]) > 0.99
