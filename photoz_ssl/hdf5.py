"""Datasets of HDF5 files, read where they lie, without HDF5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import ArchiveError

__all__ = ["mapped_dataset"]


def mapped_dataset(path: Path, dataset: h5py.Dataset, cure: str) -> NDArray[Any]:
    """Memory-map a contiguous dataset where it lies in its file.

    Parameters
    ----------
    path : Path
        The file that was opened.
    dataset : h5py.Dataset
        Found in it by its name, which may be a link.
    cure : str
        What to do about a dataset that cannot be mapped, for the error.

    Returns
    -------
    ndarray
        Read-only; not mapped where it is empty.

    Raises
    ------
    ArchiveError
        If its numbers are not in this file, or not in one piece, or the file is cut off.
    """
    name = f"{dataset.name!r} in {path}"
    # The offset would be one in the other file, at which this one holds something else.
    if Path(dataset.file.filename) != path:
        raise ArchiveError(f"{name} is a link to {dataset.file.filename}", f"name that, or {cure}")
    if dataset.is_virtual or dataset.external:
        raise ArchiveError(f"{name} has its numbers in other files", cure)
    if 0 in dataset.shape:
        return np.empty(dataset.shape, dataset.dtype)
    offset = dataset.id.get_offset()
    if offset is None:
        raise ArchiveError(f"{name} is compressed, chunked or empty", cure)
    if path.stat().st_size < offset + dataset.size * dataset.dtype.itemsize:
        raise ArchiveError(f"{path} is truncated", "copy or make it again")
    return np.memmap(path, dtype=dataset.dtype, mode="r", offset=offset, shape=dataset.shape)
