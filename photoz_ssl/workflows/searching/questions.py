"""What `similar` is asked: galaxies from files, from the sky, or from the atlas itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.config import SimilarConfig
from photoz_ssl.errors import ArchiveError, CatalogError, CutoutError
from photoz_ssl.neighbours.atlas import Atlas
from photoz_ssl.neighbours.exact import NOBODY
from photoz_ssl.neighbours.lookup import (
    is_number,
    nearest_on_sky,
    row_of,
    rows_of_ids,
    rows_of_names,
)
from photoz_ssl.neighbours.query import Queries
from photoz_ssl.object_ids import NO_ID, UnfitIdError, integer_ids
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.blocks import GalaxyBlock, GalaxySource
from photoz_ssl.survey.catalog import Catalog
from photoz_ssl.survey.named_columns import columns_named
from photoz_ssl.workflows.searching.atlas_encoder import AtlasEncoder
from photoz_ssl.workflows.searching.identities import (
    has_ids,
    notices_of_itself,
    text_id,
    text_id_notices,
)

__all__ = [
    "Asked",
    "FromId",
    "FromIds",
    "FromImages",
    "FromSky",
    "Question",
    "asked_of_rows",
    "require_image",
]

ROWS_AT_ONCE = 256
IDS_AT_ONCE = 1 << 13
"""That are looked up in one go through all ids of the atlas, of which there may be millions."""

FAR = 60 / 3600
"""Degrees from the galaxy that is nearest to a position beyond which it is told."""

Array = NDArray[Any]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Asked:
    """Some of the queries.

    Parameters
    ----------
    start : int
        Number of the first.
    queries : Queries
        What they look like.
    redshift : ndarray, shape (n,), float32
        Spectroscopic; NaN where unknown.
    pictures : callable
        Of the numbers of some of them, shape (m,): their pictures, shape (m, 64, 64, 3).
    problem : str
        Why the first of them that has no vector has none.
    left_out : ndarray, shape (m,), int64
        Rows of the atlas that are no answer.
    names : ndarray, shape (n,), bytes, optional
        Their own ids, where these are text; of one type in all blocks of a question.
    """

    start: int
    queries: Queries
    redshift: NDArray[np.float32]
    pictures: Callable[[Rows], NDArray[np.uint8]]
    problem: str = ""
    left_out: Rows = field(default_factory=lambda: np.empty(0, np.int64))
    names: NDArray[np.bytes_] | None = None


class Question(Protocol):
    """Galaxies whose look-alikes are wanted; see `photoz_ssl.workflows.searching.asking`."""

    @property
    def name(self) -> str:
        """What they are called in errors and headers."""

    @property
    def n_queries(self) -> int:
        """How many there are."""

    @property
    def spec(self) -> ImageSpec | None:
        """What their images are, if they have any."""

    @property
    def notices(self) -> tuple[str, ...]:
        """What a user should know; to be read after the blocks."""

    def blocks(
        self, atlas: Atlas, encoder: AtlasEncoder, columns: Sequence[str]
    ) -> Iterator[Asked]:
        """The queries in order; one block of none where there is no query.

        Parameters
        ----------
        atlas : Atlas
            What is searched.
        encoder : AtlasEncoder
            Its encoder.
        columns : sequence of str
            Columns whose values windows compare.
        """


class FromImages:
    """Galaxies with images, from a table, an archive or a single file."""

    def __init__(
        self,
        source: GalaxySource,
        name: str,
        notices: tuple[str, ...] = (),
        *,
        anonymous: bool = False,
    ) -> None:
        self.name, self.n_queries, self.spec = name, source.n_rows, source.spec
        self._source, self._notices, self._anonymous = source, notices, anonymous
        self._untold: tuple[str, ...] = ()

    @property
    def notices(self) -> tuple[str, ...]:
        """What a user should know of the images read so far."""
        return (*self._notices, *self._untold, *self._source.notices)

    def blocks(
        self, atlas: Atlas, encoder: AtlasEncoder, columns: Sequence[str]
    ) -> Iterator[Asked]:
        """As `Question.blocks`."""
        own_ids, name = has_ids(self._source), text_id(self._source)
        if not self._anonymous:
            numbered = () if name is not None else text_id_notices(self._source, "the queries")
            self._untold = (*numbered, *notices_of_itself(atlas, self._source))
        if not self.n_queries:
            names = None if name is None else np.empty(0, self._source.table_dtype[name])
            yield replace(asked_of_rows(atlas, np.empty(0, np.int64), columns), names=names)
        for block, vectors in encoder.represented(self._source, self.name):
            queries = Queries(
                vectors=vectors,
                object_id=np.full(len(block), NO_ID) if self._anonymous else block.object_id,
                has_ids=own_ids,
                ra=block.ra,
                dec=block.dec,
                row=np.full(len(block), NOBODY, np.int64),
                values={column: self._values(block, column) for column in columns},
            )
            yield Asked(
                start=block.start,
                queries=queries,
                redshift=block.redshift,
                pictures=self._pictures(block),
                problem=next((problem.message for problem in block.problems), ""),
                names=None if name is None or self._anonymous else block.table[name],
            )

    def _values(self, block: GalaxyBlock, column: str) -> NDArray[np.float64]:
        if column.upper() == "Z_SPEC":
            return block.redshift.astype(np.float64)
        name = next(columns_named(block.table.dtype, (column,)), None)
        if name is None or block.table.dtype[name].kind not in "iuf":
            raise CatalogError(
                f"{self.name} has no column of numbers {column}, which --within compares",
                "add it, or ask for galaxies of the atlas by their ids",
            )
        return block.table[name].astype(np.float64)

    def _pictures(self, block: GalaxyBlock) -> Callable[[Rows], NDArray[np.uint8]]:
        def pictures(numbers: Rows) -> NDArray[np.uint8]:
            from photoz_ssl.workflows.pictures.thumbnails import thumbnails

            reddening = self._source.spec.reddening(block.ebv)
            return thumbnails(block.images[numbers], reddening[numbers])

        return pictures


class FromIds:
    """Galaxies of the atlas, by the ids in a catalogue that has no images."""

    spec = None

    def __init__(self, catalog: Catalog, config: SimilarConfig) -> None:
        self.name, self.n_queries = catalog.path, catalog.n_rows
        self.notices: tuple[str, ...] = ()
        self._catalog = catalog
        wanted = config.id_column
        name = catalog.require(wanted, "of ids") if wanted else catalog.id_column()
        if name is None or catalog.dtype[name].kind not in "iufS" or catalog.dtype[name].shape:
            raise CatalogError(
                f"{catalog.path} says neither where its images are nor has it ids",
                "name images with --cutouts or --frames, or ids with --id-column",
            )
        self._ids, self._batch = name, config.batch_size or ROWS_AT_ONCE

    def blocks(
        self, atlas: Atlas, encoder: AtlasEncoder, columns: Sequence[str]
    ) -> Iterator[Asked]:
        """As `Question.blocks`."""
        for start, ids, rows, problem in self._looked_up(atlas):
            for first in range(0, max(len(rows), 1), self._batch):
                some = slice(first, first + self._batch)
                yield asked_of_rows(
                    atlas,
                    rows[some],
                    columns,
                    start=start + first,
                    object_id=ids[some],
                    problem=problem,
                )

    def _looked_up(self, atlas: Atlas) -> Iterator[tuple[int, Rows, Rows, str]]:
        """Number of a first query, ids, rows of the atlas, and what is wrong with the first id."""
        first = ""
        for start in range(0, max(self.n_queries, 1), IDS_AT_ONCE):
            table = self._catalog.read(start, min(start + IDS_AT_ONCE, self.n_queries))
            values = table[self._ids]
            find = self._by_name if values.dtype.kind == "S" else self._by_number
            ids, rows = find(atlas, values)
            missing = np.flatnonzero(rows == NOBODY)
            if len(missing):
                first = first or _spelled(values[missing[0]], self._catalog.null(self._ids))
            problem = f"the id {first} is not in {atlas.path}" if len(missing) else ""
            yield start, ids, rows, problem

    def _by_number(self, atlas: Atlas, values: Array) -> tuple[Rows, Rows]:
        """Ids, and rows of the atlas."""
        try:
            ids = integer_ids(values, self._catalog.null(self._ids))
        except UnfitIdError as error:
            raise CatalogError(
                f"{self._ids} of {self.name}: {error}", "name other ids with --id-column"
            ) from error
        known, rows = ids != NO_ID, np.full(len(ids), NOBODY, np.int64)
        rows[known] = rows_of_ids(atlas, ids[known])
        return ids, rows

    def _by_name(self, atlas: Atlas, values: Array) -> tuple[Rows, Rows]:
        """The atlas's own numbers of galaxies whose ids are text, and their rows."""
        if atlas.names is None:
            raise CatalogError(
                f"the ids in {self._ids} of {self.name} are text, and {atlas.path} has none",
                "name images with --cutouts or --frames, or ids of numbers with --id-column",
            )
        rows = rows_of_names(atlas, values)
        return np.where(rows == NOBODY, NO_ID, atlas.object_id[rows]), rows


def _spelled(value: Any, null: int | None) -> str:
    """An id as a message has it; empty for the number that stands for none."""
    if value == null:
        return "''"
    text = value.decode("utf-8", "replace").strip() if isinstance(value, bytes) else str(value)
    return text or "''"


class FromId:
    """One galaxy of the atlas, by its id: a whole number, or text."""

    notices: tuple[str, ...] = ()
    n_queries, spec = 1, None

    def __init__(self, text: str) -> None:
        self.name = text.strip()

    def blocks(
        self, atlas: Atlas, encoder: AtlasEncoder, columns: Sequence[str]
    ) -> Iterator[Asked]:
        """As `Question.blocks`."""
        row = row_of(atlas, self.name)
        if row == NOBODY:
            raise self._not_there(atlas)
        asked = asked_of_rows(atlas, np.array([row]), columns)
        require_image(asked, self.name, atlas)
        yield asked

    def _not_there(self, atlas: Atlas) -> ArchiveError | CutoutError:
        if is_number(self.name):
            return ArchiveError(f"the id {self.name} is not in {atlas.path}", "name one that is")
        problem, kind = f"there is no file {self.name}", "an id of the atlas, a whole number"
        if atlas.names is not None:
            problem, kind = f"{problem}, nor such an id in {atlas.path}", "an id of the atlas"
        return CutoutError(problem, f"write {kind}; RA,DEC; or the name of a FITS image")


class FromSky:
    """The galaxy of the atlas that is nearest to a position."""

    spec = None

    def __init__(self, ra: float, dec: float) -> None:
        self.name, self.n_queries = f"RA {ra:.6f}, Dec {dec:+.6f}", 1
        self.notices: tuple[str, ...] = ()
        self._ra, self._dec = ra, dec

    def blocks(
        self, atlas: Atlas, encoder: AtlasEncoder, columns: Sequence[str]
    ) -> Iterator[Asked]:
        """As `Question.blocks`."""
        row, angle = nearest_on_sky(atlas, self._ra, self._dec)
        if angle > FAR:
            self.notices = (f"the galaxy nearest to {self.name} is {60 * angle:.1f} arcmin away",)
        yield asked_of_rows(atlas, np.array([row]), columns)


def asked_of_rows(
    atlas: Atlas,
    rows: Rows,
    columns: Sequence[str] = (),
    *,
    start: int = 0,
    object_id: Rows | None = None,
    problem: str = "",
) -> Asked:
    """Galaxies of the atlas as queries.

    Parameters
    ----------
    atlas : Atlas
        Where they are.
    rows : ndarray, shape (n,)
        Their rows; `NOBODY` for one that is not there.
    columns : sequence of str
        Columns whose values windows compare.
    start : int
        Number of the first query.
    object_id : ndarray, shape (n,), optional
        Their ids, where some are not there.
    problem : str
        Why the first of these is not.
    """
    there = rows != NOBODY
    unknown = np.where(there, 1.0, np.nan)
    queries = Queries(
        vectors=(atlas.representations[rows].astype(np.float32) * unknown[:, None]).astype("f4"),
        object_id=atlas.object_id[rows] if object_id is None else object_id,
        has_ids=atlas.header.has_ids,
        ra=atlas.ra[rows] * unknown,
        dec=atlas.dec[rows] * unknown,
        row=rows,
        values={name: atlas.column(name)[rows].astype(np.float64) * unknown for name in columns},
    )
    return Asked(
        start=start,
        queries=queries,
        redshift=np.where(there, atlas.redshift[rows], np.nan).astype(np.float32),
        pictures=lambda numbers: atlas.thumbnails(rows[numbers]),
        problem=problem,
        names=None if atlas.names is None else np.where(there, atlas.names[rows], b""),
    )


def require_image(asked: Asked, name: str, atlas: Atlas) -> None:
    """Refuse a question about one galaxy that has no image to be asked by.

    Raises
    ------
    CutoutError
        If one of the vectors is not finite.
    """
    if not np.isfinite(asked.queries.vectors).all():
        raise CutoutError(
            asked.problem or f"the galaxy {name} of {atlas.path} had no usable image",
            "ask about another one, or mend its image",
        )
