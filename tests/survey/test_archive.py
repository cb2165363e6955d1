"""The archive: what is written is read back, and hostile files are told in a sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from photoz_ssl.errors import ArchiveError, OutputError
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.archive import open_archive
from photoz_ssl.survey.archive_writer import create_archive
from photoz_ssl.survey.bands import R_DR12, ebv_from_extinction, extinction_from_ebv
from photoz_ssl.survey.flags import RowFlag


def test_extinction_and_reddening_are_inverse() -> None:
    ebv = np.array([0.0, 0.05, 1.0])
    np.testing.assert_allclose(ebv_from_extinction(extinction_from_ebv(ebv)), ebv)


def test_the_reddening_is_the_mean_of_the_bands_own() -> None:
    assert ebv_from_extinction(R_DR12 * [0.1, 0.1, 0.1, 0.1, 0.6]) == pytest.approx(0.2)


def test_round_trip_by_blocks(tiny_archive: Path, tmp_path: Path) -> None:
    first = open_archive(tiny_archive)
    copy = tmp_path / "copy.h5"
    with create_archive(copy, first.spec, len(first)) as writer:
        for block in first.blocks(7):
            writer.write(block, columns=("Z_SPEC",))
    second = open_archive(copy)
    for name in ("images", "object_id", "ra", "dec", "ebv", "redshift", "flags", "split"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    np.testing.assert_array_equal(second.columns["Z_SPEC"], first.redshift)
    assert second.spec == first.spec


def test_images_are_mapped_not_read(tiny_archive: Path) -> None:
    images = open_archive(tiny_archive).images
    assert isinstance(images, np.memmap)
    with h5py.File(tiny_archive) as file:
        np.testing.assert_array_equal(images, file["images"][()])


def test_rows_by_split_and_label(tiny_archive: Path) -> None:
    archive = open_archive(tiny_archive)
    np.testing.assert_array_equal(archive.rows(), np.arange(24))
    np.testing.assert_array_equal(archive.rows(split="test"), np.arange(3, 24, 4))
    archive.redshift[3] = np.nan
    archive.flags[7] = RowFlag.NOT_FINITE
    np.testing.assert_array_equal(archive.rows(split="test", labelled=True), [11, 15, 19, 23])


def test_where_no_row_has_a_split_all_are_for_training_and_none_for_another(
    tiny_archive: Path,
) -> None:
    archive = open_archive(tiny_archive)
    unsplit = replace(archive, split=np.full(len(archive), ""))
    np.testing.assert_array_equal(unsplit.rows(split="train"), archive.rows())
    for split in ("valid", "test"):
        assert len(unsplit.rows(split=split)) == 0


def test_the_extinction_stored_is_that_of_the_reddening(tiny_archive: Path) -> None:
    with h5py.File(tiny_archive) as file:
        np.testing.assert_allclose(file["e_bv"], file["ebv"][()][:, None] * R_DR12, rtol=1e-5)


def test_rows_without_reddening_are_left_out(tiny_archive: Path) -> None:
    archive = open_archive(tiny_archive)
    archive.ebv[5] = np.nan
    assert 5 not in archive.rows()


def write_published_layout(path: Path, n_galaxies: int = 3) -> None:
    with h5py.File(path, "w") as file:
        file["images"] = np.ones((n_galaxies, 5, 107, 107), np.float32)
        file["e_bv"] = 0.1 * np.tile(R_DR12, (n_galaxies, 1))
        file["specz_redshift"] = np.linspace(0.1, 0.3, n_galaxies)


def test_the_published_layout_opens(tmp_path: Path) -> None:
    path = tmp_path / "sdss.h5"
    write_published_layout(path)
    archive = open_archive(path)
    assert archive.spec == ImageSpec()
    np.testing.assert_allclose(archive.ebv, 0.1, rtol=1e-6)
    np.testing.assert_array_equal(archive.rows(split="train"), [0, 1, 2])


def test_an_archive_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "survey.h5"
    with pytest.raises(RuntimeError), create_archive(path, ImageSpec(), 5):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    path.touch()
    with pytest.raises(OutputError), create_archive(path, ImageSpec(), 5):
        pytest.fail("must not get here")


def test_an_archive_without_images_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_group("images")
    with pytest.raises(ArchiveError, match="no dataset 'images'"):
        open_archive(path)
    with h5py.File(path, "w") as file:
        file["representations"] = np.ones((2, 8), np.float16)
    with pytest.raises(ArchiveError, match="is an atlas, and has no images"):
        open_archive(path)


def test_images_in_other_bands_are_counted(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["images"] = np.ones((2, 4, 107, 107), np.float32)
    with pytest.raises(ArchiveError, match="have 4 bands of 107 pixels, not 5 of 107"):
        open_archive(tmp_path / "x.h5")


def test_hostile_archives_are_told_in_a_sentence(tiny_archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with pytest.raises(ArchiveError, match="there is no archive"):
        open_archive(path)
    path.write_text("not HDF5")
    with pytest.raises(ArchiveError, match="not a readable HDF5 archive") as raised:
        open_archive(path)
    assert "of a catalogue with photoz-ssl prepare" in raised.value.hint
    whole = tiny_archive.read_bytes()
    for fraction in (0.1, 0.5, 0.999):
        path.write_bytes(whole[: int(fraction * len(whole))])
        with pytest.raises(ArchiveError):
            open_archive(path)
    path.write_bytes(whole)
    with h5py.File(path, "r+") as file:
        file.attrs["spec"] = "{}"
    with pytest.raises(ArchiveError, match=f"{path} is not a readable HDF5 archive"):
        open_archive(path)


@pytest.mark.parametrize(
    "name", ["ra", "ObjID", "ebv", "e_bv", "specz_redshift", "split", "columns/r"]
)
def test_a_lying_column_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.h5"
    for lie in (np.zeros(2), np.array([b"a", b"b", b"c"]), None):
        write_published_layout(path)
        with h5py.File(path, "a") as file:
            file.pop(name, None)
            if lie is None:
                file.create_group(name)
            else:
                file[name] = lie
        if name == "columns/r" and lie is not None and len(lie) == 3:
            continue
        with pytest.raises(ArchiveError):
            open_archive(path)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.ones((3, 5, 64), np.float32), "shape"),
        (np.ones((3, 5, 64, 64), np.float64), "not float32"),
        (np.ones((3, 5, 64, 65), np.float32), "shape"),
    ],
)
def test_images_of_another_kind_are_refused(tmp_path: Path, images: np.ndarray, words: str) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["images"] = images
    with pytest.raises(ArchiveError, match=words):
        open_archive(path)


def test_chunked_images_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=np.ones((3, 5, 64, 64), np.float32), compression="gzip")
    with pytest.raises(ArchiveError, match="compressed, chunked"):
        open_archive(path)


@pytest.mark.parametrize(
    "ids",
    [
        np.array([1, 2**63, 3], "u8"),
        np.array([1, 2.5, 3]),
        np.array([1, 2.0**60, 3]),
        np.array([1, -1e300, 3]),
    ],
)
def test_what_is_no_id_is_refused(tmp_path: Path, ids: np.ndarray) -> None:
    path = tmp_path / "x.h5"
    write_published_layout(path)
    with h5py.File(path, "a") as file:
        file["ObjID"] = ids
    with pytest.raises(ArchiveError, match=r"'ObjID' in .*: row 2 has the id"):
        open_archive(path)


def test_a_nan_is_no_id(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    write_published_layout(path)
    with h5py.File(path, "a") as file:
        file["ObjID"] = np.array([1, np.nan, 3])
    assert open_archive(path).object_id.tolist() == [1, -1, 3]


def test_text_of_a_size_that_nobody_writes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    write_published_layout(path)
    with h5py.File(path, "a") as file:
        file.create_dataset("columns/NAME", (3,), "S500000000", chunks=(1,))
    with pytest.raises(ArchiveError, match="500000000 bytes an entry, more than 256"):
        open_archive(path)


def test_numbers_that_are_no_redshifts_are_no_labels(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    write_published_layout(path)
    with h5py.File(path, "a") as file:
        file["specz_redshift"][:2] = [99, -9999]
    np.testing.assert_array_equal(open_archive(path).rows(labelled=True), [2])


@pytest.mark.parametrize("name", ["e_bv", "ebv"])
def test_numbers_that_are_no_reddening_leave_a_row_out(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.h5"
    write_published_layout(path)
    with h5py.File(path, "a") as file:
        if name == "ebv":
            file["ebv"] = np.full(3, 0.1)
        file[name][0], file[name][1] = -9999, 99
    archive = open_archive(path)
    np.testing.assert_array_equal(archive.rows(), [2])
    assert archive.ebv[2] == np.float32(0.1)
