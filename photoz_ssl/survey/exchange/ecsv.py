"""Enhanced character-separated values (Astropy's APE 6)."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.survey.exchange.text import described_table, text_rows
from photoz_ssl.survey.tables.manifest import PdfRows

if TYPE_CHECKING:
    from photoz_ssl.survey.exchange.formats import TableLayout

__all__ = ["EcsvWriter"]

ALL_INTEGERS = frozenset(f"{kind}{n_bytes}" for kind in "iu" for n_bytes in (1, 2, 4, 8))


class EcsvWriter:
    """Writes a table as text, under a header that astropy makes."""

    def __init__(self, path: Path, layout: TableLayout) -> None:
        self._layout = layout
        header = io.StringIO()
        described_table(layout).write(header, format="ascii.ecsv", delimiter=",")
        self._file = path.open("w", encoding="utf-8", newline="")
        self._file.write(header.getvalue())
        self._csv = csv.writer(self._file, lineterminator="\n")

    def append(self, rows: NDArray[np.void], pdfs: PdfRows | None = None) -> None:
        """Write the next rows."""
        self._csv.writerows(text_rows(self._layout, rows, blank_nulls_of=ALL_INTEGERS))

    def close(self) -> None:
        """Close the file."""
        self._file.close()
