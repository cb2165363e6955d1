"""Dust: the first source that knows a row's reddening gives it, and the table says which it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from photoz_ssl.errors import DustError
from photoz_ssl.survey.bands import R_DR12, R_SF11, ebv_from_extinction, extinction_from_ebv
from photoz_ssl.survey.dust import (
    DUST_DIR_VARIABLE,
    Reddening,
    find_sfd_folder,
    recognise_extinction,
    spell_sources,
)
from photoz_ssl.survey.flags import RowFlag

Array = NDArray[np.float64]

N = 50
MAP_SIDE = 257
SOUTHERN_EXCESS = 0.2
EBV = np.random.default_rng(0).uniform(0.01, 0.3, N)
NOWHERE = np.full(N, np.nan)
HUNDREDS = dict(zip("UGRIZ", np.rint(100 * R_DR12).astype("i4"), strict=True))
"""Whole numbers in the ratios of extinctions."""


@pytest.fixture(autouse=True)
def no_map_by_chance(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the environment nor dustmaps' settings on this machine name a map."""
    monkeypatch.delenv(DUST_DIR_VARIABLE, raising=False)
    find_sfd_folder()  # imports dustmaps without its warning that it has no settings
    monkeypatch.setattr("dustmaps.config.config", {"data_dir": str(tmp_path / "dustmaps")})


def rows_with(**columns: object) -> NDArray[np.void]:
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    kinds = [(name, values.dtype, values.shape[1:]) for name, values in arrays.items()]
    rows = np.zeros(N, kinds)
    for name, values in arrays.items():
        rows[name] = values
    return rows


def positions(n: int = N, seed: int = 1) -> tuple[Array, Array]:
    """Uniform on the sphere."""
    generator = np.random.default_rng(seed)
    return generator.uniform(0, 360, n), np.degrees(np.arcsin(generator.uniform(-1, 1, n)))


def made_up_ebv(longitude: Array, latitude: Array) -> Array:
    """A smooth sky, with a step across the Galactic plane."""
    smooth = 0.1 + 0.05 * np.sin(np.radians(latitude)) + 0.03 * np.cos(np.radians(longitude))
    return smooth + np.where(latitude < 0, SOUTHERN_EXCESS, 0.0)


@pytest.fixture
def sfd_folder(tmp_path: Path) -> Path:
    """The two hemispheres of a made-up sky in the Lambert layout of the SFD map."""
    folder = tmp_path / "maps"
    folder.mkdir()
    for pole, sign in (("ngp", 1), ("sgp", -1)):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["GLON-ZEA", "GLAT-ZEA"]
        wcs.wcs.crval = [90, 90 * sign]
        wcs.wcs.crpix = [(MAP_SIDE + 1) / 2] * 2
        wcs.wcs.cdelt = [-2 * np.degrees(np.sqrt(2)) / MAP_SIDE] * 2
        wcs.wcs.cdelt[1] *= -1
        wcs.wcs.lonpole = 180
        rows, columns = np.indices((MAP_SIDE, MAP_SIDE))
        longitude, latitude = wcs.wcs_pix2world(columns, rows, 0)
        inside = np.where(np.isfinite(latitude), sign * np.abs(latitude), sign)
        values = made_up_ebv(np.nan_to_num(longitude), inside).astype(np.float32)
        fits.writeto(folder / f"SFD_dust_4096_{pole}.fits", values, wcs.to_header())
    return folder


# columns


@pytest.mark.parametrize("name", ["EBV", "ebv", "E_BV", "EBV_SFD"])
def test_a_column_of_reddening_is_taken_as_it_is(name: str) -> None:
    rows = rows_with(**{name: EBV.astype("f4"), "EXTINCTION": np.ones((N, 5))})
    reddening = Reddening(rows, has_position=True)
    ebv, flags = reddening.of(rows, *positions())
    np.testing.assert_array_equal(ebv, EBV.astype("f4"))
    assert not flags.any()
    assert reddening.sources == (f"E(B-V) from column {name}",)
    assert reddening.notices == []


@pytest.mark.parametrize(
    ("coefficients", "convention"),
    [(R_DR12, "SDSS DR12"), (R_SF11, "Schlafly & Finkbeiner 2011")],
)
def test_extinctions_give_the_same_reddening_in_either_convention(
    coefficients: Array, convention: str
) -> None:
    vector = extinction_from_ebv(EBV, coefficients)
    for rows in (
        rows_with(EXTINCTION=vector.astype("f4")),
        rows_with(e_bv=vector.astype("f4")),
        rows_with(**{f"extinction_{band}": vector[:, k] for k, band in enumerate("ugriz")}),
        rows_with(**{f"A_{band}": vector[:, k] for k, band in enumerate("UGRIZ")}),
    ):
        reddening = Reddening(rows, has_position=False)
        ebv, flags = reddening.of(rows, NOWHERE, NOWHERE)
        np.testing.assert_allclose(ebv, EBV, rtol=1e-6)
        assert not flags.any()
        assert convention in spell_sources(reddening.sources)


def test_extinction_and_reddening_are_inverse() -> None:
    for coefficients in (R_DR12, R_SF11):
        extinction = extinction_from_ebv(EBV, coefficients)
        np.testing.assert_allclose(ebv_from_extinction(extinction, coefficients), EBV)
    assert np.isnan(ebv_from_extinction(np.array([0.1, 0.1, np.nan, 0.1, 0.1])))


def test_the_convention_is_known_by_the_ratio_alone() -> None:
    generator = np.random.default_rng(2)
    for coefficients, name in ((R_DR12, "DR12"), (R_SF11, "2011")):
        noisy = extinction_from_ebv(EBV, coefficients) * generator.normal(1, 0.002, (N, 5))
        noisy[::7] = [np.nan, -9999, 0.1, 0.1, 0.0]
        found = recognise_extinction(noisy)
        assert found is not None
        assert name in found[0]


@pytest.mark.parametrize("coefficients", [R_DR12, R_SF11])
def test_one_row_of_rounded_extinctions_is_enough(coefficients: Array) -> None:
    generator = np.random.default_rng(3)
    for ebv in generator.uniform(0.02, 0.1, 200):
        found = recognise_extinction(np.round(ebv * coefficients, 3)[np.newaxis])
        assert found is not None
        np.testing.assert_array_equal(found[1], coefficients)


@pytest.mark.parametrize(
    "extinction",
    [
        extinction_from_ebv(EBV)[:, ::-1],
        extinction_from_ebv(EBV, R_SF11 * [1, 1, 1, 1, 1.2]),
        np.full((N, 5), np.nan),
        np.zeros((N, 5)),
        np.ones((N, 5)),
    ],
)
def test_extinctions_in_no_known_convention_are_not_used_and_that_is_said(
    extinction: Array,
) -> None:
    rows = rows_with(EXTINCTION=extinction)
    reddening = Reddening(rows, has_position=True)
    assert not reddening.has_column
    assert "in no convention that is known" in reddening.notices[0]
    ebv, flags = reddening.of(rows, *positions())
    assert np.isfinite(ebv).all()
    assert np.all(flags == RowFlag.COARSE_DUST_MAP)


def test_placeholders_are_no_reddening() -> None:
    values = EBV.copy()
    values[:5] = [np.nan, -9999, np.inf, 9e9, 99]
    rows = rows_with(EBV=values)
    ebv, flags = Reddening(rows, has_position=False).of(rows, NOWHERE, NOWHERE)
    assert np.isnan(ebv[:5]).all()
    assert np.all(flags[:5] == RowFlag.NO_REDDENING)
    assert not flags[5:].any()


@pytest.mark.parametrize("placeholder", [-9999.0, 99.0])
def test_placeholders_in_any_band_are_no_extinction(placeholder: float) -> None:
    extinction = extinction_from_ebv(EBV)
    extinction[0] = placeholder
    extinction[1, 4] = placeholder
    rows = rows_with(EXTINCTION=extinction)
    ebv, flags = Reddening(rows, has_position=False).of(rows, NOWHERE, NOWHERE)
    assert np.all(flags[:2] == RowFlag.NO_REDDENING)
    np.testing.assert_allclose(ebv[2:], EBV[2:], rtol=1e-5)


def test_columns_of_another_kind_are_passed_over() -> None:
    for rows in (
        rows_with(EBV=np.full(N, b"0.03")),
        rows_with(EBV=np.ones((N, 5))),
        rows_with(EXTINCTION=np.ones((N, 3))),
        rows_with(EXTINCTION=EBV),
        rows_with(A_U=EBV, A_G=EBV),
        rows_with(**{f"A_{band}": np.full(N, hundred) for band, hundred in HUNDREDS.items()}),
    ):
        assert not Reddening(rows, has_position=True).has_column


# the full map


def test_the_full_map_is_read_at_each_position(sfd_folder: Path) -> None:
    ra, dec = positions()
    rows = rows_with(MAG=EBV)
    reddening = Reddening(rows, has_position=True, dust_dir=sfd_folder)
    ebv, flags = reddening.of(rows, ra, dec)
    galactic = SkyCoord(ra, dec, unit="deg").galactic
    expected = made_up_ebv(galactic.l.deg, galactic.b.deg)
    far = np.abs(galactic.b.deg) > 2
    assert np.count_nonzero(far) > 40
    np.testing.assert_allclose(ebv[far], expected[far], atol=5e-4)
    assert not flags.any()
    assert reddening.sources == ("E(B-V) from the SFD map",)
    assert reddening.notices == []


def test_rows_that_the_column_does_not_know_are_looked_up(sfd_folder: Path) -> None:
    values = EBV.copy()
    values[::5] = np.nan
    rows = rows_with(EBV=values)
    ra, dec = positions()
    dec[5] = np.nan
    reddening = Reddening(rows, has_position=True, dust_dir=sfd_folder)
    ebv, flags = reddening.of(rows, ra, dec)
    known = np.isfinite(values)
    np.testing.assert_allclose(ebv[known], values[known], rtol=1e-6)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(ebv)), [5])
    np.testing.assert_array_equal(np.flatnonzero(flags), [5])
    assert flags[5] == RowFlag.NO_REDDENING
    assert reddening.sources == ("E(B-V) from column EBV", "E(B-V) from the SFD map")


def test_where_the_full_map_is_looked_for(
    sfd_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_sfd_folder() is None
    in_dustmaps = tmp_path / "dustmaps" / "sfd"
    in_dustmaps.parent.mkdir()
    in_dustmaps.symlink_to(sfd_folder)
    assert find_sfd_folder() == in_dustmaps
    assert find_sfd_folder(in_dustmaps.parent) == in_dustmaps
    monkeypatch.setenv(DUST_DIR_VARIABLE, str(sfd_folder))
    assert find_sfd_folder() == sfd_folder
    assert find_sfd_folder(in_dustmaps.parent) == in_dustmaps


def test_a_named_folder_without_the_map_is_refused(
    sfd_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sfd_folder / "SFD_dust_4096_sgp.fits").unlink()
    with pytest.raises(DustError, match="is not in") as caught:
        find_sfd_folder(sfd_folder)
    assert "by hand" in caught.value.hint
    monkeypatch.setenv(DUST_DIR_VARIABLE, str(sfd_folder / "nowhere"))
    with pytest.raises(DustError, match="nowhere"):
        find_sfd_folder()


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_text("not a map"),
        lambda path: path.write_bytes(path.read_bytes()[:50_000]),
        lambda path: fits.writeto(path, np.zeros(7, np.float32), overwrite=True),
        lambda path: fits.PrimaryHDU().writeto(path, overwrite=True),
        lambda path: fits.writeto(path, np.zeros((9, 9), np.float32), overwrite=True),
    ],
    ids=["text", "truncated", "a line", "no image", "no coordinates"],
)
def test_a_damaged_map_is_told_and_nothing_is_printed(
    sfd_folder: Path, damage: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    damage(sfd_folder / "SFD_dust_4096_sgp.fits")
    rows = rows_with(MAG=EBV)
    reddening = Reddening(rows, has_position=True, dust_dir=sfd_folder)
    with pytest.raises(DustError, match="cannot be read"):
        reddening.of(rows, *positions())
    assert capsys.readouterr() == ("", "")


# the coarse map


def test_the_coarse_map_is_flagged_and_said_once() -> None:
    rows = rows_with(MAG=EBV)
    reddening = Reddening(rows, has_position=True)
    for _ in range(2):
        ebv, flags = reddening.of(rows, *positions())
        assert np.all(flags == RowFlag.COARSE_DUST_MAP)
        assert np.all(ebv > 0)
    assert len(reddening.notices) == 1
    assert "--dust-dir" in reddening.notices[0]
    assert reddening.sources == ("E(B-V) from the SFD map (nside 64, coarse)",)


def test_only_rows_that_ask_the_coarse_map_are_flagged() -> None:
    rows = rows_with(EBV=np.where(np.arange(N) % 5, EBV, np.nan))
    _, flags = Reddening(rows, has_position=True).of(rows, *positions())
    asked = np.arange(N) % 5 == 0
    np.testing.assert_array_equal(flags, np.where(asked, int(RowFlag.COARSE_DUST_MAP), 0))


def test_nothing_is_asked_of_a_map_that_is_not_needed() -> None:
    rows = rows_with(EBV=EBV)
    reddening = Reddening(rows, has_position=True)
    _, flags = reddening.of(rows, *positions())
    assert not flags.any()
    assert reddening.notices == []


def test_without_column_and_position_the_reddening_is_unknown() -> None:
    rows = rows_with(MAG=EBV)
    reddening = Reddening(rows, has_position=False)
    ebv, flags = reddening.of(rows, NOWHERE, NOWHERE)
    assert np.isnan(ebv).all()
    assert np.all(flags == RowFlag.NO_REDDENING)
    assert reddening.sources == ()


def test_the_coarse_map_agrees_with_ten_thousand_real_galaxies() -> None:
    kcorrect = pytest.importorskip("kcorrect", reason="needs kcorrect's table of real galaxies")
    table = fits.getdata(f"{kcorrect.KCORRECT_DIR}/data/test/gst_tests_small.fits", 1)
    rows = np.zeros(len(table), [("EXTINCTION", "f4", (5,))])
    rows["EXTINCTION"] = table["EXTINCTION"]
    ra, dec = np.asarray(table["RA"], float), np.asarray(table["DEC"], float)
    published, _ = Reddening(rows, has_position=True).of(rows, ra, dec)
    bare = np.zeros(len(table), [("MAG", "f4")])
    coarse, _ = Reddening(bare, has_position=True).of(bare, ra, dec)
    assert np.median(coarse / published) == pytest.approx(0.998, abs=0.0005)
    assert np.median(np.abs(coarse - published)) == pytest.approx(0.0018, abs=0.00005)
