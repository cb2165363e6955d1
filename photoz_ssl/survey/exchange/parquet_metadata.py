"""What the metadata of a Parquet file say of its columns."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping
from typing import Any

from astropy.io import votable
from astropy.table.meta import YamlParseError, get_header_from_yaml

from photoz_ssl.survey.exchange.parquet import CONTENT_KEY
from photoz_ssl.survey.exchange.text_reader import refuse_traps, spelled_unit

__all__ = ["OF_ASTROPY", "described_columns"]

OF_ASTROPY = b"table_meta_yaml"
"""Metadata of the tables of astropy."""

UNREADABLE = (
    *(ArithmeticError, AttributeError, LookupError, OSError, SyntaxError, TypeError, ValueError),
    YamlParseError,
)
"""What readers raise of metadata that are not what they should be; the numbers may still be."""

Described = Mapping[str, Mapping[str, str]]
"""For columns, by their names, what is told of their ``unit``, ``ucd`` and ``description``."""


def described_columns(metadata: Mapping[bytes, bytes]) -> Described:
    """What a file's metadata tell of its columns: as VOParquet has it, or as astropy writes it.

    Parameters
    ----------
    metadata : mapping of bytes to bytes
        Of the file; what cannot be read of them tells nothing.
    """
    readers: tuple[tuple[bytes, Callable[[bytes], Described]], ...] = (
        (CONTENT_KEY, _of_votable),
        (OF_ASTROPY, _of_yaml),
    )
    for key, read in readers:
        if key in metadata:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    return read(metadata[key])
            except UNREADABLE:
                continue
    return {}


def _of_votable(content: bytes) -> Described:
    """A VOTable without rows; its fields have the columns' names."""
    refuse_traps(content)
    document = votable.parse(io.BytesIO(content), verify="ignore")
    return {
        field.name: _told(field.unit, field.ucd, field.description)
        for field in document.get_first_table().fields
    }


def _of_yaml(content: bytes) -> Described:
    header = get_header_from_yaml(content.decode().splitlines())
    return {
        column["name"]: _told(
            column.get("unit"), (column.get("meta") or {}).get("ucd"), column.get("description")
        )
        for column in header["datatype"]
    }


def _told(unit: Any, ucd: Any, description: Any) -> Mapping[str, str]:
    return {
        "unit": spelled_unit(unit),
        "ucd": str(ucd or ""),
        "description": " ".join(str(description or "").split()),
    }
