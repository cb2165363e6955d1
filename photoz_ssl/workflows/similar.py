"""The galaxies of an atlas that look like those of a catalogue."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from photoz_ssl import __version__
from photoz_ssl.config import EmbedConfig, SimilarConfig
from photoz_ssl.errors import ConfigError, OutputError
from photoz_ssl.extras import import_extra
from photoz_ssl.files import atomic_output, claim_output
from photoz_ssl.neighbours.atlas import Atlas, is_atlas, read_atlas
from photoz_ssl.neighbours.query import Neighbours, find_neighbours
from photoz_ssl.progress import Progress, silent
from photoz_ssl.spec import NETWORK_SIZE
from photoz_ssl.survey.blocks import GalaxyBlock
from photoz_ssl.survey.sources import GalaxySource, open_source
from photoz_ssl.survey.tables import STDOUT, Card, TableColumn, claim_table, write_table
from photoz_ssl.workflows.embed import has_ids, load_model, no_image, represented, write_atlas
from photoz_ssl.workflows.thumbnails import MosaicRow, draw_mosaic, thumbnails

if TYPE_CHECKING:
    from photoz_ssl.workflows.inference import Predictor

__all__ = ["EXTNAME", "SimilarReport", "similar"]

EXTNAME = "NEIGHBOURS"
MOST_MOSAIC_ROWS = 20

COLUMNS = (
    TableColumn("QUERY_ROW", "", "meta.record", "Row of the queries, from 0", "I12"),
    TableColumn("QUERY_ID", "", "meta.id", "Id of the query", "I20"),
    TableColumn("RANK", "", "meta.number", "Place of the neighbour, 1 is the closest", "I6"),
    TableColumn("NEIGHBOUR_ID", "", "meta.id;meta.main", "Id of the neighbour", "I20"),
    TableColumn("RA", "deg", "pos.eq.ra;meta.main", "Right ascension of the neighbour", "F11.6"),
    TableColumn("DEC", "deg", "pos.eq.dec;meta.main", "Declination of the neighbour", "F11.6"),
    TableColumn("SIMILARITY", "", "stat.value", "Cosine between the two representations", "F8.5"),
    TableColumn(
        "Z_SPEC", "", "src.redshift", "Spectroscopic redshift of the neighbour, or NaN", "F8.5"
    ),
)
DTYPE = np.dtype(
    [
        ("QUERY_ROW", "i8"),
        ("QUERY_ID", "i8"),
        ("RANK", "i4"),
        ("NEIGHBOUR_ID", "i8"),
        ("RA", "f8"),
        ("DEC", "f8"),
        ("SIMILARITY", "f4"),
        ("Z_SPEC", "f4"),
    ]
)


@dataclass(frozen=True, kw_only=True)
class SimilarReport:
    """What `similar` found.

    Parameters
    ----------
    output : str
        The table; ``-`` is standard output.
    n_queries, n_without, n_pairs : int
        Queries in all, those without a usable image, and rows of the table.
    n_searched : int
        Galaxies of the atlas.
    model : str
        Name of the model.
    mosaic : Path, optional
        The picture.
    notices : tuple of str
        What a user should know.
    """

    output: str
    n_queries: int
    n_without: int
    n_pairs: int
    n_searched: int
    model: str
    mosaic: Path | None = None
    notices: tuple[str, ...] = ()

    def summary(self) -> str:
        """One line: what was found, among how many, with which model."""
        target = "standard output" if self.output == STDOUT else self.output
        return (
            f"photoz-ssl: {self.n_pairs} neighbours of {self.n_queries - self.n_without} queries"
            f" among {self.n_searched} galaxies → {target}; model {self.model}"
        )


@dataclass
class _Search:
    """The search so far."""

    n_queries: int = 0
    n_without: int = 0
    n_pairs: int = 0
    first_problem: str = ""
    mosaic: list[MosaicRow] = field(default_factory=list)


def similar(
    config: SimilarConfig, *, progress: Progress = silent, command_line: str = ""
) -> SimilarReport:
    """Write the table of the galaxies that look most like each query.

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
        If an output exists, an input cannot be read, the atlas was made by another model, or
        not one query has a usable image. Nothing is written then.
    """
    _claim_outputs(config)
    with open_source(config.queries, config, size=NETWORK_SIZE, workers=config.workers) as source:
        predictor = load_model(config)
        source.spec.require_usable_by(
            predictor.spec, here=config.queries, there=f"the model {predictor.name}"
        )
        with _atlas(config, predictor, progress) as atlas:
            search = _search(source, predictor, atlas, config, command_line, progress)
            return SimilarReport(
                output=config.output,
                n_queries=search.n_queries,
                n_without=search.n_without,
                n_pairs=search.n_pairs,
                n_searched=len(atlas),
                model=predictor.name,
                mosaic=config.mosaic,
                notices=(*source.notices, *_notices(search, config)),
            )


def _claim_outputs(config: SimilarConfig) -> None:
    """Refuse outputs, and a picture that cannot be drawn, before any work is done."""
    claim_table(config.output, overwrite=config.overwrite)
    if config.mosaic is not None:
        import_extra("matplotlib.figure", extra="plot", purpose="drawing a mosaic")
        if config.mosaic.suffix.lower() != ".png":
            raise ConfigError(f"the mosaic {config.mosaic} is not named *.png", "name it so")
        claim_output(config.mosaic, overwrite=config.overwrite)
        if config.mosaic.absolute() == Path(config.output).absolute():
            raise ConfigError("--mosaic and --output are the same file", "name two files")


@contextmanager
def _atlas(config: SimilarConfig, predictor: Predictor, progress: Progress) -> Iterator[Atlas]:
    """The atlas to search: the file, or a passing one made of the archive or catalogue."""
    among = config.among
    if is_atlas(among) or not among.exists():
        atlas = read_atlas(among)
        atlas.header.require_model(predictor.sha256, model=predictor.name, atlas=str(among))
        yield atlas
        return
    with tempfile.TemporaryDirectory(prefix="photoz-ssl-") as folder:
        embedding = EmbedConfig(
            catalog=str(among),
            output=Path(folder) / "atlas.h5",
            thumbnails=config.mosaic is not None,
            batch_size=config.batch_size,
            cutouts=config.cutouts,
            frames=config.frames,
            dust_dir=config.dust_dir,
            id_column=config.id_column,
        )
        images = open_source(str(among), embedding, size=NETWORK_SIZE, workers=config.workers)
        with images as source, _no_room_for_atlas(among):
            write_atlas(source, predictor, embedding, progress)
        yield read_atlas(embedding.output)


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


def _search(
    source: GalaxySource,
    predictor: Predictor,
    atlas: Atlas,
    config: SimilarConfig,
    command_line: str,
    progress: Progress,
) -> _Search:
    """Search block by block; the table appears only if this ends well."""
    cards: list[Card] = [
        ("CREATOR", f"photoz-ssl {__version__}", "program and version"),
        ("MODEL", predictor.name, "model of the representations"),
        ("MODELSHA", predictor.sha256, "SHA-256 of its file"),
        ("QUERIES", PurePath(config.queries).name, "galaxies whose neighbours these are"),
        ("AMONG", config.among.name, "galaxies searched"),
        ("COMMAND", command_line, "command line"),
    ]
    search = _Search()
    own_ids = has_ids(source)
    table_file = write_table(
        config.output,
        extname=EXTNAME,
        columns=COLUMNS,
        dtype=DTYPE,
        cards=cards,
        overwrite=config.overwrite,
    )
    with _mosaic_file(config) as mosaic, table_file as table:
        for block, representations in represented(source, predictor, config.batch_size):
            ids = block.object_id if own_ids else None
            found = find_neighbours(representations, ids, atlas, config.n_neighbours)
            table.append(_rows(block, found, atlas))
            search.n_queries += len(block)
            search.n_without += int(np.isnan(representations[:, 0]).sum())
            search.n_pairs += len(found)
            search.first_problem = search.first_problem or next(
                (problem.message for problem in block.problems), ""
            )
            if config.mosaic is not None and len(search.mosaic) < MOST_MOSAIC_ROWS:
                reddening = source.spec.reddening(block.ebv)
                search.mosaic += _mosaic_rows(block, reddening, found, atlas)
                del search.mosaic[MOST_MOSAIC_ROWS:]
            progress("searching for neighbours", search.n_queries, source.n_rows)
        if search.n_queries == search.n_without:
            raise no_image(config.queries, search.first_problem)
        if mosaic is not None and config.mosaic is not None:
            draw_mosaic(mosaic, search.mosaic, shown=config.mosaic)
    return search


@contextmanager
def _mosaic_file(config: SimilarConfig) -> Iterator[Path | None]:
    """A passing name for the picture, which appears after the table has."""
    if config.mosaic is None:
        yield None
        return
    with atomic_output(config.mosaic, overwrite=config.overwrite) as temporary:
        yield temporary


def _rows(block: GalaxyBlock, found: Neighbours, atlas: Atlas) -> NDArray[np.void]:
    rows = np.empty(len(found), dtype=DTYPE)
    rows["QUERY_ROW"] = block.start + found.query
    rows["QUERY_ID"] = block.object_id[found.query]
    rows["RANK"] = found.rank
    rows["NEIGHBOUR_ID"] = atlas.object_id[found.row]
    rows["RA"], rows["DEC"] = atlas.ra[found.row], atlas.dec[found.row]
    rows["SIMILARITY"] = found.similarity
    rows["Z_SPEC"] = atlas.redshift[found.row]
    return rows


def _mosaic_rows(
    block: GalaxyBlock, reddening: NDArray[np.float32], found: Neighbours, atlas: Atlas
) -> Iterator[MosaicRow]:
    """A row of pictures for each query of a block that has neighbours.

    ``reddening``, shape (n_galaxies,), is that of the block's pixels. The captions are the
    query's id and the neighbours' cosines, with redshifts where known.
    """
    for query in np.unique(found.query)[:MOST_MOSAIC_ROWS]:
        pairs = np.flatnonzero(found.query == query)
        own = thumbnails(block.images[query : query + 1], reddening[query : query + 1])
        pictures = np.concatenate([own, atlas.thumbnails(found.row[pairs])])
        captions = [f"{block.object_id[query]}{_spelled(block.redshift[query])}"]
        captions += [
            f"{found.similarity[pair]:.3f}{_spelled(atlas.redshift[found.row[pair]])}"
            for pair in pairs
        ]
        yield MosaicRow(pictures, captions)


def _spelled(redshift: np.float32) -> str:
    """A redshift as the end of a caption, or nothing where it is not known."""
    return f", z={redshift:.3f}" if np.isfinite(redshift) else ""


def _notices(search: _Search, config: SimilarConfig) -> tuple[str, ...]:
    notices = []
    if search.n_without:
        example = f" (first: {search.first_problem})" if search.first_problem else ""
        notices.append(
            f"{search.n_without} of {search.n_queries} queries have no usable image{example}"
        )
    if config.mosaic is not None and search.n_queries - search.n_without > MOST_MOSAIC_ROWS:
        notices.append(f"the mosaic shows the first {MOST_MOSAIC_ROWS} queries")
    return tuple(notices)
