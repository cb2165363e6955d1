"""What the page asks of an atlas: a galaxy, its look-alikes, a selection, a place to go to."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import ArchiveError, ConfigError, CutoutError
from photoz_ssl.neighbours.atlas import CATALOG_NAMES, Atlas
from photoz_ssl.neighbours.exact import NOBODY
from photoz_ssl.neighbours.index import Index
from photoz_ssl.neighbours.lookup import is_number, nearest_on_sky, row_of
from photoz_ssl.neighbours.map import AtlasMap
from photoz_ssl.neighbours.query import Neighbours, Restriction, find_neighbours, rocchio
from photoz_ssl.object_ids import NO_ID
from photoz_ssl.survey.angles import position_of
from photoz_ssl.survey.tables.headers import TableColumn
from photoz_ssl.survey.tables.writer import write_tables
from photoz_ssl.workflows.searching.neighbour_table import (
    NEIGHBOUR_COLUMNS,
    neighbour_columns,
    neighbour_rows,
    neighbour_table,
    origin_cards,
    search_cards,
)
from photoz_ssl.workflows.searching.questions import Asked, asked_of_rows

__all__ = ["Ask", "AtlasView", "Range", "Selection"]

MOST_NEIGHBOURS = 200
ROWS_AT_ONCE = 1 << 14
ID = "OBJID"
"""The column that the page shows, but does not filter by."""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Range:
    """A window on a column, edges included.

    Parameters
    ----------
    column : str
        Its name.
    low, high : float
        Edges; infinite where it is open. A NaN lies in no window.
    """

    column: str
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Some of an atlas's galaxies.

    Parameters
    ----------
    ranges : tuple of Range
        All of which hold.
    box : tuple of 4 float, optional
        Smallest x and y and largest x and y on the map.
    """

    ranges: tuple[Range, ...] = ()
    box: tuple[float, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Whose look-alikes are wanted.

    Parameters
    ----------
    galaxy : int, optional
        A row of the atlas.
    image : Asked, optional
        Instead a galaxy from elsewhere.
    like, unlike : tuple of int
        Rows of examples that move the question; see `rocchio`.
    n_neighbours : int
        How many.
    selection : Selection
        Among which galaxies.
    """

    galaxy: int | None = None
    image: Asked | None = None
    like: tuple[int, ...] = ()
    unlike: tuple[int, ...] = ()
    n_neighbours: int = 24
    selection: Selection = field(default_factory=Selection)

    def __post_init__(self) -> None:
        if self.galaxy is None and self.image is None and not self.like:
            raise ConfigError("nothing is asked for", "choose a galaxy, or like one")
        if not 0 < self.n_neighbours <= MOST_NEIGHBOURS:
            raise ConfigError(f"a page shows 1 to {MOST_NEIGHBOURS} neighbours")


class AtlasView:
    """An atlas with its map, asked from several threads.

    Parameters
    ----------
    atlas : Atlas
        The galaxies.
    atlas_map : AtlasMap
        Where they lie.
    index : Index, optional
        What to search through; exactly if None.
    """

    def __init__(self, atlas: Atlas, atlas_map: AtlasMap, index: Index | None = None) -> None:
        self.atlas, self.map, self._index = atlas, atlas_map, index
        self._searching = Lock()

    def describe(self) -> dict[str, Any]:
        """What the page has to know before it asks for anything."""
        numbers = [
            name
            for name, values in self.atlas.columns.items()
            if values.dtype.kind in "iuf" and name != ID
        ]
        known = [name for name in numbers if np.isfinite(self._sample(name)).any()]
        return {
            "name": self.atlas.path.name,
            "catalog": self.atlas.header.catalog,
            "model": self.atlas.header.model,
            "galaxies": len(self.atlas),
            "map": self.map.kind,
            "pictures": self.atlas.has_thumbnails,
            "columns": known,
            "suggested": _suggested(known),
        }

    def positions(self) -> bytes:
        """Places on the map, little-endian float32 pairs."""
        return self.map.positions.astype("<f4").tobytes()

    def column(self, name: str) -> bytes:
        """A column of numbers, little-endian float32."""
        return self._numbers(name).astype("<f4").tobytes()

    def galaxy(self, row: int) -> dict[str, Any]:
        """All that is known of a galaxy; ids are text, as JavaScript has no such integers."""
        self.require_row(row)
        columns = {name: _plain(values[row]) for name, values in self.atlas.columns.items()}
        told = {"problem": self._problem(row), "columns": columns}
        return {"row": row, **self._named(row), **told}

    def require_row(self, row: int) -> None:
        """Refuse a row that is not there."""
        if not 0 <= row < len(self.atlas):
            raise ArchiveError(f"{self.atlas.path.name} has no row {row}", "reload the page")

    def picture(self, row: int) -> NDArray[np.uint8]:
        """The picture of a galaxy, shape (64, 64, 3), the first axis pointing down."""
        self.require_row(row)
        return self.atlas.thumbnails(np.array([row]))[0, ::-1]

    def chosen(self, selection: Selection) -> NDArray[np.bool_] | None:
        """Which galaxies are in a selection, shape (n_galaxies,); None for all of them."""
        masks = []
        for limits in selection.ranges:
            values = self._numbers(limits.column)
            masks.append((values >= limits.low) & (values <= limits.high))
        if selection.box is not None:
            left, bottom, right, top = selection.box
            x, y = self.map.positions.T
            masks.append((x >= left) & (x <= right) & (y >= bottom) & (y <= top))
        return np.logical_and.reduce(masks) if masks else None

    def neighbours(self, ask: Ask) -> list[dict[str, Any]]:
        """The galaxies that look most like what is asked, the closest first."""
        _, found = self._find(ask)
        return [
            {"row": int(row), **self._named(int(row)), "similarity": round(float(similarity), 5)}
            for row, similarity in zip(found.row, found.similarity, strict=True)
        ]

    def write_neighbours(self, ask: Ask, path: Path) -> None:
        """Write them as the table that `similar` writes."""
        asked, found = self._find(ask)
        cards = search_cards(self.atlas, self.atlas.path.name, self._index)
        columns = neighbour_columns(asked, self.atlas)
        with neighbour_table(
            str(path), "fits", "NEIGHBOURS", columns, cards, overwrite=True
        ) as table:
            table.append(neighbour_rows(asked, found, self.atlas))

    def write_selection(self, selection: Selection, path: Path) -> None:
        """Write the galaxies of a selection, with their columns and their places on the map."""
        mask = self.chosen(selection)
        rows = np.arange(len(self.atlas)) if mask is None else np.flatnonzero(mask)
        columns: dict[str, NDArray[Any]] = {
            **self.atlas.columns,
            "MAP_X": self.map.positions[:, 0],
            "MAP_Y": self.map.positions[:, 1],
        }
        dtype = np.dtype([(name, values.dtype) for name, values in columns.items()])
        described = [_described(name, values.dtype) for name, values in columns.items()]
        cards = [*origin_cards(self.atlas), ("ATLAS", self.atlas.path.name, "what was browsed")]
        with write_tables(str(path), overwrite=True) as file:
            table = file.table("SELECTION", described, dtype, cards)
            for start in range(0, len(rows), ROWS_AT_ONCE):
                some = rows[start : start + ROWS_AT_ONCE]
                block = np.empty(len(some), dtype)
                for name, values in columns.items():
                    block[name] = values[some]
                table.append(block)

    def search(self, text: str) -> dict[str, Any]:
        """The galaxy that a text names by its id, or by a position near to it.

        Raises
        ------
        PhotozError
            If there is none, or the text is neither.
        """
        text = text.strip()
        try:
            row = row_of(self.atlas, text)
        except ArchiveError as error:
            raise ArchiveError(
                f"the id {text} stands for several galaxies of {self.atlas.path.name}",
                "search by position",
            ) from error
        if row != NOBODY:
            return {"row": row, "arcsec": None}
        if is_number(text):
            raise ArchiveError(
                f"the id {text} is not in {self.atlas.path.name}", "write one that is"
            )
        row, angle = nearest_on_sky(self.atlas, *_position(text))
        return {"row": row, "arcsec": round(3600 * angle, 1)}

    def _find(self, ask: Ask) -> tuple[Asked, Neighbours]:
        asked, left_out = self._asked(ask)
        limits = Restriction(among=self.chosen(ask.selection), left_out=left_out)
        with self._searching:  # one at a time: each fills the processor, and FAISS has settings
            found = find_neighbours(
                asked.queries, self.atlas, ask.n_neighbours, limits, self._index
            )
        return asked, found

    def _asked(self, ask: Ask) -> tuple[Asked, Rows]:
        """The one query, moved, and the rows that are no answer to it."""
        like, unlike = (self._vectors(rows) for rows in (ask.like, ask.unlike))
        own: NDArray[np.float32] | None
        if ask.image is not None:
            asked, own = ask.image, ask.image.queries.vectors
        elif ask.galaxy is not None:
            own = self._vectors((ask.galaxy,))
            asked = asked_of_rows(self.atlas, np.array([ask.galaxy]))
        else:
            own, asked = None, asked_of_rows(self.atlas, np.array([NOBODY]), object_id=_NO_IDS)
        moved = rocchio(own, like, unlike) if own is None or ask.like or ask.unlike else own
        queries = dataclasses.replace(asked.queries, vectors=moved)
        return dataclasses.replace(asked, queries=queries), np.array([*ask.like, *ask.unlike], "i8")

    def _vectors(self, rows: tuple[int, ...]) -> NDArray[np.float32]:
        for row in rows:
            self.require_row(row)
            if problem := self._problem(row):
                raise CutoutError(problem)
        return self.atlas.representations[np.array(rows, np.int64)].astype(np.float32)

    def _problem(self, row: int) -> str | None:
        """Why there are no look-alikes of a galaxy."""
        if np.isfinite(self.atlas.representations[row]).all():
            return None
        return f"the galaxy {self.atlas.name_of(row)} had no usable image"

    def _named(self, row: int) -> dict[str, Any]:
        atlas = self.atlas
        numbers = {"ra": atlas.ra[row], "dec": atlas.dec[row], "redshift": atlas.redshift[row]}
        known = {name: _plain(value) for name, value in numbers.items()}
        return {"id": atlas.name_of(row), **known}

    def _numbers(self, name: str) -> NDArray[np.float32]:
        """A column as the page has it, so that both find the same galaxies in a window."""
        values = self.atlas.column(name)
        if values.dtype.kind not in "iuf":
            raise ConfigError(f"{name} is not a column of numbers")
        with np.errstate(over="ignore"):
            return values.astype(np.float32)

    def _sample(self, name: str) -> NDArray[np.float32]:
        step = max(1, len(self.atlas) // ROWS_AT_ONCE)
        return self.atlas.column(name)[::step].astype(np.float32)


_NO_IDS = np.array([NO_ID])


def _plain(value: Any) -> Any:
    """A value as JSON has it: no NaN, no bytes, and integers beyond 2^53 as text."""
    if isinstance(value, bytes):
        return value.decode("ascii", "replace").strip()
    if isinstance(value, np.floating):
        shortest = float(str(value))
        return shortest if np.isfinite(shortest) else None
    number = int(value)
    return number if abs(number) < 2**53 else str(number)


def _suggested(names: list[str]) -> list[str]:
    """Columns to filter by at first: the redshift, and a magnitude, in r if there is one."""
    magnitudes = [name for name in names if re.search(r"mag(?!err)", name, re.IGNORECASE)]
    red = [name for name in magnitudes if re.search(r"(^r_|_r$)", name, re.IGNORECASE)]
    redshift = [name for name in names if name == "Z_SPEC"]
    return [*redshift, *(red or magnitudes)[:1]]


PLACE = "Place on the map of the atlas"
DESCRIBED = {
    **{column.name: column for column, _ in NEIGHBOUR_COLUMNS if column.name in CATALOG_NAMES},
    "OBJID": TableColumn("OBJID", "", "meta.id;meta.main", "Id of the galaxy", "I20"),
    "MAP_X": TableColumn("MAP_X", "", "", PLACE),
    "MAP_Y": TableColumn("MAP_Y", "", "", PLACE),
}
"""Columns of a selection of which more is known than their name."""


def _described(name: str, kind: np.dtype[Any]) -> TableColumn:
    """What a column of a selection is; ids that are text have no numbers' form."""
    known = DESCRIBED.get(name, TableColumn(name))
    return dataclasses.replace(known, display="") if kind.kind == "S" else known


def _position(text: str) -> tuple[float, float]:
    try:
        return position_of(text)
    except ConfigError as error:
        raise ConfigError(
            f"{text[:60]!r} is neither an id nor a position",
            "write an id, RA and Dec in degrees, or such as 15:18:07.2 +42:44:51",
        ) from error
