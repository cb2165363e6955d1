"""The columns of an archive: ids, and what else the catalogue said of its galaxies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import ArchiveError
from photoz_ssl.object_ids import UnfitIdError, integer_ids
from photoz_ssl.survey.blocks import GalaxyBlock
from photoz_ssl.survey.named_columns import columns_named

__all__ = [
    "COLUMNS_GROUP",
    "LONGEST_TEXT",
    "NULL",
    "OWN_ID",
    "SPECTRUM_ID",
    "further_columns",
    "object_ids",
    "read_column",
    "spectrum_id_column",
    "spectrum_ids",
]

COLUMNS_GROUP = "columns"
"""Group of the catalogue's further numeric columns, one 1-D dataset each."""

OWN_ID = "OBJID"
"""What the dataset of ids is called among the columns."""

LONGEST_TEXT = 256
"""Bytes of a text that is read from a column; nothing that is an id or a name is longer."""

SPECTRUM_ID = "SPECOBJID"
"""The further column that the published key ``specObjID`` stands for; 0 where there is none."""

NULL = "null"
"""Attribute of a column of integers: the one that stands for no value."""


def spectrum_id_column(table: np.dtype[Any]) -> str | None:
    """The column of a table that holds the ids of spectra, whatever its case."""
    names = columns_named(table, (SPECTRUM_ID,))
    return next((name for name in names if table[name].kind in "iu"), None)


def object_ids(path: Path, file: h5py.File, n_galaxies: int) -> NDArray[np.int64]:
    """Read the ids; rows are numbered where there are none."""
    if "ObjID" not in file:
        return np.arange(n_galaxies)
    try:
        return integer_ids(read_column(path, file["ObjID"], (n_galaxies,)))
    except UnfitIdError as error:
        raise ArchiveError(f"'ObjID' in {path}: {error}", "store ids as int64") from error


def further_columns(
    path: Path, file: h5py.File, n_galaxies: int
) -> tuple[dict[str, NDArray[Any]], dict[str, int]]:
    """The columns that there are, and the integers that stand for no value in them."""
    columns, nulls = {}, {}
    for name, values in file.get(COLUMNS_GROUP, {}).items():
        columns[name] = read_column(path, values, (n_galaxies,))
        if NULL in values.attrs and columns[name].dtype.kind in "iu":
            nulls[name] = int(values.attrs[NULL])
    if "specObjID" in file:
        spectrum_id = read_column(path, file["specObjID"], (n_galaxies,))
        if spectrum_id.dtype.kind in "iu" and spectrum_id.any():
            columns.setdefault(SPECTRUM_ID, spectrum_id)
    return columns, nulls


def read_column(path: Path, dataset: object, shape: tuple[int, ...]) -> NDArray[Any]:
    """Read a dataset, once its shape is known to be what it should be."""
    if not isinstance(dataset, h5py.Dataset):
        raise ArchiveError(f"{path} has a group where a column should be")
    if dataset.shape != shape:
        raise ArchiveError(f"{dataset.name!r} in {path} has shape {dataset.shape}, not {shape}")
    if dataset.dtype.kind not in "biufcO" and dataset.dtype.itemsize > LONGEST_TEXT:
        raise ArchiveError(
            f"{dataset.name!r} in {path} has {dataset.dtype.itemsize} bytes an entry,"
            f" more than {LONGEST_TEXT}",
            "leave it out of the archive",
        )
    return np.asarray(dataset[()])


def spectrum_ids(block: GalaxyBlock) -> NDArray[np.integer[Any]]:
    """Ids of spectra; unsigned where they are: those of plates from 8192 on need all 64 bits."""
    name = spectrum_id_column(block.table.dtype)
    if name is None:
        return np.zeros(len(block), np.int64)
    values = np.asarray(block.table[name])
    return values if values.dtype == np.uint64 else values.astype(np.int64)
