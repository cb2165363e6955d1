"""VOTable 1.4 (IVOA), its rows as text."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import numpy as np
from astropy.io.votable import from_table
from astropy.io.votable.exceptions import W03, W50
from astropy.io.votable.tree import Info, VOTableFile
from astropy.units import UnitsWarning
from numpy.typing import NDArray

from photoz_ssl.survey.exchange.text import described_table, text_rows
from photoz_ssl.survey.tables.manifest import PdfRows

if TYPE_CHECKING:
    from photoz_ssl.survey.exchange.formats import TableLayout

__all__ = ["VotableWriter", "votable_frame"]

FIRST_ROW, LAST_ROW = "<TR>", "</TR>"
SPELLING = {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf", "True": "true", "False": "false"}

HELD_BY = {"i1": "i2", "u2": "i4", "u4": "i8", "u8": "U20", "f2": "f4"}
"""What VOTable holds numbers of types in that it lacks; the largest integers as text."""

AS_TEXT = {kind for kind, held in HELD_BY.items() if held.startswith("U")}
"""Of which no value is empty text; of others it is the number that the field's VALUES tell."""

INTEGERS = ("unsignedByte", "short", "int", "long")

OF_NO_HARM = (W03, W50, UnitsWarning)
"""What astropy warns of: IDs that it makes of names, and units of others, which are kept."""

CONTROLS = str.maketrans(dict.fromkeys((*range(9), 11, 12, *range(14, 32)), "?"))
"""Characters that XML cannot hold, not even escaped."""


class VotableWriter:
    """Writes rows between what astropy writes before and behind them."""

    def __init__(self, path: Path, layout: TableLayout) -> None:
        self._layout = layout
        before, self._behind = votable_frame(layout)
        self._file = path.open("w", encoding="utf-8")
        self._file.write(before)

    def append(self, rows: NDArray[np.void], pdfs: PdfRows | None = None) -> None:
        """Write the next rows."""
        for row in text_rows(self._layout, rows, SPELLING, blank_nulls_of=AS_TEXT):
            cells = "".join(f"<TD>{escape(word.translate(CONTROLS))}</TD>" for word in row)
            self._file.write(f"{FIRST_ROW}{cells}{LAST_ROW}\n")

    def close(self) -> None:
        """Write the end of the document and close the file."""
        self._file.write(self._behind)
        self._file.close()


def votable_frame(layout: TableLayout) -> tuple[str, str]:
    """What stands before the first row of a VOTable, and behind the last."""
    with warnings.catch_warnings():
        for kind in OF_NO_HARM:
            warnings.simplefilter("ignore", kind)
        text = _document(layout)
    text = text.replace('datatype="bit"', 'datatype="boolean"')  # astropy's choice for truth values
    return text[: text.index(FIRST_ROW)], text[text.rindex(LAST_ROW) + len(LAST_ROW) :]


def _document(layout: TableLayout) -> str:
    """A VOTable of one row."""
    table = described_table(layout, n_rows=1, held_by=HELD_BY)
    table.meta = {}
    document: VOTableFile = from_table(table, table_id=layout.name)
    (resource,) = document.resources
    resource.infos.extend(
        Info(name=keyword, value=str(value)) for keyword, value, _ in layout.cards
    )
    by_name = {column.name: column for column in layout.columns}
    for field in resource.tables[0].fields:
        field.ucd = by_name[field.name].ucd or None
        null = layout.null(by_name[field.name])
        if null is not None and field.datatype in INTEGERS:
            field.values.null = null
    stream = io.BytesIO()
    document.to_xml(stream, tabledata_format="tabledata")
    return stream.getvalue().decode("utf-8")
