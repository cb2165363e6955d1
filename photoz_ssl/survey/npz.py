"""Arrays inside NumPy's ``.npz`` files, read a few rows at a time.

An ``.npz`` is a zip of ``.npy`` members, compressed or not; both are read as a stream, so that
memory does not grow with the array. A pickle inside is refused and never loaded.
"""

from __future__ import annotations

import io
import math
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from photoz_ssl.errors import CatalogError, PhotozError

__all__ = ["NpzArray", "is_npz", "open_npz"]

CHUNK_BYTES = 1 << 22
MOST_ROW_BYTES = 1 << 20
"""Of one row; a header may claim any number."""

MOST_HEADER_BYTES = 1 << 16
"""Of a header, which NumPy reads whole whatever length it claims."""

COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What NumPy writes; others are unpacked by zipfile without a bound on memory."""


def is_npz(path: str | Path) -> bool:
    """Whether a path names an ``.npz`` file, by its suffix."""
    return str(path).lower().endswith(".npz")


class NpzArray:
    """An array inside an ``.npz``, its first axis read forward; see `open_npz`.

    Parameters
    ----------
    path : str
        Of the file, for errors.
    members : ZipFile
        The file.
    name : str
        Of the array.

    Raises
    ------
    CatalogError
        If there is no such array, or it is damaged, a pickle, or not what its header says.
    """

    def __init__(self, path: str, members: zipfile.ZipFile, name: str) -> None:
        self._path, self._members, self.name = path, members, name
        self._member = f"{name}.npy"
        self._require_member()
        with self._told(), members.open(self._member) as stream:
            start = io.BytesIO(stream.read(MOST_HEADER_BYTES))
        with self._told():
            self.shape, fortran_order, self.dtype = _read_header(start)
        self._offset = start.tell()
        self._stream: IO[bytes] | None = None
        self._next = 0
        self._row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        self._require_rows(fortran_order)

    def __len__(self) -> int:
        return self.shape[0]

    def take(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Some rows, shape (len(rows), ...).

        Parameters
        ----------
        rows : ndarray, shape (n,), int64
            Their numbers, increasing. To go back behind the rows taken last is slow.

        Raises
        ------
        CatalogError
            If the file is damaged there.
        """
        taken = np.empty((len(rows), *self.shape[1:]), self.dtype)
        most, done = max(1, CHUNK_BYTES // self._row_bytes), 0
        while done < len(rows):
            first = int(rows[done])
            stop = min(first + most, int(rows[-1]) + 1)
            upto = int(np.searchsorted(rows, stop))
            with self._told():
                taken[done:upto] = self._read(first, stop)[rows[done:upto] - first]
            done = upto
        return taken

    def close(self) -> None:
        """Close the stream that rows are taken from."""
        if self._stream is not None:
            self._stream.close()

    def _read(self, first: int, stop: int) -> NDArray[Any]:
        if self._stream is None or first < self._next:
            self.close()
            self._stream = self._members.open(self._member)
            _read_exactly(self._stream, self._offset)
            self._next = 0
        gap = (first - self._next) * self._row_bytes
        while gap:  # read and not sought, so that the zip's checksum is verified at the end
            gap -= len(_read_exactly(self._stream, min(gap, CHUNK_BYTES)))
        content = _read_exactly(self._stream, (stop - first) * self._row_bytes)
        self._next = stop
        return np.frombuffer(content, self.dtype).reshape(stop - first, *self.shape[1:])

    def _require_member(self) -> None:
        found = self._members.namelist()
        if self._member not in found:
            listed = ", ".join(found[:10])
            raise CatalogError(
                f"{self._path} has no array {self.name!r}", f"it holds {listed or 'nothing'}"
            )
        if self._members.getinfo(self._member).compress_type not in COMPRESSIONS:
            raise CatalogError(
                f"{self.name!r} in {self._path} is compressed as NumPy never does",
                "save it again with numpy.savez",
            )

    def _require_rows(self, fortran_order: bool) -> None:
        """Refuse what cannot be read in rows, and a header that promises other than there is."""
        here = f"{self.name!r} in {self._path}"
        if self.dtype.hasobject:
            raise CatalogError(
                f"{here} holds pickled objects, which may run code and are not read",
                "save it again with numbers and fixed-length text alone",
            )
        if not self.shape or min(self.shape) < 1 or (fortran_order and len(self.shape) > 1):
            raise CatalogError(
                f"{here}, of shape {self.shape}, has no rows, or not one after the other",
                "save it again in C order",
            )
        if not 0 < self._row_bytes <= MOST_ROW_BYTES:
            raise CatalogError(f"{here} has rows of {self._row_bytes} bytes", "check its header")
        promised = self._offset + len(self) * self._row_bytes
        there = self._members.getinfo(self._member).file_size
        if there != promised:
            raise CatalogError(
                f"{here} has {there} of the {promised} bytes its header promises", "copy it again"
            )

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn whatever damaged bytes lead zipfile and NumPy to raise into a sentence."""
        try:
            yield
        except PhotozError:
            raise
        except Exception as error:
            raise CatalogError(
                f"{self.name!r} in {self._path} cannot be read: the file is damaged",
                "copy or make it again",
            ) from error


@contextmanager
def open_npz(path: str, *names: str) -> Iterator[tuple[NpzArray, ...]]:
    """Open the arrays of an ``.npz`` file.

    Parameters
    ----------
    path : str
        The file.
    *names : str
        The arrays, as `numpy.savez` was given them.

    Raises
    ------
    CatalogError
        If the file is missing, truncated, or not a zip, or as `NpzArray` does.
    """
    if not Path(path).is_file():
        raise CatalogError(f"there is no file {path}", "check the path")
    try:
        members = zipfile.ZipFile(path)
    except Exception as error:  # zipfile raises whatever the bytes lead it to
        raise CatalogError(
            f"{path} is truncated or not an .npz file", "copy or make it again"
        ) from error
    with members, ExitStack() as streams:
        arrays = tuple(NpzArray(path, members, name) for name in names)
        for array in arrays:
            streams.callback(array.close)
        yield arrays


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether in Fortran's order, and type; the stream is left at the first row."""
    version = npy.read_magic(stream)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # headers of Python 2 are read, and told of by NumPy
        if version == (1, 0):
            header = npy.read_array_header_1_0(stream)
        else:
            header = npy.read_array_header_2_0(stream)
    shape, fortran_order, kind = header
    return tuple(shape), bool(fortran_order), np.dtype(kind)


def _read_exactly(stream: IO[bytes], n_bytes: int) -> bytes:
    content = stream.read(n_bytes)
    if len(content) != n_bytes:
        raise EOFError
    return content
