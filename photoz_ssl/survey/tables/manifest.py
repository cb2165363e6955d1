"""What a part of a table is a part of, as JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.survey.tables.headers import KEYWORD, Card, TableColumn
from photoz_ssl.survey.tables.pdf_form import PdfForm

__all__ = ["Manifest", "PdfRows", "pdf_rows"]

LARGEST = 1 << 63
"""The first number too large for a header's integers."""

PLAIN_KIND = re.compile(r"[<>|][?bBiufcS]\d+")

PdfRows = NDArray[np.void]
"""Structured, shape (n,): ``pdf``, the values that a `PdfForm` has, ``mode`` and ``flags``."""


def pdf_rows(
    pdf: NDArray[np.floating], mode: NDArray[np.floating], flags: NDArray[np.integer]
) -> PdfRows:
    """PDFs, shape (n, n_values), where each peaks and its flags, as rows that a part can keep."""
    kinds = [("pdf", "<f4", (pdf.shape[1],)), ("mode", "<f8"), ("flags", "<i4")]
    rows = np.empty(len(pdf), np.dtype(kinds))
    rows["pdf"], rows["mode"], rows["flags"] = pdf, mode, flags
    return rows


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a part is a part of.

    Parameters
    ----------
    job : mapping of str to str or int
        All that its numbers depend on: input, model, settings. Parts of one table have it
        in common.
    n_rows : int
        Rows of the whole table.
    start, stop : int
        The rows, from 0, that are this part's; ``stop`` is not.
    extname : str
        Name of the table.
    columns : tuple of TableColumn
        Its columns.
    dtype : numpy dtype
        Structured: the rows.
    cards : tuple of (keyword, value, comment)
        The table's header cards.
    pdf_form : PdfForm, optional
        What PDFs are kept as; None where they are not kept.
    """

    job: Mapping[str, str | int]
    n_rows: int
    start: int
    stop: int
    extname: str
    columns: tuple[TableColumn, ...]
    dtype: np.dtype[Any]
    cards: tuple[Card, ...]
    pdf_form: PdfForm | None = None

    @property
    def pdf_dtype(self) -> np.dtype[Any] | None:
        """Structured dtype of `pdf_rows`; None where PDFs are not kept."""
        if self.pdf_form is None:
            return None
        empty = np.empty((0, self.pdf_form.n_values))
        return pdf_rows(empty, np.empty(0), np.empty(0, np.int32)).dtype

    def card(self, keyword: str) -> str:
        """What one of its cards says; empty where it has none of that name."""
        return next((str(value) for word, value, _ in self.cards if word == keyword), "")

    def difference(self, other: Manifest) -> str | None:
        """What of it is not as in another manifest, besides the rows; None if nothing is."""
        here, there = ({**one.job, "length": one.n_rows} for one in (self, other))
        differing = (name for name in here | there if here.get(name) != there.get(name))
        if (name := next(differing, None)) is not None:
            return name
        laid_out = ("extname", "columns", "dtype", "pdf_form")
        same = all(getattr(self, name) == getattr(other, name) for name in laid_out)
        return None if same else "table layout"

    def to_fields(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            **{name: getattr(self, name) for name in ("job", "n_rows", "start", "stop")},
            **{"extname": self.extname, "cards": self.cards},
            "pdf_form": None if self.pdf_form is None else asdict(self.pdf_form),
            "columns": [asdict(column) for column in self.columns],
            "dtype": [
                (name, self.dtype[name].base.str, self.dtype[name].shape)
                for name in self.dtype.names or ()
            ],
        }

    @classmethod
    def from_fields(cls, fields: Any) -> Manifest:
        """The manifest of which these are `to_fields`.

        Raises
        ------
        OverflowError, ValueError, KeyError, TypeError
            If they are of none.
        """
        kinds = [(name, _plain(kind), tuple(shape)) for name, kind, shape in fields["dtype"]]
        manifest = cls(
            job=dict(fields["job"]),
            **{name: int(fields[name]) for name in ("n_rows", "start", "stop")},
            extname=str(fields["extname"]),
            columns=tuple(_column(column) for column in fields["columns"]),
            dtype=np.dtype(kinds),
            cards=tuple(_card(*card) for card in fields["cards"]),
            pdf_form=_pdf_form(fields["pdf_form"]),
        )
        if not 0 <= manifest.start <= manifest.stop <= manifest.n_rows:
            raise ValueError("the rows of a part are not rows of its table")
        named = tuple(column.name for column in manifest.columns)
        if named and named != manifest.dtype.names:  # an atlas has no columns
            raise ValueError("the rows of a part do not have its columns")
        return manifest


def _column(fields: Mapping[str, Any]) -> TableColumn:
    texts, null = dict(fields), fields["null"]
    del texts["null"]
    if not all(isinstance(text, str) for text in texts.values()):
        raise ValueError(f"{texts} is no column")
    if not (null is None or _is_storable(null)):
        raise ValueError(f"{null} stands for no value of a column")
    return TableColumn(**texts, null=null)


def _card(keyword: str, value: str | float, comment: str) -> Card:
    if not (KEYWORD.fullmatch(keyword) and (isinstance(value, str) or _is_storable(value))):
        raise ValueError(f"{keyword} = {value} is no card of a header")
    return keyword, value, str(comment)


def _is_storable(number: float) -> bool:
    return math.isfinite(number) and abs(number) < LARGEST


def _pdf_form(fields: Mapping[str, Any] | None) -> PdfForm | None:
    if fields is None:
        return None
    return PdfForm(str(fields["name"]), tuple(float(point) for point in fields["points"]))


def _plain(kind: str) -> str:
    if not PLAIN_KIND.fullmatch(kind):
        raise ValueError(f"{kind} is no kind of number or text")
    return kind
