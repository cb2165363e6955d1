"""Parquet, with the columns' meaning as VOParquet has it: a VOTable without rows inside."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.extras import import_extra
from photoz_ssl.survey.exchange.votable import votable_frame
from photoz_ssl.survey.tables.headers import TableColumn
from photoz_ssl.survey.tables.manifest import PdfRows

if TYPE_CHECKING:
    from photoz_ssl.survey.exchange.formats import TableLayout

__all__ = ["CONTENT_KEY", "ParquetWriter", "require_pyarrow"]

VERSION_KEY, CONTENT_KEY = b"IVOA.VOTable-Parquet.version", b"IVOA.VOTable-Parquet.content"
ROWS_A_GROUP = 1 << 16


def require_pyarrow(purpose: str) -> tuple[ModuleType, ModuleType]:
    """``pyarrow`` and ``pyarrow.parquet``, or what installs them."""
    arrow = import_extra("pyarrow", extra="parquet", purpose=purpose)
    return arrow, import_extra("pyarrow.parquet", extra="parquet", purpose=purpose)


class ParquetWriter:
    """Writes row groups, which are gathered from blocks."""

    def __init__(self, path: Path, layout: TableLayout) -> None:
        self._arrow, parquet = require_pyarrow("writing Parquet")
        self._layout = layout
        before, behind = votable_frame(layout)
        fields = [self._field(column) for column in layout.scalar_columns]
        metadata = {VERSION_KEY: b"1.0", CONTENT_KEY: (before + behind).encode()}
        self._schema = self._arrow.schema(fields, metadata=metadata)
        self._file = parquet.ParquetWriter(str(path), self._schema, compression="zstd")
        self._waiting: list[Any] = []

    def append(self, rows: NDArray[np.void], pdfs: PdfRows | None = None) -> None:
        """Take the next rows."""
        columns = []
        for column, field in zip(self._layout.scalar_columns, self._schema, strict=True):
            values = rows[column.name]
            if values.dtype.kind == "S":
                values = np.char.rstrip(np.char.decode(values, "ascii", "replace"))
            null = self._layout.null(column)
            missing = None if null is None else values == null
            columns.append(
                self._arrow.array(np.ascontiguousarray(values), type=field.type, mask=missing)
            )
        self._waiting.append(self._arrow.Table.from_arrays(columns, schema=self._schema))
        if sum(len(table) for table in self._waiting) >= ROWS_A_GROUP:
            self._write()

    def close(self) -> None:
        """Write what waits, and the footer."""
        self._write()
        self._file.close()

    def _write(self) -> None:
        if self._waiting:
            table = self._arrow.concat_tables(self._waiting).combine_chunks()
            self._file.write_table(table, row_group_size=ROWS_A_GROUP)
            self._waiting.clear()

    def _field(self, column: TableColumn) -> Any:
        kind = self._layout.dtype[column.name]
        arrow_type = (
            self._arrow.string() if kind.kind == "S" else self._arrow.from_numpy_dtype(kind)
        )
        told = {"unit": column.unit, "ucd": column.ucd, "description": column.description}
        return self._arrow.field(
            column.name, arrow_type, metadata={key: text for key, text in told.items() if text}
        )
