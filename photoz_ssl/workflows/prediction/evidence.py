"""Evidence beside a redshift: what galaxies with known redshifts that look alike say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.config import PredictConfig
from photoz_ssl.errors import ArchiveError, SpecMismatchError
from photoz_ssl.neighbours.atlas import Atlas, read_atlas
from photoz_ssl.neighbours.exact import NOBODY
from photoz_ssl.neighbours.novelty import Norms, find_norms, mean_distance, percentile_among
from photoz_ssl.neighbours.query import Neighbours, Queries, Restriction, find_neighbours
from photoz_ssl.object_ids import NO_ID
from photoz_ssl.survey.blocks import GalaxyBlock, GalaxySource
from photoz_ssl.survey.images.appearance import N_NUMBERS, N_SPREAD
from photoz_ssl.survey.tables.headers import Card, TableColumn
from photoz_ssl.workflows.searching.atlas_encoder import AtlasEncoder, described, represent_block
from photoz_ssl.workflows.searching.identities import has_ids, notices_of_itself

if TYPE_CHECKING:
    from photoz_ssl.workflows.trained.inference import Predictor

__all__ = ["EVIDENCE_COLUMNS", "Evidence", "atlas_of_evidence", "open_evidence"]

N_NEIGHBOURS = 10
"""Galaxies with redshifts that stand beside a row, as far as there are so many."""

UNLIKE = 98.0
"""Percentile of a score above which a row is flagged: 2 in a hundred of the atlas's own are."""

EVIDENCE_COLUMNS: tuple[tuple[TableColumn, str], ...] = (
    (
        TableColumn(
            "NN_COUNT", "", "meta.number", "Galaxies of known redshift that look most alike", "I4"
        ),
        "i4",
    ),
    (TableColumn("NN_ID", "", "meta.id", "Id of the nearest of them", "I20", NO_ID), "i8"),
    (TableColumn("NN_Z_SPEC", "", "src.redshift", "Redshift of the nearest of them", "F8.5"), "f4"),
    (
        TableColumn("NN_Z_MEAN", "", "src.redshift;stat.mean", "Mean of their redshifts", "F8.5"),
        "f4",
    ),
    (
        TableColumn(
            "NN_Z_STD",
            "",
            "stat.stdev;src.redshift",
            "Standard deviation of their redshifts",
            "F8.5",
        ),
        "f4",
    ),
    (
        TableColumn(
            "NN_DISTANCE", "", "stat.mean", "Mean distance from them in representation, 0-2", "F8.5"
        ),
        "f4",
    ),
    (
        TableColumn(
            "NOVELTY", "", "stat.rank", "Percentile of NN_DISTANCE among the atlas's own", "F6.2"
        ),
        "f4",
    ),
    (
        TableColumn(
            "ODDITY",
            "",
            "stat.rank",
            "Percentile of how odd the image is among the atlas's",
            "F6.2",
        ),
        "f4",
    ),
)
"""The columns that evidence adds, and their types."""


@dataclass(frozen=True)
class Evidence:
    """An atlas and its encoder, ready to stand beside rows; see `open_evidence`.

    Parameters
    ----------
    atlas : Atlas
        Galaxies, some of them with redshifts.
    predictor : Predictor
        The encoder that made it.
    has_ids : bool
        Whether the rows have a catalogue's ids.
    among : ndarray, shape (n_galaxies,), bool
        Which of the atlas's galaxies have a redshift.
    norms : Norms
        What is usual among them.
    notices : tuple of str
        What a user should know.
    """

    atlas: Atlas
    predictor: Predictor
    has_ids: bool
    among: NDArray[np.bool_]
    norms: Norms
    notices: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Of all that the columns depend on."""
        return f"{self.atlas.fingerprint} {float(np.nansum(self.atlas.redshift)):.9g}"

    def cards(self) -> list[Card]:
        """Header cards that say what the columns were made from."""
        header = self.atlas.header
        return [
            ("NNATLAS", self.atlas.path.name, "atlas of the neighbours"),
            ("NNMODEL", header.model, "model of its representations"),
            ("NNGALAX", int(self.among.sum()), "galaxies in it with a redshift"),
        ]

    def beside(self, block: GalaxyBlock) -> tuple[dict[str, NDArray[Any]], NDArray[np.bool_]]:
        """What to write beside the rows of a block, and which of them are unlike the atlas.

        Parameters
        ----------
        block : GalaxyBlock
            Galaxies, n of them.

        Returns
        -------
        columns : dict of str to ndarray, shape (n,)
            `EVIDENCE_COLUMNS` by name; NaN, or the column's null, where the image cannot be used.
        unlike : ndarray, shape (n,), bool
            Those that lie outside of what the atlas holds.
        """
        found = find_neighbours(
            self._queries(block),
            self.atlas,
            N_NEIGHBOURS,
            Restriction(among=self.among, elsewhere=True),
        )
        n_rows = len(block)
        distance = mean_distance(found, n_rows)
        looks = described(block) if self.norms.crowds else None
        oddity = percentile_among(self.norms.scores(distance, looks), self.norms.score)
        columns = {
            **_redshifts(found, self.atlas, n_rows),
            "NN_DISTANCE": distance,
            "NOVELTY": percentile_among(distance, self.norms.distance),
            "ODDITY": oddity,
        }
        return columns, oddity > UNLIKE

    def _queries(self, block: GalaxyBlock) -> Queries:
        made, projection = represent_block(block, self.predictor), self.atlas.projection
        return Queries(
            vectors=made if projection is None else projection.apply(made),
            object_id=block.object_id,
            has_ids=self.has_ids,
            ra=block.ra,
            dec=block.dec,
            row=np.full(len(block), NOBODY),
        )


def _redshifts(found: Neighbours, atlas: Atlas, n_rows: int) -> dict[str, NDArray[Any]]:
    """What the redshifts of the neighbours say of each row."""
    redshift = atlas.redshift[found.row].astype(np.float64)
    count = np.bincount(found.query, minlength=n_rows)
    some = np.where(count > 0, count, np.nan)
    mean = np.bincount(found.query, redshift, minlength=n_rows) / some
    deviation = redshift - mean[found.query]
    nearest = found.rank == 1
    object_id, z_nearest = np.full(n_rows, NO_ID), np.full(n_rows, np.nan)
    object_id[found.query[nearest]] = atlas.object_id[found.row[nearest]]
    z_nearest[found.query[nearest]] = redshift[nearest]
    return {
        "NN_COUNT": count,
        "NN_ID": object_id,
        "NN_Z_SPEC": z_nearest,
        "NN_Z_MEAN": mean,
        "NN_Z_STD": np.sqrt(np.bincount(found.query, deviation**2, minlength=n_rows) / some),
    }


def atlas_of_evidence(path: Path) -> Atlas:
    """Open an atlas that has redshifts.

    Raises
    ------
    ArchiveError
        If it cannot be read, is empty, or no galaxy in it has a redshift.
    """
    atlas = read_atlas(path)
    atlas.require_galaxies()
    if atlas.looks is not None and atlas.looks.shape[1] != N_NUMBERS:
        raise ArchiveError(
            f"the atlas {path} describes images by {atlas.looks.shape[1]} numbers, not {N_NUMBERS}",
            "make it again with photoz-ssl embed",
        )
    if not _with_redshift(atlas).any():
        raise ArchiveError(
            f"no galaxy of the atlas {path} has a spectroscopic redshift",
            "make it with photoz-ssl embed, of a catalogue with a column such as Z_SPEC",
        )
    return atlas


def open_evidence(
    atlas: Atlas, source: GalaxySource, predictor: Predictor, config: PredictConfig
) -> Evidence:
    """Load the encoder of an atlas and measure what is usual in it.

    Parameters
    ----------
    atlas : Atlas
        From `atlas_of_evidence`.
    source : GalaxySource
        The galaxies that it is for.
    predictor : Predictor
        The model of the redshifts, whose own encoder may have made the atlas.
    config : PredictConfig
        Where and how networks run.

    Raises
    ------
    SpecMismatchError
        If the atlas is of other images, or made by an encoder that is not at hand.
    """
    source.spec.require_usable_by(
        atlas.header.spec, here=config.catalog, there=f"the atlas {atlas.path}"
    )
    own = predictor if predictor.sha256 == atlas.header.model_sha256 else None
    try:
        encoder = AtlasEncoder(atlas, None, config, own, source.n_rows).predictor
    except SpecMismatchError as error:
        raise SpecMismatchError(
            error.message,
            "make the atlas again with photoz-ssl embed, and --model if predict has one",
        ) from error
    encoder.warm_up(representing=True)
    among = _with_redshift(atlas)
    norms = find_norms(atlas, N_NEIGHBOURS, among, N_SPREAD)
    notices = notices_of_itself(atlas, source)
    return Evidence(atlas, encoder, has_ids(source), among, norms, notices)


def _with_redshift(atlas: Atlas) -> NDArray[np.bool_]:
    represented = np.isfinite(np.asarray(atlas.representations[:, 0]))
    return np.asarray(np.isfinite(atlas.redshift) & represented)
