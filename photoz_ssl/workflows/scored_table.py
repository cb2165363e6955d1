"""What `evaluate` reads of a redshift table: estimates, true redshifts and PDFs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import fitsio
import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import CatalogError
from photoz_ssl.redshift.scores import PdfScores, pdf_scores
from photoz_ssl.workflows.redshift_table import EXTNAME

__all__ = ["ScoredTable", "read_scored_table"]

Array = NDArray[np.float64]

POINT = "Z_PHOT_MEAN"
SPLIT = "SPLIT"
OPTIONAL = (
    "Z_PHOT_L68",
    "Z_PHOT_U68",
    "Z_PHOT_L95",
    "Z_PHOT_U95",
    "Z_PHOT_ODDS",
    "EBV",
)
R_MAGNITUDES = ("MODEL_MAG_r", "PETRO_MAG_r")
"""Columns of r magnitudes, best first."""

LOWEST_REDSHIFT = -0.01
"""Below it a redshift is a placeholder for none, such as -9999."""

ROWS_AT_ONCE = 8192


@dataclass(frozen=True, kw_only=True)
class ScoredTable:
    """The rows of a redshift table that count; shape (n_galaxies,) each.

    Parameters
    ----------
    n_rows : int
        Rows of the file, of whatever split.
    z_spec, z_phot : ndarray
        True redshifts, NaN where unknown, and the point estimates.
    columns : dict of str to ndarray
        The further columns that the table has: interval ends, odds, E(B-V), ``R``.
    scores : PdfScores, optional
        None where the file has no PDFs.
    notices : tuple of str
        What a user should know.
    """

    n_rows: int
    z_spec: Array
    z_phot: Array
    columns: Mapping[str, Array]
    scores: PdfScores | None
    notices: tuple[str, ...] = ()


def read_scored_table(path: str, *, redshift_column: str, split: str | None) -> ScoredTable:
    """Read the columns of a redshift table that `evaluate` needs, and score its PDFs.

    Parameters
    ----------
    path : str
        FITS file, or CFITSIO's syntax for a part of one.
    redshift_column : str
        Column of spectroscopic redshifts; letter case does not matter.
    split : str, optional
        Only rows whose ``SPLIT`` is this.

    Raises
    ------
    CatalogError
        If the file cannot be read, lacks a column, or has no row of the split with a
        spectroscopic redshift.
    """
    with _readable(path) as fits:
        hdu = _redshift_hdu(fits, path)
        names = {name.upper(): name for name in reversed(hdu.get_colnames())}
        true_name = _require(names, redshift_column, path, "name the column of true redshifts")
        point_name = _require(names, POINT, path, "evaluate takes tables written by predict")
        rows = _rows_of_split(hdu, names, split, path)
        z_spec = _numbers(hdu, true_name, path)[rows]
        z_spec[z_spec < LOWEST_REDSHIFT] = np.nan
        if not np.isfinite(z_spec).any():
            raise CatalogError(
                f"no row of {path}{_of_split(split)} has a spectroscopic redshift in {true_name}",
                "name another --redshift-column or --split",
            )
        scores, notices = _scores(fits, rows, z_spec)
        return ScoredTable(
            n_rows=len(rows),
            z_spec=z_spec,
            z_phot=_numbers(hdu, point_name, path)[rows],
            columns=_optional_columns(hdu, names, rows, path),
            scores=scores,
            notices=notices,
        )


@contextmanager
def _readable(path: str) -> Iterator[Any]:
    """Open a FITS file of unknown content; whatever is wrong with it becomes one sentence."""
    try:
        with fitsio.FITS(path) as fits:
            yield fits
    except (OSError, ValueError, RuntimeError, KeyError, IndexError, TypeError) as error:
        status = re.search(r"FITSIO status = (\d+): ([^\n]*)", str(error))
        reason = f" (CFITSIO: {status[2].strip()})" if status else ""
        raise CatalogError(
            f"{path} is not a readable FITS table{reason}", "name a table written by predict"
        ) from error


def _redshift_hdu(fits: Any, path: str) -> Any:
    """The HDU named PHOTOZ, or else the first table with the point estimate."""
    tables = [hdu for hdu in fits if hdu.get_exttype() in ("BINARY_TBL", "ASCII_TBL")]
    for hdu in tables:
        if hdu.get_extname() == EXTNAME:
            return hdu
    for hdu in tables:
        if POINT in map(str.upper, hdu.get_colnames()):
            return hdu
    raise CatalogError(
        f"{path} has no table with a column {POINT}", "evaluate takes tables written by predict"
    )


def _require(names: Mapping[str, str], name: str, path: str, hint: str) -> str:
    if name.upper() not in names:
        raise CatalogError(f"{path} has no column {name}", hint)
    return names[name.upper()]


def _numbers(hdu: Any, name: str, path: str) -> Array:
    """A column as float64; an integer that stands for no value stays what it is."""
    values = np.asarray(hdu.read_column(name))
    if values.ndim != 1 or values.dtype.kind not in "fiu":
        raise CatalogError(f"column {name} of {path} does not hold one number a row")
    return values.astype(np.float64)


def _rows_of_split(
    hdu: Any, names: Mapping[str, str], split: str | None, path: str
) -> NDArray[np.bool_]:
    if split is None:
        return np.ones(hdu.get_nrows(), bool)
    column = _require(names, SPLIT, path, "leave out --split to use every row")
    values = np.asarray(hdu.read_column(column))
    if values.dtype.kind not in "SU":
        raise CatalogError(f"column {column} of {path} does not hold words", "leave out --split")
    return np.asarray(np.char.strip(np.char.lower(values.astype(str))) == split)


def _of_split(split: str | None) -> str:
    return f" of the split {split}" if split else ""


def _optional_columns(
    hdu: Any, names: Mapping[str, str], rows: NDArray[np.bool_], path: str
) -> dict[str, Array]:
    found = {name: _numbers(hdu, names[name], path)[rows] for name in OPTIONAL if name in names}
    magnitude = next((name for name in R_MAGNITUDES if name.upper() in names), None)
    if magnitude is not None:
        found["R"] = _numbers(hdu, names[magnitude.upper()], path)[rows]
    return found


def _scores(
    fits: Any, rows: NDArray[np.bool_], z_spec: Array
) -> tuple[PdfScores | None, tuple[str, ...]]:
    """Score the PDFs that follow the table, a block of rows at a time."""
    tables = {hdu.get_extname(): hdu for hdu in fits}
    if "META" not in tables or "DATA" not in tables:
        return None, ()
    meta, data = tables["META"], tables["DATA"]
    if "bins" not in meta.get_colnames() or "pdfs" not in data.get_colnames():
        return None, ("the PDFs are left out: they are not histograms in the layout of qp",)
    edges = np.asarray(meta.read_column("bins"), np.float64).reshape(-1)
    if data.get_nrows() != len(rows) or not np.all(np.diff(edges) > 0):
        return None, ("the PDFs are left out: they do not belong to the rows of the table",)
    chosen = np.flatnonzero(rows)
    parts = []
    for start in range(0, len(chosen), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        density = np.asarray(data.read_column("pdfs", rows=chosen[part]), np.float64)
        parts.append(pdf_scores(density * np.diff(edges), edges, z_spec[part]))
    return (
        PdfScores(
            np.concatenate([part.pit for part in parts]),
            np.concatenate([part.crps for part in parts]),
            np.concatenate([part.cde_loss for part in parts]),
        ),
        (),
    )
