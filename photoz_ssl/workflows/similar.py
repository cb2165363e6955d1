"""The galaxies of an atlas that look like those that are asked about."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from photoz_ssl.config import EmbedConfig, SimilarConfig
from photoz_ssl.errors import ArchiveError, CatalogError, ConfigError, OutputError, no_image
from photoz_ssl.files import require_other
from photoz_ssl.neighbours.atlas import Atlas, is_atlas, read_atlas
from photoz_ssl.neighbours.expressions import parse_condition
from photoz_ssl.neighbours.index import Index, read_index
from photoz_ssl.neighbours.query import Neighbours, Restriction, find_neighbours
from photoz_ssl.neighbours.unusual import most_unusual
from photoz_ssl.neighbours.windows import parse_angle, parse_tolerance, rows_where
from photoz_ssl.progress import Progress, silent
from photoz_ssl.survey.tables.headers import Card
from photoz_ssl.survey.tables.writer import STDOUT, Rows
from photoz_ssl.workflows.counting import counted, share_with, without_image
from photoz_ssl.workflows.searching.asking import open_question
from photoz_ssl.workflows.searching.atlas_encoder import AtlasEncoder
from photoz_ssl.workflows.searching.gallery import (
    claim_galleries,
    finish,
    gallery_notices,
    open_galleries,
    remove_galleries,
    show,
    wants_pictures,
)
from photoz_ssl.workflows.searching.neighbour_table import (
    Column,
    claim_neighbours,
    neighbour_columns,
    neighbour_rows,
    neighbour_table,
    search_cards,
    unusual_columns,
    unusual_rows,
)
from photoz_ssl.workflows.searching.questions import Asked, Question, asked_of_rows

if TYPE_CHECKING:
    from photoz_ssl.workflows.trained.inference import Predictor

__all__ = ["EXTNAME", "UNUSUAL_EXTNAME", "SimilarReport", "similar"]

EXTNAME, UNUSUAL_EXTNAME = "NEIGHBOURS", "UNUSUAL"


ROWS_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True)
class SimilarReport:
    """What `similar` found.

    Parameters
    ----------
    output : str
        The table; ``-`` is standard output.
    what : str
        What is in it.
    n_queries, n_without, n_pairs : int
        Queries in all, those without a vector, and pairs of a query and a neighbour.
    n_searched : int
        Galaxies of the atlas that were searched.
    model : str
        Name of the model.
    notices : tuple of str
        What a user should know.
    """

    output: str
    what: str
    n_queries: int
    n_without: int
    n_pairs: int
    n_searched: int
    model: str
    notices: tuple[str, ...] = ()

    def summary(self) -> str:
        """One line: what was found, among how many, with which model."""
        target = "standard output" if self.output == STDOUT else self.output
        return (
            f"photoz-ssl: {self.what} among {counted(self.n_searched, 'galaxy')} → {target};"
            f" model {self.model}"
        )


@dataclass
class _Tally:
    """Counts of the search so far."""

    n_queries: int = 0
    n_without: int = 0
    n_answered: int = 0
    n_pairs: int = 0
    first_problem: str = ""

    def count(self, asked: Asked, found: Neighbours) -> None:
        self.n_queries += len(asked.queries)
        self.n_without += int(np.isnan(asked.queries.vectors[:, 0]).sum())
        self.n_answered += len(np.unique(found.query))
        self.n_pairs += len(found)
        self.first_problem = self.first_problem or asked.problem


def similar(
    config: SimilarConfig, *, progress: Progress = silent, command_line: str = ""
) -> SimilarReport:
    """Write the table of the galaxies that look most like each query; no query, no row.

    Parameters
    ----------
    config : SimilarConfig
        What to do; ``config.among`` may be an atlas, or an archive that is embedded first.
    progress : Progress
        Told of the galaxies done.
    command_line : str
        Recorded in the table's header.

    Raises
    ------
    PhotozError
        If an output exists, an input cannot be read, the atlas was made by another model, not
        one query has a usable image, or nothing lies in the windows. Nothing is written then.
    """
    conditions = [parse_condition(text) for text in config.where]
    limits = Restriction(
        min_separation=parse_angle(config.min_separation),
        within=[parse_tolerance(text) for text in config.within],
    )
    claim_neighbours(config.output, config.format, overwrite=config.overwrite)
    examples = (config.queries, config.image, *config.like, *config.unlike)
    require_other(config.output, config.among, config.model, *examples)
    claim_galleries(config)
    with open_question(config) as question, _open_atlas(config, question, progress) as opened:
        atlas, encoder = opened
        among = rows_where(atlas, conditions) if conditions else None
        limits = replace(limits, among=among)
        _require_numbers(atlas, limits)
        index = read_index(atlas) if config.index else None
        search = _Search(config, atlas, encoder, limits, index, command_line, progress)
        return search.rank_unusual() if question is None else search.answer(question)


def _require_numbers(atlas: Atlas, limits: Restriction) -> None:
    """Refuse to compare what are no numbers."""
    for limit in limits.within:
        if atlas.column(limit.column).dtype.kind not in "iufb":
            raise ConfigError(
                f"the column {limit.column} of {atlas.path} is no column of numbers, which"
                " --within compares",
                f"for text there is --where, such as \"{limit.column} == 'train'\"",
            )


@contextmanager
def _open_atlas(
    config: SimilarConfig, question: Question | None, progress: Progress
) -> Iterator[tuple[Atlas, AtlasEncoder]]:
    """The atlas to search: the file, or a passing one made of the archive or catalogue."""
    if is_atlas(config.among) or not config.among.exists():
        atlas = read_atlas(config.among)
        atlas.require_galaxies()
        yield atlas, AtlasEncoder(atlas, config.model, config)
        return
    with tempfile.TemporaryDirectory(prefix="photoz-ssl-") as folder:
        path = Path(folder) / "atlas.h5"
        predictor = _embed(config, question, path, progress)
        atlas = read_atlas(path)
        yield atlas, AtlasEncoder(atlas, config.model, config, predictor)


def _embed(
    config: SimilarConfig, question: Question | None, path: Path, progress: Progress
) -> Predictor:
    """Make a passing atlas of the archive or catalogue to search, and give its encoder."""
    from photoz_ssl.workflows.embed import write_atlas
    from photoz_ssl.workflows.searching.embedding_job import open_embedding

    embedding = EmbedConfig(
        catalog=str(config.among),
        thumbnails=wants_pictures(config),
        batch_size=config.batch_size,
        cutouts=config.cutouts,
        frames=config.frames,
        dust_dir=config.dust_dir,
        id_column=config.id_column,
        model=config.model,
        device=config.device,
        precision=config.precision,
        workers=config.workers,
    )
    with open_embedding(embedding) as job, _no_room_for_atlas(config.among):
        predictor = job.predictor
        if question is not None and question.spec is not None:
            question.spec.require_usable_by(
                predictor.spec, here=question.name, there=f"the model {predictor.name}"
            )
        write_atlas(job, path, embedding, progress)
    return predictor


@contextmanager
def _no_room_for_atlas(among: Path) -> Iterator[None]:
    """Say which folder is full: the user did not name it."""
    try:
        yield
    except OutputError as error:
        raise OutputError(
            f"no space left in {tempfile.gettempdir()} for a passing atlas of {among}",
            "set TMPDIR to a larger folder, or make the atlas first with photoz-ssl embed",
        ) from error


@dataclass(frozen=True)
class _Search:
    """A search that is about to be made, with all that it needs."""

    config: SimilarConfig
    atlas: Atlas
    encoder: AtlasEncoder
    limits: Restriction
    index: Index | None
    command_line: str
    progress: Progress

    def answer(self, question: Question) -> SimilarReport:
        """Search block by block; the table appears only if this ends well."""
        tally = _Tally()
        columns = [limit.column for limit in self.limits.within]
        cards = [*self._cards(), ("QUERIES", question.name, "galaxies whose neighbours these are")]
        blocks = question.blocks(self.atlas, self.encoder, columns)
        first = next(blocks)
        table_file = self._table(EXTNAME, neighbour_columns(first, self.atlas), cards)
        with ExitStack() as stack:
            shown = open_galleries(self.config) if question.n_queries else None
            galleries = stack.enter_context(shown) if shown else []
            table = stack.enter_context(table_file)
            for asked in chain([first], blocks):
                self._require_positions(asked, question.name)
                found = self._neighbours(asked)
                table.append(neighbour_rows(asked, found, self.atlas))
                show(asked, found, self.atlas, galleries)
                tally.count(asked, found)
                self.progress("searching for neighbours", tally.n_queries, question.n_queries)
            self._require_answers(tally, question.name)
            finish(galleries)
        if not tally.n_queries:
            remove_galleries(self.config)
        n_asked = tally.n_queries - tally.n_without
        what = f"{counted(tally.n_pairs, 'neighbour')} of {counted(n_asked, 'query')}"
        return self._report(what, tally, (*question.notices, *self._notices(tally)))

    def rank_unusual(self) -> SimilarReport:
        """Rank the atlas by how far its galaxies are from their neighbours."""
        config, atlas = self.config, self.atlas
        n_unusual, n_neighbours = config.most_unusual or 0, config.n_neighbours
        unusual = most_unusual(
            atlas, n_unusual, n_neighbours, self.limits, self.progress, self.index
        )
        if len(unusual.row) == 0:
            raise self._lonely(f"no galaxy of {atlas.path} has a neighbour")
        table_file = self._table(UNUSUAL_EXTNAME, unusual_columns(atlas), self._cards())
        with open_galleries(config) as galleries, table_file as table:
            table.append(unusual_rows(unusual, atlas))
            for start in range(0, len(unusual.row) if galleries else 0, ROWS_AT_ONCE):
                asked = asked_of_rows(atlas, unusual.row[start : start + ROWS_AT_ONCE])
                show(asked, self._neighbours(asked), atlas, galleries)
            finish(galleries)
        n_ranked = len(unusual.row)
        tally = _Tally(n_queries=n_ranked)
        notices = self._notices(tally)
        if n_ranked < n_unusual:
            notices += (f"of {n_unusual} galaxies asked for, {n_ranked} have a neighbour",)
        what = f"the {n_ranked} most unusual galaxies"
        return self._report(what, tally, notices)

    def _neighbours(self, asked: Asked) -> Neighbours:
        limits = replace(self.limits, left_out=asked.left_out)
        return find_neighbours(
            asked.queries, self.atlas, self.config.n_neighbours, limits, self.index
        )

    def _table(
        self, extname: str, columns: Sequence[Column], cards: Sequence[Card]
    ) -> AbstractContextManager[Rows]:
        config = self.config
        return neighbour_table(
            config.output, config.format, extname, columns, cards, overwrite=config.overwrite
        )

    def _cards(self) -> list[Card]:
        return [
            *search_cards(self.atlas, self.config.among.name, self.index),
            ("COMMAND", self.command_line, "command line"),
        ]

    @property
    def _n_searched(self) -> int:
        among = self.limits.among
        return len(self.atlas) if among is None else int(np.count_nonzero(among))

    def _require_positions(self, asked: Asked, name: str) -> None:
        placed = np.isfinite(asked.queries.ra)
        if self.limits.min_separation > 0 and len(placed) and not placed.any():
            raise CatalogError(
                f"{name} has no position, which --min-separation needs", "leave that out"
            )

    def _require_answers(self, tally: _Tally, name: str) -> None:
        if tally.n_queries == 0:
            return
        if tally.n_queries == tally.n_without:
            raise no_image(name, tally.first_problem)
        if tally.n_pairs == 0:
            among = self.config.among
            raise self._lonely(f"no galaxy of {among} is a neighbour of any query")

    def _lonely(self, problem: str) -> ArchiveError:
        """The error where nobody has a neighbour: what may give some depends on the windows."""
        limits = self.limits
        if limits.within or limits.min_separation > 0 or limits.among is not None:
            hint = "widen --where, --within or --min-separation"
            return ArchiveError(f"{problem} within the windows", hint)
        return ArchiveError(problem, "search among more galaxies: nobody is its own neighbour")

    def _notices(self, tally: _Tally) -> tuple[str, ...]:
        n_neighbours = self.config.n_neighbours
        notices = [*without_image(tally.n_without, tally.n_queries, "query", tally.first_problem)]
        if 0 < tally.n_answered < tally.n_queries - tally.n_without:
            n_lonely = tally.n_queries - tally.n_without - tally.n_answered
            notices.append(
                f"{share_with(n_lonely, tally.n_queries, 'query')} no neighbour within the windows"
            )
        if n_neighbours > self._n_searched:
            notices.append(
                f"-k asks for {n_neighbours} neighbours, more than the"
                f" {counted(self._n_searched, 'galaxy')} of {self.config.among} to search"
            )
        return (*notices, *gallery_notices(self.config, tally.n_queries - tally.n_without))

    def _report(self, what: str, tally: _Tally, notices: tuple[str, ...]) -> SimilarReport:
        return SimilarReport(
            output=self.config.output,
            what=what,
            n_queries=tally.n_queries,
            n_without=tally.n_without,
            n_pairs=tally.n_pairs,
            n_searched=self._n_searched,
            model=self.atlas.header.model,
            notices=notices,
        )
