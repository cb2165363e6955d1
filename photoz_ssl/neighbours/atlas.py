"""The atlas: representations of galaxies, computed once and kept for searching.

An atlas has one row for each row of the catalogue that it was made from, in the same order. A
galaxy whose image could not be used has a row of NaN and is nobody's neighbour. The
representations are stored contiguous and uncompressed, so that they are memory-mapped.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import ArchiveError, SpecMismatchError
from photoz_ssl.files import DeferredWrites, atomic_output
from photoz_ssl.spec import ImageSpec

__all__ = ["Atlas", "AtlasHeader", "AtlasWriter", "create_atlas", "is_atlas", "read_atlas"]

FORMAT = "photoz-ssl atlas"
FORMAT_VERSION = 1

COLUMNS = {"ObjID": "<i8", "ra": "<f8", "dec": "<f8", "specz_redshift": "<f4"}
"""Datasets with one number a galaxy, by the archive's names, and their types."""


@dataclass(frozen=True, kw_only=True)
class AtlasHeader:
    """What made an atlas.

    Parameters
    ----------
    spec : ImageSpec
        The images that were represented.
    model, model_sha256 : str
        Name of the model that represented them, and SHA-256 of its file.
    catalog : str
        Name of the catalogue or archive.
    has_ids : bool
        Whether the ids are the catalogue's own; if not, they are its row numbers.
    """

    spec: ImageSpec
    model: str
    model_sha256: str
    catalog: str
    has_ids: bool

    def require_model(self, sha256: str, *, model: str, atlas: str) -> None:
        """Refuse to search an atlas with the representations of another model.

        Parameters
        ----------
        sha256, model : str
            SHA-256 of the other model's file, and its name.
        atlas : str
            Name of this atlas, for the error.

        Raises
        ------
        SpecMismatchError
            If the atlas was made by another model.
        """
        if self.model_sha256 != sha256:
            raise SpecMismatchError(
                f"{atlas} was made by the model {self.model} ({self.model_sha256[:8]}), not by"
                f" {model} ({sha256[:8]})",
                "name its model with --model, or make it again with photoz-ssl embed",
            )


@dataclass(frozen=True, kw_only=True)
class Atlas:
    """An atlas opened for reading.

    Parameters
    ----------
    path : Path
        Where it is.
    header : AtlasHeader
        What made it.
    object_id : ndarray, shape (n_galaxies,), int64
        Ids.
    ra, dec : ndarray, shape (n_galaxies,), float64
        Degrees; NaN where unknown.
    redshift : ndarray, shape (n_galaxies,), float32
        Spectroscopic; NaN where unknown.
    representations : ndarray, shape (n_galaxies, n_features), float32
        Unit vectors, a read-only memory map; NaN where there was no usable image.
    has_thumbnails : bool
        Whether it holds a picture a galaxy.
    """

    path: Path
    header: AtlasHeader
    object_id: NDArray[np.int64]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    redshift: NDArray[np.float32]
    representations: NDArray[np.float32]
    has_thumbnails: bool

    def __len__(self) -> int:
        return len(self.object_id)

    def thumbnails(self, rows: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Read the pictures of some rows.

        Parameters
        ----------
        rows : ndarray, shape (n,), int
            In any order, with repetitions.

        Returns
        -------
        ndarray, shape (n, 64, 64, 3), uint8
            Red, green, blue; the first axis of a picture points up.

        Raises
        ------
        ArchiveError
            If the atlas holds no pictures, or they are damaged.
        """
        if not self.has_thumbnails:
            raise ArchiveError(
                f"{self.path} holds no pictures", "make it again with photoz-ssl embed --thumbnails"
            )
        with _readable(self.path) as file:
            pictures = file["thumbnails"]
            return np.stack([np.asarray(pictures[int(row)], np.uint8) for row in rows])


def is_atlas(path: Path) -> bool:
    """Whether a file is HDF5 and holds representations; False if there is no such file."""
    try:
        with h5py.File(path, "r") as file:
            return "representations" in file
    except (OSError, RuntimeError, KeyError, ValueError):
        return False


def read_atlas(path: Path) -> Atlas:
    """Open an atlas without reading its representations.

    Raises
    ------
    ArchiveError
        If the file is missing, damaged or not an atlas.
    """
    if not path.exists():
        raise ArchiveError(f"there is no atlas {path}", "make one with photoz-ssl embed")
    with _readable(path) as file:
        representations = _map_representations(path, file.get("representations"))
        columns = {name: _column(path, file, name, len(representations)) for name in COLUMNS}
        pictures = file.get("thumbnails")
        return Atlas(
            path=path,
            header=_header(path, file.attrs),
            object_id=columns["ObjID"],
            ra=columns["ra"],
            dec=columns["dec"],
            redshift=columns["specz_redshift"],
            representations=representations,
            has_thumbnails=getattr(pictures, "shape", ())[:1] == representations.shape[:1],
        )


@contextmanager
def _readable(path: Path) -> Iterator[h5py.File]:
    """Open a file of unknown content; whatever is wrong with it becomes one sentence."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise ArchiveError(
            f"{path} is not a readable atlas of representations",
            "it may be truncated or of another kind; make it again with photoz-ssl embed",
        ) from error


def _header(path: Path, attributes: Any) -> AtlasHeader:
    if int(attributes["format_version"]) > FORMAT_VERSION:
        raise ArchiveError(f"{path} is of a newer format", "update photoz-ssl")
    return AtlasHeader(
        spec=ImageSpec.from_json(str(attributes["spec"])),
        model=str(attributes["model"]),
        model_sha256=str(attributes["model_sha256"]),
        catalog=str(attributes["catalog"]),
        has_ids=bool(attributes["has_ids"]),
    )


def _column(path: Path, file: h5py.File, name: str, n_galaxies: int) -> NDArray[Any]:
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset) or dataset.shape != (n_galaxies,):
        raise ArchiveError(f"{path} lacks {name!r} with one entry a representation")
    return np.asarray(dataset[()]).astype(np.dtype(COLUMNS[name]).newbyteorder("="))


def _map_representations(path: Path, dataset: object) -> NDArray[np.float32]:
    if not isinstance(dataset, h5py.Dataset) or dataset.ndim != 2:
        raise ArchiveError(
            f"{path} holds no representations", "name an atlas made by photoz-ssl embed"
        )
    if 0 in dataset.shape:
        return np.empty(dataset.shape, dtype=np.float32)
    offset = dataset.id.get_offset()
    if offset is None or dataset.dtype != np.dtype("<f4"):
        raise ArchiveError(
            f"the representations of {path} are compressed, chunked or not float32",
            "make the atlas again with photoz-ssl embed",
        )
    if path.stat().st_size < offset + dataset.size * dataset.dtype.itemsize:
        raise ArchiveError(f"{path} is truncated", "copy or make it again")
    return np.memmap(path, dtype="<f4", mode="r", offset=offset, shape=dataset.shape)


class AtlasWriter:
    """Appends galaxies to an atlas whose length is known; see `create_atlas`."""

    def __init__(self, file: h5py.File, disk: DeferredWrites, n_galaxies: int) -> None:
        self._file = file
        self._disk = disk
        self._n_galaxies = n_galaxies
        self._n_written = 0
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
        thumbnails: NDArray[np.uint8] | None = None,
    ) -> None:
        """Write the next n galaxies.

        Parameters
        ----------
        object_id, ra, dec, redshift : ndarray, shape (n,)
            As in `Atlas`.
        representations : ndarray, shape (n, n_features)
            Unit vectors, or NaN.
        thumbnails : ndarray, shape (n, 64, 64, 3), uint8, optional
            Pictures; either every call has them or none.
        """
        rows = slice(self._n_written, self._n_written + len(object_id))
        for name, values in zip(COLUMNS, (object_id, ra, dec, redshift), strict=True):
            self._file[name][rows] = values
        self._rows_of("representations", representations, "<f4")[rows] = representations
        if thumbnails is not None:
            self._rows_of("thumbnails", thumbnails, "u1")[rows] = thumbnails
        self._n_written = rows.stop
        self._disk.check()

    def _rows_of(self, name: str, values: NDArray[Any], kind: str) -> Any:
        """The dataset of that name, created when its first rows come."""
        if name not in self._file:
            packing: dict[str, Any] = {}
            if values.ndim > 2:
                packing = {"chunks": (1, *values.shape[1:]), "compression": "gzip", "shuffle": True}
            shape = (self._n_galaxies, *values.shape[1:])
            self._file.create_dataset(name, shape=shape, dtype=kind, **packing)
        return self._file[name]


@contextmanager
def create_atlas(
    path: Path, header: AtlasHeader, n_galaxies: int, *, overwrite: bool = False
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
    overwrite : bool
        Whether an existing file may be replaced.

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
        file.attrs["format"] = FORMAT
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["spec"] = header.spec.to_json()
        file.attrs["model"] = header.model
        file.attrs["model_sha256"] = header.model_sha256
        file.attrs["catalog"] = header.catalog
        file.attrs["has_ids"] = header.has_ids
        yield AtlasWriter(file, disk, n_galaxies)
