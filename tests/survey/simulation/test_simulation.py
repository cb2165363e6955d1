"""The simulated survey: laws of its spectra, its galaxies and its images."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("galsim", reason="needs the extra [sim]")
pytest.importorskip("kcorrect", reason="needs the extra [sim]")

from photoz_ssl.config import SPLITS
from photoz_ssl.survey.bands import SKY_NOISE
from photoz_ssl.survey.simulation.galaxies import simulate_again, simulate_block, simulate_blocks
from photoz_ssl.survey.simulation.population import (
    SimulatedGalaxy,
    absolute_magnitude,
    draw_galaxy,
    half_light_radius,
    intrinsic_flux,
)
from photoz_ssl.survey.simulation.render import (
    ELECTRONS,
    galaxy_profiles,
    neighbours,
    render,
)
from photoz_ssl.survey.simulation.seds import (
    TEMPLATE_SCATTER,
    fit_coefficients,
    luminosity_distance,
    photometric_residual,
)
from photoz_ssl.survey.simulation.source_galaxies import (
    MAGNITUDE_LIMIT,
    REDSHIFT_RANGE,
    SourceGalaxies,
    load_source_galaxies,
)

galsim = pytest.importorskip("galsim")
POPULATION = "photoz_ssl.survey.simulation.population"


@pytest.fixture(scope="module")
def sources() -> SourceGalaxies:
    return load_source_galaxies()


def test_the_sources_are_the_main_galaxy_sample(sources: SourceGalaxies) -> None:
    assert len(sources) > 9000
    assert np.all((sources.redshift > REDSHIFT_RANGE[0]) & (sources.redshift < REDSHIFT_RANGE[1]))
    assert np.all(np.isfinite(sources.coefficients))
    assert np.all(sources.coefficients >= 0)


def test_each_source_is_on_one_side_in_the_stated_shares(sources: SourceGalaxies) -> None:
    shares = np.bincount(sources.side, minlength=len(SPLITS)) / len(sources)
    np.testing.assert_allclose(shares, [0.8, 0.1, 0.1], atol=1e-3)


def test_the_cache_gives_what_was_computed(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    computed, cached = load_source_galaxies(), load_source_galaxies()
    np.testing.assert_array_equal(computed.coefficients, cached.coefficients)
    (file,) = (folder / "photoz-ssl").iterdir()
    file.write_bytes(b"damaged")
    np.testing.assert_array_equal(load_source_galaxies().residual, computed.residual)


def test_an_unmoved_galaxy_keeps_its_photometry(sources: SourceGalaxies) -> None:
    precise = np.flatnonzero(np.all(sources.error / np.abs(sources.flux) < 0.02, axis=1))[:50]
    assert len(precise) == 50
    for row in precise:
        flux = intrinsic_flux(sources, int(row), float(sources.redshift[row]))
        np.testing.assert_allclose(flux, sources.flux[row], rtol=0.04, err_msg=f"{row}")


def test_a_galaxy_farther_away_is_fainter(sources: SourceGalaxies) -> None:
    near, far = (intrinsic_flux(sources, 5, redshift) for redshift in (0.1, 0.2))
    assert np.all(far < near)


def test_coefficients_are_recovered_from_exact_fluxes(sources: SourceGalaxies) -> None:
    templates, redshift = sources.templates, np.array([0.05, 0.1, 0.2])
    truth = sources.coefficients[:3]
    flux = templates.flux(truth, redshift)
    found = fit_coefficients(flux, 1e-4 * flux, redshift, templates)
    np.testing.assert_allclose(templates.flux(found, redshift), flux, rtol=1e-3)


def test_luminosity_distance_at_small_redshift_is_hubbles_law() -> None:
    np.testing.assert_allclose(luminosity_distance(0.002), 299792.458 * 0.002 / 70, rtol=5e-3)


def test_residuals_without_noise_are_kept_and_noisy_ones_shrunk() -> None:
    generator = np.random.default_rng(0)
    model = np.ones((500, 5))
    flux = 1 + 2 * TEMPLATE_SCATTER * generator.standard_normal((500, 5))
    redshift = np.full(500, 0.1)
    exact = photometric_residual(flux, np.zeros((500, 5)), model, redshift)
    np.testing.assert_allclose(exact, flux)
    noisy = photometric_residual(flux, np.full((500, 5), 10.0), model, redshift)
    np.testing.assert_allclose(noisy, np.median(flux, axis=0) * np.ones((500, 1)), atol=0.01)


def test_sizes_follow_the_published_relation() -> None:
    generator = np.random.default_rng(1)
    early = [half_light_radius(-22.0, early=True, generator=generator) for _ in range(4000)]
    late = [half_light_radius(-20.52, early=False, generator=generator) for _ in range(4000)]
    assert np.median(early) == pytest.approx(10 ** (0.24 * 22.0 - 4.63), rel=0.03)
    expected = 10 ** (0.084 * 20.52 + 0.32 * np.log10(2) - 1.31)
    assert np.median(late) == pytest.approx(expected, rel=0.03)
    assert np.std(np.log(late)) == pytest.approx(0.25 + 0.23 / 2, rel=0.05)


def test_absolute_magnitudes_do_not_depend_on_the_distance(sources: SourceGalaxies) -> None:
    near = int(np.argmin(np.abs(sources.redshift - 0.1)))
    modulus = 5 * np.log10(luminosity_distance(sources.redshift[near])) + 25
    as_seen = 22.5 - 2.5 * np.log10(sources.flux[near, 2]) - modulus
    correction = -2.5 * np.log10(1.1)  # of r at redshift 0.1, whatever the spectrum
    assert absolute_magnitude(sources, near) == pytest.approx(as_seen - correction, abs=0.03)


def test_an_inclined_disc_keeps_its_half_light_radius(sources: SourceGalaxies) -> None:
    galaxy = replace(alone(sources, 3000.0), angle=0.3)
    radii = {}
    for axis_ratio in (0.2, 0.5, 1.0):
        ((_, _), (_, disc)) = galaxy_profiles(replace(galaxy, disc_axis_ratio=axis_ratio))
        photons = disc.shoot(20000, galsim.BaseDeviate(1))
        radii[axis_ratio] = float(np.median(np.hypot(photons.x, photons.y)))
    assert radii[1.0] == pytest.approx(galaxy.disc_radius, rel=0.02)
    assert radii[0.5] == pytest.approx(galaxy.disc_radius, rel=0.1)
    assert radii[0.2] == pytest.approx(
        galaxy.disc_radius, rel=0.4
    )  # its long axis is 2.2 times that


def test_half_of_the_light_is_within_the_radius_that_was_drawn(
    sources: SourceGalaxies, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = []

    def remembered(*args: Any, **kinds: Any) -> float:
        drawn.append(half_light_radius(*args, **kinds))
        return drawn[-1]

    monkeypatch.setattr(f"{POPULATION}.half_light_radius", remembered)
    generator, ratios = np.random.default_rng(6), []
    for number in range(40):
        galaxy = draw_galaxy(sources, number, generator)
        distance = float(luminosity_distance(galaxy.redshift)) / (1 + galaxy.redshift) ** 2
        photons = galsim.Add(*(share[2] * shape for share, shape in galaxy_profiles(galaxy))).shoot(
            3000, galsim.BaseDeviate(number + 1)
        )
        radius = np.median(np.hypot(photons.x, photons.y))  # in a round aperture, as Shen et al.
        ratios.append(float(radius * distance / 206.265 / drawn[-1]))
    assert np.median(ratios) == pytest.approx(1.0, abs=0.1)
    assert max(ratios) < 1.6


def test_drawn_galaxies_respect_the_selection(sources: SourceGalaxies) -> None:
    generator = np.random.default_rng(2)
    for number in range(100):
        galaxy = draw_galaxy(sources, number, generator)
        intrinsic = galaxy.petrosian_flux[2] * 10 ** (0.4 * 2.285 * galaxy.ebv)
        assert 22.5 - 2.5 * np.log10(intrinsic) <= MAGNITUDE_LIMIT + 1e-6
        assert REDSHIFT_RANGE[0] < galaxy.redshift < REDSHIFT_RANGE[1]
        assert np.all((galaxy.bulge_share >= 0) & (galaxy.bulge_share <= 1))


def alone(sources: SourceGalaxies, flux: float) -> SimulatedGalaxy:
    galaxy = draw_galaxy(sources, 1, np.random.default_rng(3))
    return replace(
        galaxy, flux=np.full(5, flux), bulge_share=np.zeros(5), disc_radius=1.5, disc_axis_ratio=0.8
    )


@pytest.fixture
def empty_field(monkeypatch: pytest.MonkeyPatch) -> None:
    module = "photoz_ssl.survey.simulation.render"
    monkeypatch.setattr(f"{module}.GALAXIES_A_SQUARE_DEGREE", 0.0)
    monkeypatch.setattr(f"{module}.STARS_A_SQUARE_DEGREE", 0.0)


@pytest.mark.usefixtures("empty_field")
def test_a_stamp_holds_the_galaxys_flux_at_its_centre(sources: SourceGalaxies) -> None:
    image = render(alone(sources, 3000.0), sources, 107, np.random.default_rng(4))
    np.testing.assert_allclose(image.sum(axis=(1, 2)), 3000.0, rtol=0.02)
    y, x = np.indices(image.shape[1:])
    for band in image[1:4]:
        assert np.average(x, weights=band.clip(0)) == pytest.approx(53, abs=1.0)
        assert np.average(y, weights=band.clip(0)) == pytest.approx(53, abs=1.0)


@pytest.mark.usefixtures("empty_field")
def test_the_noise_is_the_skys(sources: SourceGalaxies) -> None:
    images = [
        render(alone(sources, 1e-6), sources, 64, np.random.default_rng(seed)) for seed in range(30)
    ]
    np.testing.assert_allclose(np.std(images, axis=(0, 2, 3)), SKY_NOISE, rtol=0.1)
    assert np.all(ELECTRONS > 0)


def test_neighbours_are_of_the_galaxys_own_side_and_behind_its_dust(
    sources: SourceGalaxies,
) -> None:
    clear = replace(alone(sources, 3000.0), ebv=0.0)
    elsewhere = replace(
        sources,
        flux=np.where(
            (sources.side == sources.side[clear.source])[:, np.newaxis], sources.flux, np.nan
        ),
    )
    dusty = replace(clear, ebv=0.3)
    transparency = 10 ** (-0.4 * 0.3 * np.array([4.239, 3.303, 2.285, 1.698, 1.263]))
    n_seen = 0
    for seed in range(20):
        fields = [
            neighbours(galaxy, elsewhere, 107, np.random.default_rng(seed))
            for galaxy in (clear, dusty)
        ]
        for (_, flux, _), (_, reddened, _) in zip(*fields, strict=True):
            np.testing.assert_allclose(reddened, flux * transparency, rtol=1e-12)
            n_seen += 1
    assert n_seen > 20


def test_neighbours_and_stars_are_there(sources: SourceGalaxies) -> None:
    galaxy = alone(sources, 1e-6)
    bright = [
        render(galaxy, sources, 107, np.random.default_rng(seed))[2].max() > 1 for seed in range(20)
    ]
    assert any(bright)


def test_the_seed_decides_and_the_number_of_workers_does_not() -> None:
    whole = simulate_block(7, 0, 6, 64)
    part = simulate_block(7, 4, 6, 64)
    np.testing.assert_array_equal(whole.images[4:], part.images)
    np.testing.assert_array_equal(whole.table[4:], part.table)
    other = simulate_block(8, 4, 6, 64)
    assert not np.array_equal(other.images, part.images)


def test_two_processes_give_what_one_gives() -> None:
    one = list(simulate_blocks(7, 40, 64, workers=1))
    two = list(simulate_blocks(7, 40, 64, workers=2))
    assert [block.start for block in two] == [0, 32]
    for first, second in zip(one, two, strict=True):
        np.testing.assert_array_equal(first.images, second.images)
        np.testing.assert_array_equal(first.table, second.table)


def test_a_second_look_shows_the_same_galaxy_otherwise() -> None:
    first = simulate_block(3, 0, 2, 64).images
    again = simulate_again(3, 0, 2, 64, look=1, max_shift=3)
    other = simulate_again(3, 0, 2, 64, look=2, max_shift=3)
    np.testing.assert_array_equal(again, simulate_again(3, 0, 2, 64, look=1, max_shift=3))
    assert not np.array_equal(again, other)
    centre = (slice(None), 2, slice(16, 48), slice(16, 48))
    light = [images[centre].sum(axis=(1, 2)) for images in (first, again)]
    np.testing.assert_allclose(light[1], light[0], rtol=0.2)
