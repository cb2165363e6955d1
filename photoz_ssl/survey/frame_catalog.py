"""A data frame of galaxies, such as a partition of a HATS catalogue, as a catalogue in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import CatalogError
from photoz_ssl.survey.catalog import Catalog

__all__ = ["catalog_of_frame"]

MOST_BYTES_OF_TEXT = 4096
"""Of a text; longer ones are no file names and no ids."""


def catalog_of_frame(frame: Any, path: str, folder: Path) -> Catalog:
    """A catalogue of the columns of a data frame that hold one number or text a row.

    Missing values become NaN, in columns of whole numbers too, and empty text.

    Parameters
    ----------
    frame : pandas.DataFrame
        At least one row.
    path : str
        What it is of, for errors.
    folder : Path
        Where file names in it are relative to.

    Raises
    ------
    CatalogError
        If it has no such column, or no row.
    """
    columns = {str(name): _values(frame[name]) for name in frame.columns}
    known = {name: values for name, values in columns.items() if values is not None}
    if not known or not len(frame):
        raise CatalogError(f"{path} has no columns of numbers or text", "name another catalogue")
    dtype = np.dtype([(name, values.dtype) for name, values in known.items()])
    rows = np.empty(len(frame), dtype)
    for name, values in known.items():
        rows[name] = values
    return Catalog(path, folder, len(rows), dtype, {name: {} for name in known}, rows)


def _values(column: Any) -> NDArray[Any] | None:
    """A column's values as FITS could hold them; None where it could not, one a row."""
    if not hasattr(column, "isna"):
        return None
    kind = str(column.dtype).lower()
    if kind.startswith("bool"):
        return np.asarray(column.fillna(False).to_numpy(dtype=bool))
    if kind.startswith(("int", "uint")):
        if not column.isna().any():
            return np.asarray(column.to_numpy(dtype=np.int64))
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    if kind.startswith(("float", "double", "halffloat", "decimal")):
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    if kind.startswith(("str", "large_string")):
        words = [str(word).encode("utf-8", "replace") for word in column.fillna("")]
        if max(map(len, words), default=0) <= MOST_BYTES_OF_TEXT:
            return np.array(words, dtype=f"S{max(map(len, words), default=1) or 1}")
    return None
