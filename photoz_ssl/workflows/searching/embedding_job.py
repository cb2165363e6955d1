"""The work of `embed` between its input and its part files: galaxies to rows of an atlas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl import __version__
from photoz_ssl.config import EmbedConfig
from photoz_ssl.config.search import VECTOR_TYPES
from photoz_ssl.errors import PartError
from photoz_ssl.fields import options_of_job
from photoz_ssl.fingerprints import fingerprint_of_input, spelled
from photoz_ssl.later import Later, of_later
from photoz_ssl.neighbours.atlas import AtlasHeader
from photoz_ssl.neighbours.atlas_writer import create_atlas, kept_columns
from photoz_ssl.spec import NETWORK_SIZE, ImageSpec
from photoz_ssl.survey.blocks import GalaxyBlock, GalaxySource
from photoz_ssl.survey.images.appearance import N_NUMBERS
from photoz_ssl.survey.sources import open_source
from photoz_ssl.survey.tables.headers import null_in, null_of
from photoz_ssl.survey.tables.manifest import Manifest
from photoz_ssl.survey.tables.part_file import Part
from photoz_ssl.workflows.jobs.block_job import ComputedBlock, Opener
from photoz_ssl.workflows.jobs.tally import facts_of
from photoz_ssl.workflows.pictures.thumbnails import PICTURE_SHAPE, thumbnails
from photoz_ssl.workflows.searching.atlas_encoder import (
    described,
    load_encoder_model,
    represent_block_later,
)
from photoz_ssl.workflows.searching.identities import has_ids, name_column

if TYPE_CHECKING:
    from photoz_ssl.workflows.trained.inference import Predictor

__all__ = ["ATLAS", "EmbeddingJob", "open_embedding", "write_atlas_of"]

ATLAS = "ATLAS"
"""The name of the table in a part of an atlas."""

EXACT_BYTES = 4
"""Bytes of integers that float64 holds without rounding; 64-bit ones are kept as they are."""

FIELDS = {"object_id", "ra", "dec", "redshift", "representation", "looks"}
"""What each row of a part has."""

COLUMN = "column "
"""Before the names of the catalogue's columns in the rows of a part."""


@dataclass(frozen=True)
class EmbeddingJob:
    """An open catalogue and the encoder for it; see `open_embedding`.

    Parameters
    ----------
    config : EmbedConfig
        What to do.
    source : GalaxySource
        The galaxies.
    predictor : Predictor
        The encoder.
    fingerprint : str
        Of the catalogue's file.
    """

    config: EmbedConfig
    source: GalaxySource
    predictor: Predictor
    fingerprint: str

    @property
    def opener(self) -> Opener:
        """`open_embedding`."""
        return open_embedding

    @property
    def stage(self) -> str:
        """What is done, for the progress."""
        return "embedding galaxies"

    @property
    def block_size(self) -> int:
        """Rows a block; that of a network's batch."""
        return self.predictor.batch_size

    @property
    def dtype(self) -> np.dtype[Any]:
        """Structured: the rows of a part."""
        n_features = self.predictor.feature_size
        kinds: list[Any] = [("object_id", "<i8"), ("ra", "<f8"), ("dec", "<f8")]
        kinds += [("redshift", "<f4"), ("representation", "<f4", (n_features,))]
        kinds += [("looks", "<f4", (N_NUMBERS,))]
        kinds += [("thumbnail", "|u1", PICTURE_SHAPE)] if self.config.thumbnails else []
        table = self.source.table_dtype
        nulls = self._nulls()
        kinds += [
            (COLUMN + name, "<f8" if name in nulls else table[name]) for name in kept_columns(table)
        ]
        return np.dtype(kinds)

    def _nulls(self) -> dict[str, int]:
        """What stands for no value in the kept columns of integers that floats hold exactly.

        An atlas has NaN there, which fulfils no condition.
        """
        table, cards = self.source.table_dtype, self.source.column_cards
        found = {
            name: null_in(table[name], null_of(cards.get(name, {})))
            for name in kept_columns(table)
            if table[name].itemsize <= EXACT_BYTES
        }
        return {name: null for name, null in found.items() if null is not None}

    def identity(self) -> dict[str, str | int]:
        """All that the atlas depends on, named for a person."""
        return {
            "catalogue": PurePath(self.config.catalog).name,
            "content of the catalogue": self.fingerprint,
            "kind of images": self.source.spec.to_json(),
            "kind of ids": int(has_ids(self.source)),
            "column of ids": name_column(self.source) or "",
            "model": self.predictor.sha256,
            "name of the model": self.predictor.name,
            "engine": self.predictor.device_name,
            "--batch-size": self.block_size,
            "version of photoz-ssl": __version__,
            **options_of_job(self.config),
        }

    def manifest(self, start: int, stop: int, command_line: str) -> Manifest:
        """What a part file says of rows ``start`` to ``stop``."""
        return Manifest(
            job=self.identity(),
            n_rows=self.source.n_rows,
            start=start,
            stop=stop,
            extname=ATLAS,
            columns=(),
            dtype=self.dtype,
            cards=(),
        )

    def begun(self, block: GalaxyBlock) -> Later[ComputedBlock]:
        """Begin with a block's rows of the atlas; what is returned waits for them."""
        representations = represent_block_later(block, self.predictor)
        return of_later(lambda found: self._rows(block, found), representations)

    def _rows(self, block: GalaxyBlock, representations: NDArray[np.float32]) -> ComputedBlock:
        rows = np.zeros(len(block), self.dtype)
        rows["object_id"], rows["redshift"] = block.object_id, block.redshift
        rows["ra"], rows["dec"] = block.ra, block.dec
        rows["representation"] = representations
        rows["looks"] = described(block)
        if self.config.thumbnails:
            reddening = self.source.spec.reddening(block.ebv)
            rows["thumbnail"] = thumbnails(block.images, reddening)
        nulls = self._nulls()
        for name in kept_columns(block.table.dtype):
            values = block.table[name]
            rows[COLUMN + name] = (
                np.where(values == nulls[name], np.nan, values) if name in nulls else values
            )
        n_represented = int(np.isfinite(rows["representation"][:, 0]).sum())
        hardware = self.predictor.hardware
        facts = facts_of(block, self.source, block.flags, n_represented, hardware)
        return ComputedBlock(rows, None, facts)


@contextmanager
def open_embedding(config: EmbedConfig) -> Iterator[EmbeddingJob]:
    """Open a catalogue or archive and the encoder that is to be used on it.

    Raises
    ------
    PhotozError
        If one of them cannot be read, or they do not fit together.
    """
    with open_source(
        config.catalog, config, size=NETWORK_SIZE, workers=config.workers, streaming=True
    ) as source:
        predictor = load_encoder_model(config.model, config, source.n_rows)
        source.spec.require_usable_by(
            predictor.spec, here=config.catalog, there=f"the model {predictor.name}"
        )
        predictor.warm_up(representing=True)
        yield EmbeddingJob(config, source, predictor, fingerprint_of_input(config.catalog))


def write_atlas_of(
    parts: Sequence[Part], output: Path, *, vectors: str | None = None, overwrite: bool = False
) -> None:
    """Write the atlas of all parts, in their order; the same rows give the same bytes.

    Parameters
    ----------
    parts : sequence of Part
        Complete parts of one job, which follow each other.
    output : Path
        The atlas.
    vectors : {'float16', 'float32'}, optional
        Type of the stored vectors, where it is not the one that the parts were made for.
    overwrite : bool
        Whether an existing file may be replaced.

    Raises
    ------
    PhotozError
        If it cannot be written, or the parts are of no atlas.
    """
    manifest, header = parts[0].manifest, _header(parts[0])
    names = [name for name in manifest.dtype.names or () if name.startswith(COLUMN)]
    table_dtype = np.dtype([(name[len(COLUMN) :], manifest.dtype[name]) for name in names])
    has_pictures = "thumbnail" in (manifest.dtype.names or ())
    vectors = vectors or str(manifest.job["--vectors"])
    n_rows = manifest.n_rows
    with create_atlas(output, header, n_rows, vectors=vectors, overwrite=overwrite) as atlas:
        for block in (block for part in parts for block in part.blocks()):
            rows = block.rows
            table = np.empty(len(rows), table_dtype)
            for name in names:
                table[name[len(COLUMN) :]] = rows[name]
            atlas.append(
                object_id=rows["object_id"],
                ra=rows["ra"],
                dec=rows["dec"],
                redshift=rows["redshift"],
                representations=rows["representation"],
                table=table,
                thumbnails=rows["thumbnail"] if has_pictures else None,
                looks=rows["looks"],
            )


def _header(part: Part) -> AtlasHeader:
    job, names = part.manifest.job, part.manifest.dtype.names or ()
    no_atlas = PartError(f"{part.path} is no part of an atlas", "make it with embed")
    if not FIELDS.issubset(names) or job.get("--vectors") not in VECTOR_TYPES:
        raise no_atlas
    try:
        return AtlasHeader(
            spec=ImageSpec.from_json(str(job["kind of images"])),
            model=str(job["name of the model"]),
            model_sha256=str(job["model"]),
            catalog=spelled(PurePath(str(job["catalogue"])).name),
            has_ids=bool(job["kind of ids"]),
            name_column=str(job.get("column of ids", "")) or None,
        )
    except (KeyError, ValueError) as error:
        raise no_atlas from error
