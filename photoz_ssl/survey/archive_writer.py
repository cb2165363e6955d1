"""Writing an archive, block by block, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from photoz_ssl.config import SPLITS
from photoz_ssl.hdf5 import DeferredWrites, new_file
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.archive import FORMAT_VERSION
from photoz_ssl.survey.archive_columns import COLUMNS_GROUP, NULL, OWN_ID, spectrum_ids
from photoz_ssl.survey.bands import extinction_from_ebv
from photoz_ssl.survey.blocks import GalaxyBlock

__all__ = ["ArchiveWriter", "create_archive"]


class ArchiveWriter:
    """Writes blocks of galaxies into an archive whose length is known; see `create_archive`."""

    def __init__(
        self,
        file: h5py.File,
        disk: DeferredWrites,
        spec: ImageSpec,
        n_galaxies: int,
        nulls: Mapping[str, int],
    ) -> None:
        self._nulls = nulls
        self._file = file
        self._disk = disk
        self._n_galaxies = n_galaxies
        shape = (n_galaxies, len(spec.bands), spec.size, spec.size)
        file.attrs["format"] = "photoz-ssl archive"
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["spec"] = spec.to_json()
        file.create_dataset("images", shape=shape, dtype="<f4")
        for name, dtype in (
            ("ObjID", "<i8"),
            ("ra", "<f8"),
            ("dec", "<f8"),
            ("ebv", "<f4"),
            ("specz_redshift", "<f4"),
            ("specz_redshift_err", "<f4"),
            ("flags", "<i4"),
            ("split", "i1"),
        ):
            file.create_dataset(name, shape=(n_galaxies,), dtype=dtype)
        file.create_dataset("e_bv", shape=(n_galaxies, 5), dtype="<f4")
        file["split"].attrs["names"] = ",".join(SPLITS)

    def write(self, block: GalaxyBlock, *, columns: tuple[str, ...] = ()) -> None:
        """Put a block at its own rows.

        Parameters
        ----------
        block : GalaxyBlock
            Galaxies; their images must have the archive's bands and size.
        columns : tuple of str
            Columns of ``block.table`` to store as well: numbers, or text in bytes.
        """
        rows = slice(block.start, block.start + len(block))
        numbers = {name: number for number, name in enumerate(SPLITS)}
        for name, values in (
            ("images", block.images),
            ("ObjID", block.object_id),
            ("ra", block.ra),
            ("dec", block.dec),
            ("ebv", block.ebv),
            ("e_bv", extinction_from_ebv(block.ebv)),
            ("specz_redshift", block.redshift),
            ("specz_redshift_err", block.redshift_error),
            ("flags", block.flags),
            ("split", [numbers.get(str(name), -1) for name in block.split]),
        ):
            self._file[name][rows] = values
        spectra = spectrum_ids(block)
        self._rows_of("specObjID", spectra)[rows] = spectra
        for name in columns:
            values = np.asarray(block.table[name])
            dataset = self._rows_of(f"{COLUMNS_GROUP}/{name}", values)
            dataset[rows] = values
            if name in self._nulls:
                dataset.attrs[NULL] = self._nulls[name]
        self._disk.check()

    def _rows_of(self, key: str, values: NDArray[Any]) -> Any:
        """The dataset of that name, made for its first values."""
        if key not in self._file:
            kind = values.dtype.newbyteorder("<")
            self._file.create_dataset(key, shape=(self._n_galaxies,), dtype=kind)
        return self._file[key]


@contextmanager
def create_archive(
    path: Path,
    spec: ImageSpec,
    n_galaxies: int,
    *,
    overwrite: bool = False,
    id_column: str | None = OWN_ID,
    nulls: Mapping[str, int] = MappingProxyType({}),
) -> Iterator[ArchiveWriter]:
    """Write an archive in bounded memory; it appears under its name when it is complete.

    Parameters
    ----------
    path : Path
        The archive to write.
    spec : ImageSpec
        What its images will be.
    n_galaxies : int
        Its length.
    overwrite : bool
        Whether an existing file may be replaced.
    id_column : str, optional
        A further column that holds the ids, where they are text; None where there are none.
    nulls : mapping of str to int
        For further columns of integers the one that stands for no value, where there is one.

    Raises
    ------
    photoz_ssl.errors.OutputError
        If it exists already or cannot be written.
    """
    with new_file(path, overwrite=overwrite) as (file, disk):
        if id_column != OWN_ID:
            file.attrs["id_column"] = id_column or ""
        yield ArchiveWriter(file, disk, spec, n_galaxies, nulls)
