"""Datasets that are mapped hold what HDF5 reads, or are refused; new files appear whole."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import h5py
import numpy as np
import pytest

from photoz_ssl.errors import ArchiveError
from photoz_ssl.hdf5 import DeferredWrites, mapped_dataset, new_file
from photoz_ssl.neighbours.atlas import is_atlas, read_atlas
from photoz_ssl.survey.archive import open_archive

NUMBERS = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    path = tmp_path / "whole.h5"
    with h5py.File(path, "w") as file:
        file["numbers"] = NUMBERS
    return path


def test_a_dataset_is_mapped_where_it_lies(whole: Path) -> None:
    with h5py.File(whole, "r+") as file:
        file["alias"] = h5py.SoftLink("/numbers")
    with h5py.File(whole) as file:
        mapped = mapped_dataset(whole, file["alias"], "")
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, NUMBERS)


def test_a_link_to_another_file_is_refused(whole: Path, tmp_path: Path) -> None:
    """At the same offset this file holds something else."""
    path = tmp_path / "link.h5"
    with h5py.File(path, "w") as file:
        file["padding"] = np.ones(10_000)
        file["numbers"] = h5py.ExternalLink(whole, "numbers")
    with h5py.File(path) as file, pytest.raises(ArchiveError, match=r"is a link to .*whole\.h5"):
        mapped_dataset(path, file["numbers"], "")


def test_numbers_in_other_files_are_refused(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "virtual.h5"
    layout = h5py.VirtualLayout(NUMBERS.shape, "f4")
    layout[:] = h5py.VirtualSource(whole, "numbers", NUMBERS.shape)
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("raw", (3, 4), "f4", external=[(tmp_path / "raw", 0, 48)])
    with h5py.File(path) as file:
        for name in ("virtual", "raw"):
            with pytest.raises(ArchiveError, match="has its numbers in other files"):
                mapped_dataset(path, file[name], "")


def test_an_archive_of_linked_images_is_refused(tiny_archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "link.h5"
    with h5py.File(path, "w") as file:
        file["ObjID"] = np.arange(24)
        file["images"] = h5py.ExternalLink(tiny_archive, "images")
        file["padding"] = np.ones(2_000_000)
    with pytest.raises(ArchiveError, match="is a link to"):
        open_archive(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert not is_atlas(tmp_path / "pipe")
    for read in (read_atlas, open_archive):
        with pytest.raises(ArchiveError, match="is not a readable"):
            read(tmp_path / "pipe")


def test_deferred_writes_are_ordinary_ones_where_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with DeferredWrites(path) as file:
        file.write(np.arange(5, dtype="<i4"))
        file.seek(4)
        file.write(b"abcd")
        file.check()
    assert path.read_bytes()[4:8] == b"abcd"
    np.testing.assert_array_equal(np.fromfile(path, "<i4")[[0, 2, 3, 4]], [0, 2, 3, 4])


def test_a_failed_write_is_told_once_the_writer_is_done(
    tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    def write() -> None:
        with full_disk(10), DeferredWrites(tmp_path / "file") as file:
            assert file.write(b"12345678") == 8
            assert file.write(b"12345678") == 8
            assert file.write(b"12345678") == 8
            assert file.truncate(100) == 100
            assert file.truncate(-1) == -1  # fails for another reason

    with pytest.raises(OSError, match="File too large"):
        write()
    assert (tmp_path / "file").read_bytes() == b"1234567812"


def test_a_failed_write_does_not_hide_why_the_writer_gave_up(
    tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    def write() -> None:
        with full_disk(10), DeferredWrites(tmp_path / "file") as file:
            file.write(b"more than ten bytes")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()


def test_hdf5_survives_a_full_disk(
    tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    def write() -> None:
        with full_disk(8000), DeferredWrites(tmp_path / "file") as disk:
            with h5py.File(disk, "w") as file:
                file.create_dataset("x", data=np.arange(1000.0), chunks=(10,), compression="gzip")
                file["x"].attrs["unit"] = "nanomaggy"
            disk.check()

    with pytest.raises(OSError, match="File too large"):
        write()


def test_a_new_file_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new.h5"
    with new_file(path, overwrite=False) as (file, disk):
        file["numbers"] = NUMBERS
        disk.check()
        assert not path.exists()
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["numbers"], NUMBERS)


def test_a_new_file_that_is_given_up_leaves_the_one_there(whole: Path) -> None:
    def write() -> None:
        with new_file(whole, overwrite=True) as (file, _):
            file["other"] = NUMBERS
            raise KeyboardInterrupt

    before = whole.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        write()
    assert whole.read_bytes() == before
    assert [*whole.parent.iterdir()] == [whole]
