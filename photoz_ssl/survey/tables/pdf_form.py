"""In what form redshift PDFs are kept: as one of the classes of LSST DESC's ``qp``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.survey.tables.headers import TableColumn

__all__ = ["HISTOGRAM", "MODE", "QUANTILES", "PdfForm"]

HISTOGRAM, QUANTILES = "hist", "quant"

MODE = "zmode"
"""The column beside PDFs where RAIL looks for a point estimate, whatever the table's names."""


@dataclass(frozen=True)
class PdfForm:
    """A class of PDFs in qp, and what all PDFs of a table have in common.

    Parameters
    ----------
    name : {'hist', 'quant'}
        The class: a probability density a bin, or a redshift a quantile.
    points : tuple of float
        The bins' edges, in redshift; or the quantiles' probabilities, from 0 to 1.
    """

    name: str
    points: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.name not in (HISTOGRAM, QUANTILES) or len(self.points) < 2:
            raise ValueError(f"there is no form of PDFs {self.name!r}")

    @property
    def n_values(self) -> int:
        """How many numbers a PDF is."""
        return len(self.points) - (self.name == HISTOGRAM)

    @property
    def column(self) -> TableColumn:
        """Those numbers, named as qp does."""
        if self.name == HISTOGRAM:
            ucd = "stat.probability;src.redshift.phot"
            told = "Probability density in each redshift bin; NaN where there is no redshift"
            return TableColumn("pdfs", "", ucd, told)
        told = "Redshift below which each probability lies; NaN where there is no redshift"
        return TableColumn("locs", "", "src.redshift.phot", told)

    def meta(self) -> tuple[list[TableColumn], NDArray[np.void]]:
        """Qp's metadata: their columns, and a table of one row."""
        points = "bins" if self.name == HISTOGRAM else "quants"
        about = {
            "bins": ("src.redshift.phot", "Edges of the redshift bins"),
            "quants": ("stat.probability", "Probabilities of the quantiles"),
        }
        columns = [
            TableColumn("pdf_name", "", "meta.id", "Class of the PDFs in qp"),
            TableColumn("pdf_version", "", "meta.version", "Version of the class"),
            TableColumn(points, "", *about[points]),
        ]
        kinds: list[Any] = [
            ("pdf_name", f"S{len(self.name)}"),
            ("pdf_version", "i8"),
            (points, "f8", (len(self.points),)),
        ]
        values: dict[str, Any] = {"pdf_name": self.name.encode(), points: self.points}
        if self.name == QUANTILES:
            columns += [
                TableColumn("pdf_constructor_name", "", "meta.id", "How qp interpolates"),
                TableColumn("ensure_extent", "", "meta.code", "Whether 0 and 1 are quantiles"),
            ]
            kinds += [("pdf_constructor_name", "S18"), ("ensure_extent", "?")]
            values |= {"pdf_constructor_name": b"piecewise_constant", "ensure_extent": True}
        row = np.zeros(1, np.dtype(kinds))
        for name, value in values.items():
            row[name] = value
        return columns, row
