"""One table, or one atlas, of the parts that several processes have made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from photoz_ssl.config import MergeConfig
from photoz_ssl.errors import ConfigError, PartError
from photoz_ssl.files import require_other
from photoz_ssl.survey.exchange.formats import format_of, notices_of_format, require_writer
from photoz_ssl.survey.tables.part_file import Part, read_part
from photoz_ssl.survey.tables.writer import STDOUT, claim_table
from photoz_ssl.workflows.counting import counted
from photoz_ssl.workflows.jobs.tally import Tally
from photoz_ssl.workflows.prediction.redshift_files import write_redshifts
from photoz_ssl.workflows.searching.embedding_job import ATLAS, write_atlas_of

__all__ = ["MergeReport", "merge"]


@dataclass(frozen=True, kw_only=True)
class MergeReport:
    """What `merge` did.

    Parameters
    ----------
    output : str
        The table; ``-`` is standard output.
    n_parts, n_rows, n_redshifts : int
        Parts, their rows, and those with a redshift or a representation.
    what : str
        Which of the two.
    notices : tuple of str
        What a user should know, one sentence each.
    """

    output: str
    n_parts: int
    n_rows: int
    n_redshifts: int
    what: str = "redshift"
    notices: tuple[str, ...] = ()

    def summary(self) -> str:
        """One line: what was written."""
        target = "standard output" if self.output == STDOUT else self.output
        return (
            f"photoz-ssl: {counted(self.n_redshifts, self.what)} of {counted(self.n_rows, 'row')}"
            f" in {counted(self.n_parts, 'part')} → {target}"
        )


def merge(config: MergeConfig) -> MergeReport:
    """Write the table that a single run would have written.

    Parameters
    ----------
    config : MergeConfig
        What to do.

    Raises
    ------
    PhotozError
        If a part is missing, unfinished, or not of the same input, model and options as the
        others, or the output exists or cannot be written. Nothing is written then.
    """
    claim_table(config.output, overwrite=config.overwrite)
    require_other(config.output, *config.parts)
    parts = sorted(
        (read_part(Path(path)) for path in dict.fromkeys(config.parts)),
        key=lambda part: (part.manifest.start, part.manifest.stop),
    )
    _require_one_whole(parts)
    catalog = str(parts[0].manifest.job.get("catalogue", "the catalogue"))
    if parts[0].manifest.extname == ATLAS:
        return _merged_atlas(parts, config)
    kind = format_of(config.output, config.format)
    require_writer(kind)
    if kind == "qp" and parts[0].manifest.pdf_form is None:
        raise PartError(
            "the parts hold no PDFs, which a qp file is made of", "make them with predict --pdf"
        )
    manifest = parts[0].manifest
    tally = write_redshifts(parts, config.output, catalog, kind=kind, overwrite=config.overwrite)
    return MergeReport(
        output=config.output,
        n_parts=len(parts),
        n_rows=tally.n_rows,
        n_redshifts=tally.n_redshifts,
        notices=(*tally.notices(), *notices_of_format(kind, manifest.dtype, manifest.pdf_form)),
    )


def _merged_atlas(parts: Sequence[Part], config: MergeConfig) -> MergeReport:
    """Write the atlas of the parts that `embed` has made."""
    if config.output == STDOUT:
        raise ConfigError("an atlas is no table for standard output", "name a file with -o")
    tally = Tally()
    for block in (block for part in parts for block in part.blocks()):
        tally.add_noted(block.facts)
    write_atlas_of(parts, Path(config.output), overwrite=config.overwrite)
    return MergeReport(
        output=config.output,
        n_parts=len(parts),
        n_rows=tally.n_rows,
        n_redshifts=tally.n_redshifts,
        what="representation",
        notices=tally.notices_of_hardware,
    )


def _require_one_whole(parts: Sequence[Part]) -> None:
    """Refuse parts that are not, together, each row of one table once."""
    first, expected = parts[0], 0
    for part in parts:
        manifest = part.manifest
        if (difference := manifest.difference(first.manifest)) is not None:
            raise PartError(
                f"{part.path} and {first.path} are not of one table: they differ in {difference}",
                "name the parts of one command",
            )
        if not part.complete:
            raise PartError(
                f"{part.path} is unfinished: it has {part.n_done} of {part.n_rows} rows",
                "repeat the command that makes it; it goes on where it stopped",
            )
        if manifest.start < expected:
            raise PartError(
                f"rows {manifest.start + 1} and on are there twice, in {part.path} too",
                "name the parts of one division of the rows alone",
            )
        if manifest.start > expected:
            raise _missing(expected, manifest.start)
        expected = manifest.stop
    if expected < first.manifest.n_rows:
        raise _missing(expected, first.manifest.n_rows)


def _missing(start: int, stop: int) -> PartError:
    return PartError(
        f"rows {start + 1} to {stop} are in none of the parts",
        "name all parts, or make the missing",
    )
