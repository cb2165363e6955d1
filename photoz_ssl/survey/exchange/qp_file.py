"""The HDF5 file that LSST DESC's ``qp`` reads: PDFs, and the table beside them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
from numpy.typing import NDArray

from photoz_ssl.hdf5 import DeferredWrites
from photoz_ssl.survey.tables.manifest import PdfRows
from photoz_ssl.survey.tables.pdf_form import MODE

if TYPE_CHECKING:
    from photoz_ssl.survey.exchange.formats import TableLayout

__all__ = ["QpWriter"]


class QpWriter:
    """Fills ``data`` with PDFs, and ``ancil`` with the table's columns."""

    def __init__(self, path: Path, layout: TableLayout) -> None:
        self._disk = DeferredWrites(path)
        self._file = h5py.File(self._disk, "w")
        self._layout, self._done = layout, 0
        assert layout.pdf_form is not None
        _, meta = layout.pdf_form.meta()
        for name in meta.dtype.names or ():
            self._file[f"meta/{name}"] = meta[name]
        self._pdfs = self._file.create_dataset(
            f"data/{layout.pdf_form.column.name}", (layout.n_rows, layout.pdf_form.n_values), "f4"
        )
        self._ancil = self._file.create_group("ancil", track_order=True)
        self._keys = _keys(column.name for column in layout.scalar_columns)
        for column in layout.scalar_columns:
            dataset = self._ancil.create_dataset(
                self._keys[column.name], (layout.n_rows,), layout.dtype[column.name]
            )
            told = {"unit": column.unit, "ucd": column.ucd, "description": column.description}
            dataset.attrs.update({key: text for key, text in told.items() if text})
        self._has_mode = MODE in self._ancil
        if not self._has_mode:
            self._ancil.create_dataset(MODE, (layout.n_rows,), "f8")
        for keyword, value, _ in layout.cards:
            self._file.attrs[keyword] = value

    def append(self, rows: NDArray[np.void], pdfs: PdfRows | None = None) -> None:
        """Write the next rows and their PDFs."""
        assert pdfs is not None
        place = slice(self._done, self._done + len(rows))
        self._pdfs[place] = pdfs["pdf"]
        if not self._has_mode:
            self._ancil[MODE][place] = pdfs["mode"]
        for name, key in self._keys.items():
            self._ancil[key][place] = rows[name]
        self._done += len(rows)
        self._disk.check()

    def close(self) -> None:
        """Write what HDF5 still holds back."""
        self._file.close()
        self._disk.__exit__(None, None, None)


def _keys(names: Iterable[str]) -> dict[str, str]:
    """Names of datasets for columns: HDF5 takes a slash for a group, and a dot for this one.

    >>> _keys(["MAG_R", "MAG/R", "."])
    {'MAG_R': 'MAG_R', 'MAG/R': 'MAG_R_', '.': '_'}
    """
    keys: dict[str, str] = {}
    for name in names:
        key = "_" if name == "." else name.replace("/", "_")
        while key in keys.values():
            key += "_"
        keys[name] = key
    return keys
