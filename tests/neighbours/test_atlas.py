"""The atlas: what goes in comes out; damaged files get one sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from photoz_ssl.errors import ArchiveError, OutputError, PhotozError, SpecMismatchError
from photoz_ssl.neighbours.atlas import AtlasHeader, is_atlas, read_atlas
from photoz_ssl.neighbours.atlas_writer import create_atlas, kept_columns, left_out_columns
from photoz_ssl.spec import ImageSpec
from tests.neighbours.conftest import toy_galaxies

MakeAtlas = Callable[..., Path]


@pytest.fixture
def header() -> AtlasHeader:
    return AtlasHeader(
        spec=ImageSpec(size=64), model="m", model_sha256="cd" * 32, catalog="c.fits", has_ids=False
    )


def galaxies_of(path: Path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {
            name: np.asarray(values[()])
            for name, values in file.items()
            if isinstance(values, h5py.Dataset)
        }


def test_what_goes_in_comes_out(make_atlas: MakeAtlas, header: AtlasHeader) -> None:
    atlas = read_atlas(make_atlas(header=header))
    stored = galaxies_of(atlas.path)
    assert atlas.header == header
    assert len(atlas) == 12
    for name, values in (
        ("ObjID", atlas.object_id),
        ("ra", atlas.ra),
        ("dec", atlas.dec),
        ("specz_redshift", atlas.redshift),
        ("representations", atlas.representations),
    ):
        np.testing.assert_array_equal(stored[name], values)
    assert isinstance(atlas.representations, np.memmap)
    assert np.isnan(atlas.representations[2]).all()
    rows = np.array([11, 0, 0])
    np.testing.assert_array_equal(atlas.thumbnails(rows), stored["thumbnails"][rows])


def test_the_blocks_do_not_matter(make_atlas: MakeAtlas) -> None:
    first = make_atlas(block=12).read_bytes()
    again = make_atlas(block=12).read_bytes()
    assert first == again
    whole = galaxies_of(make_atlas(block=12))
    parts = galaxies_of(make_atlas(block=1))
    for name, values in whole.items():
        np.testing.assert_array_equal(values, parts[name])


def test_the_published_names_are_used(make_atlas: MakeAtlas) -> None:
    names = {"ObjID", "ra", "dec", "specz_redshift", "representations", "thumbnails"}
    assert set(galaxies_of(make_atlas())) == names


def test_the_catalogue_s_columns_are_kept(make_atlas: MakeAtlas) -> None:
    atlas, table = read_atlas(make_atlas()), toy_galaxies()["table"]
    assert {*atlas.columns} == {"OBJID", "RA", "DEC", "Z_SPEC", "R_MAG", "KIND"}
    for name in ("R_MAG", "KIND"):
        np.testing.assert_array_equal(atlas.column(name.lower()), table[name])
        assert isinstance(atlas.column(name), np.memmap)
    np.testing.assert_array_equal(atlas.column("Z_SPEC"), atlas.redshift)
    with pytest.raises(ArchiveError, match="has no column U_MAG"):
        atlas.column("U_MAG")


def test_only_columns_of_one_number_or_short_text_are_kept() -> None:
    table = np.dtype(
        [
            *(("A", "f4"), ("B", "f4", (5,)), ("C", "S64"), ("D", "S65"), ("ra", "f8")),
            *(("E/F", "i2"), ("G", "?"), (".", "i4"), ("OBJID", "i8"), ("z_spec", "f4")),
        ]
    )
    assert kept_columns(table) == ("A", "C", "G")
    assert left_out_columns(table, ["ra", "OBJID"]) == ("B", "D", "E/F", ".")
    assert left_out_columns(table, ["ra", "A"]) == ("B", "D", "E/F", ".", "OBJID")


@pytest.mark.parametrize(("kind", "kept"), [("i8", False), ("S9", True), ("S65", False)])
def test_ids_of_text_are_kept_whatever_they_are_called(kind: str, kept: bool) -> None:
    for name in ("OBJID", "objID", "ID"):
        table = np.dtype([(name, kind), ("DEC", "S9")])
        assert (name in kept_columns(table)) == (kept or (name == "ID" and kind == "i8"))
        assert "DEC" not in kept_columns(table)


def test_vectors_of_float16_are_rounded_and_mapped(make_atlas: MakeAtlas) -> None:
    exact = np.array(read_atlas(make_atlas()).representations)
    half = read_atlas(make_atlas(vectors="float16")).representations
    assert isinstance(half, np.memmap)
    np.testing.assert_array_equal(half, exact.astype(np.float16))


def test_the_fingerprint_is_that_of_ids_and_vectors(make_atlas: MakeAtlas) -> None:
    first = read_atlas(make_atlas(block=12)).fingerprint
    assert read_atlas(make_atlas(block=5, pictures=False)).fingerprint == first
    assert read_atlas(make_atlas(vectors="float16")).fingerprint != first


def test_an_atlas_without_pictures_says_so(make_atlas: MakeAtlas) -> None:
    atlas = read_atlas(make_atlas(pictures=False))
    assert not atlas.has_thumbnails
    with pytest.raises(ArchiveError, match="holds no pictures"):
        atlas.thumbnails(np.array([0]))


def test_an_atlas_of_another_model_is_refused(header: AtlasHeader) -> None:
    header.require_model("cd" * 32, model="m", atlas="atlas.h5")
    with pytest.raises(SpecMismatchError, match=r"made by the model m \(cdcdcdcd\), not by other"):
        header.require_model("00" * 32, model="other", atlas="atlas.h5")


def test_an_interrupted_atlas_is_not_there(tmp_path: Path, header: AtlasHeader) -> None:
    path = tmp_path / "atlas.h5"
    with pytest.raises(KeyboardInterrupt), create_atlas(path, header, 3):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_an_existing_atlas_is_not_replaced_unasked(
    make_atlas: MakeAtlas, header: AtlasHeader
) -> None:
    path = make_atlas()
    before = path.read_bytes()
    with pytest.raises(OutputError, match="exists already"), create_atlas(path, header, 1):
        pass
    assert path.read_bytes() == before


def test_a_missing_file(tmp_path: Path) -> None:
    assert not is_atlas(tmp_path / "no.h5")
    with pytest.raises(ArchiveError, match="there is no atlas"):
        read_atlas(tmp_path / "no.h5")


@pytest.mark.parametrize("kept", [0, 7, 100, 2000, 6000, 0.5, 0.99])
def test_a_truncated_file_is_refused_in_one_sentence(make_atlas: MakeAtlas, kept: float) -> None:
    path = make_atlas()
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(ArchiveError) as caught:
        read_atlas(path).thumbnails(np.arange(12))
    assert "\n" not in str(caught.value)


def test_a_file_with_any_byte_changed_is_read_or_refused(make_atlas: MakeAtlas) -> None:
    path = make_atlas(pictures=False)
    content = path.read_bytes()
    generator = np.random.default_rng(0)
    for place in generator.integers(0, min(len(content), 6000), 60):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            read_atlas(path)
        except PhotozError as error:
            assert "\n" not in str(error)  # noqa: PT017


def test_an_archive_is_not_an_atlas(tiny_archive: Path) -> None:
    assert not is_atlas(tiny_archive)
    with pytest.raises(ArchiveError, match="holds no representations"):
        read_atlas(tiny_archive)


def test_an_alien_hdf5_file_is_refused(make_atlas: MakeAtlas) -> None:
    path = make_atlas()
    assert is_atlas(path)
    with h5py.File(path, "r+") as file:
        del file["ra"]
    with pytest.raises(ArchiveError, match="lacks 'ra'"):
        read_atlas(path)
    path = make_atlas()
    with h5py.File(path, "r+") as file:
        del file.attrs["model_sha256"]
    with pytest.raises(ArchiveError, match="not a readable atlas"):
        read_atlas(path)
    path = make_atlas()
    with h5py.File(path, "r+") as file:
        file.attrs["spec"] = "{}"
    with pytest.raises(ArchiveError, match=f"{path} is not a readable atlas"):
        read_atlas(path)
    path = make_atlas()
    with h5py.File(path, "r+") as file:
        del file["representations"]
        file.create_dataset("representations", data=np.zeros((12, 8), "f4"), compression="gzip")
    with pytest.raises(ArchiveError, match="compressed, chunked or empty"):
        read_atlas(path)
    path = make_atlas()
    with h5py.File(path, "r+") as file:
        del file["representations"]
        file.create_dataset("representations", data=np.zeros((12, 8), "f8"))
    with pytest.raises(ArchiveError, match="float64, not float16 or float32"):
        read_atlas(path)
    path = make_atlas()
    with h5py.File(path, "r+") as file:
        del file["ra"]
        file["ra"] = np.zeros(12, "i4")
    with pytest.raises(ArchiveError, match=r"'ra' in .* is of the type int32"):
        read_atlas(path)
    path = make_atlas()
    with h5py.File(path, "r+") as file:
        file["columns/NAME"] = ["x"] * 12
    with pytest.raises(ArchiveError, match=r"NAME' in .* is of the type object"):
        read_atlas(path)
    path = make_atlas()
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 99
    with pytest.raises(ArchiveError, match=r"atlas\.h5 is of a newer format"):
        read_atlas(path)
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 1
    with pytest.raises(ArchiveError, match=r"atlas\.h5 is of an older format"):
        read_atlas(path)


def test_header_survives_every_field(make_atlas: MakeAtlas, header: AtlasHeader) -> None:
    for changes in ({"has_ids": True}, {"model": "Modèle"}, {"catalog": ""}):
        changed = dataclasses.replace(header, **changes)
        assert read_atlas(make_atlas(header=changed)).header == changed


@pytest.mark.parametrize("shape", [(4,), (3, 39)])
def test_descriptions_that_do_not_fit_are_refused(
    make_atlas: MakeAtlas, shape: tuple[int, ...]
) -> None:
    path = make_atlas()
    assert read_atlas(path).looks is None
    with h5py.File(path, "r+") as file:
        file["looks"] = np.zeros(shape, "<f4")
    with pytest.raises(ArchiveError, match="does not fit its representations"):
        read_atlas(path)
