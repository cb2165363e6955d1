"""The HDF5 files of LSST DESC's ``qp`` as catalogues: the table, and the PDFs beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from photoz_ssl.survey.exchange.incoming import (
    LONGEST_TEXT,
    ROWS_AT_ONCE,
    Incoming,
    IncomingTable,
    Masked,
    incoming_table,
)
from photoz_ssl.survey.tables.pdf_form import HISTOGRAM, QUANTILES, PdfForm

__all__ = ["is_other_hdf5", "read_qp"]

CLASSES = MappingProxyType(
    {"hist": ("bins", "pdfs"), "quant": ("quants", "locs"), "interp": ("xvals", "yvals")}
)
"""For classes of qp what their PDFs have in common, and what each has of its own."""

LARGEST_RATIO = 1100
"""How many bytes deflate makes of one, about."""

LARGEST_CHUNK = 256 << 20
"""Bytes that HDF5 has to unpack at once."""

BLOCK_BYTES = 16 << 20
"""How much is read at once; text takes four times that, and once more while it is converted."""

LARGEST_PDF = 4096
"""Numbers that a PDF is."""


def is_other_hdf5(path: Path) -> bool:
    """Whether an HDF5 file can be opened, and is none of qp's."""
    try:
        with h5py.File(path, "r") as file:
            return not {"meta", "data"} <= set(file)
    except (OSError, RuntimeError):
        return False


def read_qp(path: Path) -> IncomingTable:
    """The columns of a qp file that have one number or text of fixed length a row, and its PDFs.

    Of the classes that there are it reads histograms, quantiles and PDFs between points of a
    grid, which become histograms between these points.

    Parameters
    ----------
    path : Path
        The file. Its numbers have to be in it: links are not followed.
    """
    with h5py.File(path, "r") as file:
        name = _class_of(file)
        common, own = CLASSES[name]
        points = _few(_dataset(file, "meta", common)).astype(np.float64)
        n_rows = _require_pdfs(name, points, _dataset(file, "data", own))
        ancil = _group(file, "ancil")
        found = {key: _column(key, _dataset(file, "ancil", key), n_rows) for key in ancil}
    columns = [column for column in found.values() if column is not None]
    names = [column.name for column in columns]
    rows = _blocks(path, "ancil", names, n_rows)
    table = incoming_table(columns, rows, [key for key in found if found[key] is None])
    form = PdfForm(QUANTILES if name == "quant" else HISTOGRAM, tuple(points.tolist()))
    told, row = form.meta()
    pdfs = _blocks(path, "data", [own], n_rows)
    values = Incoming(name=form.column.name, kind=np.dtype("f8"), shape=(form.n_values,))
    beside = {
        "META": IncomingTable(told, row.dtype, iter([row])),
        "DATA": incoming_table([values], map(_between_points, pdfs) if name == "interp" else pdfs),
    }
    return replace(table, beside=beside)


def _class_of(file: h5py.File) -> str:
    """Which class of qp the PDFs are of."""
    word = _few(_dataset(file, "meta", "pdf_name"))[0]
    name = word.decode("utf-8", "replace") if isinstance(word, bytes) else str(word)
    if name not in CLASSES:
        raise ValueError(f"its PDFs are of qp's class {name[:40]}, not of {', '.join(CLASSES)}")
    return name


def _few(dataset: h5py.Dataset) -> NDArray[Any]:
    """All values of a dataset that should have few."""
    if dataset.size > LARGEST_PDF:
        raise ValueError(f"its {dataset.name[1:]} has {dataset.size} values")
    return np.ravel(dataset[()])


def _require_pdfs(name: str, points: NDArray[np.float64], pdfs: h5py.Dataset) -> int:
    """Refuse PDFs that are none; how many there are."""
    n_values = len(points) - (name == "hist")
    if not 2 <= len(points) <= LARGEST_PDF or pdfs.shape[1:] != (n_values,):
        raise ValueError(f"its PDFs, of shape {pdfs.shape}, do not fit its {len(points)} points")
    if pdfs.dtype.kind != "f" or not np.all(np.diff(points) > 0):
        raise ValueError(f"its {CLASSES[name][0]} do not rise, or its PDFs are no numbers")
    if name == "quant" and (points[0], points[-1]) != (0, 1):
        raise ValueError("its quantiles do not reach from 0 to 1")
    return len(pdfs)


def _column(name: str, dataset: h5py.Dataset, n_rows: int) -> Incoming | None:
    """A column as it says it is; None for one that a table of FITS cannot have."""
    kind = dataset.dtype
    if dataset.shape != (n_rows,) or kind.kind not in "biufS" or kind.itemsize > LONGEST_TEXT:
        return None
    if kind.kind == "S":
        kind = np.dtype(f"U{kind.itemsize}")
    unit, ucd, description = (
        str(dataset.attrs.get(key, "")) for key in ("unit", "ucd", "description")
    )
    return Incoming(name=name, kind=kind, unit=unit, ucd=ucd, description=description)


def _between_points(block: Mapping[str, Masked]) -> Mapping[str, Masked]:
    """Densities between points of a grid from those at the points, between which qp is linear."""
    at, _ = block["yvals"]
    density = (at[:, 1:] + at[:, :-1]) / 2
    return {"pdfs": (density, np.zeros(density.shape, bool))}


def _blocks(
    path: Path, group: str, names: Sequence[str], n_rows: int
) -> Iterator[Mapping[str, Masked]]:
    """Datasets a block of rows at a time; the file is opened when the first is asked for."""
    with h5py.File(path, "r") as file:
        datasets = {name: _dataset(file, group, name) for name in names}
        at_once = min(max(1, BLOCK_BYTES // _row_bytes(datasets.values())), ROWS_AT_ONCE)
        for start in range(0, n_rows, at_once):
            rows = slice(start, min(start + at_once, n_rows))
            block = {name: _plain(dataset[rows]) for name, dataset in datasets.items()}
            yield {name: (values, np.zeros(values.shape, bool)) for name, values in block.items()}


def _row_bytes(datasets: Iterable[h5py.Dataset]) -> int:
    return sum(one.dtype.itemsize * math.prod(one.shape[1:]) for one in datasets) or 1


def _plain(values: NDArray[Any]) -> NDArray[Any]:
    return np.char.decode(values, "utf-8", "replace") if values.dtype.kind == "S" else values


def _group(file: h5py.File, name: str) -> h5py.Group:
    """A group of the file itself."""
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"it has no {name}")
    group = file[name]
    if not isinstance(group, h5py.Group):
        raise TypeError(f"its {name} is no group")
    return group


def _dataset(file: h5py.File, group: str, name: str) -> h5py.Dataset:
    """A dataset of the file itself, of a size that the file can have."""
    inside = _group(file, group)
    if not isinstance(inside.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"it has no {group}/{name}")
    dataset = inside[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise ValueError(f"its {group}/{name} is no dataset, or one in another file")
    n_bytes = dataset.size * dataset.dtype.itemsize
    chunk = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
    file_size = Path(file.filename).stat().st_size
    if n_bytes > LARGEST_RATIO * file_size or chunk > LARGEST_CHUNK:
        raise ValueError(f"its {group}/{name} promises more than the file can hold")
    return dataset
