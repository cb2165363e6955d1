"""Looking for look-alikes: nobody is its own neighbour, and other models are refused."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import fitsio
import h5py
import numpy as np
import pytest
import torch
from astropy.coordinates import Angle
from astropy.io import fits
from numpy.typing import NDArray

from photoz_ssl.config import EmbedConfig, SimilarConfig
from photoz_ssl.errors import (
    ArchiveError,
    CatalogError,
    ConfigError,
    CutoutError,
    OutputError,
    PhotozError,
    SpecMismatchError,
)
from photoz_ssl.neighbours.atlas import COLUMNS_GROUP, Atlas, read_atlas
from photoz_ssl.neighbours.lookup import rows_of_names
from photoz_ssl.networks.checkpoint import Checkpoint, save_checkpoint
from photoz_ssl.networks.encoder import PRESETS, build_encoder
from photoz_ssl.networks.redshift_head import RedshiftNetwork
from photoz_ssl.redshift.calibration import Calibration
from photoz_ssl.redshift.grid import RedshiftGrid
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.archive import open_archive
from photoz_ssl.survey.archive_writer import create_archive
from photoz_ssl.survey.catalog import open_catalog
from photoz_ssl.survey.flags import RowFlag
from photoz_ssl.workflows.embed import embed
from photoz_ssl.workflows.similar import EXTNAME, UNUSUAL_EXTNAME, SimilarReport, similar

PNG = b"\x89PNG\r\n"


def save_model(path: Path, seed: int) -> Path:
    """A small random redshift model."""
    torch.manual_seed(seed)
    config = dataclasses.replace(PRESETS["resnet18-compact"], width=0.125)
    grid = RedshiftGrid()
    network = RedshiftNetwork(build_encoder(config, seed=seed), grid.n_bins)
    model = Checkpoint(
        kind="photoz",
        spec=ImageSpec(),
        encoder=config,
        state=network.state_dict(),
        grid=grid,
        calibration=Calibration(),
        provenance={"name": f"random {seed}"},
    )
    save_checkpoint(path, model, overwrite=False)
    return path


class Search:
    """A model, an archive, and the atlas that the one makes of the other."""

    def __init__(self, model: Path, archive: Path, atlas: Path) -> None:
        self.folder, self.model, self.archive, self.atlas = atlas.parent, model, archive, atlas
        self.output = self.folder / "neighbours.fits"

    def copied_to(self, folder: Path) -> Search:
        """The same search in a folder of its own, where a test may do with it what it likes."""
        model, atlas = (Path(shutil.copy(path, folder)) for path in (self.model, self.atlas))
        return Search(model, self.archive, atlas)

    def report(self, **options: Any) -> SimilarReport:
        settings: dict[str, Any] = {
            "queries": str(self.archive),
            "among": self.atlas,
            "output": str(self.output),
            "model": self.model,
        }
        return similar(SimilarConfig(**(settings | options)))

    def rows(self, **options: Any) -> NDArray[np.void]:
        self.report(overwrite=True, **options)
        return np.asarray(fitsio.read(self.output, ext=EXTNAME))


@pytest.fixture(scope="module")
def first_search(tiny_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Search:
    folder = tmp_path_factory.mktemp("search")
    model, atlas = save_model(folder / "model.safetensors", 0), folder / "atlas.h5"
    embed(EmbedConfig(catalog=str(tiny_archive), output=atlas, model=model))
    return Search(model, tiny_archive, atlas)


@pytest.fixture
def search(first_search: Search, tmp_path: Path) -> Search:
    return first_search.copied_to(tmp_path)


def changed(archive_path: Path, path: Path, **fields: Any) -> Path:
    """The archive with other values in some fields of its galaxies."""
    archive = open_archive(archive_path)
    block = dataclasses.replace(archive.block(slice(0, len(archive))), **fields)
    with create_archive(path, archive.spec, len(archive)) as writer:
        writer.write(block)
    return path


def test_a_galaxy_alone_is_told_to_need_others(search: Search) -> None:
    alone = search.folder / "alone.h5"
    with h5py.File(search.atlas) as whole, h5py.File(alone, "w") as one:
        one.attrs.update(whole.attrs)
        for name, values in whole.items():
            if isinstance(values, h5py.Dataset):
                one[name] = values[:1]
    with pytest.raises(ArchiveError) as caught:
        search.report(queries=None, like=("1000",), among=alone, model=None)
    assert caught.value.message.endswith("is a neighbour of any query")
    assert "search among more galaxies" in caught.value.hint


@pytest.mark.parametrize("text_ids", [False, True])
@pytest.mark.parametrize("has_images", [False, True])
def test_no_query_has_no_neighbour(search: Search, text_ids: bool, has_images: bool) -> None:
    kinds = [("ID", "S5" if text_ids else "i8"), ("RA", "f8"), ("DEC", "f8")]
    kinds += [("CUTOUT", "S9")] if has_images else []
    queries = search.folder / "none.fits"
    fitsio.write(queries, np.zeros(0, kinds))
    if text_ids and not has_images:
        with pytest.raises(CatalogError, match=r"are text, and .* has none"):
            search.rows(queries=str(queries))
        return
    pictures = {"mosaic": search.folder / "m.png", "html": search.folder / "m.html"}
    rows = search.rows(queries=str(queries), min_separation="3arcsec", **pictures)
    assert len(rows) == 0
    for path in pictures.values():
        path.write_text("of an earlier search")
    assert ("QUERY_NAME" in (rows.dtype.names or ())) == text_ids
    report = search.report(queries=str(queries), overwrite=True, **pictures)
    assert "0 neighbours of 0 queries among 24 galaxies" in report.summary()
    assert report.notices[-2:] == (
        "there is no query, and so no mosaic",
        "there is no query, and so no page",
    )
    assert not [path for path in pictures.values() if path.exists()]


def test_k_neighbours_a_query_closest_first(search: Search) -> None:
    rows = search.rows(n_neighbours=3)
    assert len(rows) == 24 * 3
    np.testing.assert_array_equal(rows["QUERY_ROW"], np.repeat(np.arange(24), 3))
    np.testing.assert_array_equal(rows["RANK"], np.tile([1, 2, 3], 24))
    by_query = rows["SIMILARITY"].reshape(24, 3)
    assert (np.diff(by_query, axis=1) <= 0).all()
    assert (np.abs(by_query) <= 1).all()


@pytest.mark.parametrize(
    ("suffix", "chosen"), [("vot", "auto"), ("parquet", "auto"), ("ecsv", "auto"), ("x", "votable")]
)
@pytest.mark.parametrize("most_unusual", [None, 3])
def test_other_formats_hold_the_same_table(
    search: Search, suffix: str, chosen: str, most_unusual: int | None
) -> None:
    what = {"n_neighbours": 2, "most_unusual": most_unusual}
    what |= {"queries": None} if most_unusual else {}
    search.report(**what)
    path = search.folder / f"neighbours.{suffix}"
    search.report(**what, output=str(path), format=chosen)
    with open_catalog(str(search.output)) as catalog, open_catalog(str(path)) as other:
        assert other.names == catalog.names
        assert other.cards["RA"]["TUCD"] == "pos.eq.ra;meta.main"
        np.testing.assert_array_equal(
            other.read(0, other.n_rows), catalog.read(0, catalog.n_rows).astype(other.dtype)
        )


@pytest.mark.parametrize(
    ("output", "chosen", "words"),
    [
        ("z.hdf5", "auto", "one of PDFs"),
        ("z.csv", "auto", "no .csv file"),
        ("nowhere/z.vot", "auto", "does not exist"),
        ("atlas.h5", "votable", "exists already"),
    ],
)
def test_other_outputs_are_refused_first(
    search: Search, output: str, chosen: str, words: str
) -> None:
    with pytest.raises(OutputError, match=words):
        search.report(output=str(search.folder / output), format=chosen, among="absent.h5")


def test_a_galaxy_is_not_its_own_neighbour(search: Search) -> None:
    rows = search.rows(n_neighbours=100)
    assert len(rows) == 24 * 23
    assert (rows["QUERY_ID"] != rows["NEIGHBOUR_ID"]).all()


def test_the_same_image_by_another_name_is_found_first(search: Search) -> None:
    renamed = changed(
        search.archive, search.folder / "renamed.h5", object_id=np.arange(1, 25, dtype=np.int64)
    )
    rows = search.rows(queries=str(renamed), n_neighbours=1)
    np.testing.assert_array_equal(rows["NEIGHBOUR_ID"], 999 + rows["QUERY_ID"])
    np.testing.assert_allclose(rows["SIMILARITY"], 1, atol=1e-6)


def test_a_neighbour_has_its_own_position_and_redshift(search: Search) -> None:
    rows, archive = search.rows(n_neighbours=2), open_archive(search.archive)
    place = np.searchsorted(archive.object_id, rows["NEIGHBOUR_ID"])
    np.testing.assert_array_equal(rows["RA"], archive.ra[place])
    np.testing.assert_array_equal(rows["DEC"], archive.dec[place])
    np.testing.assert_array_equal(rows["Z_SPEC"], archive.redshift[place])


def test_an_archive_is_searched_like_its_atlas(search: Search) -> None:
    of_atlas = search.rows(n_neighbours=4)
    of_archive = search.rows(n_neighbours=4, among=search.archive)
    for name in of_atlas.dtype.names or ():
        np.testing.assert_array_equal(of_atlas[name], of_archive[name])


def test_the_batch_size_does_not_change_who_is_found(search: Search) -> None:
    small, large = (search.rows(n_neighbours=4, batch_size=size) for size in (5, 256))
    np.testing.assert_allclose(small["SIMILARITY"], large["SIMILARITY"], atol=1e-5)
    np.testing.assert_array_equal(small["QUERY_ID"], large["QUERY_ID"])


def test_a_query_without_image_has_no_neighbours(search: Search) -> None:
    flags = np.zeros(24, np.int32)
    flags[3] = int(RowFlag.IMAGE_DAMAGED)
    queries = changed(search.archive, search.folder / "damaged.h5", flags=flags)
    report = search.report(queries=str(queries), n_neighbours=2)
    rows = fitsio.read(search.output, ext=EXTNAME)
    assert set(range(24)) - set(rows["QUERY_ROW"].tolist()) == {3}
    assert report.n_without == 1
    assert "1 of 24 queries has no usable image" in " ".join(report.notices)


def test_without_any_query_nothing_is_written(search: Search) -> None:
    flags = np.full(24, int(RowFlag.IMAGE_DAMAGED), np.int32)
    queries = changed(search.archive, search.folder / "damaged.h5", flags=flags)
    with pytest.raises(CutoutError, match="no row of"):
        search.report(queries=str(queries))
    assert not search.output.exists()


def test_where_nothing_tells_a_galaxy_from_itself_a_note_does(search: Search) -> None:
    told = "is its own neighbour"
    assert told not in " ".join(search.report().notices)
    with h5py.File(search.atlas, "r+") as file:
        file.attrs["has_ids"] = False
    assert told not in " ".join(search.report(overwrite=True).notices)
    with h5py.File(search.atlas, "r+") as file:
        file["ra"][:] = np.nan
    assert told in " ".join(search.report(overwrite=True).notices)


def test_a_galaxy_of_the_atlas_without_an_image_cannot_be_asked_about(search: Search) -> None:
    with h5py.File(search.atlas, "r+") as file:
        file["representations"][4] = np.nan
    with pytest.raises(CutoutError, match=r"the galaxy 1004 of .* had no usable image") as refusal:
        search.report(queries=None, like=("1004",), model=None)
    assert "--cutouts" not in refusal.value.hint


def test_an_atlas_of_another_model_is_refused(search: Search) -> None:
    other = save_model(search.folder / "other.safetensors", 1)
    with pytest.raises(SpecMismatchError, match="was made by the model random 0"):
        search.report(model=other)


def test_an_atlas_of_a_model_that_does_not_ship_asks_for_it(search: Search) -> None:
    with pytest.raises(SpecMismatchError, match=r"random 0 .*not one of those that ship"):
        search.report(model=None)


def write_ids(path: Path, ids: list[int], **columns: list[float]) -> str:
    rows = np.zeros(len(ids), [("OBJID", "i8"), *((name, "f4") for name in columns)])
    rows["OBJID"] = ids
    for name, values in columns.items():
        rows[name] = values
    fitsio.write(str(path), rows, clobber=True)
    return str(path)


def test_ids_of_the_atlas_are_asked_without_images_or_model(search: Search) -> None:
    queries = write_ids(search.folder / "ids.fits", [1003, 1020, 7])
    report = search.report(queries=queries, model=None, n_neighbours=3)
    rows = fitsio.read(search.output, ext=EXTNAME)
    expected = search.rows(n_neighbours=3)
    for name in ("NEIGHBOUR_ID", "RANK", "Z_SPEC"):
        of_images = [expected[name][expected["QUERY_ID"] == number] for number in (1003, 1020)]
        np.testing.assert_array_equal(rows[name], np.concatenate(of_images))
    assert report.n_without == 1
    assert "the id 7 is not in" in " ".join(report.notices)
    with pytest.raises(CutoutError, match="the id 7 is not in"):
        search.report(queries=write_ids(search.folder / "no.fits", [7]), overwrite=True)
    fits.setval(queries, "TNULL1", value=7, ext=1)
    report = search.report(queries=queries, n_neighbours=3, overwrite=True)
    assert "the id '' is not in" in " ".join(report.notices)


def test_floating_point_ids_are_asked_where_they_are_exact(search: Search) -> None:
    path = search.folder / "floats.fits"
    fitsio.write(path, np.array([(1003.0,), (np.nan,)], [("OBJID", "f8")]))
    rows = search.rows(queries=str(path), model=None, n_neighbours=3)
    expected = search.rows(n_neighbours=3)
    expected = expected[expected["QUERY_ID"] == 1003]
    np.testing.assert_array_equal(rows["NEIGHBOUR_ID"], expected["NEIGHBOUR_ID"])
    fitsio.write(path, np.array([(1.2e18,)], [("OBJID", "f8")]), clobber=True)
    with pytest.raises(CatalogError, match=r"row 1 has the id 1\.2e\+18, a floating-point number"):
        search.report(queries=str(path), model=None, overwrite=True)


def test_queries_whose_ids_are_floating_point_numbers_are_numbered(search: Search) -> None:
    kinds = [("ID", "f8"), ("RA", "f8"), ("DEC", "f8"), ("CUTOUT", "S9")]
    fitsio.write(search.folder / "floats.fits", np.zeros(0, kinds))
    report = search.report(queries=str(search.folder / "floats.fits"))
    (told,) = [notice for notice in report.notices if "numbered" in notice]
    assert told.startswith("the ids in ID are floating-point numbers, which have lost")


def test_one_galaxy_of_the_atlas_is_asked_by_id_or_position(search: Search) -> None:
    archive = open_archive(search.archive)
    place = (float(archive.ra[4]), float(archive.dec[4]))
    by_id = search.rows(queries=None, like=("1004",), model=None)
    by_place = search.rows(queries=None, near=place, model=None)
    by_text = search.rows(queries=None, like=(f"{place[0]},{place[1]}",), model=None)
    turned, hours = place[0] - 360, Angle(place[0], "deg").to_string("hour", sep=":", precision=4)
    by_other_texts = (
        search.rows(queries=None, like=(f"{ra},{place[1]}",), model=None) for ra in (turned, hours)
    )
    assert len(by_id) == 10
    assert (by_id["QUERY_ID"] == 1004).all()
    for rows in (by_place, by_text, *by_other_texts):
        np.testing.assert_array_equal(rows, by_id)


def write_image(path: Path, archive: Path, row: int, **cards: Any) -> Path:
    fitsio.write(str(path), np.array(open_archive(archive).images[row]), header=cards, clobber=True)
    return path


def test_an_image_is_asked(search: Search) -> None:
    ebv = float(open_archive(search.archive).ebv[6])
    image = write_image(search.folder / "my.fits", search.archive, 6, BUNIT="nanomaggy", EBV=ebv)
    for options in ({"image": image}, {"like": (str(image),)}):
        rows = search.rows(queries=None, n_neighbours=1, **options)
        assert rows["NEIGHBOUR_ID"].tolist() == [1006]
        assert rows["QUERY_ID"].tolist() == [-1]
        assert rows["SIMILARITY"][0] == pytest.approx(1, abs=1e-6)


def test_an_image_without_position_and_reddening_is_told(search: Search) -> None:
    image = write_image(search.folder / "my.fits", search.archive, 6, BUNIT="nanomaggy")
    report = search.report(queries=None, image=image)
    assert "E(B-V) is taken as 0" in " ".join(report.notices)


@pytest.mark.parametrize(
    ("shape", "cards", "words"),
    [
        ((4, 64, 64), {}, "has 4 bands, not 5"),
        ((5, 40, 40), {}, "40x40 pixels, fewer than 64x64"),
        ((5, 64, 64), {"BANDS": "grizy"}, "has the bands g,r,i,z,y, not u,g,r,i,z"),
        ((5, 64, 64), {"BUNIT": "adu"}, "is in 'adu'"),
    ],
)
def test_an_image_of_another_kind_is_one_sentence(
    search: Search, shape: tuple[int, ...], cards: dict[str, Any], words: str
) -> None:
    image = search.folder / "my.fits"
    fitsio.write(str(image), np.ones(shape, "f4"), header={"EBV": 0.1, **cards})
    with pytest.raises(CutoutError, match=words):
        search.report(queries=None, image=image)
    with pytest.raises(CutoutError, match=words):
        search.report(queries=None, like=(str(image), "1001"))
    assert not search.output.exists()


def test_an_image_of_another_pixel_scale_is_one_sentence(search: Search) -> None:
    image, wcs = search.folder / "my.fits", {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"}
    wcs |= {"CRVAL1": 10.0, "CRVAL2": 20.0, "CRPIX1": 33.0, "CRPIX2": 33.0}  # type: ignore[dict-item]
    for scale, words in ((0.2, "are 0.2 arcsec, but"), (0.396, "")):
        step = {"CDELT1": -scale / 3600, "CDELT2": scale / 3600}
        cards = {**wcs, **step, "EBV": 0.1, "BUNIT": "nanomaggy"}
        fitsio.write(str(image), np.ones((5, 64, 64), "f4"), header=cards, clobber=True)
        if words:
            with pytest.raises(SpecMismatchError, match=words):
                search.report(queries=None, image=image)
        else:
            search.report(queries=None, image=image)


def test_a_cutout_is_made_where_there_is_a_frame(search: Search, sdss_frames: Path) -> None:
    place = (229.525576, 42.745854)
    rows = search.rows(n_neighbours=2, queries=None, near=place, frames=sdss_frames)
    assert rows["RANK"].tolist() == [1, 2]
    table = np.array([(1, *place)], [("OBJID", "i8"), ("RA", "f8"), ("DEC", "f8")])
    fitsio.write(str(search.folder / "one.fits"), table)
    of_table = search.rows(
        n_neighbours=2, queries=str(search.folder / "one.fits"), frames=sdss_frames
    )
    for name in ("NEIGHBOUR_ID", "SIMILARITY"):
        np.testing.assert_array_equal(rows[name], of_table[name])
    with pytest.raises(CutoutError, match=r"no frame in .* covers RA 1\.0"):
        search.report(queries=None, near=(1.0, 2.0), frames=sdss_frames, overwrite=True)


def test_likes_are_blended_and_left_out(search: Search) -> None:
    rows = search.rows(queries=None, like=("1001", "1002"), unlike=("1003",), n_neighbours=30)
    assert len(rows) == 21
    assert not np.isin(rows["NEIGHBOUR_ID"], [1001, 1002, 1003]).any()
    assert (rows["QUERY_ID"] == -1).all()
    with fitsio.FITS(str(search.output)) as file:
        header = file[EXTNAME].read_header()
        assert header["TNULL2"] == -1
        assert header["QUERIES"] == "like 1001 and 1002"


def test_queries_are_projected_as_the_atlas_is(search: Search) -> None:
    small = search.folder / "small.h5"
    embed(EmbedConfig(catalog=str(search.atlas), output=small, dim=4, whiten=True))
    renamed = changed(
        search.archive, search.folder / "renamed.h5", object_id=np.arange(1, 25, dtype=np.int64)
    )
    rows = search.rows(queries=str(renamed), among=small, n_neighbours=1)
    np.testing.assert_array_equal(rows["NEIGHBOUR_ID"], 999 + rows["QUERY_ID"])
    np.testing.assert_allclose(rows["SIMILARITY"], 1, atol=1e-2)


def test_an_index_answers_as_the_atlas_does(search: Search) -> None:
    pytest.importorskip("faiss", reason="the extra [search] is not installed")
    with pytest.raises(ArchiveError, match="has no index"):
        search.report(index=True)
    embed(EmbedConfig(catalog=str(search.atlas), index="ivf"))
    rows = search.rows(index=True, n_neighbours=30)
    np.testing.assert_array_equal(rows, search.rows(n_neighbours=30))
    unusual = {"queries": None, "most_unusual": 3, "model": None}
    search.report(**unusual, index=True, overwrite=True)
    through = fitsio.read(search.output, ext=UNUSUAL_EXTNAME)
    search.report(**unusual, overwrite=True)
    np.testing.assert_array_equal(through, fitsio.read(search.output, ext=UNUSUAL_EXTNAME))


def test_windows_hold_for_the_neighbours(search: Search) -> None:
    rows = search.rows(where=("Z_SPEC < 0.2",), within=("Z_SPEC=0.05",), n_neighbours=24)
    archive = open_archive(search.archive)
    redshift = dict(zip(archive.object_id.tolist(), archive.redshift.tolist(), strict=True))
    own = np.array([redshift[int(number)] for number in rows["QUERY_ID"]], np.float32)
    assert (rows["Z_SPEC"] < 0.2).all()
    assert (np.abs(own - rows["Z_SPEC"]) <= 0.05).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"where": ("Z_SPEC > 9",)}, "no galaxy of .* meets 'Z_SPEC > 9'"),
        ({"where": ("U_MAG > 9",)}, "has no column U_MAG"),
        ({"where": ("__import__('os')",)}, "cannot be part of a condition"),
        ({"where": ("SPLIT > 3",)}, "mixes text and numbers"),
        ({"within": ("R_MAG",)}, "is not a column and how much"),
        ({"within": ("U_MAG=1",)}, "U_MAG"),
        ({"queries": None, "like": ("1001",), "within": ("SPLIT=1",)}, "no column of numbers"),
        ({"queries": None, "like": ("10,95",)}, "is no place on the sky"),
        ({"queries": None, "like": ("1e400,0",)}, "is no place on the sky"),
        ({"within": ("Z_SPEC=0",)}, "is a neighbour of any query within the windows"),
        ({"min_separation": "10"}, "'10' is not an angle"),
        ({"min_separation": "10parsec"}, "'10parsec' is not an angle"),
        ({"min_separation": "180deg"}, "is a neighbour of any query within the windows"),
        ({"queries": None, "like": ("5",)}, "the id 5 is not in"),
        ({"queries": None, "like": ("1,2,3",)}, "is not a position"),
        ({"queries": None, "like": ("nothing.fits",)}, "there is no file nothing.fits"),
        ({"queries": None, "like": ("J0001",)}, "there is no file J0001; write an id .* a whole n"),
        ({"queries": None, "image": Path("nothing.fits")}, "there is no file nothing.fits"),
        ({"queries": "nothing.fits"}, "there is no catalogue nothing.fits"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(
    search: Search, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(PhotozError, match=words) as caught:
        search.report(**options)
    assert "\n" not in str(caught.value)
    assert not search.output.exists()


def test_an_id_that_stands_for_two_galaxies_is_told(search: Search) -> None:
    ids = np.repeat(np.arange(12, dtype=np.int64), 2)
    doubled = changed(search.archive, search.folder / "doubled.h5", object_id=ids)
    with pytest.raises(ArchiveError, match="the id 3 stands for several galaxies"):
        search.report(queries=None, like=("3",), among=doubled)


def test_more_neighbours_than_galaxies_is_told(search: Search) -> None:
    for most in (100, 10**12):
        report = search.report(n_neighbours=most, overwrite=True)
        told = f"-k asks for {most} neighbours, more than the 24 galaxies"
        assert told in " ".join(report.notices)
    one = search.report(n_neighbours=2, where=("OBJID == 1003",), overwrite=True)
    assert "more than the 1 galaxy of" in " ".join(one.notices)


def test_the_most_unusual_are_ranked(search: Search) -> None:
    report = search.report(queries=None, most_unusual=5, n_neighbours=3, model=None)
    rows = fitsio.read(search.output, ext=UNUSUAL_EXTNAME)
    assert rows["RANK"].tolist() == [1, 2, 3, 4, 5]
    assert (np.diff(rows["DISTANCE"]) <= 0).all()
    pairs = search.rows(
        queries=write_ids(search.folder / "ids.fits", [*range(1000, 1024)]), n_neighbours=3
    )
    third = pairs[pairs["RANK"] == 3]
    farthest = third["QUERY_ID"][np.argsort(third["SIMILARITY"])[:5]]
    np.testing.assert_array_equal(np.sort(rows["OBJID"]), np.sort(farthest))
    archive = open_archive(search.archive)
    own = np.searchsorted(archive.object_id, rows["OBJID"])
    np.testing.assert_array_equal(rows["Z_SPEC"], archive.redshift[own])
    assert "the 5 most unusual galaxies among 24" in report.summary()
    assert not report.notices
    more = search.report(queries=None, most_unusual=99, model=None, overwrite=True)
    assert "of 99 galaxies asked for, 24 have a neighbour" in more.notices


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "name QUERIES, --image"),
        ({"queries": "a.fits", "near": (1.0, 2.0)}, "questions of their own"),
        ({"near": (1.0,)}, "--near takes RA,DEC"),
        ({"unlike": ("3",)}, "name QUERIES, --image"),
        ({"most_unusual": 0}, "must be positive"),
        ({"most_unusual": 3, "like": ("3",)}, "has no query"),
    ],
)
def test_questions_that_contradict_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        SimilarConfig(among=Path("atlas.h5"), output="out.fits", **options)


def test_a_missing_atlas_is_one_sentence(search: Search) -> None:
    with pytest.raises(ArchiveError, match="there is no atlas"):
        search.report(among=search.folder / "nowhere.h5")


def test_an_existing_table_is_refused(search: Search) -> None:
    search.output.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        search.report()
    assert search.output.read_bytes() == b"mine"


def test_the_mosaic_is_a_picture(search: Search) -> None:
    pytest.importorskip("matplotlib")
    mosaic = search.folder / "alike.png"
    report = search.report(mosaic=mosaic, n_neighbours=2)
    assert mosaic.read_bytes().startswith(PNG)
    assert "the mosaic shows the first 20 queries" in report.notices


def test_a_mosaic_in_a_pdf_has_pages_for_all_queries(search: Search) -> None:
    pytest.importorskip("matplotlib")
    mosaic = search.folder / "alike.pdf"
    report = search.report(mosaic=mosaic, n_neighbours=2)
    content = mosaic.read_bytes()
    assert content.startswith(b"%PDF")
    assert content.count(b"/Type /Page ") == 3  # 24 queries
    assert not any("mosaic" in notice for notice in report.notices)


def test_the_page_shows_all_queries(search: Search) -> None:
    page = search.folder / "alike.html"
    search.report(html=page, n_neighbours=2)
    text = page.read_text()
    assert text.count("<tbody>") == 24
    assert text.count("<img ") == 24 * 3
    with pytest.raises(OutputError, match="exists already"):
        search.report(html=page, overwrite=False, output=str(search.folder / "other.fits"))


def test_a_page_of_another_kind_is_refused(search: Search) -> None:
    with pytest.raises(ConfigError, match=r"--html is not named"):
        search.report(html=search.folder / "alike.png")


def test_a_mosaic_of_another_kind_is_refused(search: Search) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(ConfigError, match="not named"):
        search.report(mosaic=search.folder / "alike.txt")
    assert not search.output.exists()


# ids of text

NAMES = np.array([f"J{number:04d}+$x_" for number in range(24)], "S12")


@pytest.fixture(scope="module")
def first_named(first_search: Search) -> Search:
    archive = open_archive(first_search.archive)
    table = np.array([*zip(NAMES, strict=True)], [("NAME", "S12")])
    block = dataclasses.replace(archive.block(slice(0, len(archive))), table=table)
    path, atlas = (first_search.folder / name for name in ("named.h5", "named_atlas.h5"))
    with create_archive(path, archive.spec, len(archive), id_column="NAME") as writer:
        writer.write(block, columns=("NAME",))
    report = embed(EmbedConfig(catalog=str(path), output=atlas, model=first_search.model))
    assert not any("numbered" in notice for notice in report.notices)
    return Search(first_search.model, path, atlas)


@pytest.fixture
def named(first_named: Search, tmp_path: Path) -> Search:
    """The same search among galaxies whose ids are text."""
    return first_named.copied_to(tmp_path)


def test_neighbours_have_their_names(named: Search) -> None:
    rows = named.rows(n_neighbours=2)
    numbers = {name: row for row, name in enumerate(read_atlas(named.atlas).object_id)}
    wanted = NAMES[[numbers[number] for number in rows["NEIGHBOUR_ID"]]]
    np.testing.assert_array_equal(rows["NEIGHBOUR_NAME"], wanted.astype(str))
    named.report(queries=None, most_unusual=3, overwrite=True)
    rows = np.asarray(fitsio.read(named.output, ext=UNUSUAL_EXTNAME))
    wanted = NAMES[[numbers[number] for number in rows["OBJID"]]]
    np.testing.assert_array_equal(rows["NAME"], wanted.astype(str))
    assert set(rows["NEIGHBOUR_NAME"].astype("S12")) <= {*NAMES}


def test_galaxies_are_asked_for_by_name(named: Search) -> None:
    by_row = named.rows(n_neighbours=3)
    by_name = named.rows(queries=None, like=(NAMES[5].decode(),), n_neighbours=3)
    np.testing.assert_array_equal(
        by_name["NEIGHBOUR_NAME"], by_row["NEIGHBOUR_NAME"][by_row["QUERY_ROW"] == 5]
    )
    names = np.array([(b"J0011+$x_",), (b"",), (b"J9999+$x_",), (b"J0002+$x_",)], [("NAME", "S12")])
    path = named.folder / "names.fits"
    fitsio.write(path, names)
    report = named.report(queries=str(path), id_column="NAME", n_neighbours=3, overwrite=True)
    rows = np.asarray(fitsio.read(named.output, ext=EXTNAME))
    for query, row in ((0, 11), (3, 2)):
        np.testing.assert_array_equal(
            rows["NEIGHBOUR_NAME"][rows["QUERY_ROW"] == query],
            by_row["NEIGHBOUR_NAME"][by_row["QUERY_ROW"] == row],
        )
    assert report.n_without == 2
    assert "(first: the id '' is not in" in " ".join(report.notices)


def test_a_name_is_asked_for_with_the_letters_that_it_has_outside_fits(named: Search) -> None:
    by_name = named.rows(queries=None, like=(NAMES[5].decode(),), n_neighbours=3)
    with h5py.File(named.atlas, "r+") as file:
        file[f"{COLUMNS_GROUP}/NAME"][5] = rb"gal\xe9"
    for text in ("galé", r"gal\xe9"):
        rows = named.rows(queries=None, like=(text,), n_neighbours=3)
        np.testing.assert_array_equal(rows["NEIGHBOUR_ID"], by_name["NEIGHBOUR_ID"])


def test_queries_have_their_names(named: Search, tiny_archive: Path) -> None:
    of_images = named.rows(n_neighbours=2)
    np.testing.assert_array_equal(of_images["QUERY_NAME"], np.repeat(NAMES, 2).astype(str))
    path, name = named.folder / "names.fits", NAMES[7].decode()
    fitsio.write(path, NAMES[[9, 4]].astype([("NAME", "S12")]))
    of_table = named.rows(queries=str(path), id_column="NAME", n_neighbours=2)
    np.testing.assert_array_equal(of_table["QUERY_NAME"], NAMES[[9, 9, 4, 4]].astype(str))
    of_one = named.rows(queries=None, like=(name,), n_neighbours=2)
    assert of_one["QUERY_NAME"].tolist() == [name, name]
    moved = named.rows(queries=str(path), id_column="NAME", like=(name,), n_neighbours=1)
    assert moved["QUERY_NAME"].tolist() == [NAMES[9].decode(), NAMES[4].decode()]
    several = named.rows(queries=None, like=(name, NAMES[9].decode()), n_neighbours=2)
    assert "QUERY_NAME" not in (several.dtype.names or ())
    image = write_image(named.folder / "my.fits", tiny_archive, 6, BUNIT="nanomaggy")
    of_image = named.rows(queries=None, image=image, n_neighbours=2)
    assert "QUERY_NAME" not in (of_image.dtype.names or ())
    other = named.folder / "numbers.h5"
    embed(EmbedConfig(catalog=str(tiny_archive), output=other, model=named.model))
    among_numbers = named.rows(among=other, n_neighbours=1)
    np.testing.assert_array_equal(among_numbers["QUERY_NAME"], NAMES.astype(str))
    assert "NEIGHBOUR_NAME" not in (among_numbers.dtype.names or ())


def test_ids_are_looked_up_in_one_go(named: Search, monkeypatch: pytest.MonkeyPatch) -> None:
    path, n_asked = named.folder / "names.fits", []

    def counted(atlas: Atlas, names: NDArray[np.bytes_]) -> NDArray[np.int64]:
        n_asked.append(len(names))
        return rows_of_names(atlas, names)

    fitsio.write(path, NAMES[::-1].astype([("NAME", "S12")]))
    monkeypatch.setattr("photoz_ssl.workflows.searching.questions.rows_of_names", counted)
    rows = named.rows(queries=str(path), id_column="NAME", n_neighbours=1, batch_size=5)
    assert n_asked == [24]
    np.testing.assert_array_equal(rows["QUERY_NAME"], NAMES[::-1].astype(str))
    np.testing.assert_array_equal(rows["QUERY_ROW"], np.arange(24))


def test_a_page_names_queries_with_images_too(named: Search) -> None:
    page = named.folder / "page.html"
    named.report(n_neighbours=1, html=page)
    assert page.read_text().count("+$x_</td>") == 48


def test_a_name_that_is_not_there_is_told(named: Search) -> None:
    with pytest.raises(CutoutError, match="there is no file J1, nor such an id in"):
        named.report(queries=None, like=("J1",))


def test_names_are_shown_and_survive_joining(named: Search) -> None:
    page, mosaic = named.folder / "page.html", named.folder / "alike.png"
    shown = {"html": page, "mosaic": mosaic}
    named.report(queries=None, like=(NAMES[5].decode(),), n_neighbours=2, **shown)
    assert page.read_text().count("+$x_</td>") == 3
    joined = named.folder / "joined.h5"
    embed(EmbedConfig(catalog=str(named.atlas), output=joined, dim=2))
    atlas = read_atlas(joined)
    assert atlas.names is not None
    assert atlas.name_of(7) == "J0007+$x_"


def test_names_are_asked_of_an_atlas_that_has_none_in_vain(search: Search) -> None:
    path = search.folder / "names.fits"
    fitsio.write(path, np.array([(b"J1",)], [("NAME", "S12")]))
    with pytest.raises(CatalogError, match=r"the ids in NAME of .* are text, and .* has none"):
        search.report(queries=str(path), id_column="NAME")


def write_catalogue(path: Path, archive_path: Path, id_name: str) -> None:
    """The galaxies with their images, ids of text, and columns that no atlas keeps."""
    archive, names = open_archive(archive_path), NAMES[:6]
    block = archive.block(slice(0, len(names)))
    columns: dict[str, NDArray[Any]] = {id_name: names, "RA": block.ra, "DEC": block.dec}
    columns |= {"EBV": block.ebv, "MAGS": np.zeros((6, 5), "f4"), "a/b": np.zeros(6, "f4")}
    columns["IMAGE"] = block.images
    fitsio.write(path, columns)


@pytest.mark.parametrize("id_name", ["OBJID", "objID", "ID"])
def test_ids_of_text_may_be_called_as_those_of_numbers_are(
    tmp_path: Path, tiny_archive: Path, id_name: str
) -> None:
    catalogue, atlas_path, joined = (tmp_path / name for name in ("c.fits", "a.h5", "j.h5"))
    model, output = save_model(tmp_path / "model.safetensors", 0), tmp_path / "n.fits"
    write_catalogue(catalogue, tiny_archive, id_name)
    report = embed(EmbedConfig(catalog=str(catalogue), output=atlas_path, model=model))
    assert [notice for notice in report.notices if "left out" in notice] == [
        "left out are the columns that are not one number or short text, have / in their name, or"
        " are called as another one is there: MAGS, a/b"
    ]
    assert not any("numbered" in notice for notice in report.notices)
    embed(EmbedConfig(catalog=str(atlas_path), output=joined, dim=2))
    for among in (atlas_path, joined):
        assert read_atlas(among).name_of(3) == "J0003+$x_"
        assert id_name == "ID" or next(iter(read_atlas(among).columns)) == id_name
        np.testing.assert_array_equal(read_atlas(among).column(id_name.upper()), NAMES[:6])
        where = (f"{id_name} != 'J0002+$x_'",)
        like = ("J0004+$x_",)
        similar(
            SimilarConfig(like=like, where=where, among=among, output=str(output), overwrite=True)
        )
        found = fitsio.read(output, ext=EXTNAME)
        assert set(found["NEIGHBOUR_NAME"].astype("S12")) == {*NAMES[[0, 1, 3, 5]]}
        assert set(found["QUERY_NAME"]) == {"J0004+$x_"}
