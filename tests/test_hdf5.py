"""Datasets that are mapped hold what HDF5 reads, or are refused."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from photoz_ssl.errors import ArchiveError
from photoz_ssl.hdf5 import mapped_dataset
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
