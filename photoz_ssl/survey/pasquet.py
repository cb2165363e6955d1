"""``sdss.npz``, the galaxies of Pasquet et al. (2019, A&A 621, A26), as a catalogue.

``cube`` holds the images, shape (galaxy, y, x, band), and ``labels`` is a record array of what
is known of them (method section 1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import CatalogError
from photoz_ssl.spec import NETWORK_SIZE
from photoz_ssl.survey.bands import BANDS
from photoz_ssl.survey.catalog import Catalog
from photoz_ssl.survey.npz import NpzArray, open_npz

__all__ = ["open_pasquet"]

IMAGE_SHAPE = (NETWORK_SIZE, NETWORK_SIZE, len(BANDS))
IMAGE = "IMAGE"

OWN_NAMES = {"Z": "Z_SPEC", "ZERR": "Z_SPEC_ERR"}
"""What labels are called in a catalogue, where ``z`` may as well be a magnitude."""

MGS_LABELS = ("dered_petro_r", "z", "primtarget")
FAINTEST, FARTHEST, LEAST_TARGET = 17.8, 0.4, 64
"""The Main Galaxy Sample: at most this r magnitude and redshift, at least this target bit."""

LABELS_AT_ONCE = 1 << 14


@contextmanager
def open_pasquet(path: str, *, mgs_cut: bool = False) -> Iterator[Catalog]:
    """Open the file as a catalogue with a column of images.

    Its columns are the labels of numbers and text, ``z`` renamed to ``Z_SPEC``, and ``IMAGE``,
    (5, 64, 64) nanomaggies a row.

    Parameters
    ----------
    path : str
        The file.
    mgs_cut : bool
        Only the Main Galaxy Sample: ``dered_petro_r <= 17.8 & z <= 0.4 & primtarget >= 64``.

    Raises
    ------
    CatalogError
        If it is missing, damaged, of another layout, or no galaxy passes the cut.
    """
    with open_npz(path, "cube", "labels") as (cube, labels):
        columns = _label_columns(path, cube, labels)
        rows = _main_galaxy_sample(path, labels) if mgs_cut else np.arange(len(labels))
        if len(rows) == 0:
            raise CatalogError(f"no galaxy of {path} passes the cut", "leave out --mgs-cut")
        kinds = [(name, _kind(labels.dtype[label])) for name, label in columns.items()]
        dtype = np.dtype([*kinds, (IMAGE, "f4", (IMAGE_SHAPE[2], *IMAGE_SHAPE[:2]))])
        cards: dict[str, dict[str, str]] = {name: {} for name in dtype.names or ()}
        cards[IMAGE]["TUNIT"] = "nanomaggy"
        reader = _Rows(cube, labels, rows, columns, dtype)
        yield Catalog(path, Path(path).parent, len(rows), dtype, cards, reader)


class _Rows:
    """Rows of both arrays as those of a table, indexed by slices like a FITS table."""

    def __init__(
        self,
        cube: NpzArray,
        labels: NpzArray,
        rows: NDArray[np.int64],
        columns: dict[str, str],
        dtype: np.dtype[Any],
    ) -> None:
        self._cube, self._labels, self._rows = cube, labels, rows
        self._columns, self._dtype = columns, dtype

    def __getitem__(self, wanted: slice) -> NDArray[np.void]:
        rows = self._rows[wanted]
        table = np.empty(len(rows), self._dtype)
        labels = self._labels.take(rows)
        for name, label in self._columns.items():
            values = labels[label]
            text = values.dtype.kind == "U"
            table[name] = np.char.encode(values, "ascii", "replace") if text else values
        table[IMAGE] = self._cube.take(rows).transpose(0, 3, 1, 2)
        return table


def _label_columns(path: str, cube: NpzArray, labels: NpzArray) -> dict[str, str]:
    """The labels that can be columns, by the columns' names.

    Raises
    ------
    CatalogError
        If the arrays are not what they are in the published file.
    """
    if cube.shape[1:] != IMAGE_SHAPE or cube.dtype.newbyteorder("=") != np.float32:
        raise CatalogError(
            f"'cube' in {path} is {cube.dtype} of shape {cube.shape}, not float32 of"
            f" (galaxies, {', '.join(map(str, IMAGE_SHAPE))})",
            "name the file of Pasquet et al. (2019), or prepare a FITS catalogue",
        )
    if labels.dtype.names is None or labels.shape != cube.shape[:1]:
        raise CatalogError(
            f"'labels' in {path} is not a record array of {len(cube)} galaxies",
            "name the file of Pasquet et al. (2019)",
        )
    columns: dict[str, str] = {}
    taken = {IMAGE}
    for label in labels.dtype.names:
        name = OWN_NAMES.get(label.upper(), label)
        kind = labels.dtype[label]
        if re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) and kind.kind in "iufSU" and kind.itemsize:
            if name.upper() not in taken:
                columns[name] = label
            taken.add(name.upper())
    return columns


def _kind(kind: np.dtype[Any]) -> np.dtype[Any]:
    """A label's type as a column's: native, and text as bytes."""
    if kind.kind == "U":
        return np.dtype(f"S{kind.itemsize // np.dtype('U1').itemsize}")
    return kind.newbyteorder("=")


def _main_galaxy_sample(path: str, labels: NpzArray) -> NDArray[np.int64]:
    """Numbers of the rows in the Main Galaxy Sample, read from the labels alone."""
    by_name = {name.lower(): name for name in reversed(labels.dtype.names or ())}
    missing = [name for name in MGS_LABELS if name not in by_name]
    if missing or any(labels.dtype[by_name[name]].kind not in "iuf" for name in MGS_LABELS):
        raise CatalogError(
            f"'labels' in {path} lacks {missing[0] if missing else 'numbers'} for --mgs-cut",
            f"the cut needs {', '.join(MGS_LABELS)}",
        )
    found = []
    for start in range(0, len(labels), LABELS_AT_ONCE):
        rows = np.arange(start, min(start + LABELS_AT_ONCE, len(labels)))
        some = labels.take(rows)
        magnitude, redshift, target = (some[by_name[name]] for name in MGS_LABELS)
        inside = (magnitude <= FAINTEST) & (redshift <= FARTHEST) & (target >= LEAST_TARGET)
        found.append(rows[inside])
    return np.concatenate(found)
