"""The tables that `similar` writes: of neighbours, and of what is unusual."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl import __version__
from photoz_ssl.errors import OutputError
from photoz_ssl.neighbours.atlas import Atlas
from photoz_ssl.neighbours.index import Index
from photoz_ssl.neighbours.query import Neighbours
from photoz_ssl.neighbours.unusual import Unusual
from photoz_ssl.object_ids import NO_ID
from photoz_ssl.survey.exchange.formats import (
    TableLayout,
    exchange_file,
    format_of,
    require_writer,
)
from photoz_ssl.survey.tables.headers import Card, TableColumn
from photoz_ssl.survey.tables.writer import Rows, claim_table, write_table
from photoz_ssl.workflows.searching.questions import Asked

__all__ = [
    "NEIGHBOUR_COLUMNS",
    "Column",
    "claim_neighbours",
    "neighbour_columns",
    "neighbour_rows",
    "neighbour_table",
    "origin_cards",
    "search_cards",
    "unusual_columns",
    "unusual_rows",
]

Column = tuple[TableColumn, str]
"""What a column is, and its type."""

POSITION: tuple[Column, ...] = (
    (TableColumn("RA", "deg", "pos.eq.ra;meta.main", "Right ascension", "F11.6"), "f8"),
    (TableColumn("DEC", "deg", "pos.eq.dec;meta.main", "Declination", "F11.6"), "f8"),
)
REDSHIFT: Column = (
    TableColumn("Z_SPEC", "", "src.redshift", "Spectroscopic redshift, or NaN", "F8.5"),
    "f4",
)
SIMILARITY: Column = (
    TableColumn("SIMILARITY", "", "stat.value", "Cosine between the two representations", "F8.5"),
    "f4",
)

NEIGHBOUR_COLUMNS: tuple[Column, ...] = (
    (TableColumn("QUERY_ROW", "", "meta.record", "Row of the queries, from 0", "I12"), "i8"),
    (TableColumn("QUERY_ID", "", "meta.id", "Id of the query", "I20", NO_ID), "i8"),
    (
        TableColumn("RANK", "", "meta.number", "Place of the neighbour, 1 is the closest", "I6"),
        "i4",
    ),
    (TableColumn("NEIGHBOUR_ID", "", "meta.id;meta.main", "Id of the neighbour", "I20"), "i8"),
    *POSITION,
    SIMILARITY,
    REDSHIFT,
)

UNUSUAL_COLUMNS: tuple[Column, ...] = (
    (TableColumn("RANK", "", "meta.number", "1 is the most unusual", "I6"), "i4"),
    (TableColumn("OBJID", "", "meta.id;meta.main", "Id of the galaxy", "I20"), "i8"),
    *POSITION,
    (TableColumn("DISTANCE", "", "stat.value", "From its k-th neighbour, 0 to 2", "F8.5"), "f4"),
    (TableColumn("NEIGHBOUR_ID", "", "meta.id", "Id of its nearest neighbour", "I20", NO_ID), "i8"),
    SIMILARITY,
    REDSHIFT,
)


NAME = TableColumn("NAME", "", "meta.id", "Id of the galaxy in its catalogue")
QUERY_NAME = TableColumn("QUERY_NAME", "", "meta.id", "Id of the query in its catalogue")
NEIGHBOUR_NAME = TableColumn("NEIGHBOUR_NAME", "", "meta.id", "Id of it in its catalogue")
"""Beside the columns of galaxies whose own ids are text."""

Names = NDArray[np.bytes_] | None


def neighbour_columns(asked: Asked, atlas: Atlas) -> tuple[Column, ...]:
    """The columns of the table of the neighbours of some queries in an atlas."""
    of_query, of_atlas = _named(asked.names, QUERY_NAME), _named(atlas.names, NEIGHBOUR_NAME)
    return (*NEIGHBOUR_COLUMNS, *of_query, *of_atlas)


def unusual_columns(atlas: Atlas) -> tuple[Column, ...]:
    """The columns of the table of unusual galaxies of an atlas."""
    return (*UNUSUAL_COLUMNS, *_named(atlas.names, NAME, NEIGHBOUR_NAME))


def _named(names: Names, *columns: TableColumn) -> list[Column]:
    """Columns for such names, if there are any."""
    return [] if names is None else [(column, names.dtype.str) for column in columns]


def claim_neighbours(output: str, chosen: str, *, overwrite: bool) -> None:
    """Refuse an output that `neighbour_table` would refuse, before any work is done for it.

    Parameters
    ----------
    output, chosen : str
        The table, and the ``--format`` that was given.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    OutputError
        If the file exists already, its folder does not, or it is to be of qp.
    MissingExtraError
        If its format needs a package that is not installed.
    """
    kind = format_of(output, chosen)
    if kind == "qp":
        raise OutputError(
            f"{output} would be a qp file, which is one of PDFs",
            "name it .fits, .vot, .parquet or .ecsv, or choose the format with --format",
        )
    require_writer(kind)
    claim_table(output, overwrite=overwrite)


@contextmanager
def neighbour_table(
    output: str,
    chosen: str,
    extname: str,
    columns: Sequence[Column],
    cards: Sequence[Card],
    *,
    overwrite: bool,
) -> Iterator[Rows]:
    """Write a table of such columns, in some format; it appears if the block ends well.

    Parameters
    ----------
    output, chosen : str
        The table, and its ``--format``.
    extname : str
        Its name within a FITS file.
    columns : sequence of (TableColumn, str)
        What its columns are, and their types.
    cards : sequence of (keyword, value, comment)
        What else there is to say of it.
    overwrite : bool
        Whether an existing file may be replaced.
    """
    kind = format_of(output, chosen)
    told, dtype = [column for column, _ in columns], _dtype(columns)
    if kind == "fits":
        with write_table(
            output, extname=extname, columns=told, dtype=dtype, cards=cards, overwrite=overwrite
        ) as table:
            yield table
        return
    layout = TableLayout(
        name=extname, n_rows=0, columns=told, dtype=dtype, cards=cards, pdf_form=None
    )
    with exchange_file(Path(output), kind, layout, overwrite=overwrite) as writer:
        yield writer


def _dtype(columns: Sequence[Column]) -> np.dtype[Any]:
    return np.dtype([(column.name, kind) for column, kind in columns])


def origin_cards(atlas: Atlas) -> list[Card]:
    """What made a table, and the vectors of an atlas."""
    return [
        ("CREATOR", f"photoz-ssl {__version__}", "program and version"),
        ("MODEL", atlas.header.model, "model of the representations"),
        ("MODELSHA", atlas.header.model_sha256, "SHA-256 of its file"),
    ]


def search_cards(atlas: Atlas, name: str, index: Index | None) -> list[Card]:
    """Those of a table of what was found in an atlas, or in galaxies of another name."""
    how = "exact" if index is None else f"index, recall at ten {index.recall:.3f}"
    return [
        *origin_cards(atlas),
        ("AMONG", name, "galaxies searched"),
        ("SEARCH", how, "exact, or through an index of what recall"),
    ]


def neighbour_rows(asked: Asked, found: Neighbours, atlas: Atlas) -> NDArray[np.void]:
    """Rows of the table of neighbours, one a pair."""
    rows = np.empty(len(found), dtype=_dtype(neighbour_columns(asked, atlas)))
    rows["QUERY_ROW"] = asked.start + found.query
    rows["QUERY_ID"] = asked.queries.object_id[found.query]
    rows["RANK"] = found.rank
    rows["NEIGHBOUR_ID"] = atlas.object_id[found.row]
    rows["RA"], rows["DEC"] = atlas.ra[found.row], atlas.dec[found.row]
    rows["SIMILARITY"] = found.similarity
    rows["Z_SPEC"] = atlas.redshift[found.row]
    if asked.names is not None:
        rows["QUERY_NAME"] = asked.names[found.query]
    if atlas.names is not None:
        rows["NEIGHBOUR_NAME"] = atlas.names[found.row]
    return rows


def unusual_rows(unusual: Unusual, atlas: Atlas) -> NDArray[np.void]:
    """Rows of the table of unusual galaxies, one each."""
    rows = np.empty(len(unusual.row), dtype=_dtype(unusual_columns(atlas)))
    rows["RANK"] = 1 + np.arange(len(rows))
    rows["OBJID"] = atlas.object_id[unusual.row]
    rows["RA"], rows["DEC"] = atlas.ra[unusual.row], atlas.dec[unusual.row]
    rows["DISTANCE"] = unusual.distance
    rows["NEIGHBOUR_ID"] = atlas.object_id[unusual.nearest]
    rows["SIMILARITY"] = unusual.similarity
    rows["Z_SPEC"] = atlas.redshift[unusual.row]
    if atlas.names is not None:
        rows["NAME"] = atlas.names[unusual.row]
        rows["NEIGHBOUR_NAME"] = atlas.names[unusual.nearest]
    return rows
