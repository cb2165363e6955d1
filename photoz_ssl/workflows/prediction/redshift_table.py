"""The redshift table that `predict` writes: its columns, its rows and its header cards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl import __version__
from photoz_ssl.redshift.estimates import ODDS_WINDOW, PointEstimates
from photoz_ssl.redshift.grid import RedshiftGrid
from photoz_ssl.survey.blocks import GalaxyBlock
from photoz_ssl.survey.flags import FLAG_MEANINGS
from photoz_ssl.survey.tables.carried import CarriedColumn, carry_columns
from photoz_ssl.survey.tables.headers import Card, TableColumn
from photoz_ssl.survey.tables.pdf_form import MODE
from photoz_ssl.workflows.prediction.column_names import NAMES

__all__ = ["DUST_CARD", "EXTNAME", "Layout", "lay_out", "model_cards", "table_cards"]

EXTNAME = "PHOTOZ"

DUST_CARD = "DUSTMAP"
"""Keyword of the card that is written last, once every row's reddening is known."""


def _redshift(ucd: str, description: str) -> TableColumn:
    return TableColumn("", "", ucd, description, "F8.5")


ESTIMATES: Mapping[str, TableColumn] = {
    "mean": _redshift("src.redshift.phot;stat.mean", "Mean of the redshift PDF"),
    "median": _redshift("src.redshift.phot;stat.median", "Median of the PDF"),
    "mode": _redshift("src.redshift.phot", "Centre of the PDF's highest bin"),
    "std": _redshift("stat.stdev;src.redshift.phot", "Standard deviation of the PDF"),
    "l68": _redshift("stat.error;src.redshift.phot;stat.min", "Lower edge of the 68 % interval"),
    "u68": _redshift("stat.error;src.redshift.phot;stat.max", "Upper edge of the 68 % interval"),
    "l95": _redshift("stat.error;src.redshift.phot;stat.min", "Lower edge of the 95 % interval"),
    "u95": _redshift("stat.error;src.redshift.phot;stat.max", "Upper edge of the 95 % interval"),
    "odds": _redshift(
        "stat.probability;src.redshift.phot", f"Probability within {ODDS_WINDOW}(1+z) of the mode"
    ),
}
"""What the column of each field of `PointEstimates` says; its name depends on the style."""

EBV = TableColumn("EBV", "mag", "phot.color.excess", "E(B-V) the image was dereddened with", "F8.5")
FLAGS = TableColumn("FLAGS", "", "meta.code.qual", "Bit mask; 0 is clean, see FLAGB0 and on", "I10")


@dataclass(frozen=True)
class Layout:
    """What a row of the table holds.

    Parameters
    ----------
    carried : tuple of CarriedColumn
        Columns of the input; they come first.
    notices : tuple of str
        What became of input columns that could not come over as they are.
    style : str
        Whose names the estimates have, one of `NAMES`.
    further : tuple of (TableColumn, str)
        Further columns of the table's own and their types; they come last.
    """

    carried: tuple[CarriedColumn, ...]
    notices: tuple[str, ...]
    style: str
    further: tuple[tuple[TableColumn, str], ...] = ()

    @property
    def columns(self) -> tuple[TableColumn, ...]:
        """Descriptions of all columns, in order."""
        further = (column for column, _ in self.further)
        return (*(carried.column for carried in self.carried), *_own(self.style), *further)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Structured dtype of the table's rows."""
        kinds: list[tuple[str, Any]] = [
            (carried.column.name, carried.dtype) for carried in self.carried
        ]
        kinds += [(name, "f4") for name in (*NAMES[self.style].values(), EBV.name)]
        further = ((column.name, kind) for column, kind in self.further)
        return np.dtype([*kinds, (FLAGS.name, "i4"), *further])

    def rows(
        self,
        block: GalaxyBlock,
        estimates: PointEstimates,
        flags: NDArray[np.int32],
        further: Mapping[str, NDArray[Any]] | None = None,
    ) -> NDArray[np.void]:
        """The table's rows for a block of galaxies.

        Parameters
        ----------
        block : GalaxyBlock
            The galaxies, n of them.
        estimates : PointEstimates
            Their redshifts; NaN for a row without one.
        flags : ndarray, shape (n,)
            Their flags.
        further : mapping of str to ndarray, shape (n,)
            What the further columns hold.
        """
        rows = np.zeros(len(block), dtype=self.dtype)
        for carried in self.carried:
            rows[carried.column.name] = block.table[carried.source]
        for field, name in NAMES[self.style].items():
            rows[name] = getattr(estimates, field)
        rows[EBV.name], rows[FLAGS.name] = block.ebv, flags
        for column, _ in self.further:
            rows[column.name] = (further or {})[column.name]
        return rows


def lay_out(
    dtype: np.dtype[Any],
    cards: Mapping[str, Mapping[str, str]],
    *,
    keep: str,
    id_column: str | None,
    ra_column: str | None,
    dec_column: str | None,
    style: str,
    further: tuple[tuple[TableColumn, str], ...] = (),
) -> Layout:
    """Choose the table's columns; parameters as those of `carry_columns` and `Layout`."""
    own = [column.name for column in (*_own(style), *(column for column, _ in further))]
    carried, notices = carry_columns(
        dtype,
        cards,
        keep=keep,
        own=[*own, MODE],  # beside PDFs there is one of ours
        id_column=id_column,
        ra_column=ra_column,
        dec_column=dec_column,
    )
    return Layout(carried, notices, style, further)


def _own(style: str) -> tuple[TableColumn, ...]:
    """The table's own columns, in order."""
    named = (replace(ESTIMATES[field], name=name) for field, name in NAMES[style].items())
    return (*named, EBV, FLAGS)


def model_cards(name: str, sha256: str, trained_on: str) -> list[Card]:
    """Header cards that say what made a file: the program and its model."""
    return [
        ("CREATOR", f"photoz-ssl {__version__}", "program and version"),
        ("MODEL", name, "model of the redshifts"),
        ("MODELSHA", sha256, "SHA-256 of its file"),
        ("MODELTRN", trained_on, "what it was trained on"),
    ]


def table_cards(grid: RedshiftGrid, *, catalog: str, command_line: str, style: str) -> list[Card]:
    """Header cards that say how to read the table, and what it was made from."""
    names = NAMES[style]
    low68, high68, low95, high95 = (
        names[field].removeprefix("Z_PHOT_") for field in ("l68", "u68", "l95", "u95")
    )
    return [
        ("INPUT", catalog, "catalogue"),
        ("COMMAND", command_line, "command line"),
        (DUST_CARD, "", "where E(B-V) is from"),
        ("ZGRIDMIN", 0.0, "lower edge of the first redshift bin"),
        ("ZGRIDMAX", grid.z_max, "upper edge of the last redshift bin"),
        ("ZGRIDN", grid.n_bins, "number of redshift bins"),
        ("ZPOINT", f"{names['mean']}, the sum of p(z) z over bin centres", "point estimate"),
        (
            "ZINTERVL",
            "equal-tailed credible intervals of the PDF: 16 % of the probability lies below"
            f" {low68} and above {high68} each, 2.5 % below {low95} and above {high95}",
            f"what {low68}, {high68}, {low95} and {high95} are",
        ),
        *(
            (f"FLAGB{flag.bit_length() - 1}", meaning, f"value {int(flag)} in FLAGS")
            for flag, meaning in FLAG_MEANINGS.items()
        ),
    ]
