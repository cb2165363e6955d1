"""Where a stamp is cut: by whatever WCS its header has, as astropy understands it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.coordinates import FK4, FK5, BarycentricMeanEcliptic, Galactic, SkyCoord
from astropy.io import fits
from astropy.wcs import WCS, WcsError
from astropy.wcs.utils import proj_plane_pixel_scales
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.flags import RowFlag
from photoz_ssl.survey.images import stamp_wcs
from photoz_ssl.survey.images.image_files import Header
from photoz_ssl.survey.images.stamp_pixels import StampProblem
from photoz_ssl.survey.images.stamp_wcs import frame_of, to_pixels, to_sky
from photoz_ssl.survey.images.stamps import image_facts, read_stamp

RA, DEC = 150.0, 20.0
SIDE, SIZE = 100, 64
X, Y = 45, 57
"""Column and row of the object, from 0."""

SCALE = 0.396 / 3600
SIP: dict[str, Any] = {"A_ORDER": 2, "B_ORDER": 2, "A_2_0": 1e-6, "B_0_2": 1e-6}
PV = {"PV1_0": 0.0, "PV1_1": 1.002, "PV2_0": 0.0, "PV2_1": 1.002, "PV2_4": 0.05}


def header(projection: str = "TAN", off: float = 0.0, **cards: Any) -> fits.Header:
    """Of a WCS whose reference pixel is ``off`` pixels from the object, in both axes."""
    made = fits.Header({"BUNIT": "nanomaggy"})
    made["CTYPE1"], made["CTYPE2"] = f"RA---{projection}", f"DEC--{projection}"
    made["CRPIX1"], made["CRPIX2"] = X + 1 - off, Y + 1 - off
    made["CRVAL1"], made["CRVAL2"] = RA, DEC
    made["CD1_1"], made["CD1_2"], made["CD2_1"], made["CD2_2"] = -SCALE, 0.0, 0.0, SCALE
    made.update(cards)
    return made


def shifted(made: fits.Header) -> fits.Header:
    """With a reference value by which the object has its position, by astropy's own reckoning."""
    for _ in range(30):
        ra, dec = WCS(made, naxis=2, fix=False).all_pix2world(X, Y, 0)
        made["CRVAL1"], made["CRVAL2"] = made["CRVAL1"] + RA - ra, made["CRVAL2"] + DEC - dec
    return made


def sip() -> fits.Header:
    return shifted(header("TAN-SIP", off=3000, **SIP))


def sip_in_small_letters() -> fits.Header:
    made = sip()
    made["CTYPE1"], made["CTYPE2"] = "ra---tan-sip", "dec--tan-sip"
    return made


def tpv() -> fits.Header:
    return shifted(header("TPV", off=3000, **PV))


def scamp() -> fits.Header:
    """TPV as SCAMP called it."""
    made = shifted(header("TPV", off=3000, **PV))
    made["CTYPE1"], made["CTYPE2"] = "RA---TAN", "DEC--TAN"
    return made


def swapped() -> fits.Header:
    cards: dict[str, Any] = {
        "CTYPE1": "DEC--TAN",
        "CTYPE2": "RA---TAN",
        "CRVAL1": DEC,
        "CRVAL2": RA,
    }
    return header(**cards)


def galactic() -> fits.Header:
    there = SkyCoord(RA, DEC, unit="deg").transform_to(Galactic())
    cards: dict[str, Any] = {"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"}
    return header(**cards, CRVAL1=there.l.deg, CRVAL2=there.b.deg)


def ecliptic() -> fits.Header:
    there = SkyCoord(RA, DEC, unit="deg").transform_to(BarycentricMeanEcliptic())
    cards: dict[str, Any] = {"CTYPE1": "ELON-TAN", "CTYPE2": "ELAT-TAN"}
    return header(**cards, CRVAL1=there.lon.deg, CRVAL2=there.lat.deg)


def b1950(keyword: str = "RADESYS") -> fits.Header:
    there = SkyCoord(RA, DEC, unit="deg").transform_to(FK4(equinox="B1950"))
    cards: dict[str, Any] = {keyword: "FK4", "EQUINOX": 1950.0}
    return header(**cards, CRVAL1=there.ra.deg, CRVAL2=there.dec.deg)


def j1975() -> fits.Header:
    there = SkyCoord(RA, DEC, unit="deg").transform_to(FK5(equinox="J1975"))
    cards: dict[str, Any] = {"RADESYS": "FK5", "EQUINOX": 1975.0}
    return header(**cards, CRVAL1=there.ra.deg, CRVAL2=there.dec.deg)


HEADERS: dict[str, Callable[[], fits.Header]] = {
    "TAN": header,
    "SIP": sip,
    "SIP in small letters": sip_in_small_letters,
    "TPV": tpv,
    "TPV as SCAMP called it": scamp,
    "Dec first": swapped,
    "galactic": galactic,
    "ecliptic": ecliptic,
    "B1950": b1950,
    "B1950 by the old keyword": lambda: b1950("RADECSYS"),
    "FK5 of another equinox": j1975,
    "FK5 without an equinox": lambda: header(RADESYS="FK5"),
    "units in other words": lambda: header(CUNIT1="degree", CUNIT2="DEG"),
    "units of seconds": lambda: header(
        CUNIT1="arcsecs",
        CUNIT2="ArcSec",
        CD1_1=-0.396,
        CD2_2=0.396,
        CRVAL1=RA * 3600,
        CRVAL2=DEC * 3600,
    ),
    "axes in small letters": lambda: header(CTYPE1="ra---tan", CTYPE2="dec--tan"),
}


def star(path: Path, made: fits.Header, *, kind: Any = np.float32) -> Path:
    """A stamp with one pixel of light, at the object."""
    image: NDArray[Any] = np.zeros((5, SIDE, SIDE), kind)
    image[:, Y, X] = 1
    fits.writeto(path, image, made)
    return path


def read(path: Path, ra: float = RA, dec: float = DEC) -> NDArray[np.float32]:
    return read_stamp([path], ImageSpec(size=SIZE), ra, dec)


@pytest.mark.parametrize("kind", [np.float32, np.int16], ids=["plain", "by CFITSIO"])
@pytest.mark.parametrize("wcs", HEADERS)
def test_the_object_comes_to_lie_at_the_centre_by_any_wcs(
    wcs: str, kind: Any, tmp_path: Path
) -> None:
    stamp = read(star(tmp_path / "stamp.fits", HEADERS[wcs](), kind=kind))
    np.testing.assert_array_equal(np.argwhere(stamp)[:, 1:], [[SIZE // 2, SIZE // 2]] * 5)


@pytest.mark.parametrize("kind", [np.float32, np.int16], ids=["plain", "by CFITSIO"])
@pytest.mark.parametrize("position", [(RA, DEC), (np.nan, np.nan)], ids=["known", "unknown"])
@pytest.mark.parametrize(("size", "fits_it"), [(1.0, True), (1.015, True), (0.66, False)])
def test_pixels_must_be_of_the_size_that_networks_know(
    size: float, fits_it: bool, position: tuple[float, float], kind: Any, tmp_path: Path
) -> None:
    path = star(tmp_path / "s.fits", header(CD1_1=-size * SCALE, CD2_2=size * SCALE), kind=kind)
    if fits_it:
        assert read(path, *position).shape == (5, SIZE, SIZE)
        return
    with pytest.raises(StampProblem, match=r"s.fits are 0.261 arcsec, not 0.396") as caught:
        read(path, *position)
    assert caught.value.flag == RowFlag.WRONG_SHAPE


@pytest.mark.parametrize("wcs", HEADERS)
def test_the_position_of_an_image_is_that_of_its_middle(wcs: str, tmp_path: Path) -> None:
    facts = image_facts(star(tmp_path / "stamp.fits", HEADERS[wcs]()))
    offset = 3600 * (facts.dec - DEC), 3600 * np.cos(np.radians(DEC)) * (facts.ra - RA)
    distance = 0.396 * np.hypot(SIDE // 2 - X, SIDE // 2 - Y)
    assert np.hypot(*offset) == pytest.approx(distance, rel=0.05)
    assert facts.pixel_scale == pytest.approx(0.396, rel=0.01)


@pytest.mark.parametrize(("height", "width"), [(80, 100), (100, 80)])
def test_the_position_of_an_oblong_image_is_that_of_its_middle(
    height: int, width: int, tmp_path: Path
) -> None:
    path = tmp_path / "oblong.fits"
    made = header(CRPIX1=width // 2 + 1, CRPIX2=height // 2 + 1)
    fits.writeto(path, np.zeros((5, height, width), np.float32), made)
    facts = image_facts(path)
    np.testing.assert_allclose([facts.ra, facts.dec], [RA, DEC], rtol=0, atol=1e-9)


def test_the_scale_of_oblong_pixels_is_the_mean_of_their_sides(tmp_path: Path) -> None:
    path = star(tmp_path / "star.fits", header(CD2_2=1.01 * SCALE))
    assert image_facts(path).pixel_scale == pytest.approx(1.005 * 0.396)


@pytest.mark.parametrize("wcs", HEADERS)
def test_what_is_far_off_is_outside_by_any_wcs(wcs: str, tmp_path: Path) -> None:
    path = star(tmp_path / "stamp.fits", HEADERS[wcs]())
    for ra, dec in ((330.0, -20.0), (152.0, 20.0), (150.0, 60.0)):
        with pytest.raises(StampProblem) as caught:
            read(path, ra, dec)
        assert caught.value.flag == RowFlag.OUTSIDE_FRAME


def test_coordinates_that_are_not_known_are_told(tmp_path: Path) -> None:
    cards: dict[str, Any] = {
        "CTYPE1": "HPLN-TAN",
        "CTYPE2": "HPLT-TAN",
        "CRVAL1": 0.0,
        "CRVAL2": 0.0,
    }
    path = star(tmp_path / "sun.fits", header(**cards))
    with pytest.raises(StampProblem, match="coordinates that are not known") as caught:
        read(path)
    assert caught.value.flag == RowFlag.IMAGE_DAMAGED


@pytest.mark.parametrize(
    "cards",
    [
        {"CTYPE1": "RA--TAN"},
        {"CTYPE1": "RA---ZPX", "CTYPE2": "DEC--ZPX"},
        {"CUNIT1": "parsec"},
        {"CD1_1": 0.0},
    ],
)
def test_a_wcs_of_the_sky_that_makes_no_sense_is_told(
    cards: dict[str, Any], tmp_path: Path
) -> None:
    path = star(tmp_path / "odd.fits", header(**cards))
    with pytest.raises(StampProblem, match=r"WCS of .* makes no sense") as caught:
        read(path)
    assert caught.value.flag == RowFlag.IMAGE_DAMAGED
    assert read(path, np.nan, np.nan).shape == (5, SIZE, SIZE)


ROTATED: dict[str, Any] = {
    "CDELT1": -SCALE,
    "CDELT2": SCALE,
    "PC1_1": 0.6,
    "PC1_2": 0.8,
    "PC2_1": -0.8,
    "PC2_2": 0.6,
}


@settings(deadline=None)
@given(
    projection=st.sampled_from(["TAN", "SIN", "STG", "ARC", "ZEA"]),
    ra=st.floats(0, 360),
    dec=st.floats(-90, 90),
    by_cd=st.booleans(),
    cards=st.fixed_dictionaries(
        {},
        optional={
            "RADESYS": st.sampled_from(["ICRS", "FK5", "FK4"]),
            "EQUINOX": st.sampled_from([1950.0, 1975.0, 2000]),
            "LONPOLE": st.floats(0, 360),
            "CUNIT1": st.just("deg"),
        },
    ),
)
def test_plain_cards_are_read_as_astropy_reads_them(
    projection: str, ra: float, dec: float, by_cd: bool, cards: dict[str, Any]
) -> None:
    made = header(projection, CRVAL1=ra, CRVAL2=dec, **cards)
    if not by_cd:
        del made["CD*"]
        made.update(ROTATED)
    try:
        expected = WCS(made, naxis=2, fix=False)
        expected.wcs_world2pix(ra, dec, 0)
    except WcsError:
        return  # where astropy makes nothing of it, it is asked again, and the failure told
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stamp_wcs, "celestial_wcs", None)  # that is the way of all others
        grid = stamp_wcs.sky_grid(cards_of(made))
    assert grid is not None
    places = [0.0, 30.0, 107.5]
    for ours, theirs in (
        (to_sky(grid.wcs, places, places), expected.wcs_pix2world(places, places, 0)),
        (to_pixels(grid.wcs, ra, dec), expected.wcs_world2pix(ra, dec, 0)),
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert grid.pixel_scale == 3600 * np.mean(proj_plane_pixel_scales(expected))
    assert grid.frame == frame_of(expected)


def cards_of(made: fits.Header) -> Header:
    """What a file's header is to those that read it."""
    return {
        card.keyword: {"name": card.keyword, "value": card.value, "card_string": card.image}
        for card in made.cards
    }


@pytest.mark.parametrize(
    "card",
    [
        *(f"CD2_2   = {text:>20}" for text in ("1.1d-4", "1.1e-4", "'1.1E-4'", "1.1E-4 1")),
        *(f"CTYPE2  = {text:>20}" for text in ("'DEC--TAN-SIP'", "'DEC--CAR'", "3", "'DEC--TAN")),
    ],
)
def test_cards_that_are_not_plain_are_left_to_astropy(card: str) -> None:
    made = cards_of(header())
    made[card[:8].strip()]["card_string"] = card.ljust(80)
    asked: list[str] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stamp_wcs, "celestial_wcs", asked.append)
        assert stamp_wcs.sky_grid(made) is None
    assert len(asked) == 1


@pytest.mark.parametrize("more", [{}, {"RADESYS": "FK4", "EQUINOX": 1950.0}])
def test_a_frame_by_the_old_keyword_is_plain(
    more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stamp_wcs, "celestial_wcs", None)  # that is the way of all others
    grid = stamp_wcs.sky_grid(cards_of(header(**{"RADECSYS": "FK5", **more})))
    assert grid is not None
    assert grid.frame == (FK4(equinox="B1950") if more else None)


def test_bands_of_one_wcs_have_it_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[WCS] = []

    def noting(*told: Any, read: Any = stamp_wcs._of_wcslib) -> WCS:
        made.append(read(*told))
        return made[-1]

    monkeypatch.setattr(stamp_wcs, "_of_wcslib", noting)
    cards = header(CRVAL1=RA + 1e-5)
    bands = [fits.ImageHDU(np.ones((SIDE, SIDE), np.float32), cards, band) for band in "ugriz"]
    fits.HDUList([fits.PrimaryHDU(), *bands]).writeto(tmp_path / "bands.fits")
    assert read(tmp_path / "bands.fits").shape == (5, SIZE, SIZE)
    assert 1 <= len(made) <= 2  # and once to know the kind, unless another test has


def test_a_wcs_of_other_axes_is_passed_over(tmp_path: Path) -> None:
    path = star(tmp_path / "plain.fits", header(CTYPE1="X", CTYPE2="Y"))
    assert read(path).shape == (5, SIZE, SIZE)
