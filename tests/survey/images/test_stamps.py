"""Stamps: whatever file the pixels come in they are the same ones; and none is ever made up."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import fitsio
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from photoz_ssl.errors import OutputError
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.flags import RowFlag
from photoz_ssl.survey.images.stamp_pixels import StampProblem, crop
from photoz_ssl.survey.images.stamps import Assumptions, read_stamp

Image = NDArray[np.float32]

BANDS = ("u", "g", "r", "i", "z")
SIZE = 64
SIDE = 100
NOWHERE = float("nan")
UNIT = {"BUNIT": "nanomaggy"}


def noise(side: int = SIZE, bands: int = 5) -> Image:
    return np.random.default_rng(side).normal(0.1, 0.05, (bands, side, side)).astype(np.float32)


def write(path: Path, image: Image | None, **cards: object) -> Path:
    fits.writeto(path, image, fits.Header({**UNIT, **cards}), overwrite=True)
    return path


def read(
    *paths: Path, size: int = SIZE, ra: float = NOWHERE, dec: float = NOWHERE
) -> NDArray[np.float32]:
    return read_stamp(paths, ImageSpec(size=size), ra, dec)


def flag_of(*paths: Path, **options: float) -> RowFlag:
    with pytest.raises(StampProblem) as caught:
        read(*paths, **options)  # type: ignore[arg-type]
    assert paths[0].stem[:4] in caught.value.message
    return caught.value.flag


def middle(image: Image, size: int = SIZE) -> Image:
    start = image.shape[-1] // 2 - size // 2
    return image[..., start : start + size, start : start + size]


# one picture, many files


def as_cube(folder: Path, image: Image) -> list[Path]:
    return [write(folder / "stamp.fits", image)]


def as_cube_in_an_extension(folder: Path, image: Image) -> list[Path]:
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(image, fits.Header(UNIT))])
    hdus.writeto(folder / "stamp.fits")
    return [folder / "stamp.fits"]


def as_named_hdus(folder: Path, image: Image) -> list[Path]:
    """In another order than that of the bands."""
    hdus = [fits.PrimaryHDU()]
    for band in ("z", "r", "u", "i", "g"):
        plane = image[BANDS.index(band)]
        hdus.append(fits.ImageHDU(plane, fits.Header(UNIT), name=f"SDSS_{band}"))
    fits.HDUList(hdus).writeto(folder / "stamp.fits")
    return [folder / "stamp.fits"]


def as_nameless_hdus(folder: Path, image: Image) -> list[Path]:
    hdus = [fits.PrimaryHDU(image[0], fits.Header(UNIT))]
    hdus += [fits.ImageHDU(plane, fits.Header(UNIT)) for plane in image[1:]]
    fits.HDUList(hdus).writeto(folder / "stamp.fits")
    return [folder / "stamp.fits"]


def as_files(folder: Path, image: Image) -> list[Path]:
    return [
        write(folder / f"stamp-{band}.fits", plane)
        for band, plane in zip(BANDS, image, strict=True)
    ]


def as_tiles(folder: Path, image: Image) -> list[Path]:
    tiles = fits.CompImageHDU(image, fits.Header(UNIT), compression_type="GZIP_2", quantize_level=0)
    fits.HDUList([fits.PrimaryHDU(), tiles]).writeto(folder / "stamp.fits.fz")
    return [folder / "stamp.fits.fz"]


def as_double(folder: Path, image: Image) -> list[Path]:
    fits.writeto(folder / "stamp.fits", image.astype(np.float64), fits.Header(UNIT))
    return [folder / "stamp.fits"]


def packed(pack: Callable[[bytes], bytes], suffix: str) -> Callable[[Path, Image], list[Path]]:
    """The cube in a compressed file, which is asked for without the suffix."""

    def write_packed(folder: Path, image: Image) -> list[Path]:
        path = as_cube(folder, image)[0]
        path.with_name(path.name + suffix).write_bytes(pack(path.read_bytes()))
        path.unlink()
        return [path]

    return write_packed


LAYOUTS: dict[str, Callable[[Path, Image], list[Path]]] = {
    "cube": as_cube,
    "cube in an extension": as_cube_in_an_extension,
    "HDUs by name": as_named_hdus,
    "HDUs in order": as_nameless_hdus,
    "a file a band": as_files,
    "tiles": as_tiles,
    "double": as_double,
    "gz": packed(gzip.compress, ".gz"),
    "bz2": packed(bz2.compress, ".bz2"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_pixels_are_the_same_in_every_layout(layout: str, tmp_path: Path) -> None:
    image = noise()
    stamp = read(*LAYOUTS[layout](tmp_path, image))
    np.testing.assert_array_equal(stamp, image)
    assert stamp.dtype == np.float32


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_larger_picture_is_cropped_about_its_centre(layout: str, tmp_path: Path) -> None:
    for side in (SIDE, SIDE + 1):
        folder = tmp_path / str(side)
        folder.mkdir()
        image = noise(side)
        np.testing.assert_array_equal(read(*LAYOUTS[layout](folder, image)), middle(image))


@pytest.mark.parametrize(("height", "width"), [(80, 100), (100, 80)])
def test_an_oblong_picture_is_cropped_about_its_centre(
    height: int, width: int, tmp_path: Path
) -> None:
    image = noise(SIDE)[:, :height, :width]
    bottom, left = height // 2 - SIZE // 2, width // 2 - SIZE // 2
    square = image[:, bottom : bottom + SIZE, left : left + SIZE]
    np.testing.assert_array_equal(read(write(tmp_path / "stamp.fits", image)), square)


def test_a_packed_file_is_known_by_its_content(tmp_path: Path) -> None:
    path = as_cube(tmp_path, noise())[0]
    path.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(read(path), noise())


@pytest.mark.parametrize("name", ["a[1].fits", "b (2).fits", "c+1.fits", "d{x}.fits", "~e.fits"])
def test_the_signs_of_cfitsio_in_a_name_are_part_of_it(tmp_path: Path, name: str) -> None:
    np.testing.assert_array_equal(read(write(tmp_path / name, noise())), noise())


# bands


def test_the_planes_of_a_cube_are_ordered_by_what_it_says(tmp_path: Path) -> None:
    image = noise()
    backwards = image[::-1].copy()
    path = tmp_path / "stamp.fits"
    cards = {f"BAND{number + 1}": band for number, band in enumerate(reversed(BANDS))}
    np.testing.assert_array_equal(read(write(path, backwards, BANDS="zirgu")), image)
    np.testing.assert_array_equal(read(write(path, backwards, **cards)), image)
    np.testing.assert_array_equal(read(write(path, backwards)), backwards)
    moved = np.roll(image, 2, axis=0)
    np.testing.assert_array_equal(read(write(path, moved, BANDS="izugr")), image)
    assert flag_of(write(path, image, BANDS="grizy")) == RowFlag.WRONG_SHAPE


@pytest.mark.parametrize("n_bands", [1, 3, 4, 6])
def test_another_number_of_bands_is_a_wrong_shape(tmp_path: Path, n_bands: int) -> None:
    image = noise(bands=n_bands)
    assert flag_of(write(tmp_path / "cube.fits", image)) == RowFlag.WRONG_SHAPE
    hdus = [fits.PrimaryHDU()] + [fits.ImageHDU(plane, fits.Header(UNIT)) for plane in image]
    fits.HDUList(hdus).writeto(tmp_path / "hdus.fits")
    assert flag_of(tmp_path / "hdus.fits") == RowFlag.WRONG_SHAPE


def test_a_band_that_is_missing_among_named_ones_is_a_wrong_shape(tmp_path: Path) -> None:
    hdus = [fits.PrimaryHDU()]
    hdus += [fits.ImageHDU(noise()[0], fits.Header(UNIT), name=band) for band in "ugriy"]
    fits.HDUList(hdus).writeto(tmp_path / "hdus.fits")
    assert flag_of(tmp_path / "hdus.fits") == RowFlag.WRONG_SHAPE


@pytest.mark.parametrize("shape", [(5, 40, 64), (5, 64, 63), (5, 5, 64, 64), (64,)])
def test_too_few_pixels_or_other_axes_are_a_wrong_shape(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    path = write(tmp_path / "small.fits", np.ones(shape, np.float32))
    assert flag_of(path) == RowFlag.WRONG_SHAPE


@pytest.mark.parametrize("shape", [(1, 5, 64, 64), (5, 1, 64, 64), (1, 1, 5, 64, 64)])
@pytest.mark.parametrize("kind", [np.float32, np.int32])  # CFITSIO reads the latter
def test_axes_of_one_pixel_are_none(
    tmp_path: Path, shape: tuple[int, ...], kind: type[np.generic]
) -> None:
    image = (100 * noise()).astype(kind)
    path = write(tmp_path / "cube.fits", image.reshape(shape))
    np.testing.assert_array_equal(read(path), image)


def test_a_large_cube_with_an_axis_of_one_pixel_is_read_by_its_part(tmp_path: Path) -> None:
    image = np.arange(5 * 400 * 400, dtype=np.float32).reshape(1, 5, 400, 400)
    path = write(tmp_path / "cube.fits", image)
    np.testing.assert_array_equal(read(path), middle(image[0]))


def test_hdus_of_one_plane_each_are_an_hdu_a_band(tmp_path: Path) -> None:
    image = noise()
    hdus = [fits.ImageHDU(plane[np.newaxis], fits.Header(UNIT)) for plane in image]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(tmp_path / "hdus.fits")
    np.testing.assert_array_equal(read(tmp_path / "hdus.fits"), image)


def test_an_image_of_too_many_axes_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "cube.fits", np.ones((2, 5, 64, 64), np.float32))
    with pytest.raises(StampProblem, match="no image of rows and columns, nor one of bands"):
        read(path)


# where it is cut


def placed(path: Path, image: Image, x: float, y: float, **cards: object) -> Path:
    """A picture with RA 150, Dec 20 at a pixel, from 0."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [150.0, 20.0]
    wcs.wcs.crpix = [x + 1, y + 1]
    wcs.wcs.cdelt = [-0.396 / 3600, 0.396 / 3600]
    return write(path, image, **dict(wcs.to_header()), **cards)


@pytest.mark.parametrize(("x", "y"), [(50, 50), (40, 60), (32, 32), (68, 68), (45.4, 51.6)])
def test_the_object_comes_to_lie_at_the_centre(tmp_path: Path, x: float, y: float) -> None:
    image = np.zeros((5, SIDE, SIDE), np.float32)
    image[:, round(y), round(x)] = 1
    stamp = read(placed(tmp_path / "stamp.fits", image, x, y), ra=150.0, dec=20.0)
    np.testing.assert_array_equal(np.argwhere(stamp)[:, 1:], [[SIZE // 2, SIZE // 2]] * 5)


def test_without_wcs_or_position_the_picture_s_own_centre_is_taken(tmp_path: Path) -> None:
    image = noise(SIDE)
    with_wcs = placed(tmp_path / "with.fits", image, 40, 60)
    without = write(tmp_path / "without.fits", image)
    np.testing.assert_array_equal(read(with_wcs), middle(image))
    np.testing.assert_array_equal(read(without, ra=150.0, dec=20.0), middle(image))


@pytest.mark.parametrize(("x", "y"), [(20, 50), (50, 20), (80, 50), (50, 80), (500, 50)])
def test_an_object_at_an_edge_is_flagged_and_not_padded(tmp_path: Path, x: int, y: int) -> None:
    path = placed(tmp_path / "stamp.fits", noise(SIDE), x, y)
    assert flag_of(path, ra=150.0, dec=20.0) == RowFlag.OUTSIDE_FRAME


def test_an_object_on_the_far_side_of_the_sky_is_outside(tmp_path: Path) -> None:
    path = placed(tmp_path / "stamp.fits", noise(SIDE), 50, 50)
    for ra, dec in ((330.0, -20.0), (150.0, -70.0), (151.0, 20.0)):
        assert flag_of(path, ra=ra, dec=dec) == RowFlag.OUTSIDE_FRAME


def test_a_position_outside_the_image_is_told_from_one_at_its_edge(tmp_path: Path) -> None:
    for x, told in ((20, "reaches beyond the edge of"), (-1, "the RA and Dec lie outside")):
        path = placed(tmp_path / "stamp.fits", noise(SIDE), x, 50)
        with pytest.raises(StampProblem, match=told):
            read(path, ra=150.0, dec=20.0)


def test_a_stamp_of_just_the_size_may_be_off_by_a_pixel_or_two(tmp_path: Path) -> None:
    image = noise()
    for x in (30, 31, 32, 33, 34):
        path = placed(tmp_path / "stamp.fits", image, x, 32)
        np.testing.assert_array_equal(read(path, ra=150.0, dec=20.0), image)
    path = placed(tmp_path / "stamp.fits", image, 40, 32)
    assert flag_of(path, ra=150.0, dec=20.0) == RowFlag.OUTSIDE_FRAME


def test_a_deprecated_keyword_of_the_wcs_is_taken_in_silence(tmp_path: Path) -> None:
    image = noise(SIDE)
    path = placed(tmp_path / "stamp.fits", image, 50, 50, RADECSYS="FK5", EQUINOX=2000.0)
    np.testing.assert_array_equal(read(path, ra=150.0, dec=20.0), middle(image))


def test_each_band_of_its_own_file_is_cut_by_its_own_wcs(tmp_path: Path) -> None:
    paths = []
    for number, band in enumerate(BANDS):
        image = np.zeros((SIDE, SIDE), np.float32)
        image[50, 45 + number] = 1
        paths.append(placed(tmp_path / f"stamp-{band}.fits", image, 45 + number, 50))
    stamp = read(*paths, ra=150.0, dec=20.0)
    np.testing.assert_array_equal(np.argwhere(stamp)[:, 1:], [[SIZE // 2, SIZE // 2]] * 5)


def test_cropping_takes_the_middle_of_any_picture() -> None:
    image = noise(SIDE)
    np.testing.assert_array_equal(crop(image, SIZE, "x"), middle(image))
    with pytest.raises(StampProblem, match="has 100x100 pixels, fewer than 107x107; --size 64"):
        crop(image, 107, "x")


@pytest.mark.parametrize("band", [0, 4])
def test_a_band_in_which_all_pixels_are_0_is_none(tmp_path: Path, band: int) -> None:
    image = noise()
    image[band] = 0
    assert flag_of(write(tmp_path / "stamp.fits", image)) == RowFlag.WRONG_SHAPE
    image[band, 3, 4] = 1e-3
    np.testing.assert_array_equal(read(write(tmp_path / "faint.fits", image)), image)


# units and values


@pytest.mark.parametrize(("unit", "factor"), [("maggy", 1e9), ("Jy", 1e6 / 3.631), ("uJy", 0.2754)])
def test_other_units_of_flux_are_converted(tmp_path: Path, unit: str, factor: float) -> None:
    stamp = read(write(tmp_path / "stamp.fits", noise(), BUNIT=unit))
    np.testing.assert_allclose(stamp, noise() * factor, rtol=1e-4)


@pytest.mark.parametrize("inherit", [True, None])
def test_the_unit_of_a_primary_without_an_image_is_that_of_the_images(
    tmp_path: Path, inherit: bool | None
) -> None:
    cards = {} if inherit is None else {"INHERIT": inherit}
    planes = [fits.ImageHDU(plane, fits.Header(cards)) for plane in noise()]
    primary = fits.PrimaryHDU(header=fits.Header({"BUNIT": "uJy"}))
    fits.HDUList([primary, *planes]).writeto(tmp_path / "stamp.fits")
    np.testing.assert_allclose(read(tmp_path / "stamp.fits"), noise() / 3.631, rtol=1e-6)


@pytest.mark.parametrize("unit", ["counts", "adu", "electron/s", "mag", "erg"])
def test_other_units_are_refused_by_name(tmp_path: Path, unit: str) -> None:
    path = write(tmp_path / "stamp.fits", noise(), BUNIT=unit)
    with pytest.raises(StampProblem, match=repr(unit)) as caught:
        read(path)
    assert caught.value.flag == RowFlag.WRONG_UNIT


def test_one_band_in_counts_is_enough(tmp_path: Path) -> None:
    paths = as_files(tmp_path, noise())
    write(paths[3], noise()[3], BUNIT="counts")
    with pytest.raises(StampProblem, match="stamp-i"):
        read(*paths)


def test_files_without_a_unit_are_remembered(tmp_path: Path) -> None:
    path = tmp_path / "bare.fits"
    fits.writeto(path, noise())
    assumed = Assumptions()
    for _ in range(2):
        np.testing.assert_array_equal(
            read_stamp([path], ImageSpec(size=SIZE), NOWHERE, NOWHERE, assumed), noise()
        )
    assert assumed == Assumptions(unit_of=str(path))


def test_a_zero_point_without_a_unit_must_be_that_of_nanomaggies(tmp_path: Path) -> None:
    for name, cards in {
        "right": {"MAGZERO": 22.5},
        "unfilled": {"MAGZERO": 0.0, "MAGZPT": True, "MAGZP": 22.5, "PHOTZP": 27.0},
        "wrong": {"PHOTZP": 27.0},
        "low": {"MAGZERO": 20.0},
    }.items():
        fits.writeto(tmp_path / f"{name}.fits", noise(), fits.Header(cards))
    for name in ("right", "unfilled"):
        np.testing.assert_array_equal(read(tmp_path / f"{name}.fits"), noise())
    for name in ("wrong", "low"):
        assert flag_of(tmp_path / f"{name}.fits") == RowFlag.WRONG_UNIT


def test_an_empty_unit_is_none(tmp_path: Path) -> None:
    path, assumed = tmp_path / "empty.fits", Assumptions()
    fits.writeto(path, noise(), fits.Header({"BUNIT": " "}))
    read_stamp([path], ImageSpec(size=SIZE), NOWHERE, NOWHERE, assumed)
    assert assumed.unit_of == str(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("layout", ["cube", "tiles", "gz", "HDUs by name"])
def test_pixels_without_a_value_are_flagged_where_they_matter(
    layout: str, value: float, tmp_path: Path
) -> None:
    for row, matters in ((50, True), (3, False)):
        folder = tmp_path / str(row)
        folder.mkdir()
        image = noise(SIDE)
        image[2, row, 50] = value
        paths = LAYOUTS[layout](folder, image)
        if matters:
            assert flag_of(*paths) == RowFlag.NOT_FINITE
        else:
            np.testing.assert_array_equal(read(*paths), middle(image))


def scaled(path: Path, **cards: float) -> Path:
    """A cube of integers, with cards such as BSCALE that astropy would act on."""
    numbers = np.arange(5 * SIZE * SIZE, dtype=np.int16).reshape(5, SIZE, SIZE)
    content = write(path, numbers).read_bytes()  # type: ignore[arg-type]
    end = content.index(b"END" + b" " * 77)
    extra = b"".join(f"{key:<8}= {value:>20}".ljust(80).encode() for key, value in cards.items())
    path.write_bytes(
        content[:end] + extra + content[end : end + 80] + content[end + 80 + len(extra) :]
    )
    return path


def test_scaled_integers_are_their_values(tmp_path: Path) -> None:
    path = scaled(tmp_path / "scaled.fits", BSCALE=0.01, BZERO=3.0)
    expected = 3 + 0.01 * np.arange(5 * SIZE * SIZE).reshape(5, SIZE, SIZE)
    np.testing.assert_allclose(read(path), expected, rtol=1e-6)


@pytest.mark.parametrize("cards", [{}, {"BSCALE": 0.01, "BZERO": 3.0}, {"BSCALE": -2.0}])
def test_blank_pixels_have_no_value(tmp_path: Path, cards: dict[str, float]) -> None:
    path = scaled(tmp_path / "blank.fits", **cards, BLANK=77)
    with pytest.raises(StampProblem, match="has 1 pixel that is not finite"):
        read(path)
    np.testing.assert_array_equal(
        read(scaled(tmp_path / "other.fits", **cards, BLANK=-5)),
        read(scaled(tmp_path / "plain.fits", **cards)),
    )


# damage


def test_a_file_that_is_not_there_is_missing(tmp_path: Path) -> None:
    assert flag_of(tmp_path / "nowhere.fits") == RowFlag.IMAGE_MISSING
    assert flag_of(tmp_path / "no\0where.fits") == RowFlag.IMAGE_MISSING
    (tmp_path / "folder.fits").mkdir()
    assert flag_of(tmp_path / "folder.fits") == RowFlag.IMAGE_MISSING
    paths = as_files(tmp_path, noise())
    paths[2].unlink()
    with pytest.raises(StampProblem, match="stamp-r"):
        read(*paths)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.2, 0.7])
def test_a_truncated_file_is_damaged(layout: str, kept: float, tmp_path: Path) -> None:
    paths = LAYOUTS[layout](tmp_path, noise())
    for path in tmp_path.iterdir():
        content = path.read_bytes()
        path.write_bytes(content[: int(kept * len(content))])
    assert flag_of(*paths) in (RowFlag.IMAGE_DAMAGED, RowFlag.WRONG_SHAPE)


@pytest.mark.parametrize(
    "content", [b"", b"not an image", b"SIMPLE  =", b"\x1f\x8bnot gzip", b"BZh9not bzip2"]
)
def test_what_is_no_fits_file_is_damaged(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "text.fits"
    path.write_bytes(content)
    assert flag_of(path) == RowFlag.IMAGE_DAMAGED


@pytest.mark.parametrize(
    ("layout", "card"),
    [
        ("cube", "CTYPE1  ="),
        ("cube", "CTYPE1  =                   12"),
        ("tiles", "ZTILE1  ="),
        ("tiles", "ZBITPIX =                    1"),
    ],
)
def test_a_card_that_makes_a_library_stumble_is_damage(
    layout: str, card: str, tmp_path: Path
) -> None:
    path = LAYOUTS[layout](tmp_path, noise(SIDE))[0]
    content = path.read_bytes()
    word = card[:8].encode() if card[:8].encode() in content else b"BUNIT   "
    start = content.index(word)
    path.write_bytes(content[:start] + card.ljust(80).encode() + content[start + 80 :])
    with pytest.raises(StampProblem, match="not a readable FITS image") as caught:
        read(path, ra=150.0, dec=20.0)
    assert caught.value.flag == RowFlag.IMAGE_DAMAGED


def test_a_table_is_no_picture(tmp_path: Path) -> None:
    fitsio.write(str(tmp_path / "table.fits"), np.zeros(3, [("A", "f4")]))
    assert flag_of(tmp_path / "table.fits") == RowFlag.WRONG_SHAPE


def test_a_file_that_unpacks_without_end_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("photoz_ssl.survey.images.image_files.MOST_BYTES", 1 << 20)
    path = write(tmp_path / "bomb.fits", noise(512))
    path.write_bytes(bz2.compress(path.read_bytes()))
    assert flag_of(path) == RowFlag.IMAGE_DAMAGED


def test_no_room_to_unpack_is_no_damage(
    tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    path = write(tmp_path / "large.fits", noise(512))
    path.write_bytes(gzip.compress(path.read_bytes(), 1))
    for most_bytes in (3_000, 50_000):
        with full_disk(most_bytes), pytest.raises(OutputError, match="to unpack images"):
            read(path)
