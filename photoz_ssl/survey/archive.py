"""The archive of galaxies: HDF5 with the key names of the published SDSS data set.

``images`` is stored contiguous and uncompressed, so that rows are read by memory-mapping the
file at the dataset's offset: without HDF5's lock, and safely in forked workers.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from photoz_ssl.config import SPLITS
from photoz_ssl.errors import ArchiveError
from photoz_ssl.hdf5 import mapped_dataset, open_file
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.archive_columns import (
    OWN_ID,
    further_columns,
    object_ids,
    read_column,
)
from photoz_ssl.survey.bands import R_DR12, ebv_from_extinction
from photoz_ssl.survey.blocks import GalaxyBlock
from photoz_ssl.survey.flags import UNUSABLE
from photoz_ssl.survey.placeholders import possible_reddening, without_placeholders

__all__ = ["Archive", "is_archive", "open_archive"]

log = logging.getLogger(__name__)

FORMAT_VERSION = 1
HDF5_SUFFIXES = (".h5", ".hdf5")

FINGERPRINT_STAMPS = 16

UNPACK = (
    "store it contiguous as little-endian float32; h5repack -l images:CONTI -f images:NONE"
    " unpacks it"
)
"""What to do about images that cannot be mapped."""


def is_archive(path: str | Path) -> bool:
    """Whether a path names an HDF5 file, by its suffix."""
    return str(path).lower().endswith(HDF5_SUFFIXES)


@dataclass(frozen=True)
class Archive:
    """An archive opened for reading; every array has one entry, or row, a galaxy.

    Parameters
    ----------
    path : Path
        Where it is.
    spec : ImageSpec
        What the images are.
    images : ndarray, shape (n_galaxies, n_bands, size, size), float32
        A read-only memory map, nanomaggies.
    object_id : ndarray, shape (n_galaxies,), int64
        Ids.
    ra, dec : ndarray, shape (n_galaxies,), float64
        Degrees.
    ebv : ndarray, shape (n_galaxies,), float32
        E(B-V) of SFD, magnitudes; NaN where unknown.
    redshift, redshift_error : ndarray, shape (n_galaxies,), float32
        Spectroscopic; NaN where unlabelled.
    flags : ndarray, shape (n_galaxies,), int32
        `photoz_ssl.survey.flags.RowFlag` bits.
    split : ndarray, shape (n_galaxies,), str
        ``train``, ``valid``, ``test`` or empty.
    columns : dict of str to ndarray, shape (n_galaxies,)
        Further columns of the catalogue: numbers, and ids that are text.
    id_column : str, optional
        Which column is the id; None where there is none, and galaxies are numbered from 0.
    nulls : dict of str to int
        For columns of integers the one that stands for no value, where there is one.
    """

    path: Path
    spec: ImageSpec
    images: NDArray[np.float32]
    object_id: NDArray[np.int64]
    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    ebv: NDArray[np.float32]
    redshift: NDArray[np.float32]
    redshift_error: NDArray[np.float32]
    flags: NDArray[np.int32]
    split: NDArray[np.str_]
    columns: dict[str, NDArray[np.generic]]
    id_column: str | None = OWN_ID
    nulls: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.object_id)

    @cached_property
    def has_splits(self) -> bool:
        """Whether any row has a split; looked for once, as a large archive has many blocks."""
        return bool(np.any(self.split != ""))

    def rows(self, *, split: str | None = None, labelled: bool = False) -> NDArray[np.int64]:
        """Rows with a usable image and a known reddening, in order.

        Parameters
        ----------
        split : str, optional
            Only rows of this split. Where no row of the archive has a split, every row
            counts as ``train``.
        labelled : bool
            Only rows with a finite spectroscopic redshift.
        """
        chosen = (self.flags & int(UNUSABLE)) == 0
        chosen &= np.isfinite(self.ebv)
        if split is not None:
            unsplit = split == SPLITS[0] and not self.has_splits
            chosen &= np.ones(len(self), bool) if unsplit else self.split == split
        if labelled:
            chosen &= np.isfinite(self.redshift)
        return np.flatnonzero(chosen)

    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of what training depends on: columns, spec and some stamps.

        About 16 evenly spaced stamps stand for all, as reading every image may take hours.
        """
        digest = hashlib.sha256(self.spec.to_json().encode())
        split = self.split.astype("S5")
        for column in (self.object_id, self.ebv, self.redshift, self.flags, split):
            digest.update(column.tobytes())
        for row in range(0, len(self), max(1, len(self) // FINGERPRINT_STAMPS)):
            digest.update(self.images[row].tobytes())
        return digest.hexdigest()

    def blocks(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[GalaxyBlock]:
        """Consecutive blocks of at most ``size`` galaxies, of all rows or a range of them."""
        end = len(self) if stop is None else stop
        for first in range(start, end, size):
            yield self.block(slice(first, min(first + size, end)))

    def block(self, rows: slice) -> GalaxyBlock:
        """The galaxies of a slice of rows, their images copied into memory."""
        return GalaxyBlock(
            start=rows.start,
            object_id=self.object_id[rows],
            ra=self.ra[rows],
            dec=self.dec[rows],
            images=np.array(self.images[rows]),
            ebv=self.ebv[rows],
            flags=self.flags[rows],
            redshift=self.redshift[rows],
            redshift_error=self.redshift_error[rows],
            split=self.split[rows],
            table=self._table(rows),
        )

    def _table(self, rows: slice) -> NDArray[np.void]:
        columns: dict[str, NDArray[np.generic]] = {
            **({OWN_ID: self.object_id[rows]} if self.id_column == OWN_ID else {}),
            "RA": self.ra[rows],
            "DEC": self.dec[rows],
            "Z_SPEC": self.redshift[rows],
        }
        if self.has_splits:
            columns["SPLIT"] = self.split[rows].astype("S5")
        columns |= {name: values[rows] for name, values in self.columns.items()}
        kinds = [(name, values.dtype) for name, values in columns.items()]
        table = np.empty(len(self.object_id[rows]), dtype=kinds)
        for name, values in columns.items():
            table[name] = values
        return table


def open_archive(path: Path) -> Archive:
    """Open an archive, ours or one in the published layout, without reading its images.

    Raises
    ------
    ArchiveError
        If the file is missing, is not HDF5, or lacks what an archive has.
    """
    if not path.exists():
        raise ArchiveError(f"there is no archive {path}", "make one with photoz-ssl prepare")
    try:
        with open_file(path) as file:
            archive = _read(path, file)
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise ArchiveError(
            f"{path} is not a readable HDF5 archive of galaxies",
            "make one of a catalogue with photoz-ssl prepare, or copy it again if it is truncated",
        ) from error
    log.info("read the archive %s, %d rows", path, len(archive))
    return archive


def _read(path: Path, file: h5py.File) -> Archive:
    images = _map_images(path, file)
    n_galaxies, n_bands, size = images.shape[:3]

    def column(name: str, default: float, dtype: type) -> NDArray[Any]:
        if name not in file:
            return np.full(n_galaxies, default, dtype=dtype)
        return read_column(path, file[name], (n_galaxies,)).astype(dtype)

    if "spec" in file.attrs:
        spec = ImageSpec.from_json(str(file.attrs["spec"]))
    else:
        spec = ImageSpec(size=size)
    if (len(spec.bands), spec.size) != (n_bands, size):
        raise ArchiveError(
            f"the images of {path} have {n_bands} bands of {size} pixels, not"
            f" {len(spec.bands)} of {spec.size}",
            "make it again of images in these bands",
        )
    split = column("split", -1, np.int8)
    known_split = (split >= 0) & (split < len(SPLITS))
    columns, nulls = further_columns(path, file, n_galaxies)
    id_column = str(file.attrs.get("id_column", OWN_ID if "ObjID" in file else ""))
    return Archive(
        path=path,
        spec=spec,
        images=images,
        object_id=object_ids(path, file, n_galaxies),
        ra=column("ra", np.nan, np.float64),
        dec=column("dec", np.nan, np.float64),
        ebv=_reddening(path, file, n_galaxies),
        redshift=without_placeholders(column("specz_redshift", np.nan, np.float32)),
        redshift_error=column("specz_redshift_err", np.nan, np.float32),
        flags=column("flags", 0, np.int32),
        split=np.array([*SPLITS, ""])[np.where(known_split, split, len(SPLITS))],
        columns=columns,
        id_column=id_column if id_column in (OWN_ID, *columns) else None,
        nulls=nulls,
    )


def _reddening(path: Path, file: h5py.File, n_galaxies: int) -> NDArray[np.float32]:
    if "ebv" in file:
        reddening = read_column(path, file["ebv"], (n_galaxies,))
        return possible_reddening(reddening).astype(np.float32)
    if "e_bv" not in file:
        return np.full(n_galaxies, np.nan, dtype=np.float32)
    extinction = read_column(path, file["e_bv"], (n_galaxies, len(R_DR12)))
    return ebv_from_extinction(possible_reddening(extinction, R_DR12)).astype(np.float32)


def _map_images(path: Path, file: h5py.File) -> NDArray[np.float32]:
    """Memory-map the contiguous float32 dataset of images where it lies in the file."""
    dataset, is_atlas = file.get("images"), "representations" in file
    if not isinstance(dataset, h5py.Dataset):
        what = "is an atlas, and has no images" if is_atlas else "has no dataset 'images'"
        raise ArchiveError(f"{path} {what}", "name an archive made by prepare")
    if dataset.ndim != 4 or dataset.shape[2] != dataset.shape[3]:
        raise ArchiveError(
            f"'images' in {path} has shape {dataset.shape}, not (galaxies, bands, size, size)"
        )
    if dataset.dtype != np.dtype("<f4"):
        raise ArchiveError(f"'images' in {path} is {dataset.dtype}, not float32", UNPACK)
    return mapped_dataset(path, dataset, UNPACK)
