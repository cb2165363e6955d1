"""Parquet files as catalogues, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from photoz_ssl.survey.exchange.incoming import (
    LONGEST_TEXT,
    ROWS_AT_ONCE,
    Incoming,
    IncomingTable,
    Masked,
    ascii_text,
    incoming_table,
)
from photoz_ssl.survey.exchange.parquet import require_pyarrow
from photoz_ssl.survey.exchange.parquet_metadata import OF_ASTROPY, described_columns

__all__ = ["read_parquet"]

WORDS = (
    *("string", "large_string", "string_view", "binary", "large_binary", "binary_view"),
    *("timestamp", "date", "time"),
)
"""Types whose values can be written as one word, by what pyarrow calls them."""

MASK = ".mask"
"""What astropy, which writes a mask as a column of its own, puts behind the name of a column."""


def read_parquet(path: Path) -> IncomingTable:
    """The columns of a Parquet file that have one number or text a row, dates and times as text.

    The file is read twice, as FITS wants to know of the longest text and of missing values
    before the first row.

    Parameters
    ----------
    path : Path
        The file.
    """
    arrow, parquet = require_pyarrow("reading Parquet")
    return _ParquetTable(arrow, parquet.ParquetFile(path)).incoming()


@dataclass
class _Seen:
    """What is known of a column once all its values were looked at."""

    kind: np.dtype[Any] = field(default_factory=lambda: np.dtype("U1"))
    longest: int = 1
    least: int = 0
    greatest: int = 0
    has_missing: bool = False
    is_text: bool = True

    def incoming(
        self, name: str, metadata: Mapping[bytes, bytes], told: Mapping[str, str]
    ) -> Incoming:
        """The column of this name, as its field's metadata or else those of the file tell of it."""

        def word(key: str) -> str:
            own = metadata.get(key.encode(), b"").decode("utf-8", "replace")
            return own or told.get(key, "")

        return Incoming(
            name=name,
            kind=self.kind,
            has_missing=self.has_missing,
            unit=word("unit"),
            ucd=word("ucd"),
            description=word("description"),
        )


class _ParquetTable:
    """A Parquet file, and the package that reads it."""

    def __init__(self, arrow: Any, file: Any) -> None:
        self._arrow = arrow
        self._file = file

    def incoming(self) -> IncomingTable:
        """The columns that FITS can have, and their rows."""
        fields = {
            one.name: one
            for one in self._file.schema_arrow
            if self._is_plain(one.type) and one.name not in self._masks.values()
        }
        seen = {name: _Seen() for name in fields}
        for name, one in fields.items():  # of which a file may have no row
            self._look_at(self._plain(self._arrow.nulls(0, one.type)), seen[name])
        for batch in self._batches(list(fields)):
            for name, values in batch.items():
                self._look_at(values, seen[name])
        told = described_columns(self._file.schema_arrow.metadata or {})
        columns = [
            known.incoming(name, fields[name].metadata or {}, told.get(name, {}))
            for name, known in seen.items()
            if known.is_text or known.kind.kind != "U"
        ]
        names = [column.name for column in columns]
        rows = (
            {name: self._masked(values, seen[name].kind) for name, values in batch.items()}
            for batch in self._batches(names)
        )
        masks = self._masks.values()
        known = [one for one in self._file.schema_arrow.names if one not in masks]
        return incoming_table(columns, rows, [one for one in known if one not in names])

    @cached_property
    def _masks(self) -> Mapping[str, str]:
        """For columns of a table of astropy's, that which says where they are masked."""
        schema = self._file.schema_arrow
        if OF_ASTROPY not in (schema.metadata or {}):
            return {}
        truths = {one.name for one in schema if self._arrow.types.is_boolean(one.type)}
        return {name: name + MASK for name in schema.names if name + MASK in truths}

    def _batches(self, names: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        masks = {name: mask for name, mask in self._masks.items() if name in names}
        wanted = [*names, *masks.values()]
        for batch in self._file.iter_batches(batch_size=ROWS_AT_ONCE, columns=wanted):
            yield {
                name: self._plain(self._where(batch.column(name), batch, masks.get(name)))
                for name in names
            }

    def _where(self, values: Any, batch: Any, mask: str | None) -> Any:
        """Values, with none where a column says that they are masked."""
        if mask is None:
            return values
        nothing = self._arrow.scalar(None, values.type)
        return self._arrow.compute.if_else(batch.column(mask), nothing, values)

    def _is_plain(self, kind: Any) -> bool:
        """Whether values of a type are single numbers, or can be written as one word."""
        types = self._arrow.types
        if types.is_dictionary(kind):
            return self._is_plain(kind.value_type)
        tests = (getattr(types, f"is_{word}", None) for word in WORDS)
        text_of_pandas = types.is_null(kind) and not self._file.metadata.num_rows
        return (
            self._is_number(kind)
            or types.is_decimal(kind)
            or text_of_pandas
            or any(is_kind(kind) for is_kind in tests if is_kind is not None)
        )

    def _is_number(self, kind: Any) -> bool:
        types = self._arrow.types
        return any(
            is_kind(kind) for is_kind in (types.is_floating, types.is_integer, types.is_boolean)
        )

    def _plain(self, values: Any) -> Any:
        """Values as numbers, decimal ones where these are whole, or as text; else as bytes."""
        types = self._arrow.types
        if types.is_dictionary(values.type):
            return self._plain(values.dictionary_decode())
        if self._is_number(values.type):
            return values
        if types.is_decimal(values.type):
            return values if values.type.scale <= 0 else values.cast(self._arrow.float64())
        try:
            return values.cast(self._arrow.string())
        except self._arrow.ArrowInvalid:
            return values

    def _look_at(self, values: Any, seen: _Seen) -> None:
        seen.has_missing |= values.null_count > 0
        if self._is_number(values.type):
            seen.kind = np.dtype(values.type.to_pandas_dtype())
            return
        if self._arrow.types.is_decimal(values.type):
            limits = self._arrow.compute.min_max(values).as_py()
            seen.least = min(seen.least, int(limits["min"] or 0))
            seen.greatest = max(seen.greatest, int(limits["max"] or 0))
            seen.kind = _kind_that_holds(seen.least, seen.greatest)
            return
        seen.longest = max(seen.longest, self._length(values))
        seen.is_text &= self._arrow.types.is_string(values.type) and seen.longest <= LONGEST_TEXT
        seen.kind = np.dtype(f"U{seen.longest}")

    def _length(self, values: Any) -> int:
        """Of the longest text, in ASCII."""
        compute = self._arrow.compute
        if not self._arrow.types.is_string(values.type) or self._is_ascii(values):
            return compute.max(compute.binary_length(values)).as_py() or 1
        return ascii_text(np.array(values.drop_null().to_pylist(), np.str_)).dtype.itemsize

    def _is_ascii(self, values: Any) -> bool:
        compute = self._arrow.compute
        return compute.all(compute.string_is_ascii(values)).as_py() is not False

    def _masked(self, values: Any, kind: np.dtype[Any]) -> Masked:
        missing = values.is_null().to_numpy(zero_copy_only=False)
        if self._arrow.types.is_string(values.type):
            return np.array(values.fill_null("").to_pylist(), dtype=np.str_), missing
        if self._arrow.types.is_decimal(values.type):
            values = values.cast(self._arrow.from_numpy_dtype(kind))
        zero = self._arrow.scalar(0).cast(values.type)
        return values.fill_null(zero).to_numpy(zero_copy_only=False), missing


def _kind_that_holds(least: int, greatest: int) -> np.dtype[Any]:
    """The type of whole numbers between two, 0 among them; that of any number if none does."""
    for kind in ("i8", "u8"):
        if np.iinfo(kind).min <= least and greatest <= np.iinfo(kind).max:
            return np.dtype(kind)
    return np.dtype("f8")
