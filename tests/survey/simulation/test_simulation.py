"""The simulated survey: laws of its spectra, its galaxies and its images."""

from __future__ import annotations

import importlib
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("galsim", reason="needs the extra [sim]")
pytest.importorskip("kcorrect", reason="needs the extra [sim]")

from astropy.io import fits

from photoz_ssl.config import SPLITS
from photoz_ssl.survey.bands import BANDS, PIXEL_SCALE, R_SF11, SKY_NOISE
from photoz_ssl.survey.simulation.galaxies import (
    TABLE_DTYPE,
    _fill_row,
    simulate_again,
    simulate_block,
    simulate_blocks,
)
from photoz_ssl.survey.simulation.population import (
    SimulatedGalaxy,
    _early_probability,
    _moved,
    absolute_magnitude,
    draw_galaxy,
    half_light_radius,
    intrinsic_flux,
)
from photoz_ssl.survey.simulation.render import (
    ELECTRONS,
    FAINT_LIMIT,
    SEEING,
    _draw_seeing,
    _observed,
    _star_flux,
    galaxy_profiles,
    neighbours,
    render,
    render_again,
)
from photoz_ssl.survey.simulation.seds import (
    AB_OFFSETS,
    TEMPLATE_SCATTER,
    fit_coefficients,
    luminosity_distance,
    photometric_residual,
    template_fluxes,
)
from photoz_ssl.survey.simulation.source_galaxies import (
    MAGNITUDE_LIMIT,
    REDSHIFT_RANGE,
    SourceGalaxies,
    _split_sides,
    load_source_galaxies,
)

galsim = pytest.importorskip("galsim")
kcorrect = pytest.importorskip("kcorrect")
SIMULATION = "photoz_ssl.survey.simulation"
POPULATION = f"{SIMULATION}.population"
TEMPLATES = "data/templates/kcorrect-default-v4.fits"
SOURCES = "data/test/gst_tests_small.fits"


@pytest.fixture(scope="module")
def sources() -> SourceGalaxies:
    return load_source_galaxies()


def test_the_sources_are_the_main_galaxy_sample(sources: SourceGalaxies) -> None:
    assert len(sources) > 9000
    assert np.all((sources.redshift > REDSHIFT_RANGE[0]) & (sources.redshift < REDSHIFT_RANGE[1]))
    assert np.all(np.isfinite(sources.coefficients))
    assert np.all(sources.coefficients >= 0)


def test_sources_have_the_dust_of_their_photometry_taken_away(sources: SourceGalaxies) -> None:
    table = fits.getdata(f"{kcorrect.KCORRECT_DIR}/{SOURCES}", 1)
    table = table[np.isin(table["RA"], sources.ra)]
    assert len(table) == len(sources)
    transparency = 10 ** (-0.4 * np.outer(sources.ebv, R_SF11))
    np.testing.assert_allclose(sources.flux * transparency, table["MODELFLUX"], rtol=1e-5)
    observed_error = sources.error * transparency
    np.testing.assert_allclose(observed_error, table["MODELFLUX_IVAR"] ** -0.5, rtol=1e-5)
    petrosian = table["PETROFLUX"][:, 2] * 10 ** (0.4 * table["EXTINCTION"][:, 2])
    faintest = 22.5 - 2.5 * np.log10(petrosian.min())
    assert MAGNITUDE_LIMIT - 0.01 < faintest <= MAGNITUDE_LIMIT + 1e-5


def test_templates_are_seen_as_kcorrect_sees_them() -> None:
    with fits.open(f"{kcorrect.KCORRECT_DIR}/{TEMPLATES}", memmap=False) as hdus:
        wavelength, flux = (hdus["FLUX"].data[name][0].astype(float) for name in ("wave", "flux"))
    redshift = 0.13
    found = template_fluxes(np.array([redshift, 0.2])).at(np.array(redshift))
    for of_band, band, offset in zip(found, BANDS, AB_OFFSETS, strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            response = importlib.import_module("kcorrect.response").Response(
                filename=f"sdss_{band}0.dat"
            )
        for nanomaggies, spectrum in zip(of_band, flux, strict=True):
            ab = 1e9 * response.project(
                wave=wavelength * (1 + redshift), flux=spectrum / (1 + redshift)
            )
            in_sdss = 22.5 - 2.5 * np.log10(ab) - offset  # m(SDSS) = m(AB) - offset
            assert 22.5 - 2.5 * np.log10(nanomaggies) == pytest.approx(in_sdss, abs=0.005)


def test_a_source_is_on_the_same_side_for_ever() -> None:
    assert np.flatnonzero(_split_sides(20)).tolist() == [1, 7, 8, 11]


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


def test_luminosity_distance_is_that_of_the_stated_cosmology() -> None:
    redshift = (np.arange(2000) + 0.5) / 2000
    comoving = np.mean(1 / np.sqrt(0.3 * (1 + redshift) ** 3 + 0.7))  # the integral from 0 to 1
    expected = 299792.458 / 70 * 2 * comoving
    np.testing.assert_allclose(luminosity_distance(1.0), expected, rtol=1e-4)


def test_residuals_are_at_most_a_factor_of_two() -> None:
    flux = np.ones((500, 5))
    flux[7], flux[8] = 100.0, 0.001
    found = photometric_residual(flux, 0 * flux, np.ones_like(flux), np.full(500, 0.1))
    np.testing.assert_array_equal(found[7], 2.0)
    np.testing.assert_array_equal(found[8], 0.5)


def test_residuals_without_noise_are_kept_and_noisy_ones_shrunk() -> None:
    generator = np.random.default_rng(0)
    model = np.ones((500, 5))
    flux = 1.2 + 2 * TEMPLATE_SCATTER * generator.standard_normal((500, 5))
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


def test_a_radius_is_seen_under_the_angle_that_its_distance_makes_of_it(
    sources: SourceGalaxies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{POPULATION}.half_light_radius", lambda *_, **__: 5.0)
    generator, found = np.random.default_rng(6), set()
    for number in range(40):
        galaxy = draw_galaxy(sources, number, generator)
        angular_distance = float(luminosity_distance(galaxy.redshift)) / (1 + galaxy.redshift) ** 2
        kiloparsec = galaxy.disc_radius * angular_distance / 206.265
        found.add(round(kiloparsec / 5, 6))
    assert found == {1.1, 1.3}  # discs of late types, and what early types have of one


def test_drawn_galaxies_respect_the_selection(sources: SourceGalaxies) -> None:
    generator = np.random.default_rng(2)
    for number in range(100):
        galaxy = draw_galaxy(sources, number, generator)
        intrinsic = galaxy.petrosian_flux[2] * 10 ** (0.4 * 2.285 * galaxy.ebv)
        assert 22.5 - 2.5 * np.log10(intrinsic) <= MAGNITUDE_LIMIT + 1e-6
        assert REDSHIFT_RANGE[0] < galaxy.redshift < REDSHIFT_RANGE[1]
        assert np.all((galaxy.bulge_share >= 0) & (galaxy.bulge_share <= 1))


def test_near_galaxies_are_moved_by_less() -> None:
    generator = np.random.default_rng(0)
    for redshift, smear in ((0.2, 0.01), (0.035, 0.005), (0.014, 0.002)):
        moved = [_moved(redshift, generator) for _ in range(1000)]
        assert np.mean(moved) == pytest.approx(redshift, abs=0.2 * smear)
        assert np.std(moved) == pytest.approx(smear, rel=0.1)


def test_red_galaxies_are_of_early_type(sources: SourceGalaxies) -> None:
    redder = np.argsort(sources.flux[:, 2] / np.maximum(sources.flux[:, 0], 1e-3))
    near = redder[sources.redshift[redder] < 0.1]
    assert np.mean([_early_probability(sources, int(row)) for row in near[:100]]) < 0.05
    assert np.mean([_early_probability(sources, int(row)) for row in near[-100:]]) > 0.9


@pytest.fixture(scope="module")
def drawn(sources: SourceGalaxies) -> list[SimulatedGalaxy]:
    generator = np.random.default_rng(11)
    return [draw_galaxy(sources, number, generator) for number in range(400)]


def test_bulges_are_redder_than_discs(drawn: list[SimulatedGalaxy]) -> None:
    shares = np.array([galaxy.bulge_share for galaxy in drawn])
    assert np.all(np.diff(shares, axis=1) >= 0)
    assert np.all(shares[:, 0] < 0.95 * shares[:, 4])


def test_galaxies_lie_within_an_arcminute_of_their_sources(
    sources: SourceGalaxies, drawn: list[SimulatedGalaxy]
) -> None:
    source = np.array([galaxy.source for galaxy in drawn])
    ra, dec = (np.array([getattr(galaxy, name) for galaxy in drawn]) for name in ("ra", "dec"))
    east = ((ra - sources.ra[source] + 180) % 360 - 180) * np.cos(np.radians(dec))
    north = dec - sources.dec[source]
    far_north = dec > 45
    assert far_north.sum() > 50
    for offset in (east, north, east[far_north]):
        assert 0.9 / 60 < np.abs(offset).max() <= 1 / 60 + 1e-9


def test_dust_dims_a_galaxy_and_the_error_of_its_flux_alike(sources: SourceGalaxies) -> None:
    def draw(ebv: float, brightness: float = 1.0) -> SimulatedGalaxy:
        changed = replace(sources, ebv=np.full(len(sources), ebv), flux=brightness * sources.flux)
        return draw_galaxy(changed, 1, np.random.default_rng(3))

    clear, dusty, of_brighter = draw(0.0), draw(0.3), draw(0.0, 4.0)
    transparency = 10 ** (-0.4 * 0.3 * R_SF11)
    np.testing.assert_allclose(dusty.flux, transparency * clear.flux)
    np.testing.assert_allclose(dusty.flux_error, transparency * clear.flux_error)
    # An error was measured at the source's flux, and goes as the root of it.
    np.testing.assert_allclose(of_brighter.flux_error, 0.5 * clear.flux_error)


def test_the_catalogue_s_magnitudes_scatter_by_the_errors_that_it_states(
    sources: SourceGalaxies,
) -> None:
    galaxy = replace(
        alone(sources, 1000.0), flux_error=np.full(5, 10.0), bulge_share=np.full(5, 0.25)
    )
    rows, generator = np.zeros(1000, TABLE_DTYPE), np.random.default_rng(0)
    for row in rows:
        _fill_row(row, galaxy, "valid", generator)
    assert set(rows["SPLIT"]) == {b"valid"}
    for kind, flux, error in (("MODEL", 1000.0, 10.0), ("PETRO", 950.0, 20.0)):
        for band in BANDS:
            magnitude, stated = rows[f"{kind}_MAG_{band}"], rows[f"{kind}_MAGERR_{band}"]
            assert np.mean(magnitude) == pytest.approx(22.5 - 2.5 * np.log10(flux), abs=0.003)
            assert np.mean(stated) == pytest.approx(1.0857 * error / flux, rel=0.01)
            assert np.std(magnitude) == pytest.approx(np.mean(stated), rel=0.1)


def test_a_galaxy_is_on_the_side_of_its_source(
    sources: SourceGalaxies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{SIMULATION}.galaxies.render", lambda *_: np.zeros((5, 64, 64)))
    block = simulate_block(1, 0, 60, 64)
    galaxies = [
        draw_galaxy(sources, number + 1, np.random.default_rng([1, number])) for number in range(60)
    ]
    sides = [SPLITS[sources.side[galaxy.source]] for galaxy in galaxies]
    assert block.split.tolist() == [name.decode() for name in block.table["SPLIT"]] == sides
    assert set(sides) == set(SPLITS)
    np.testing.assert_allclose(block.ebv, [galaxy.ebv for galaxy in galaxies], rtol=1e-6)


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


@pytest.mark.usefixtures("empty_field")
@pytest.mark.parametrize("size", [64, 107])
def test_a_galaxy_is_at_the_centre_of_the_central_pixel(
    sources: SourceGalaxies, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{SIMULATION}.render.CENTRE_JITTER", 0.0)
    (band,) = render(alone(sources, 1e5), sources, size, np.random.default_rng(4))[[2]]
    near = slice(size // 2 - 8, size // 2 + 9)
    y, x = np.indices(band.shape)
    for place in (x, y):
        assert np.average(place[near, near], weights=band[near, near]) == pytest.approx(
            size // 2, abs=0.05
        )


def test_the_sky_is_not_as_bright_in_every_field() -> None:
    fields = [_observed([], SEEING, 32, np.random.default_rng(seed)) for seed in range(100)]
    noise = np.std(fields, axis=(2, 3))
    np.testing.assert_allclose(np.median(noise, axis=0), SKY_NOISE, rtol=0.05)
    np.testing.assert_allclose(np.std(np.log(noise), axis=0), 0.10, rtol=0.25)


def test_bright_pixels_are_as_noisy_as_their_electrons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{SIMULATION}.render._draw_band", lambda *_: np.full((64, 64), 10.0))
    images = [_observed([], SEEING, 64, np.random.default_rng(seed)) for seed in range(20)]
    expected = np.hypot(SKY_NOISE, np.sqrt(10.0 / ELECTRONS))
    np.testing.assert_allclose(np.std(images, axis=(0, 2, 3)), expected, rtol=0.03)


def test_stars_are_as_wide_as_sdss_sees_them_in_each_band() -> None:
    star = (np.zeros(2), np.full(5, 1e6), None)
    for band, seen in enumerate(_observed([star], SEEING, 63, np.random.default_rng(0))):
        width = galsim.Image(seen.astype(float), scale=PIXEL_SCALE).calculateFWHM()
        assert width == pytest.approx(SEEING[band], rel=0.03)
    drawn = np.array([_draw_seeing(np.random.default_rng(seed)) for seed in range(400)])
    np.testing.assert_allclose(np.median(drawn, axis=0), SEEING, rtol=0.03)
    np.testing.assert_allclose(np.std(np.log(drawn), axis=0), np.hypot(0.10, 0.03), rtol=0.15)
    np.testing.assert_allclose(
        np.std(np.log(drawn / drawn[:, [2]]), axis=0)[[0, 1, 3, 4]], np.sqrt(2) * 0.03, rtol=0.15
    )


def test_neighbours_and_stars_are_as_many_and_as_faint_as_stated(sources: SourceGalaxies) -> None:
    galaxy, size = replace(alone(sources, 3000.0), ebv=0.0), 600
    fields = [neighbours(galaxy, sources, size, np.random.default_rng(seed)) for seed in range(20)]
    square_degrees = len(fields) * (size * 0.396 / 3600) ** 2
    for density, slope, stars in ((7000, 0.55, False), (5000, 0.20, True)):
        found = [
            flux for field in fields for _, flux, profiles in field if (profiles is None) == stars
        ]
        assert len(found) == pytest.approx(density * square_degrees, rel=0.15)
        brighter = FAINT_LIMIT - (22.5 - 2.5 * np.log10([flux[2] for flux in found]))
        assert brighter.min() > -1e-9
        # Of counts that rise as 10^(slope m) a share of 10^-slope is brighter by a magnitude.
        assert np.mean(brighter > 1) == pytest.approx(10**-slope, rel=0.15)


def test_stars_that_are_red_are_red_in_every_colour() -> None:
    fluxes = [_star_flux(17.0, np.random.default_rng(seed)) for seed in range(200)]
    magnitudes = 22.5 - 2.5 * np.log10(fluxes)
    np.testing.assert_allclose(magnitudes[:, 2], 17.0)
    g_r, r_i, i_z = (magnitudes[:, band] - magnitudes[:, band + 1] for band in (1, 2, 3))
    red = g_r > 1.0
    assert 60 < red.sum() < 140
    assert min(r_i[red]) > max(r_i[~red])
    assert min(i_z[red]) > max(i_z[~red])


def test_a_second_look_turns_and_moves_all_of_a_field(
    sources: SourceGalaxies, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[list[Any]] = []

    def observed(objects: list[Any], *_: Any) -> None:
        looks.append(objects)

    monkeypatch.setattr(f"{SIMULATION}.render._observed", observed)
    galaxy = replace(alone(sources, 3000.0), disc_axis_ratio=0.2)
    render(galaxy, sources, 200, np.random.default_rng(2))
    render_again(
        galaxy, sources, 200, np.random.default_rng(2), np.random.default_rng(9), max_shift=3.0
    )
    first, again = ([complex(*offset) for offset, _, _ in look] for look in looks)
    assert len(first) > 3
    turns = [(b - again[0]) / (a - first[0]) for a, b in zip(first[1:], again[1:], strict=True)]
    np.testing.assert_allclose(turns, turns[0])
    assert abs(turns[0]) == pytest.approx(1)
    shift = (again[0] - turns[0] * first[0]) / PIXEL_SCALE
    assert 0.01 < max(abs(shift.real), abs(shift.imag)) <= 3.0
    before, after = (position_angle(look[0][2][1][1]) for look in looks)
    turned = np.exp(2j * (after - before)) / turns[0] ** 2
    assert abs(np.angle(turned)) < 0.05


def position_angle(profile: Any) -> float:
    """Of a profile's long axis, radians."""
    photons = profile.shoot(5000, galsim.BaseDeviate(1))
    covariance = np.cov(photons.x, photons.y)
    return float(0.5 * np.arctan2(2 * covariance[0, 1], covariance[0, 0] - covariance[1, 1]))


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
