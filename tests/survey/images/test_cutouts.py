"""Cutouts: which file, or entry of a table, is a row's image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import fitsio
import numpy as np
import pytest
from numpy.typing import NDArray

from photoz_ssl.errors import CutoutError
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.catalog import Catalog, open_catalog
from photoz_ssl.survey.flags import RowFlag
from photoz_ssl.survey.images.cutouts import (
    StampColumn,
    StampFiles,
    Stamps,
    file_column,
    image_column,
)
from photoz_ssl.survey.images.stamp_pixels import StampProblem

Image = NDArray[np.float32]

BANDS = ("u", "g", "r", "i", "z")
SIZE = 64
SPEC = ImageSpec(size=SIZE)
N = 4
UNIT = {"BUNIT": "nanomaggy"}


@pytest.fixture(scope="module")
def pool() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


def picture(number: int, side: int = SIZE, bands: int = 5) -> Image:
    return np.random.default_rng(number).normal(size=(bands, side, side)).astype(np.float32)


def rows_with(**columns: object) -> NDArray[np.void]:
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    kinds = [(name, values.dtype, values.shape[1:]) for name, values in arrays.items()]
    rows = np.zeros(N, kinds)
    for name, values in arrays.items():
        rows[name] = values
    return rows


@contextmanager
def catalog_of(folder: Path, columns: Mapping[str, object], unit: str = "") -> Iterator[Catalog]:
    rows = rows_with(OBJID=7 + np.arange(N), **columns)
    units = [unit if name == "IMAGE" else "" for name in rows.dtype.names or ()]
    fitsio.write(str(folder / "cat.fits"), rows, units=units, clobber=True)
    with open_catalog(str(folder / "cat.fits")) as catalog:
        yield catalog


def read(stamps: Stamps, catalog: Catalog, pool: Executor) -> list[Image | StampProblem]:
    nowhere = np.full(N, np.nan)
    return list(stamps.read(catalog.read(0, N), nowhere, nowhere, pool))


def assert_in_order(stamps: list[Image | StampProblem]) -> None:
    assert len(stamps) == N
    for number, stamp in enumerate(stamps):
        assert not isinstance(stamp, StampProblem), stamp
        np.testing.assert_array_equal(stamp, picture(number))


def write_cubes(names: list[str], folder: Path) -> None:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        fitsio.write(str(folder / name), picture(number), header=UNIT)


# templates


@pytest.mark.parametrize(
    ("template", "names"),
    [
        ("stamps/{OBJID}.fits", [f"stamps/{7 + k}.fits" for k in range(N)]),
        ("stamps/{objid:06d}.fits", [f"stamps/{7 + k:06d}.fits" for k in range(N)]),
        ("{PLATE}/{NAME}.fits", [f"{300 + k}/galaxy {k}.fits" for k in range(N)]),
        ("{RA:.3f}{DEC:+.2f}.fits", [f"{k / 3:.3f}{0.5 - k / 3:+.2f}.fits" for k in range(N)]),
    ],
)
def test_templates_are_made_of_columns(
    template: str, names: list[str], tmp_path: Path, pool: Executor
) -> None:
    write_cubes(names, tmp_path)
    third = np.arange(N) / 3
    columns = {
        "PLATE": 300 + np.arange(N, dtype="i2"),
        "NAME": [f"galaxy {k}".encode() for k in range(N)],
        "RA": third,
        "DEC": 0.5 - third,
    }
    with catalog_of(tmp_path, columns) as catalog:
        stamps = StampFiles.from_template(template, catalog, SPEC)
        assert_in_order(read(stamps, catalog, pool))
        assert stamps.notices == ()


def test_a_row_without_what_a_template_is_made_of_has_no_image(
    tmp_path: Path, pool: Executor
) -> None:
    rows = rows_with(ID=[0, 1, 2, -99], NAME=["a", "", "c", "d"])
    with fitsio.FITS(str(tmp_path / "cat.fits"), "rw") as file:
        file.write(rows)
        file[1].write_key("TNULL1", -99)
    with open_catalog(str(tmp_path / "cat.fits")) as catalog:
        found = read(StampFiles.from_template("{ID}-{NAME}.fits", catalog, SPEC), catalog, pool)
    messages = [stamp.message for stamp in found if isinstance(stamp, StampProblem)]
    assert messages[1] == "the column NAME is empty"
    assert messages[3] == "the column ID is empty"
    assert all(message.startswith("there is no file") for message in messages[::2])


def test_a_template_with_the_band_is_a_file_a_band(tmp_path: Path, pool: Executor) -> None:
    for number in range(N):
        for band, plane in zip(BANDS, picture(number), strict=True):
            fitsio.write(str(tmp_path / f"{7 + number}-{band}.fits"), plane, header=UNIT)
    with catalog_of(tmp_path, {}) as catalog:
        stamps = StampFiles.from_template("{OBJID}-{band}.fits", catalog, SPEC)
        assert_in_order(read(stamps, catalog, pool))


def test_a_template_starts_from_the_catalogue_or_the_working_folder(
    tmp_path: Path, pool: Executor, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    monkeypatch.chdir(here)
    for folder in (here, there):
        write_cubes([f"stamps/{7 + k}.fits" for k in range(N)], folder)
        with catalog_of(there, {}) as catalog:
            for template in ("stamps/{OBJID}.fits", str(folder / "stamps" / "{OBJID}.fits")):
                stamps = StampFiles.from_template(template, catalog, SPEC)
                assert_in_order(read(stamps, catalog, pool))


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{COLOUR}.fits", "'COLOUR', which is no column"),
        ("{}.fits", "which is no column"),
        ("{OBJID.real}.fits", "which is no column"),
        ("{OBJID", "malformed"),
        ("{OBJID:%q}.fits", "not understood"),
        ("{OBJID:999999999d}.fits", "not understood"),
        ("{NAME:06d}.fits", "does not fit the columns"),
    ],
)
def test_templates_that_cannot_be_filled_in_are_refused(
    template: str, words: str, tmp_path: Path
) -> None:
    with (
        catalog_of(tmp_path, {"NAME": [b"a"] * N}) as catalog,
        pytest.raises(CutoutError, match=words) as caught,
    ):
        StampFiles.from_template(template, catalog, SPEC)
    assert caught.value.hint


def test_each_row_has_its_own_problem(tmp_path: Path, pool: Executor) -> None:
    write_cubes([f"{7 + k}.fits" for k in range(N)], tmp_path)
    (tmp_path / "7.fits").unlink()
    fitsio.write(str(tmp_path / "8.fits"), picture(0, bands=3), header=UNIT, clobber=True)
    (tmp_path / "9.fits").write_text("not a picture")
    with catalog_of(tmp_path, {}) as catalog:
        stamps = StampFiles.from_template("{OBJID}.fits", catalog, SPEC)
        *problems, image = read(stamps, catalog, pool)
    flags = [problem.flag for problem in problems if isinstance(problem, StampProblem)]
    assert flags == [RowFlag.IMAGE_MISSING, RowFlag.WRONG_SHAPE, RowFlag.IMAGE_DAMAGED]
    np.testing.assert_array_equal(image, picture(3))


def test_images_without_a_unit_are_named_in_a_notice(tmp_path: Path, pool: Executor) -> None:
    for number in range(N):
        fitsio.write(str(tmp_path / f"{7 + number}.fits"), picture(number))
    with catalog_of(tmp_path, {}) as catalog:
        stamps = StampFiles.from_template("{OBJID}.fits", catalog, SPEC)
        assert_in_order(read(stamps, catalog, pool))
    assert "without BUNIT" in stamps.notices[0]


# a column of file names


@pytest.mark.parametrize("column", ["CUTOUT", "FileName", "file"])
def test_a_column_of_names_is_relative_to_the_catalogue(
    column: str, tmp_path: Path, pool: Executor
) -> None:
    names = [f"stamps/{k}.fits" for k in range(N)]
    write_cubes(names, tmp_path)
    with catalog_of(tmp_path, {column: [name.encode() for name in names]}) as catalog:
        assert file_column(catalog) == column
        assert image_column(catalog) is None
        stamps = StampFiles.from_column(column, catalog, SPEC)
        assert_in_order(read(stamps, catalog, pool))


def test_names_may_be_whole_paths_hold_the_band_or_be_empty(tmp_path: Path, pool: Executor) -> None:
    elsewhere = tmp_path / "elsewhere"
    write_cubes(["a.fits"], elsewhere)
    for band, plane in zip(BANDS, picture(1), strict=True):
        fitsio.write(str(tmp_path / f"b-{band}.fits"), plane, header=UNIT)
    names = [str(elsewhere / "a.fits").encode(), b"b-{band}.fits", b"", b"{OBJID}.fits"]
    with catalog_of(tmp_path, {"FILE": names}) as catalog:
        stamps = StampFiles.from_column("FILE", catalog, SPEC)
        whole, by_band, empty, literal = read(stamps, catalog, pool)
    np.testing.assert_array_equal(whole, picture(0))
    np.testing.assert_array_equal(by_band, picture(1))
    for problem in (empty, literal):
        assert isinstance(problem, StampProblem)
        assert problem.flag == RowFlag.IMAGE_MISSING


def test_what_was_taken_for_granted_of_files_is_told(tmp_path: Path, pool: Executor) -> None:
    with fitsio.FITS(str(tmp_path / "a.fits"), "rw") as file:
        for image in picture(0):
            file.write(image, extname="SCI")
    with catalog_of(tmp_path, {"FILE": [b"a.fits"] * N}) as catalog:
        stamps = StampFiles.from_column("FILE", catalog, SPEC)
        before = stamps.notices
        read(stamps, catalog, pool)
    assert before == ()
    no_unit, no_band = stamps.notices
    assert "without BUNIT, such as" in no_unit
    assert "no band that is known" in no_band
    assert "u,g,r,i,z" in no_band


def test_columns_of_another_kind_hold_no_names(tmp_path: Path) -> None:
    with catalog_of(tmp_path, {"FILE": np.arange(N), "CUTOUT": np.zeros((N, 3))}) as catalog:
        assert file_column(catalog) is None
        assert image_column(catalog) is None


# a column of images


@pytest.mark.parametrize("kind", ["f4", "f8", "i2"])
def test_a_column_of_images_is_the_images(kind: str, tmp_path: Path, pool: Executor) -> None:
    images = np.stack([picture(k) for k in range(N)]).astype(kind)
    with catalog_of(tmp_path, {"IMAGE": images}, "nmgy") as catalog:
        column = image_column(catalog)
        assert column == "IMAGE"
        stamps = StampColumn(column, catalog, SIZE, BANDS)
        for stamp, image in zip(read(stamps, catalog, pool), images, strict=True):
            np.testing.assert_array_equal(stamp, image.astype(np.float32))
        assert stamps.notices == ()


def test_images_in_a_column_are_cropped_converted_and_checked(
    tmp_path: Path, pool: Executor
) -> None:
    images = np.stack([picture(k, 101) for k in range(N)])
    images[1, 2, 50, 50] = np.nan
    with catalog_of(tmp_path, {"IMAGE": images}, "maggy") as catalog:
        first, bad, *_ = read(StampColumn("IMAGE", catalog, SIZE, BANDS), catalog, pool)
    assert not isinstance(first, StampProblem)
    np.testing.assert_allclose(first, images[0, :, 18:82, 18:82] * 1e9, rtol=1e-6)
    assert isinstance(bad, StampProblem)
    assert bad.flag == RowFlag.NOT_FINITE


def test_pixels_without_a_value_in_a_column_of_integers_are_none(
    tmp_path: Path, pool: Executor
) -> None:
    images = np.ones((N, 5, SIZE, SIZE), "i2")
    images[1, 2, 30, 30] = -32768
    rows = rows_with(OBJID=np.arange(N), IMAGE=images)
    header = {"TNULL2": -32768, "TUNIT2": "nmgy"}
    fitsio.write(str(tmp_path / "cat.fits"), rows, header=header)
    with open_catalog(str(tmp_path / "cat.fits")) as catalog:
        first, bad, *_ = read(StampColumn("IMAGE", catalog, SIZE, BANDS), catalog, pool)
    assert not isinstance(first, StampProblem)
    assert isinstance(bad, StampProblem)
    assert bad.flag == RowFlag.NOT_FINITE


@pytest.mark.parametrize(
    ("shape", "unit", "flag"),
    [
        ((3, 64, 64), "nmgy", RowFlag.WRONG_SHAPE),
        ((5, 60, 64), "nmgy", RowFlag.WRONG_SHAPE),
        ((5, 64, 64), "count", RowFlag.WRONG_UNIT),
    ],
)
def test_images_in_a_column_of_a_wrong_kind_are_flagged(
    shape: tuple[int, ...], unit: str, flag: RowFlag, tmp_path: Path, pool: Executor
) -> None:
    with catalog_of(tmp_path, {"IMAGE": np.ones((N, *shape), "f4")}, unit) as catalog:
        for problem in read(StampColumn("IMAGE", catalog, SIZE, BANDS), catalog, pool):
            assert isinstance(problem, StampProblem)
            assert problem.flag == flag


def test_images_whose_bands_come_last_are_told_by_their_axes(
    tmp_path: Path, pool: Executor
) -> None:
    with catalog_of(tmp_path, {"IMAGE": np.ones((N, 64, 64, 5), "f4")}, "nmgy") as catalog:
        problem, *_ = read(StampColumn("IMAGE", catalog, SIZE, BANDS), catalog, pool)
    assert isinstance(problem, StampProblem)
    assert problem.message.startswith("column IMAGE is of 64 x 64 x 5, where bands come first")


def test_a_column_without_a_unit_is_named_in_a_notice(tmp_path: Path) -> None:
    with catalog_of(tmp_path, {"IMAGE": np.ones((N, 5, 64, 64), "f4")}) as catalog:
        notices = StampColumn("IMAGE", catalog, SIZE, BANDS).notices
    assert "IMAGE has no TUNIT" in notices[0]
