"""What the galaxies of a catalogue are known by, in an atlas or an archive: ids, names, places."""

from __future__ import annotations

import numpy as np

from photoz_ssl.errors import listed
from photoz_ssl.neighbours.atlas import Atlas
from photoz_ssl.neighbours.atlas_writer import kept_columns, left_out_columns
from photoz_ssl.survey.blocks import GalaxySource

__all__ = [
    "has_ids",
    "left_out_notices",
    "name_column",
    "notices_of_itself",
    "text_id",
    "text_id_notices",
]


def has_ids(source: GalaxySource) -> bool:
    """Whether the ids of the galaxies are the input's own, and not their row numbers."""
    name = source.id_column
    return name is not None and np.dtype(source.table_dtype[name]).kind in "iu"


def text_id(source: GalaxySource) -> str | None:
    """The column of ids, where they are text."""
    name = source.id_column
    return name if name is not None and source.table_dtype[name].kind == "S" else None


def name_column(source: GalaxySource) -> str | None:
    """The column of ids, where they are text that an atlas keeps."""
    name = text_id(source)
    return name if name in kept_columns(source.table_dtype) else None


def text_id_notices(source: GalaxySource, galaxies: str) -> tuple[str, ...]:
    """What becomes of ids that are no integers where there is room for such alone."""
    name = source.id_column
    if name is None or has_ids(source):
        return ()
    kind = np.dtype(source.table_dtype[name]).kind
    what = {
        "S": "text",
        "f": "floating-point numbers, which have lost the digits of long ids",
    }.get(kind, "no whole numbers")
    return (f"the ids in {name} are {what}: {galaxies} are numbered from 0 instead",)


def left_out_notices(source: GalaxySource) -> tuple[str, ...]:
    """Which columns of a catalogue its atlas does not keep."""
    roles = (source.id_column, source.ra_column, source.dec_column)
    names = left_out_columns(source.table_dtype, [name for name in roles if name is not None])
    told = (
        "left out are the columns that are not one number or short text, have / in their name, or"
        " are called as another one is there"
    )
    return (f"{told}: {listed(names)}",) if names else ()


def notices_of_itself(atlas: Atlas, source: GalaxySource) -> tuple[str, ...]:
    """A notice where nothing tells a galaxy from itself in the atlas."""
    by_id = has_ids(source) and atlas.header.has_ids
    by_place = source.ra_column is not None and bool(np.isfinite(atlas.ra).any())
    if by_id or by_place:
        return ()
    return (
        "the catalogue and the atlas have neither integer ids nor positions in common, so that a"
        " galaxy that is in both is its own neighbour",
    )
