"""Reading a redshift table back, with the true redshifts, to see how good it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import CatalogError
from photoz_ssl.redshift.scores import PdfScores, pdf_scores
from photoz_ssl.survey.catalog import Catalog, has_beside, open_beside, open_catalog, selected_rows
from photoz_ssl.survey.placeholders import (
    LOWEST_REDSHIFT,
    possible_estimates,
    possible_magnitudes,
    possible_reddening,
    without_placeholders,
)
from photoz_ssl.survey.tables.carried import RENAMED
from photoz_ssl.workflows.prediction.column_names import known_names

__all__ = ["Predictions", "read_predictions"]

ROWS_AT_ONCE = 10_000

INTERVALS = ("l68", "u68", "l95", "u95", "odds")
SPLIT = "SPLIT"
EBV = "EBV"
LIKELY_REDSHIFT = 10.0
"""Fewer than half of a survey's galaxies are beyond it; most magnitudes are."""

FEW_PLACEHOLDERS = 5
"""Values that stand for missing redshifts in one column, such as -9999, -1 and 99."""

PDFS_AT = {"bins": "pdfs", "quants": "locs"}
"""What the PDFs are called in DATA, by the name of what all have in common in META."""

R_MAGNITUDES = (
    *("PETRO_MAG_R", "PETROMAG_R", "PETRO_R", "DERED_PETRO_R", "MODEL_MAG_R", "MODELMAG_R"),
    *("R_MAG", "MAG_R", "RMAG", "R"),
)
"""Names of a column of r magnitudes; the first that a table has is taken."""

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Redshifts, estimated and true; one entry a row that was chosen, NaN where unknown.

    Parameters
    ----------
    n_rows : int
        Rows of the table, chosen or not.
    z_phot, z_spec : ndarray, shape (n,)
        Estimated (the PDF's mean) and spectroscopic.
    intervals : tuple of ndarray, shape (n,), or None
        Lower and upper edge at 68 %, at 95 %, and odds; None where the table lacks them.
    scores : PdfScores or None
        None where the table has no PDFs.
    binned_by : dict of str to ndarray, shape (n,)
        Quantities in whose bins to look, by column name: true redshift, which is always there
        and the first, r magnitude, E(B-V).
    notices : tuple of str
        What is missing, one sentence each.
    """

    n_rows: int
    z_phot: Array
    z_spec: Array
    intervals: tuple[Array, ...] | None
    scores: PdfScores | None
    binned_by: dict[str, Array]
    notices: tuple[str, ...]


def read_predictions(path: str, *, redshift_column: str, split: str | None) -> Predictions:
    """Read a redshift table that has a column of spectroscopic redshifts.

    Parameters
    ----------
    path : str
        FITS table in CFITSIO's syntax, or ``-``.
    redshift_column : str
        Column of spectroscopic redshifts.
    split : str, optional
        Only rows whose ``SPLIT`` is this.

    Raises
    ------
    CatalogError
        If it cannot be read, lacks a column, or has no row of this split.
    """
    with open_catalog(path) as catalog:
        spectroscopic = catalog.require(
            redshift_column, "of spectroscopic redshifts", "--redshift-column"
        )
        names_of = known_names(catalog.names)
        _refuse_estimate(catalog, spectroscopic, names_of.values())
        estimated = catalog.require(names_of["mean"], "of photometric redshifts")
        split_column = catalog.require(SPLIT, "to choose rows by") if split else None
        found = (catalog.find((names_of[field],)) for field in INTERVALS)
        intervals = [name for name in found if name]
        possible = {
            spectroscopic: without_placeholders,
            catalog.find(R_MAGNITUDES): possible_magnitudes,
            catalog.find((EBV,)): possible_reddening,
        }
        quantities = [name for name in possible if name]
        possible[estimated] = possible_estimates
        names = dict.fromkeys([estimated, *intervals, *quantities])
        columns, chosen = _read_columns(catalog, tuple(names), split_column, split)
        if not chosen.any():
            raise CatalogError(f"{path} has no row whose {SPLIT} is {split}", "leave out --split")
        _refuse_other_quantity(path, spectroscopic, columns[spectroscopic])
        columns |= {name: possible[name](columns[name]) for name in (estimated, *quantities)}
        true = columns[spectroscopic]
        scores, notices = _score_pdfs(catalog, true, chosen)
    if len(intervals) < len(INTERVALS):
        notices += (f"{path} has no columns of intervals and odds, so their coverage is unknown",)
    return Predictions(
        n_rows=len(chosen),
        z_phot=columns[estimated][chosen],
        z_spec=true[chosen],
        intervals=(
            tuple(columns[name][chosen] for name in intervals)
            if len(intervals) == len(INTERVALS)
            else None
        ),
        scores=scores,
        binned_by={name: columns[name][chosen] for name in quantities},
        notices=notices,
    )


def _refuse_estimate(catalog: Catalog, name: str, estimates: Iterable[str]) -> None:
    """Refuse to take an estimate for the truth, which would look perfect."""
    if name.upper() not in {estimate.upper() for estimate in estimates}:
        return
    carried = catalog.find((f"{name}{RENAMED}",))
    raise CatalogError(
        f"the column {name} of {catalog.path} holds what was predicted, no spectroscopic redshifts",
        f"name {carried}, as the input's own {name} is called here, with --redshift-column"
        if carried
        else "name another column with --redshift-column",
    )


def _refuse_other_quantity(path: str, name: str, values: Array) -> None:
    """Refuse a column most values of which are no galaxy's redshifts, such as RA or magnitudes.

    What stands for a missing redshift, be it in nearly all rows, is one value or a few.
    """
    different = np.unique(values[np.isfinite(values)])
    likely = (different > LOWEST_REDSHIFT) & (different < LIKELY_REDSHIFT)
    n_unlikely = np.count_nonzero(~likely)
    if n_unlikely > max(FEW_PLACEHOLDERS, len(different) / 2):
        raise CatalogError(
            f"the column {name} of {path} holds no redshifts: of {len(different)} different values"
            f" {n_unlikely} are below {LOWEST_REDSHIFT:g} or above {LIKELY_REDSHIFT:g}",
            "name another column with --redshift-column",
        )


def _read_columns(
    catalog: Catalog, names: Sequence[str], split_column: str | None, split: str | None
) -> tuple[dict[str, Array], NDArray[np.bool_]]:
    """Columns of numbers, and which rows are of the split, a block of rows at a time."""
    for name in names:
        if not catalog.is_number(catalog.require(name, "of numbers")):
            raise CatalogError(
                f"column {name} of {catalog.path} does not hold one number a row",
                "name another column",
            )
    columns = {name: np.empty(catalog.n_rows) for name in names}
    chosen = np.ones(catalog.n_rows, bool)
    for start in range(0, catalog.n_rows, ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, catalog.n_rows)
        rows = catalog.read(start, stop)
        for name, column in columns.items():
            column[start:stop] = rows[catalog.require(name, "of numbers")]
        if split_column is not None:
            words = np.char.lower(np.char.strip(rows[split_column].astype("S")))
            chosen[start:stop] = words == str(split).encode()
    return columns, chosen


def _score_pdfs(
    catalog: Catalog, z_spec: Array, chosen: NDArray[np.bool_]
) -> tuple[PdfScores | None, tuple[str, ...]]:
    """Score the PDFs of the chosen rows; without PDFs, a notice that says why."""
    left_out = "so PIT, CRPS and CDE loss are left out"
    if not has_beside(catalog, "META"):
        return None, (f"there are no PDFs in the file, {left_out}; predict writes them with --pdf",)
    try:
        return _scored(catalog, z_spec, chosen)
    except CatalogError:
        return None, (
            f"the PDFs in the file cannot be read, {left_out}: META and DATA are damaged, or of"
            " other PDFs than in bins or quantiles",
        )


def _scored(
    catalog: Catalog, z_spec: Array, chosen: NDArray[np.bool_]
) -> tuple[PdfScores | None, tuple[str, ...]]:
    with open_beside(catalog, "META") as meta:
        kind, points = _points_of(meta)
    with open_beside(catalog, "DATA") as data:
        n_values, column = len(points) - (kind == "bins"), PDFS_AT[kind]
        fit = column in data.names and _numbers(data, column) == (n_values,)
        rows = selected_rows(catalog) if data.n_rows != len(z_spec) else None
        if rows is not None and rows[-1] < data.n_rows:
            z_spec, chosen = (_in_file(values, rows, data.n_rows) for values in (z_spec, chosen))
        if data.n_rows != len(z_spec) or not fit:
            return None, (
                "the PDFs in the file are not those of the rows that were selected, so"
                " PIT, CRPS and CDE loss are left out",
            )
        starts = range(0, data.n_rows, ROWS_AT_ONCE)
        scores = [_score_block(data, points, z_spec, chosen, start) for start in starts]
    pit, crps, cde_loss = (
        np.concatenate([getattr(block, name) for block in scores])
        for name in ("pit", "crps", "cde_loss")
    )
    return PdfScores(pit, crps, cde_loss), ()


def _points_of(meta: Catalog) -> tuple[str, Array]:
    """Of what kind PDFs are, and the redshifts or probabilities that they are between, (n,)."""
    known = [name for name in PDFS_AT if name in meta.names and len(_numbers(meta, name)) == 1]
    if len(known) != 1:
        raise CatalogError(f"{meta.path} does not say what its PDFs are between")
    points = np.asarray(meta.read(0, 1)[known[0]][0], np.float64)
    if not np.all(np.diff(points) > 0):
        raise CatalogError(f"what the PDFs of {meta.path} are between does not rise")
    return known[0], points


def _numbers(table: Catalog, name: str) -> tuple[int, ...]:
    """Shape of the numbers that a row has in a column; () too where they are none."""
    kind = table.dtype[name]
    return kind.shape if kind.base.kind in "iuf" else ()


def _in_file(values: NDArray[Any], rows: NDArray[np.int64], n_rows: int) -> NDArray[Any]:
    """What selected rows have, where these are among all rows of the file; 0 or False elsewhere."""
    whole = np.zeros(n_rows, values.dtype)
    whole[rows] = values
    return whole


def _score_block(
    data: Catalog, points: Array, z_spec: Array, chosen: NDArray[np.bool_], start: int
) -> PdfScores:
    """Score PDFs that are densities between redshifts, or redshifts of probabilities."""
    rows = slice(start, min(start + ROWS_AT_ONCE, data.n_rows))
    wanted, block = chosen[rows], data.read(rows.start, rows.stop)
    true = z_spec[rows][wanted]
    if "locs" in data.names:
        edges = np.asarray(block["locs"], np.float64)[wanted]
        return pdf_scores(np.broadcast_to(np.diff(points), edges[:, 1:].shape), edges, true)
    density = np.asarray(block["pdfs"], np.float64)[wanted]
    return pdf_scores(density * np.diff(points), points, true)
