"""The atlas: representations of galaxies, computed once and kept for searching.

An atlas has one row for each row of the catalogue that it was made from, in the same order. A
galaxy whose image could not be used has a row of NaN and is nobody's neighbour. Vectors and
columns are stored contiguous and uncompressed, so that an atlas larger than memory is read by
memory map.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import ArchiveError, SpecMismatchError, columns_hint
from photoz_ssl.hdf5 import mapped_dataset, open_file
from photoz_ssl.neighbours.products import Vectors
from photoz_ssl.neighbours.projection import Projection
from photoz_ssl.spec import ImageSpec

__all__ = ["COLUMNS", "COLUMNS_GROUP", "Atlas", "AtlasHeader", "is_atlas", "read_atlas"]

FORMAT = "photoz-ssl atlas"
FORMAT_VERSION = 3

COLUMNS = {"ObjID": "<i8", "ra": "<f8", "dec": "<f8", "specz_redshift": "<f4"}
"""Datasets with one number a galaxy, by the archive's names, and their types."""

CATALOG_NAMES = {"OBJID": "ObjID", "RA": "ra", "DEC": "dec", "Z_SPEC": "specz_redshift"}
"""What these datasets are called among the catalogue's columns."""

COLUMNS_GROUP = "columns"
"""Group of the catalogue's further columns, one 1-D dataset each."""

PROJECTION_GROUP = "projection"
LOOKS = "looks"

VECTOR_KINDS = ("<f2", "<f4")

MAKE_AGAIN = "make the atlas again with photoz-ssl embed"

ROWS_LOOKED_AT = 4096
"""At a time, for the first galaxy with a representation."""


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
    name_column : str, optional
        Column with the catalogue's own ids, where they are text.
    """

    spec: ImageSpec
    model: str
    model_sha256: str
    catalog: str
    has_ids: bool
    name_column: str | None = None

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
    """An atlas opened for reading; its arrays are read-only memory maps.

    Parameters
    ----------
    path : Path
        Where it is.
    header : AtlasHeader
        What made it.
    fingerprint : str
        SHA-256 of its ids and vectors, by which an index knows its atlas.
    object_id : ndarray, shape (n_galaxies,), int64
        Ids.
    ra, dec : ndarray, shape (n_galaxies,), float64
        Degrees; NaN where unknown.
    redshift : ndarray, shape (n_galaxies,), float32
        Spectroscopic; NaN where unknown.
    representations : ndarray, shape (n_galaxies, n_features), float16 or float32
        Unit vectors; NaN where there was no usable image.
    columns : mapping of str to ndarray, shape (n_galaxies,)
        The catalogue's columns of numbers and short text; OBJID, RA, DEC and Z_SPEC among them,
        of which OBJID may be text.
    projection : Projection, optional
        What the encoder's representations were projected by, as queries have to be.
    has_thumbnails : bool
        Whether it holds a picture a galaxy.
    looks : ndarray, shape (n_galaxies, n_numbers), float32, optional
        Plain descriptions of the images, NaN where there was no usable one.
    """

    path: Path
    header: AtlasHeader
    fingerprint: str
    object_id: NDArray[np.int64]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    redshift: NDArray[np.float32]
    representations: Vectors
    columns: Mapping[str, NDArray[Any]]
    projection: Projection | None
    has_thumbnails: bool
    looks: NDArray[np.float32] | None = None

    def require_galaxies(self) -> None:
        """Refuse an atlas in which there is nothing to find.

        Raises
        ------
        ArchiveError
            If it has no rows, or none with a representation.
        """
        starts = range(0, len(self), ROWS_LOOKED_AT)
        blocks = (self.representations[start : start + ROWS_LOOKED_AT, 0] for start in starts)
        if not any(bool(np.isfinite(block).any()) for block in blocks):
            raise ArchiveError(
                f"the atlas {self.path} is empty", "make it of a catalogue with usable images"
            )

    def __len__(self) -> int:
        return len(self.object_id)

    @property
    def names(self) -> NDArray[np.bytes_] | None:
        """The catalogue's own ids, shape (n_galaxies,), where they are text; else None."""
        found = self.columns.get(self.header.name_column or "")
        return found if found is not None and found.dtype.kind == "S" else None

    def name_of(self, row: int) -> str:
        """What a galaxy is called in the catalogue: its id, whole number or text."""
        if self.names is None:
            return str(self.object_id[row])
        return bytes(self.names[row]).decode("utf-8", "replace").strip()

    def column(self, name: str) -> NDArray[Any]:
        """A column of the catalogue, shape (n_galaxies,), whatever the case of its name.

        Raises
        ------
        ArchiveError
            If there is no such column.
        """
        by_name = {known.upper(): known for known in reversed([*self.columns])}
        if name.upper() not in by_name:
            raise ArchiveError(
                f"{self.path} has no column {name}",
                columns_hint([*self.columns]),
            )
        return self.columns[name if name in self.columns else by_name[name.upper()]]

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
        with open_file(path) as file:
            return "representations" in file
    except (OSError, RuntimeError, KeyError, ValueError):
        return False


def read_atlas(path: Path) -> Atlas:
    """Open an atlas without reading its vectors and columns.

    Raises
    ------
    ArchiveError
        If the file is missing, damaged or not an atlas.
    """
    if not path.exists():
        raise ArchiveError(f"there is no atlas {path}", "make one with photoz-ssl embed")
    with _readable(path) as file:
        representations = _representations(path, file)
        n_galaxies = len(representations)
        own = {name: _column(path, file, name, n_galaxies, kind) for name, kind in COLUMNS.items()}
        further = {
            name: _column(path, file, f"{COLUMNS_GROUP}/{name}", n_galaxies, "")
            for name in file.get(COLUMNS_GROUP, ())
        }
        texts = {name: further[name] for name in further if name.upper() in CATALOG_NAMES}
        taken = {name.upper() for name in texts}
        numbers = {name: own[key] for name, key in CATALOG_NAMES.items() if name not in taken}
        pictures = file.get("thumbnails")
        return Atlas(
            path=path,
            header=_header(path, file.attrs),
            fingerprint=str(file.attrs["fingerprint"]),
            object_id=own["ObjID"],
            ra=own["ra"],
            dec=own["dec"],
            redshift=own["specz_redshift"],
            representations=representations,
            columns={**texts, **numbers, **further},
            projection=_projection(path, file, representations.shape[1]),
            has_thumbnails=getattr(pictures, "shape", ())[:1] == representations.shape[:1],
            looks=_looks(path, file, n_galaxies),
        )


@contextmanager
def _readable(path: Path) -> Iterator[h5py.File]:
    """Open a file of unknown content; whatever is wrong with it becomes one sentence."""
    try:
        with open_file(path) as file:
            yield file
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise ArchiveError(
            f"{path} is not a readable atlas of representations",
            "it may be truncated or of another kind; make it again with photoz-ssl embed",
        ) from error


def _header(path: Path, attributes: Any) -> AtlasHeader:
    version = int(attributes["format_version"])
    if version > FORMAT_VERSION:
        raise ArchiveError(f"{path} is of a newer format", "update photoz-ssl")
    if version < FORMAT_VERSION:
        raise ArchiveError(f"{path} is of an older format", "make it again with photoz-ssl embed")
    return AtlasHeader(
        spec=ImageSpec.from_json(str(attributes["spec"])),
        model=str(attributes["model"]),
        model_sha256=str(attributes["model_sha256"]),
        catalog=str(attributes["catalog"]),
        has_ids=bool(attributes["has_ids"]),
        name_column=str(attributes["name_column"]) if "name_column" in attributes else None,
    )


def _representations(path: Path, file: h5py.File) -> Vectors:
    dataset = file.get("representations")
    if not isinstance(dataset, h5py.Dataset) or dataset.ndim != 2:
        raise ArchiveError(
            f"{path} holds no representations", "name an atlas made by photoz-ssl embed"
        )
    if dataset.dtype.str not in VECTOR_KINDS:
        raise ArchiveError(
            f"the representations of {path} are {dataset.dtype}, not float16 or float32",
            "make the atlas again with photoz-ssl embed",
        )
    return mapped_dataset(path, dataset, MAKE_AGAIN)


def _looks(path: Path, file: h5py.File, n_galaxies: int) -> NDArray[np.float32] | None:
    if LOOKS not in file:
        return None
    dataset = file[LOOKS]
    known = isinstance(dataset, h5py.Dataset) and dataset.dtype.str == "<f4"
    if not known or dataset.ndim != 2 or len(dataset) != n_galaxies:
        raise ArchiveError(f"{LOOKS!r} in {path} does not fit its representations")
    return mapped_dataset(path, dataset, MAKE_AGAIN)


def _projection(path: Path, file: h5py.File, n_components: int) -> Projection | None:
    if PROJECTION_GROUP not in file:
        return None
    mean, axes = (np.asarray(file[PROJECTION_GROUP][name][()]) for name in ("mean", "axes"))
    if axes.shape != (*mean.shape, n_components) or {mean.dtype.str, axes.dtype.str} != {"<f4"}:
        raise ArchiveError(f"the projection in {path} does not fit its representations")
    return Projection(mean, axes)


def _column(path: Path, file: h5py.File, name: str, n_galaxies: int, kind: str) -> NDArray[Any]:
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset) or dataset.shape != (n_galaxies,):
        raise ArchiveError(f"{path} lacks {name!r} with one entry a representation")
    if dataset.dtype.kind not in "iufS" or (kind and dataset.dtype.str != kind):
        raise ArchiveError(f"{name!r} in {path} is of the type {dataset.dtype}")
    return mapped_dataset(path, dataset, MAKE_AGAIN)
