"""Bands: they are known by what astronomers call them, and never by guessing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.flags import RowFlag
from photoz_ssl.survey.images.band_names import band_in
from photoz_ssl.survey.images.stamp_pixels import StampProblem
from photoz_ssl.survey.images.stamps import Assumptions, read_stamp

BANDS = ("u", "g", "r", "i", "z")
SHUFFLED = ("z", "i", "u", "r", "g")
SIDE = 64
PIXELS = np.random.default_rng(0).normal(size=(5, SIDE, SIDE)).astype(np.float32)
ONES = np.ones((5, SIDE, SIDE), np.float32)


def plane(data: NDArray[np.float32], **cards: Any) -> Any:
    return fits.ImageHDU(data, fits.Header({"BUNIT": "nanomaggy", **cards}))


def read(path: Path, *hdus: Any) -> tuple[NDArray[np.float32], Assumptions]:
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    assumed = Assumptions()
    return read_stamp([path], ImageSpec(size=SIDE), np.nan, np.nan, assumed), assumed


@pytest.mark.parametrize(
    "text",
    [
        *("r", "R", "SDSS_r", "SDSS-r", "r.SDSS", "sdss r", "r band", "r-band", "r'", "rband"),
        *("sdssr", "r DECam SDSS c0002 6415.0 1480.0", " r / red", "r.MP9601"),
    ],
)
def test_usual_spellings_of_a_band_are_known(text: str) -> None:
    assert band_in(text, BANDS) == "r"


@pytest.mark.parametrize("text", ["", "SCI", "clear", "u g", "r_ivar", "MASK_R", "y", "F606W"])
def test_what_names_no_band_or_several_is_not_guessed(text: str) -> None:
    assert band_in(text, BANDS) is None


def test_bands_of_several_letters_are_known_whatever_their_case() -> None:
    assert band_in("HST f606w", ("F606W", "F814W")) == "F606W"


@pytest.mark.parametrize("keyword", ["BAND", "FILTER", "EXTNAME"])
@pytest.mark.parametrize("spelling", ["{}.SDSS", "{} band", "SDSS-{}", "{}'"])
def test_planes_are_ordered_by_their_names(tmp_path: Path, keyword: str, spelling: str) -> None:
    hdus = [
        plane(PIXELS[BANDS.index(band)], **{keyword: spelling.format(band)}) for band in SHUFFLED
    ]
    stamp, assumed = read(tmp_path / "stamp.fits", *hdus)
    np.testing.assert_array_equal(stamp, PIXELS)
    assert assumed == Assumptions()


def test_a_filter_tells_where_the_extname_does_not(tmp_path: Path) -> None:
    hdus = [
        plane(PIXELS[BANDS.index(band)], BAND="?", FILTER=band, EXTNAME="SCI") for band in SHUFFLED
    ]
    np.testing.assert_array_equal(read(tmp_path / "stamp.fits", *hdus)[0], PIXELS)


def test_names_that_tell_nothing_are_remembered_and_no_names_are_not(tmp_path: Path) -> None:
    named = [plane(image, FILTER=f"W{number}") for number, image in enumerate(PIXELS)]
    stamp, assumed = read(tmp_path / "named.fits", *named)
    np.testing.assert_array_equal(stamp, PIXELS)
    assert assumed == Assumptions(order_of=str(tmp_path / "named.fits"))
    assert read(tmp_path / "bare.fits", *map(plane, PIXELS))[1] == Assumptions()


@pytest.mark.parametrize(
    "cards",
    [
        {"BANDS": "ziurg"},
        {"BANDS": "SDSS_z,SDSS_i,SDSS_u,SDSS_r,SDSS_g"},
        {"BANDS": "z.SDSS i.SDSS u.SDSS r.SDSS g.SDSS"},
        {f"BAND{number}": f"SDSS {band}" for number, band in enumerate(SHUFFLED, start=1)},
        {f"BAND{number}": band for number, band in enumerate(SHUFFLED)},
        {f"FILTER{number}": f"{band}.SDSS" for number, band in enumerate(SHUFFLED, start=1)},
        {"FILTER": "ziurg"},
    ],
)
def test_the_planes_of_a_cube_are_ordered_by_their_names(
    tmp_path: Path, cards: dict[str, str]
) -> None:
    cube = PIXELS[[BANDS.index(band) for band in SHUFFLED]]
    stamp, assumed = read(tmp_path / "stamp.fits", plane(cube, **cards))
    np.testing.assert_array_equal(stamp, PIXELS)
    assert assumed == Assumptions()


def test_a_cube_whose_bands_are_not_understood_is_remembered_or_refused(tmp_path: Path) -> None:
    stamp, assumed = read(tmp_path / "odd.fits", plane(PIXELS, BANDS="five of them"))
    np.testing.assert_array_equal(stamp, PIXELS)
    assert assumed.order_of
    assert read(tmp_path / "clear.fits", plane(PIXELS, FILTER="clear"))[1].order_of
    with pytest.raises(StampProblem, match="has the bands g,r,i,z,y") as caught:
        read(tmp_path / "other.fits", plane(PIXELS, BANDS="SDSS_g,SDSS_r,SDSS_i,SDSS_z,y"))
    assert caught.value.flag == RowFlag.WRONG_SHAPE


@pytest.mark.parametrize("name", ["INVVAR", "ivar", "WEIGHT", "Mask", "ERR", "VAR", "DQ", "r_wht"])
def test_what_belongs_to_an_image_is_not_taken_for_it(tmp_path: Path, name: str) -> None:
    before = plane(ONES, EXTNAME=name)
    stamp, _ = read(tmp_path / "cube.fits", before, plane(PIXELS, EXTNAME="IMAGE"))
    np.testing.assert_array_equal(stamp, PIXELS)
    pairs = [
        (plane(ONES[0], FILTER=band, EXTNAME=f"{name}_{band}"), plane(image, FILTER=band))
        for band, image in zip(BANDS, PIXELS, strict=True)
    ]
    stamp, _ = read(tmp_path / "hdus.fits", *(hdu for pair in pairs for hdu in pair))
    np.testing.assert_array_equal(stamp, PIXELS)


def test_an_image_that_is_alone_is_taken_whatever_it_is_called(tmp_path: Path) -> None:
    stamp, _ = read(tmp_path / "alone.fits", plane(PIXELS, EXTNAME="SKY"))
    np.testing.assert_array_equal(stamp, PIXELS)


def bands_in_files(folder: Path, **filters: list[str]) -> NDArray[np.float32]:
    """What is read of a file a band, each with an image of each of some filters."""
    paths = [folder / f"{band}.fits" for band in BANDS]
    for path, names in zip(paths, filters.values(), strict=True):
        hdus = [plane(PIXELS[BANDS.index(name)], FILTER=name) for name in names]
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    return read_stamp(paths, ImageSpec(size=SIDE), np.nan, np.nan)


def test_of_several_images_in_a_file_of_a_band_that_of_the_band_is_taken(tmp_path: Path) -> None:
    stamp = bands_in_files(tmp_path, **{band: [*SHUFFLED] for band in BANDS})
    np.testing.assert_array_equal(stamp, PIXELS)


def test_cubes_of_one_plane_are_images_of_a_band(tmp_path: Path) -> None:
    paths = [tmp_path / f"{band}.fits" for band in BANDS]
    for path, band, image in zip(paths, BANDS, PIXELS, strict=True):
        plane(image[np.newaxis], FILTER=f"{band}.SDSS").writeto(path)
    assumed = Assumptions()
    stamp = read_stamp(paths, ImageSpec(size=SIDE), np.nan, np.nan, assumed)
    np.testing.assert_array_equal(stamp, PIXELS)
    assert assumed == Assumptions()
    with pytest.raises(StampProblem, match="is of the band g"):
        read_stamp([paths[1], *paths[1:]], ImageSpec(size=SIDE), np.nan, np.nan)


def test_a_file_of_another_band_than_its_name_says_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StampProblem, match=r"u.fits is of the band z, as it says, not u") as caught:
        bands_in_files(tmp_path, **{band: [band if band != "u" else "z"] for band in BANDS})
    assert caught.value.flag == RowFlag.WRONG_SHAPE
