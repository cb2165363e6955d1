"""Frames: bands are aligned and keep their flux; what no frame covers whole is said, not padded."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import fitsio
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from photoz_ssl.errors import CutoutError
from photoz_ssl.survey.flags import RowFlag
from photoz_ssl.survey.images import resampling
from photoz_ssl.survey.images.frames import Frames
from photoz_ssl.survey.images.stamp_pixels import Stamp, StampProblem

BANDS = ("u", "g", "r", "i", "z")
SIZE = 64
FLUX = {"u": 20.0, "g": 60.0, "r": 100.0, "i": 130.0, "z": 150.0}

FrameWriter = Callable[..., Path]
Position = tuple[float, float]


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


def cut(folder: Path, positions: list[Position], pool: Executor, size: int = SIZE) -> list[Stamp]:
    ra, dec = np.array(positions, float).T
    return list(Frames(folder, size, BANDS).read(np.zeros(len(ra), "i8"), ra, dec, pool))


def image_of(stamp: Stamp) -> NDArray[np.float32]:
    assert not isinstance(stamp, StampProblem), stamp
    return stamp


def flag_of(stamp: Stamp) -> RowFlag:
    assert isinstance(stamp, StampProblem)
    return stamp.flag


def at_pixel(folder: Path, x: float, y: float) -> Position:
    """The position of a pixel of the r frame."""
    path = next(folder.glob("frame-r-*"))
    header = dict(fitsio.read_header(str(path)))
    header.pop("RADECSYS", None)
    ra, dec = WCS(header, fix=False).wcs_pix2world(x, y, 0)
    return float(ra), float(dec)


def test_the_flux_of_each_band_is_kept(
    frames_folder: Path, galaxy_position: Position, pool: Executor
) -> None:
    stamp = image_of(cut(frames_folder, [galaxy_position], pool)[0])
    assert stamp.shape == (5, SIZE, SIZE)
    for image, band in zip(stamp, BANDS, strict=True):
        assert image.sum() == pytest.approx(FLUX[band], rel=0.01)


def test_bands_that_are_offset_come_to_lie_on_one_another(
    frames_folder: Path, galaxy_position: Position, pool: Executor
) -> None:
    stamp = image_of(cut(frames_folder, [galaxy_position], pool)[0])
    rows, columns = np.indices((SIZE, SIZE)) - SIZE // 2
    for image in stamp:
        assert (image * rows).sum() / image.sum() == pytest.approx(0, abs=0.02)
        assert (image * columns).sum() / image.sum() == pytest.approx(0, abs=0.02)


def test_the_reference_band_is_not_resampled(
    frames_folder: Path, galaxy_position: Position, pool: Executor
) -> None:
    stamp = image_of(cut(frames_folder, [galaxy_position], pool)[0])
    frame = fitsio.read(str(next(frames_folder.glob("frame-r-*"))))
    half = SIZE // 2
    square = frame[90 - half : 90 + half, 100 - half : 100 + half]
    np.testing.assert_array_equal(stamp[2], square)


@pytest.mark.parametrize(("x", "y"), [(100.4, 89.6), (99.6, 90.4)])
def test_a_stamp_lies_about_the_nearest_pixel(
    frames_folder: Path, galaxy_position: Position, pool: Executor, x: float, y: float
) -> None:
    beside = at_pixel(frames_folder, x, y)
    stamp, there = (image_of(one) for one in cut(frames_folder, [beside, galaxy_position], pool))
    np.testing.assert_array_equal(stamp[2], there[2])


def test_of_two_fields_the_one_with_more_room_is_taken(
    frames_folder: Path, galaxy_position: Position, pool: Executor
) -> None:
    alone = image_of(cut(frames_folder, [galaxy_position], pool)[0])
    for path in list(frames_folder.glob("frame-*")):
        with fits.open(path) as hdus:
            hdus[0].header["CRPIX1"] -= 80
            hdus.writeto(path.with_name(path.name.replace("001234", "009999")))
    both = image_of(cut(frames_folder, [galaxy_position], pool)[0])
    np.testing.assert_array_equal(both, alone)


@pytest.mark.parametrize(("x", "y"), [(30, 90), (100, 30), (189, 90), (100, 149)])
def test_a_stamp_beyond_an_edge_is_flagged(
    frames_folder: Path, pool: Executor, x: float, y: float
) -> None:
    problem = cut(frames_folder, [at_pixel(frames_folder, x, y)], pool)[0]
    assert flag_of(problem) == RowFlag.OUTSIDE_FRAME


def test_a_stamp_inside_r_but_beyond_another_band_is_flagged(
    frames_folder: Path, pool: Executor
) -> None:
    inside, beyond_z = at_pixel(frames_folder, 180, 100), at_pixel(frames_folder, 187, 100)
    first, second = cut(frames_folder, [inside, beyond_z], pool)
    assert image_of(first).shape == (5, SIZE, SIZE)
    assert flag_of(second) == RowFlag.OUTSIDE_FRAME


def test_positions_that_no_frame_covers_are_missing(frames_folder: Path, pool: Executor) -> None:
    nowhere = [(150.0, 21.0), (330.0, -20.0), (np.nan, 20.0), (150.0, np.nan)]
    for problem in cut(frames_folder, nowhere, pool):
        assert flag_of(problem) == RowFlag.IMAGE_MISSING


def test_a_missing_band_is_flagged(
    frames_folder: Path, galaxy_position: Position, pool: Executor
) -> None:
    next(frames_folder.glob("frame-i-*")).unlink()
    problem = cut(frames_folder, [galaxy_position], pool)[0]
    assert flag_of(problem) == RowFlag.IMAGE_MISSING
    assert "no frame in i" in str(problem)


@pytest.mark.parametrize("pack", [lambda content: content, bz2.compress, gzip.compress])
def test_a_truncated_frame_is_flagged_without_a_warning(
    frames_folder: Path, galaxy_position: Position, pool: Executor, pack: Callable[[bytes], bytes]
) -> None:
    path = next(frames_folder.glob("frame-g-*"))
    packed = pack(path.read_bytes())
    path.write_bytes(packed[: int(0.7 * len(packed))])
    problem = cut(frames_folder, [galaxy_position], pool)[0]
    assert flag_of(problem) == RowFlag.IMAGE_DAMAGED
    assert path.name in str(problem)


@pytest.mark.parametrize(("suffix", "pack"), [(".bz2", bz2.compress), (".gz", gzip.compress)])
def test_packed_frames_give_the_same_pixels(
    frames_folder: Path,
    galaxy_position: Position,
    pool: Executor,
    suffix: str,
    pack: Callable[[bytes], bytes],
) -> None:
    plain = image_of(cut(frames_folder, [galaxy_position], pool)[0])
    for path in list(frames_folder.iterdir()):
        path.with_name(path.name + suffix).write_bytes(pack(path.read_bytes()))
        path.unlink()
    np.testing.assert_array_equal(image_of(cut(frames_folder, [galaxy_position], pool)[0]), plain)


def test_units_are_converted_or_flagged(
    frames_folder: Path, galaxy_position: Position, pool: Executor, write_frame: FrameWriter
) -> None:
    write_frame("g", BUNIT="maggies")
    stamp = image_of(cut(frames_folder, [galaxy_position], pool)[0])
    assert stamp[1].sum() == pytest.approx(60e9, rel=0.01)
    write_frame("g", BUNIT="adu")
    assert flag_of(cut(frames_folder, [galaxy_position], pool)[0]) == RowFlag.WRONG_UNIT


def test_frames_without_a_unit_are_told(frames_folder: Path, write_frame: FrameWriter) -> None:
    assert not Frames(frames_folder, SIZE, BANDS).notices
    write_frame("r", BUNIT=" ")
    (notice,) = Frames(frames_folder, SIZE, BANDS).notices
    assert notice.endswith("are taken as nanomaggies")


@pytest.mark.parametrize(
    "cards",
    [
        {"CRVAL2": 200.0},
        {"CDELT1": 0.0},
        {"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"},
        {"CTYPE1": "RA---XYZ"},
        {"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN"},
        {"RADESYS": "FK4", "EQUINOX": 1950.0},
        {"CUNIT1": "Jy"},
    ],
)
def test_a_frame_whose_wcs_makes_no_sense_is_flagged(
    frames_folder: Path,
    galaxy_position: Position,
    pool: Executor,
    write_frame: FrameWriter,
    cards: dict[str, object],
) -> None:
    path = write_frame("g", **cards)
    problem = cut(frames_folder, [galaxy_position], pool)[0]
    assert flag_of(problem) == RowFlag.IMAGE_DAMAGED
    assert f"the WCS of {path}" in str(problem)
    write_frame("r", **cards)
    with pytest.raises(CutoutError, match="frame-r"):
        Frames(frames_folder, SIZE, BANDS)


def test_a_frame_on_a_bent_grid_is_flagged(
    frames_folder: Path,
    galaxy_position: Position,
    pool: Executor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resampling, "MOST_BENT", -1.0)
    problem = cut(frames_folder, [galaxy_position], pool)[0]
    assert flag_of(problem) == RowFlag.IMAGE_DAMAGED
    assert "in u does not fit that in r" in str(problem)


def test_pixels_that_are_not_finite_are_flagged(
    frames_folder: Path, galaxy_position: Position, pool: Executor, write_frame: FrameWriter
) -> None:
    image = fitsio.read(str(next(frames_folder.glob("frame-r-*"))))
    image[95, 95] = np.inf
    write_frame("r", image)
    away = at_pixel(frames_folder, 150, 90)
    near, far = cut(frames_folder, [galaxy_position, away], pool)
    assert flag_of(near) == RowFlag.NOT_FINITE
    assert image_of(far).shape == (5, SIZE, SIZE)


def test_a_deprecated_keyword_of_sdss_is_taken_in_silence(
    frames_folder: Path, galaxy_position: Position, pool: Executor, write_frame: FrameWriter
) -> None:
    for band in BANDS:
        write_frame(band, RADECSYS="ICRS")
    assert image_of(cut(frames_folder, [galaxy_position], pool)[0]).any()


def test_a_distorted_frame_is_cut_where_its_distortion_says(
    frames_folder: Path, pool: Executor, write_frame: FrameWriter
) -> None:
    cards = {"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_2_0": 1e-5, "B_1_0": 0.2}
    paths = [write_frame(band, **cards, A_ORDER=2, B_ORDER=2) for band in BANDS]
    wcs = WCS(fits.getheader(paths[BANDS.index("r")]), fix=False)
    ra, dec = wcs.all_pix2world(100, 90, 0)
    assert np.hypot(*(wcs.wcs_world2pix(ra, dec, 0) - np.array([100, 90]))) > 2
    stamp = image_of(cut(frames_folder, [(float(ra), float(dec))], pool)[0])
    for image in stamp:
        brightest = np.unravel_index(image.argmax(), image.shape)
        np.testing.assert_allclose(brightest, SIZE // 2, atol=1)


def test_folders_without_frames_are_refused(tmp_path: Path, frames_folder: Path) -> None:
    with pytest.raises(CutoutError, match="no folder"):
        Frames(tmp_path / "nowhere", SIZE, BANDS)
    next(frames_folder.glob("frame-r-*")).rename(frames_folder / "r.fits")
    with pytest.raises(CutoutError, match="no SDSS frames frame-r-"):
        Frames(frames_folder, SIZE, BANDS)


def test_a_frame_whose_header_is_cut_is_named(frames_folder: Path) -> None:
    path = next(frames_folder.glob("frame-r-*"))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CutoutError, match=path.name):
        Frames(frames_folder, SIZE, BANDS)


def test_a_galaxy_at_the_edge_of_a_real_frame_is_flagged(
    sdss_frames: Path, tmp_path: Path, pool: Executor
) -> None:
    field = sdss_frames / "003918-3-0213"
    with bz2.open(next(field.glob("frame-r-*"))) as stream:
        (tmp_path / "frame-r-x.fits").write_bytes(stream.read())
    positions = [at_pixel(tmp_path, x, y) for x, y in ((1000, 20), (1000, 700))]
    edge, middle = cut(field, positions, pool, 107)
    assert flag_of(edge) == RowFlag.OUTSIDE_FRAME
    assert np.isfinite(image_of(middle)).all()
