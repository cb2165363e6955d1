"""Writing an atlas, galaxy by galaxy, in bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from photoz_ssl.hdf5 import DeferredWrites, new_file
from photoz_ssl.neighbours.atlas import (
    CATALOG_NAMES,
    COLUMNS,
    COLUMNS_GROUP,
    FORMAT,
    FORMAT_VERSION,
    LOOKS,
    PROJECTION_GROUP,
    AtlasHeader,
)
from photoz_ssl.neighbours.projection import Projection

__all__ = ["AtlasWriter", "create_atlas", "kept_columns", "left_out_columns"]

LONGEST_TEXT = 64
"""Letters of a column of text that is worth keeping: names and classes, not paths."""

OWN_ID = "OBJID"
"""Of `CATALOG_NAMES`, the one whose column may be text, beside the numbers of the galaxies."""

OWN_REDSHIFT = "Z_SPEC"
"""The one that a catalogue's redshift has first of all names."""


def kept_columns(table: np.dtype[Any]) -> tuple[str, ...]:
    """The columns of a catalogue that its atlas keeps: one number or short text a row."""
    return tuple(name for name in table.names or () if _is_kept(name, table[name]))


def left_out_columns(table: np.dtype[Any], of_galaxies: Collection[str]) -> tuple[str, ...]:
    """The columns of a catalogue of which its atlas has nothing.

    Parameters
    ----------
    table : numpy dtype
        Structured: the columns.
    of_galaxies : collection of str
        Those of the galaxies' ids and positions, which it has under names of its own.
    """
    had = {*of_galaxies, *(name for name in table.names or () if name.upper() == OWN_REDSHIFT)}
    return tuple(
        name for name in table.names or () if name not in had and not _is_kept(name, table[name])
    )


def _is_kept(name: str, kind: np.dtype[Any]) -> bool:
    is_short_text = kind.kind == "S" and 0 < kind.itemsize <= LONGEST_TEXT
    is_id_of_text = is_short_text and name.upper() == OWN_ID
    return (
        kind.shape == ()
        and (kind.kind in "iufb" or is_short_text)
        and (name.upper() not in CATALOG_NAMES or is_id_of_text)
        and "/" not in name
        and bool(name.strip("."))
    )


class AtlasWriter:
    """Appends galaxies to an atlas whose length is known; see `create_atlas`."""

    def __init__(
        self, file: h5py.File, disk: DeferredWrites, n_galaxies: int, vectors: str
    ) -> None:
        self._file = file
        self._disk = disk
        self._n_galaxies = n_galaxies
        self._vectors = np.dtype(vectors).newbyteorder("<")
        self._n_written = 0
        self._digests = {"ids": hashlib.sha256(), "vectors": hashlib.sha256()}
        for name, kind in COLUMNS.items():
            file.create_dataset(name, shape=(n_galaxies,), dtype=kind)

    def append(
        self,
        *,
        object_id: NDArray[np.int64],
        ra: NDArray[np.float64],
        dec: NDArray[np.float64],
        redshift: NDArray[np.float32],
        representations: NDArray[np.float32],
        table: NDArray[np.void] | None = None,
        thumbnails: NDArray[np.uint8] | None = None,
        looks: NDArray[np.float32] | None = None,
    ) -> None:
        """Write the next n galaxies.

        Parameters
        ----------
        object_id, ra, dec, redshift : ndarray, shape (n,)
            As in `Atlas`.
        representations : ndarray, shape (n, n_features)
            Unit vectors, or NaN.
        table : structured ndarray, shape (n,), optional
            Rows of the catalogue, of which `kept_columns` are kept.
        thumbnails : ndarray, shape (n, 64, 64, 3), uint8, optional
            Pictures; either every call has them or none.
        looks : ndarray, shape (n, n_numbers), float32, optional
            Descriptions of the images; either every call has them or none.
        """
        rows = slice(self._n_written, self._n_written + len(object_id))
        for name, values in zip(COLUMNS, (object_id, ra, dec, redshift), strict=True):
            self._file[name][rows] = values
        vectors = representations.astype(self._vectors)
        self._rows_of("representations", vectors)[rows] = vectors
        if table is not None:
            for name in kept_columns(table.dtype):
                values = _little_endian(table[name])
                self._rows_of(f"{COLUMNS_GROUP}/{name}", values)[rows] = values
        if thumbnails is not None:
            self._rows_of("thumbnails", thumbnails)[rows] = thumbnails
        if looks is not None:
            self._rows_of(LOOKS, looks.astype("<f4"))[rows] = looks
        self._digests["ids"].update(np.asarray(object_id, "<i8").tobytes())
        self._digests["vectors"].update(vectors.tobytes())
        self._n_written = rows.stop
        self._disk.check()

    def write_projection(self, projection: Projection) -> None:
        """Keep what the vectors were projected by."""
        group = self._file.create_group(PROJECTION_GROUP)
        group["mean"] = projection.mean.astype("<f4")
        group["axes"] = projection.axes.astype("<f4")

    def finish(self) -> None:
        """Write what is only known at the end: the fingerprint."""
        parts = b"".join(digest.digest() for digest in self._digests.values())
        self._file.attrs["fingerprint"] = hashlib.sha256(parts).hexdigest()

    def _rows_of(self, name: str, values: NDArray[Any]) -> Any:
        """The dataset of that name, created when its first rows come."""
        if name not in self._file:
            packing: dict[str, Any] = {}
            if values.ndim > 2:
                packing = {"chunks": (1, *values.shape[1:]), "compression": "gzip", "shuffle": True}
            shape = (self._n_galaxies, *values.shape[1:])
            self._file.create_dataset(name, shape=shape, dtype=values.dtype, **packing)
        return self._file[name]


@contextmanager
def create_atlas(
    path: Path,
    header: AtlasHeader,
    n_galaxies: int,
    *,
    vectors: str = "float16",
    overwrite: bool = False,
) -> Iterator[AtlasWriter]:
    """Write an atlas in bounded memory; it appears under its name when it is complete.

    Parameters
    ----------
    path : Path
        The atlas to write.
    header : AtlasHeader
        What makes it.
    n_galaxies : int
        Its length.
    vectors : {'float16', 'float32'}
        Type of the stored vectors.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    photoz_ssl.errors.OutputError
        If it exists already or cannot be written.
    """
    with new_file(path, overwrite=overwrite) as (file, disk):
        file.attrs["format"] = FORMAT
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["spec"] = header.spec.to_json()
        file.attrs["model"] = header.model
        file.attrs["model_sha256"] = header.model_sha256
        file.attrs["catalog"] = header.catalog
        file.attrs["has_ids"] = header.has_ids
        if header.name_column is not None:
            file.attrs["name_column"] = header.name_column
        writer = AtlasWriter(file, disk, n_galaxies, vectors)
        yield writer
        writer.finish()


def _little_endian(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind == "b":
        return values.astype("u1")
    return values.astype(values.dtype.newbyteorder("<"))
