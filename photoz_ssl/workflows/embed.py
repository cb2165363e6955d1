"""Representations of a catalogue's galaxies, computed once and kept for searching."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from photoz_ssl.config import EmbedConfig
from photoz_ssl.errors import CatalogError, ConfigError, no_image
from photoz_ssl.files import claim_output, output_errors, require_other
from photoz_ssl.neighbours.atlas import Atlas, read_atlas
from photoz_ssl.neighbours.index import KINDS, index_path, read_index, require_indexer
from photoz_ssl.neighbours.index_builder import build_index, plan_index
from photoz_ssl.neighbours.index_tuning import Recall, measure_recall
from photoz_ssl.neighbours.map import build_map, map_path, require_mapper
from photoz_ssl.neighbours.projection import require_components
from photoz_ssl.progress import Progress, Stop, never, silent, stopping
from photoz_ssl.survey.tables.part_file import Part
from photoz_ssl.workflows.counting import counted, without_image
from photoz_ssl.workflows.jobs.part_work import (
    computed_part,
    kept_if_interrupted,
    part_path,
    shard_of,
)
from photoz_ssl.workflows.jobs.shards import EMPTY_SHARD, WHOLE
from photoz_ssl.workflows.jobs.tally import Tally
from photoz_ssl.workflows.searching.atlases import named_atlases, rewrite_atlases
from photoz_ssl.workflows.searching.embedding_job import (
    EmbeddingJob,
    open_embedding,
    write_atlas_of,
)
from photoz_ssl.workflows.searching.identities import left_out_notices, name_column, text_id_notices

__all__ = ["EmbedReport", "IndexReport", "embed", "write_atlas"]


@dataclass(frozen=True, kw_only=True)
class IndexReport:
    """What was built beside an atlas.

    Parameters
    ----------
    path : Path
        The index.
    kind : str
        How vectors are kept in it.
    n_lists, n_probe : int
        Lists, and those that a query looks through.
    recall : Recall, optional
        How it compares with exact search, if that was asked for.
    """

    path: Path
    kind: str
    n_lists: int
    n_probe: int
    recall: Recall | None = None

    def summary(self) -> str:
        """One line: what it is, and how good."""
        compared = ""
        if self.recall is not None:
            compared = (
                f"; {100 * self.recall.share:.1f} % of the ten nearest of {self.recall.n_queries}"
                f" galaxies found, {self.recall.speed:.1f} times as fast as exact search"
            )
        return (
            f"photoz-ssl: index {self.path} ({self.kind}), {self.n_probe} of {self.n_lists} lists"
            f" looked through{compared}"
        )


@dataclass(frozen=True, kw_only=True)
class EmbedReport:
    """What `embed` did.

    Parameters
    ----------
    output : Path
        The atlas.
    n_rows, n_represented : int
        Rows in all, and those with a representation.
    n_features : int
        Length of a representation.
    model, device : str
        Name of the model, and where it ran; nowhere, where atlases were rewritten.
    rate : float
        Galaxies a second.
    written : bool
        Whether the atlas was written, and not just indexed.
    index : IndexReport, optional
        The index, if one was asked for.
    mapped : Path, optional
        The map, if one was asked for.
    notices : tuple of str
        What a user should know.
    """

    output: Path
    n_rows: int
    n_represented: int
    n_features: int
    model: str
    device: str = ""
    rate: float = 0.0
    written: bool = True
    index: IndexReport | None = None
    mapped: Path | None = None
    notices: tuple[str, ...] = ()

    def summary(self) -> str:
        """A line for each file: what was written, with which model, and how fast."""
        if not self.n_rows:
            return EMPTY_SHARD
        pace = f", {self.rate:.0f} galaxies/s on {self.device}" if self.device else ""
        galaxies = counted(self.n_rows, "galaxy")
        atlas = (
            f"photoz-ssl: {self.n_represented} of {galaxies} as {self.n_features}"
            f" numbers each → {self.output}; model {self.model}{pace}"
        )
        index = [self.index.summary()] if self.index else []
        mapped = [f"photoz-ssl: map of {galaxies} → {self.mapped}"] if self.mapped else []
        return "\n".join([*([atlas] if self.written else []), *index, *mapped])


def embed(config: EmbedConfig, *, progress: Progress = silent, stop: Stop = never) -> EmbedReport:
    """Write the atlas of a catalogue or archive.

    Each input row has its row in the atlas, in order; where the image cannot be used it is
    NaN, and no search finds it. Memory does not grow with the catalogue.

    Parameters
    ----------
    config : EmbedConfig
        What to do.
    progress : Progress
        Told of the galaxies done.
    stop : callable
        Asked after every block whether to keep what is done and stop.

    Raises
    ------
    PhotozError
        If the output exists, the input or the model cannot be read, they do not fit
        together, or not one row has a usable image. Nothing is written then.
    photoz_ssl.progress.Stopped
        If ``stop`` said so before the last block was done.
    """
    atlases, rest = named_atlases(config.catalog), stopping(progress, stop)
    if config.map:
        require_mapper()
    if config.index != "none":
        require_indexer()
    if config.output is None:
        atlas = _atlas_to_index(atlases, config)
        if config.map:
            claim_output(map_path(atlas.path), overwrite=config.overwrite)
        return _accompanied(replace(_report_of(atlas), written=False), atlas, config, rest)
    if config.shard is not None:
        if atlases:
            raise ConfigError("--shard is for a catalogue, not for atlases", "leave it out")
        return _written(atlases, config.output, config, progress, stop)
    claim_output(config.output, overwrite=config.overwrite)
    inputs = (config.catalog, config.model, *(atlas.path for atlas in atlases))
    require_other(config.output, *inputs)
    if config.index != "none":
        claim_output(index_path(config.output), overwrite=config.overwrite)
    if config.map:
        claim_output(map_path(config.output), overwrite=config.overwrite)
    report = _written(atlases, config.output, config, progress, stop)
    atlas = read_atlas(config.output)
    return _accompanied(report, atlas, config, rest)


def _accompanied(
    report: EmbedReport, atlas: Atlas, config: EmbedConfig, progress: Progress
) -> EmbedReport:
    """Make what lies beside an atlas: its index and its map."""
    if config.index != "none" or config.map:
        atlas.require_galaxies()
    index = _index(atlas, config, progress)
    if config.map:
        build_map(atlas, overwrite=config.overwrite, progress=progress)
    return replace(report, index=index, mapped=map_path(atlas.path) if config.map else None)


def _written(
    atlases: Sequence[Atlas], output: Path, config: EmbedConfig, progress: Progress, stop: Stop
) -> EmbedReport:
    """Write the atlas, of atlases or of a catalogue."""
    if atlases:
        notices = rewrite_atlases(atlases, output, config, stopping(progress, stop))
        return replace(_report_of(read_atlas(output)), notices=notices)
    with open_embedding(config) as job:
        return write_atlas(job, output, config, progress, stop)


def _atlas_to_index(atlases: Sequence[Atlas], config: EmbedConfig) -> Atlas:
    if len(atlases) != 1 or not (config.index != "none" or config.recall or config.map):
        raise ConfigError(
            "embed has nothing to write to",
            "name the atlas with -o, or name one atlas and add --index ivf or --map",
        )
    if config.dim is not None:
        raise ConfigError("--dim makes another atlas", "name it with -o")
    return atlases[0]


def _index(atlas: Atlas, config: EmbedConfig, progress: Progress) -> IndexReport | None:
    """Build the index and measure it, as far as that is asked for."""
    if config.index == "none" and not config.recall:
        return None
    if config.index == "none":
        index = read_index(atlas)
    else:
        plan = plan_index(atlas, KINDS[1] if config.index == "ivfpq" else None)
        index = build_index(atlas, plan, overwrite=config.overwrite, progress=progress)
    return IndexReport(
        path=index_path(atlas.path),
        kind=index.codec.kind,
        n_lists=len(index.codec.centres),
        n_probe=index.n_probe,
        recall=measure_recall(index, atlas) if config.recall else None,
    )


def _report_of(atlas: Atlas) -> EmbedReport:
    """What can be told of an atlas for which nothing was embedded."""
    return EmbedReport(
        output=atlas.path,
        n_rows=len(atlas),
        n_represented=int(np.isfinite(atlas.representations[:, 0]).sum()),
        n_features=atlas.representations.shape[1],
        model=atlas.header.model,
    )


def write_atlas(
    job: EmbeddingJob,
    output: Path,
    config: EmbedConfig,
    progress: Progress = silent,
    stop: Stop = never,
) -> EmbedReport:
    """Represent the galaxies of a job; as `embed`, with both of its inputs open.

    What is finished is kept in a part file beside the output, or is the part of a shard.
    """
    source, shard = job.source, shard_of(config)
    if source.n_rows == 0:
        raise CatalogError(f"{config.catalog} has no rows", "check its selection")
    path = part_path(str(output), shard)
    rows = (shard or WHOLE).rows(source.n_rows, job.block_size)
    if rows[0] == rows[1]:
        return _report(job, path, Tally())
    if config.dim is not None:
        require_components(config.dim, job.predictor.feature_size, source.n_rows)
    with (
        kept_if_interrupted(path),
        computed_part(job, path, rows, "", progress, stop) as (part, tally, pace),
    ):
        if shard is not None:
            return _report(job, path, tally, pace.rate)
        if not tally.n_redshifts:
            path.unlink(missing_ok=True)  # there is nothing to go on with
            raise no_image(config.catalog, tally.first_problem)
        _finish(part, output, config, stopping(progress, stop))
        path.unlink(missing_ok=True)
    report = _report(job, output, tally, pace.rate)
    return report if config.dim is None else replace(report, n_features=config.dim)


def _finish(part: Part, output: Path, config: EmbedConfig, progress: Progress) -> None:
    """Write the atlas of a part, projected if that is asked for: then all of it is needed first."""
    if config.dim is None:
        write_atlas_of([part], output, overwrite=config.overwrite)
        return
    with (
        output_errors(output),
        tempfile.TemporaryDirectory(prefix=".photoz-ssl-", dir=output.parent) as folder,
    ):
        whole = Path(folder) / "atlas.h5"
        write_atlas_of([part], whole, vectors="float32")
        rewrite_atlases([read_atlas(whole)], output, config, progress)


def _report(job: EmbeddingJob, output: Path, tally: Tally, rate: float = 0.0) -> EmbedReport:
    source, n_missing = job.source, tally.n_rows - tally.n_redshifts
    return EmbedReport(
        output=output,
        n_rows=tally.n_rows,
        n_represented=tally.n_redshifts,
        n_features=job.predictor.feature_size,
        model=job.predictor.name,
        device=job.predictor.device_name,
        rate=rate,
        notices=(
            *source.notices,
            *(() if name_column(source) else text_id_notices(source, "the atlas's galaxies")),
            *left_out_notices(source),
            *without_image(n_missing, tally.n_rows, "row", tally.first_problem),
            *tally.notices_of_hardware,
        ),
    )
