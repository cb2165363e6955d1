"""Sources: where images are looked for first; every row in its place, whatever the block."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import fitsio
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import Table
from numpy.typing import NDArray

from photoz_ssl.config import CatalogImages
from photoz_ssl.errors import ArchiveError, CatalogError, CutoutError
from photoz_ssl.survey.blocks import GalaxyBlock
from photoz_ssl.survey.flags import RowFlag
from photoz_ssl.survey.sources import open_source

N = 11
SIZE = 64
UNIT = {"BUNIT": "nanomaggy"}


def galaxies(**columns: object) -> NDArray[np.void]:
    arrays: dict[str, NDArray[Any]] = {
        "OBJID": 100 + np.arange(N),
        "RA": np.linspace(10, 20, N),
        "DEC": np.linspace(-5, 5, N),
        "EBV": np.full(N, 0.03, "f4"),
    }
    arrays |= {name: np.asarray(values) for name, values in columns.items()}
    kinds = [(name, values.dtype, values.shape[1:]) for name, values in arrays.items()]
    rows = np.zeros(N, kinds)
    for name, values in arrays.items():
        rows[name] = values
    return rows


def write_catalog(folder: Path, rows: NDArray[np.void]) -> str:
    fitsio.write(str(folder / "cat.fits"), rows, clobber=True)
    return str(folder / "cat.fits")


def flat(value: float, *, bands: int = 5) -> NDArray[np.float32]:
    return np.full((bands, SIZE, SIZE), value, np.float32)


def write_stamps(folder: Path, value: float = 1) -> None:
    """Pictures whose pixels are all the row's number, plus some value."""
    folder.mkdir(exist_ok=True)
    for number in range(N):
        path = folder / f"{100 + number}.fits"
        fitsio.write(str(path), flat(number + value), header=UNIT, clobber=True)


def read(
    path: str, images: CatalogImages | None = None, *, block_size: int = 4, **options: Any
) -> list[GalaxyBlock]:
    with open_source(path, images or CatalogImages(), size=SIZE, workers=2, **options) as source:
        return list(source.blocks(block_size))


def joined(blocks: list[GalaxyBlock], field: str) -> NDArray[Any]:
    return np.concatenate([getattr(block, field) for block in blocks])


@pytest.mark.parametrize("block_size", [1, 4, 11, 1000])
def test_every_row_is_in_its_place_whatever_the_block(tmp_path: Path, block_size: int) -> None:
    write_stamps(tmp_path)
    path = write_catalog(tmp_path, galaxies())
    blocks = read(path, CatalogImages(cutouts="{OBJID}.fits"), block_size=block_size)
    assert [block.start for block in blocks] == list(range(0, N, block_size))
    np.testing.assert_array_equal(joined(blocks, "images")[:, 3, 5, 7], 1 + np.arange(N))
    np.testing.assert_array_equal(joined(blocks, "object_id"), galaxies()["OBJID"])
    np.testing.assert_array_equal(joined(blocks, "table"), galaxies())
    np.testing.assert_array_equal(joined(blocks, "ra"), galaxies()["RA"])
    assert not joined(blocks, "flags").any()
    assert all(block.usable.all() and not block.problems for block in blocks)


def test_images_are_looked_for_in_their_order(
    tmp_path: Path, frames_folder: Path, galaxy_position: tuple[float, float]
) -> None:
    write_stamps(tmp_path / "by_template", 0.25)
    write_stamps(tmp_path / "by_name", 0.5)
    images = np.stack([flat(number + 0.75) for number in range(N)])
    names = [f"by_name/{100 + number}.fits".encode() for number in range(N)]
    ra, dec = galaxy_position
    everything = galaxies(RA=np.full(N, ra), DEC=np.full(N, dec), IMAGE=images, FILE=names)
    path = write_catalog(tmp_path, everything)
    template = "by_template/{OBJID}.fits"

    def fraction(options: CatalogImages, path: str = path) -> float:
        return float(joined(read(path, options), "images")[5, 0, 0, 0] - 5)

    assert fraction(CatalogImages(cutouts=template, frames=frames_folder)) == 0.25
    assert fraction(CatalogImages(frames=frames_folder)) == pytest.approx(-5, abs=1e-6)
    assert fraction(CatalogImages()) == 0.75
    assert fraction(CatalogImages(), f"{path}[1][col -IMAGE]") == 0.5
    with pytest.raises(CatalogError, match="does not say where its images are"):
        read(f"{path}[1][col -IMAGE; -FILE]")


def test_the_image_column_is_not_in_the_table_of_a_block(tmp_path: Path) -> None:
    path = write_catalog(tmp_path, galaxies(IMAGE=np.stack([flat(1)] * N)))
    with open_source(path, CatalogImages(), size=SIZE) as source:
        assert "IMAGE" not in (source.table_dtype.names or ())
        assert "IMAGE" not in source.column_cards
        assert "no TUNIT" in source.notices[0]


@pytest.mark.parametrize("suffix", ["ecsv", "vot", "parquet"])
def test_file_names_may_have_letters_that_are_not_ascii(suffix: str, tmp_path: Path) -> None:
    names = [f"galé β{number}.fits" for number in range(N)]
    for name in names:
        fitsio.write(str(tmp_path / "stamp.fits"), flat(1), header=UNIT, clobber=True)
        (tmp_path / "stamp.fits").rename(tmp_path / name)
    path = tmp_path / f"cat.{suffix}"
    kind = {"ecsv": "ascii.ecsv", "vot": "votable"}.get(suffix, suffix)
    Table(galaxies(FILE=names)).write(path, format=kind)
    for images in (CatalogImages(), CatalogImages(cutouts="{FILE}")):
        assert joined(read(str(path), images), "usable").all()


def test_rows_without_an_image_are_zero_flagged_and_reported(tmp_path: Path) -> None:
    write_stamps(tmp_path)
    (tmp_path / "103.fits").unlink()
    fitsio.write(str(tmp_path / "108.fits"), flat(1, bands=3), header=UNIT, clobber=True)
    path = write_catalog(tmp_path, galaxies())
    blocks = read(path, CatalogImages(cutouts="{OBJID}.fits"))
    flags = joined(blocks, "flags")
    np.testing.assert_array_equal(np.flatnonzero(flags), [3, 8])
    assert (flags[3], flags[8]) == (RowFlag.IMAGE_MISSING, RowFlag.WRONG_SHAPE)
    assert not joined(blocks, "images")[[3, 8]].any()
    np.testing.assert_array_equal(np.flatnonzero(~joined(blocks, "usable")), [3, 8])
    problems = [problem for block in blocks for problem in block.problems]
    assert [(problem.row, problem.object_id) for problem in problems] == [(3, 103), (8, 108)]
    with pytest.raises(CutoutError, match=r"row 4 of .*cat\.fits \(id 103\)"):
        read(path, CatalogImages(cutouts="{OBJID}.fits"), strict=True)


def test_rows_without_a_position_or_reddening_are_flagged(tmp_path: Path) -> None:
    write_stamps(tmp_path)
    rows = galaxies()
    rows["RA"][:3] = [np.nan, 400, -9999]
    rows["DEC"][3] = 91
    rows["EBV"][[0, 5]] = np.nan
    path = write_catalog(tmp_path, rows)
    blocks = read(path, CatalogImages(cutouts="{OBJID}.fits"))
    flags = joined(blocks, "flags")
    assert flags[0] == RowFlag.NO_POSITION | RowFlag.NO_REDDENING
    assert np.all(flags[1:4] == RowFlag.NO_POSITION)
    assert flags[5] == RowFlag.COARSE_DUST_MAP
    assert not flags[[4, *range(6, N)]].any()
    np.testing.assert_array_equal(np.flatnonzero(~joined(blocks, "usable")), [0])
    assert np.isnan(joined(blocks, "ra")[:4]).all()


@pytest.mark.parametrize(("column", "value"), [("RA", 400), ("RA", -361), ("DEC", 91)])
def test_positions_that_are_no_place_on_the_sky_are_told(
    column: str, value: float, tmp_path: Path
) -> None:
    write_stamps(tmp_path)
    rows = galaxies()
    told = []
    for bad in (np.nan, value):
        rows[column][3] = bad
        images = CatalogImages(cutouts="{OBJID}.fits")
        with open_source(write_catalog(tmp_path, rows), images, size=SIZE) as source:
            list(source.blocks(4))
            told.append("beyond 360 degrees" in " ".join(source.notices))
    assert told == [False, True]


def test_without_positions_a_column_of_reddening_will_do(tmp_path: Path) -> None:
    write_stamps(tmp_path)
    path = write_catalog(tmp_path, galaxies())
    images = CatalogImages(cutouts="{OBJID}.fits")
    blocks = read(f"{path}[1][col OBJID; EBV]", images)
    assert joined(blocks, "usable").all()
    assert np.all(joined(blocks, "flags") == RowFlag.NO_POSITION)
    with pytest.raises(CatalogError, match="no columns RA and DEC"):
        read(f"{path}[1][col OBJID]", images)
    with pytest.raises(CatalogError, match="which --frames needs"):
        read(f"{path}[1][col OBJID; EBV]", CatalogImages(frames=tmp_path))


def test_ids_that_are_no_whole_numbers_are_row_numbers(tmp_path: Path) -> None:
    names = [f"g{number}".encode() for number in range(N)]
    write_stamps(tmp_path)
    path = write_catalog(tmp_path, galaxies(OBJID=names, FILE=[b"105.fits"] * N))
    np.testing.assert_array_equal(joined(read(path), "object_id"), np.arange(N))
    path = write_catalog(tmp_path, galaxies(OTHER=7 * np.arange(N), FILE=[b"105.fits"] * N))
    ids = joined(read(path, CatalogImages(id_column="other")), "object_id")
    np.testing.assert_array_equal(ids, 7 * np.arange(N))


def test_an_id_that_no_signed_integer_holds_is_none_and_one_notice_says_so(
    tmp_path: Path,
) -> None:
    write_stamps(tmp_path)
    ids = np.arange(N, dtype=np.uint64)
    ids[6] = 2**63
    path = write_catalog(tmp_path, galaxies(OBJID=ids, FILE=[b"105.fits"] * N))
    with open_source(path, CatalogImages(), size=SIZE) as source:
        found = joined(list(source.blocks(4)), "object_id")
        (notice,) = [notice for notice in source.notices if "OBJID" in notice]
    assert found[5:8].tolist() == [5, -1, 7]
    assert "no signed 64-bit integer holds: their id is -1" in notice


def test_columns_that_a_parquet_file_alone_has_are_named(tmp_path: Path) -> None:
    write_stamps(tmp_path)
    rows = galaxies(FILE=[b"105.fits"] * N)
    columns = {name: pa.array(rows[name].tolist()) for name in rows.dtype.names or ()}
    pq.write_table(pa.table({**columns, "EPOCHS": [[1.0]] * N}), tmp_path / "cat.parquet")
    with open_source(str(tmp_path / "cat.parquet"), CatalogImages(), size=SIZE) as source:
        assert source.n_rows == N
        (told,) = [notice for notice in source.notices if "EPOCHS" in notice]
    assert "are left out" in told


def test_a_null_is_no_id_and_one_notice_says_so(tmp_path: Path) -> None:
    write_stamps(tmp_path)
    path = write_catalog(tmp_path, galaxies(FILE=[b"105.fits"] * N))
    with fitsio.FITS(path, "rw") as file:
        file[1].write_key("TNULL1", 103)
    with open_source(path, CatalogImages(), size=SIZE) as source:
        ids = joined(list(source.blocks(4)), "object_id")
        notices = [notice for notice in source.notices if "OBJID" in notice]
    assert ids[2:5].tolist() == [102, -1, 104]
    assert len(notices) == 1
    assert notices[0].startswith("some rows have no OBJID")


def test_redshifts_and_splits_are_read_and_placeholders_are_none(tmp_path: Path) -> None:
    write_stamps(tmp_path)
    redshift, error = np.full(N, 0.1), np.full(N, 0.01)
    redshift[:3] = [-9999, np.nan, -0.001]
    redshift[5:8] = [99, 9999, 20]
    error[[1, 4]] = [0.5, -1]
    words = [b"train", b"VALID", b"test ", b"other", b""] + [b"train"] * (N - 5)
    rows = galaxies(Z_SPEC=redshift, Z_SPEC_ERR=error, Z_OTHER=np.full(N, 0.3), SPLIT=words)
    path = write_catalog(tmp_path, rows)
    images = CatalogImages(cutouts="{OBJID}.fits")
    blocks = read(path, images)
    np.testing.assert_array_equal(
        np.flatnonzero(np.isnan(joined(blocks, "redshift"))), [0, 1, 5, 6, 7]
    )
    assert np.isnan(joined(blocks, "redshift_error")[[0, 1, 4]]).all()
    assert list(joined(blocks, "split")[:6]) == ["train", "valid", "test", "", "", "train"]
    assert np.all(joined(read(path, images, redshift_column="z_other"), "redshift") == 0.3)


def test_the_error_of_a_redshift_is_not_that_of_another(tmp_path: Path) -> None:
    write_stamps(tmp_path)
    columns = {
        **{"Z_SPEC": np.full(N, 0.1), "Z_SPEC_ERR": np.full(N, 0.01)},
        **{"Z_OTHER": np.full(N, 0.3), "Z_FIT": np.full(N, 0.2), "Z_FIT_ERR": np.full(N, 0.02)},
    }
    path = write_catalog(tmp_path, galaxies(**columns))
    images = CatalogImages(cutouts="{OBJID}.fits")
    for name, error in (("Z_SPEC", 0.01), ("z_fit", 0.02), ("Z_OTHER", np.nan)):
        found = joined(read(path, images, redshift_column=name), "redshift_error")
        np.testing.assert_array_equal(found, np.full(N, error, np.float32))


@pytest.mark.parametrize(
    "options",
    [
        {"redshift_column": "NAME"},
        {"redshift_column": "COLOUR"},
        {"split_column": "RA"},
        {"split_column": "COLOUR"},
    ],
)
def test_named_columns_of_a_wrong_kind_are_refused(tmp_path: Path, options: dict[str, Any]) -> None:
    path = write_catalog(tmp_path, galaxies(NAME=[b"a"] * N))
    with pytest.raises(CatalogError) as caught:
        read(path, CatalogImages(cutouts="{OBJID}.fits"), **options)
    assert caught.value.hint


def test_an_archive_is_a_source_too(tiny_archive: Path, tmp_path: Path) -> None:
    blocks = read(str(tiny_archive), block_size=7)
    np.testing.assert_array_equal(joined(blocks, "object_id"), 1000 + np.arange(24))
    assert joined(blocks, "images").shape == (24, 5, 107, 107)
    with pytest.raises(ArchiveError, match="there is no archive"):
        read(str(tmp_path / "nowhere.h5"))


def test_a_band_of_an_archive_in_which_all_pixels_are_0_is_flagged(
    tiny_archive: Path, tmp_path: Path
) -> None:
    path = shutil.copy(tiny_archive, tmp_path / "dark.h5")
    with h5py.File(path, "a") as file:
        file["images"][5, 2] = 0
        file["images"][6, 2, 50:] = 0
    (flagged,) = np.flatnonzero(joined(read(str(path)), "flags"))
    assert flagged == 5


def test_options_for_images_have_no_effect_on_an_archive_and_it_says_so(tiny_archive: Path) -> None:
    images = CatalogImages(cutouts="{OBJID}.fits", id_column="NAME")
    with open_source(str(tiny_archive), images, size=SIZE) as source:
        (notice,) = source.notices
    assert notice.endswith("itself: --cutouts and --id-column had no effect")
    with open_source(str(tiny_archive), CatalogImages(), size=SIZE) as source:
        assert not source.notices


def test_the_dust_is_told_once_the_rows_are_read(tmp_path: Path) -> None:
    write_stamps(tmp_path)
    path = write_catalog(tmp_path, galaxies())
    with open_source(path, CatalogImages(cutouts="{OBJID}.fits"), size=SIZE) as source:
        assert not source.dust
        list(source.blocks(5))
        assert source.dust == ("E(B-V) from column EBV",)
        assert source.notices == ()
