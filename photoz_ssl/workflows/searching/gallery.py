"""Queries and their neighbours to look at: rows of pictures with what is known of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np

from photoz_ssl.config import SimilarConfig
from photoz_ssl.errors import ConfigError
from photoz_ssl.extras import import_extra
from photoz_ssl.files import atomic_output, claim_output, output_errors
from photoz_ssl.neighbours.atlas import Atlas
from photoz_ssl.neighbours.query import Neighbours
from photoz_ssl.object_ids import NO_ID
from photoz_ssl.workflows.pictures.gallery_page import MOST_PAGE_ROWS, Page
from photoz_ssl.workflows.pictures.mosaic import MosaicRow, Pages, draw_mosaic
from photoz_ssl.workflows.pictures.shown import GalleryRow, Shown
from photoz_ssl.workflows.searching.questions import Asked

__all__ = [
    "Gallery",
    "claim_galleries",
    "finish",
    "gallery_notices",
    "open_galleries",
    "remove_galleries",
    "show",
    "wants_pictures",
]

MOST_MOSAIC_ROWS = 20
"""Of one picture."""

MOST_PDF_ROWS = 1000

ROWS_A_PAGE = 8
"""Of a PDF."""


class Gallery(Protocol):
    """Something that shows rows, as many as it has room for."""

    @property
    def room(self) -> int:
        """How many more rows it takes."""

    def add(self, row: GalleryRow) -> None:
        """Show one more row."""

    def finish(self) -> None:
        """Write what is not written yet."""


def show(asked: Asked, found: Neighbours, atlas: Atlas, galleries: Sequence[Gallery]) -> None:
    """Show the queries that have neighbours, in order, wherever there is room left."""
    most = max((gallery.room for gallery in galleries), default=0)
    for query in np.unique(found.query)[:most]:
        row = _row(asked, int(query), found, atlas)
        for gallery in galleries:
            if gallery.room:
                gallery.add(row)


def finish(galleries: Sequence[Gallery]) -> None:
    """Write what the galleries have not written yet."""
    for gallery in galleries:
        gallery.finish()


def _row(asked: Asked, query: int, found: Neighbours, atlas: Atlas) -> GalleryRow:
    pairs = np.flatnonzero(found.query == query)
    rows, queries = found.row[pairs], asked.queries
    neighbours = zip(atlas.thumbnails(rows), rows, found.similarity[pairs], strict=True)
    return GalleryRow(
        Shown(
            asked.pictures(np.array([query]))[0],
            _name_of_query(asked, query),
            float(queries.ra[query]),
            float(queries.dec[query]),
            float(asked.redshift[query]),
        ),
        tuple(
            Shown(
                picture,
                atlas.name_of(int(row)),
                float(atlas.ra[row]),
                float(atlas.dec[row]),
                float(atlas.redshift[row]),
                float(similarity),
            )
            for picture, row, similarity in neighbours
        ),
    )


def _name_of_query(asked: Asked, query: int) -> str:
    if asked.names is not None:
        return bytes(asked.names[query]).decode("utf-8", "replace").strip()
    object_id = int(asked.queries.object_id[query])
    return str(object_id) if object_id != NO_ID else ""


def wants_pictures(config: SimilarConfig) -> bool:
    """Whether a config asks for something that shows pictures."""
    return config.mosaic is not None or config.html is not None


def gallery_notices(config: SimilarConfig, n_queries: int) -> tuple[str, ...]:
    """What was left out for lack of room, or of anything to show."""
    shown = []
    if config.mosaic is not None:
        shown.append(("mosaic", MOST_PDF_ROWS if _is_pdf(config.mosaic) else MOST_MOSAIC_ROWS))
    if config.html is not None:
        shown.append(("page", MOST_PAGE_ROWS))
    if not n_queries:
        return tuple(f"there is no query, and so no {what}" for what, _ in shown)
    return tuple(
        f"the {what} shows the first {most} queries" for what, most in shown if n_queries > most
    )


def claim_galleries(config: SimilarConfig) -> None:
    """Refuse pictures that cannot be drawn or written, before any work is done.

    Raises
    ------
    PhotozError
        If a file exists, is named wrongly or twice, or matplotlib is not installed.
    """
    if config.mosaic is not None:
        import_extra("matplotlib.figure", extra="plot", purpose="drawing a mosaic")
    for option, path, suffixes in (
        ("--mosaic", config.mosaic, (".png", ".pdf")),
        ("--html", config.html, (".html", ".htm")),
    ):
        if path is None:
            continue
        if path.suffix.lower() not in suffixes:
            named = " or ".join(f"*{suffix}" for suffix in suffixes)
            raise ConfigError(f"the file {path} of {option} is not named {named}", "name it so")
        claim_output(path, overwrite=config.overwrite)
        if path.absolute() == Path(config.output).absolute():
            raise ConfigError(f"{option} and --output are the same file", "name two files")


def remove_galleries(config: SimilarConfig) -> None:
    """Take away pictures of an earlier search, whose table is replaced by one without a query."""
    for path in (config.mosaic, config.html):
        if path is not None and config.overwrite:
            with output_errors(path):
                path.unlink(missing_ok=True)


@contextmanager
def open_galleries(config: SimilarConfig) -> Iterator[list[Gallery]]:
    """What a config asks to be shown in; the files appear when the block ends well.

    Each has to be finished inside the block, so that a failure leaves no other output either.
    """
    with ExitStack() as stack:
        galleries: list[Gallery] = []
        if config.mosaic is not None:
            output = atomic_output(config.mosaic, overwrite=config.overwrite)
            kind = PdfMosaic if _is_pdf(config.mosaic) else Mosaic
            galleries.append(kind(stack.enter_context(output), config.mosaic))
        if config.html is not None:
            output = atomic_output(config.html, overwrite=config.overwrite)
            galleries.append(Page(stack.enter_context(output), config.html, config.among.name))
        yield galleries


class Mosaic:
    """One picture with a row a query.

    Parameters
    ----------
    path, shown : Path
        File to write, and its name in an error.
    """

    def __init__(self, path: Path, shown: Path) -> None:
        self._path, self._shown = path, shown
        self._rows: list[MosaicRow] = []

    @property
    def room(self) -> int:
        """How many more rows it takes."""
        return MOST_MOSAIC_ROWS - len(self._rows)

    def add(self, row: GalleryRow) -> None:
        """Show one more row."""
        self._rows.append(_mosaic_row(row))

    def finish(self) -> None:
        """Draw the picture."""
        draw_mosaic(self._path, self._rows, shown=self._shown)


class PdfMosaic:
    """Pages of a PDF with so many rows each; a page is drawn when it is full.

    Parameters
    ----------
    path, shown : Path
        File to write, and its name in an error.
    """

    def __init__(self, path: Path, shown: Path) -> None:
        self._pages = Pages(path, shown=shown)
        self._rows: list[MosaicRow] = []
        self._n_rows = 0

    @property
    def room(self) -> int:
        """How many more rows it takes."""
        return MOST_PDF_ROWS - self._n_rows

    def add(self, row: GalleryRow) -> None:
        """Show one more row."""
        self._rows.append(_mosaic_row(row))
        self._n_rows += 1
        if len(self._rows) == ROWS_A_PAGE:
            self._draw()

    def finish(self) -> None:
        """Draw what is left, and close the file."""
        if self._rows:
            self._draw()
        self._pages.close()

    def _draw(self) -> None:
        self._pages.draw(self._rows)
        self._rows.clear()


def _is_pdf(path: Path) -> bool:
    return path.suffix.lower() == ".pdf"


def _mosaic_row(row: GalleryRow) -> MosaicRow:
    shown = (row.query, *row.neighbours)
    pictures = np.stack([galaxy.picture for galaxy in shown])
    return MosaicRow(pictures, [_caption(galaxy) for galaxy in shown])


def _caption(galaxy: Shown) -> str:
    """The similarity, or the query's id, and the redshift where it is known."""
    first = f"{galaxy.similarity:.3f}"
    if not np.isfinite(galaxy.similarity):
        first = galaxy.name.encode("ascii", "replace").decode() or "query"  # that any font has
    return first + (f", z={galaxy.redshift:.3f}" if np.isfinite(galaxy.redshift) else "")
