"""HDF5 files that appear whole or not at all, and datasets read where they lie, without HDF5."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import ArchiveError
from photoz_ssl.files import atomic_output

__all__ = ["DeferredWrites", "mapped_dataset", "new_file", "open_file"]


def open_file(path: Path) -> h5py.File:
    """Open a file to read.

    Raises
    ------
    OSError
        If it cannot be opened, or is none: HDF5 would wait for whoever writes to a pipe.
    """
    if not path.is_file():
        raise OSError(f"{path} is no file")
    return h5py.File(path, "r")


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


@contextmanager
def new_file(path: Path, *, overwrite: bool) -> Iterator[tuple[h5py.File, DeferredWrites]]:
    """A new HDF5 file, which has its name once all of it is on the disk.

    Parameters
    ----------
    path : Path
        Its name.
    overwrite : bool
        Whether a file of that name may be replaced.

    Yields
    ------
    h5py.File
        To write to.
    DeferredWrites
        What tells, on the way, whether writing has failed.

    Raises
    ------
    photoz_ssl.errors.OutputError
        If it exists already or cannot be written.
    """
    with (
        atomic_output(path, overwrite=overwrite) as temporary,
        DeferredWrites(temporary) as disk,
        h5py.File(disk, "w") as file,
    ):
        yield file, disk


class DeferredWrites(io.FileIO):
    """A new file whose failed writes are told when asked, and not where they happen.

    HDF5 does not survive a write that fails: it cannot close the file any more, and the
    process crashes as it ends. Here the first failure is kept, what is written after it is
    dropped, and `check`, or leaving the block, raises it.

    Parameters
    ----------
    path : Path
        The file; it must not exist.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "x+")
        self._failure: OSError | None = None

    def write(self, content: Any) -> int:
        """Write all of some bytes, or remember why that failed."""
        left = memoryview(content).cast("B")
        size = left.nbytes
        try:
            while left.nbytes and self._failure is None:
                left = left[super().write(left) :]
        except OSError as error:
            self._failure = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Set the file's length, or remember why that failed."""
        try:
            return super().truncate(size)
        except OSError as error:
            self._failure = self._failure or error
            return size or 0

    def check(self) -> None:
        """Raise the first failure, if there was one."""
        if self._failure is not None:
            raise self._failure

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        if error is None:
            self.check()
