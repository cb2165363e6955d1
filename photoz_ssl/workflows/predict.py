"""Redshifts for a catalogue: one row of the table for each row of the input."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path, PurePath

from photoz_ssl.config import PredictConfig
from photoz_ssl.errors import CatalogError, PhotozError
from photoz_ssl.files import claim_output, require_other
from photoz_ssl.fingerprints import file_and_selection
from photoz_ssl.progress import Progress, Stop, never, silent
from photoz_ssl.survey.exchange.formats import format_of, notices_of_format, require_writer
from photoz_ssl.survey.tables.writer import STDOUT, claim_table
from photoz_ssl.workflows.counting import counted
from photoz_ssl.workflows.jobs.computed_blocks import ComputedBlocks, Pace
from photoz_ssl.workflows.jobs.part_work import (
    computed_part,
    kept_if_interrupted,
    part_path,
    shard_of,
)
from photoz_ssl.workflows.jobs.shards import EMPTY_SHARD, WHOLE
from photoz_ssl.workflows.jobs.tally import Tally
from photoz_ssl.workflows.prediction.hats import is_hats, predict_hats
from photoz_ssl.workflows.prediction.prediction_job import PredictionJob, open_job, require_extras
from photoz_ssl.workflows.prediction.redshift_files import stream_redshifts, write_redshifts
from photoz_ssl.workflows.samp import send_table

__all__ = ["PredictReport", "default_output", "predict"]

NOTHING_DONE = Pace()
PACKED_SUFFIXES = (".gz", ".bz2", ".z", ".fz")


@dataclass(frozen=True, kw_only=True)
class PredictReport:
    """What `predict` did.

    Parameters
    ----------
    output : str
        The table, or the part of one; ``-`` is standard output. Empty where a share of the rows
        is empty, so that there is no part.
    n_rows, n_redshifts, n_flagged : int
        Rows in all, those with a redshift, and those with any flag but that of the coarse
        dust map.
    model, trained_on : str
        Name of the model, and what it was trained on.
    dust : str
        Where E(B-V) is from.
    device : str
        Where the network ran.
    rate : float
        Galaxies a second, images read and table written; 0 where all was there already.
    slowest : str
        What the others waited for: reading the images, or the network.
    notices : tuple of str
        What a user should know, one sentence each.
    """

    output: str
    n_rows: int
    n_redshifts: int
    n_flagged: int
    model: str
    trained_on: str
    dust: str
    device: str
    rate: float
    slowest: str = ""
    notices: tuple[str, ...] = ()

    def summary(self) -> str:
        """One line: what was written, if anything, with which model and dust map, and how fast."""
        if not self.output:
            return EMPTY_SHARD
        target = "standard output" if self.output == STDOUT else self.output
        model = f"model {self.model} (trained on {self.trained_on})"
        if not self.n_rows:
            return f"photoz-ssl: 0 galaxies, so that the table has no rows → {target}; {model}"
        failed = self.n_rows - self.n_redshifts
        found = counted(self.n_redshifts, "redshift")
        found += f" of {counted(self.n_rows, 'row')}" if failed else ""
        pace = f", {self.rate:.0f} galaxies/s on {self.device}" if self.rate else ""
        held_up = f" (held up by {self.slowest})" if self.rate and self.slowest else ""
        return (
            f"photoz-ssl: {found} ({self.n_flagged} flagged) → {target};"
            f" {model}, {self.dust}{pace}{held_up}"
        )


def predict(
    config: PredictConfig,
    *,
    progress: Progress = silent,
    stop: Stop = never,
    command_line: str = "",
) -> PredictReport:
    """Write the redshift table of a catalogue or archive.

    Every input row has its row in the table, in order; where the image cannot be used the
    redshifts are NaN and the flags say why. A catalogue without rows gives a table without.
    Memory does not grow with the catalogue. What is finished is kept in a part file beside the
    output, from which a run that was interrupted can be resumed.

    Parameters
    ----------
    config : PredictConfig
        What to do.
    progress : Progress
        Told of the galaxies done.
    stop : callable
        Asked after every block whether to keep what is done and stop.
    command_line : str
        Recorded in the table's header.

    Raises
    ------
    PhotozError
        If the output exists, the input or the model cannot be read, they do not fit
        together, or not one row has a usable image. Nothing is written then.
    photoz_ssl.progress.Stopped
        If ``stop`` said so before the last block was done.
    """
    if is_hats(config.catalog):
        return _hats_report(config, show_progress=progress is not silent, stop=stop)
    require_extras(config)
    output = config.output or default_output(config.catalog)
    kind, shard = format_of(output, config.format), shard_of(config)
    if shard is None:
        claim_table(output, overwrite=config.overwrite)
        require_other(output, config.catalog, config.model, config.neighbours)
        require_writer(kind)
    else:
        claim_output(part_path(output, shard), overwrite=True)
    with open_job(config) as job:
        if output == STDOUT:
            return _streamed(job, command_line, progress)
        path = part_path(output, shard)
        rows = (shard or WHOLE).rows(job.source.n_rows, job.block_size)
        if rows[0] == rows[1] and job.source.n_rows:
            return _report(job, "", Tally())
        with (
            kept_if_interrupted(path),
            computed_part(job, path, rows, command_line, progress, stop) as (part, tally, pace),
        ):
            if shard is not None:
                return _report(job, str(path), tally, pace)
            if tally.is_hopeless:
                path.unlink(missing_ok=True)  # there is nothing to go on with
                tally.require_a_redshift(config.catalog)
            tally = write_redshifts(
                [part], output, config.catalog, kind=kind, overwrite=config.overwrite
            )
            path.unlink(missing_ok=True)
        notices = notices_of_format(kind, job.layout.dtype, job.pdf_form)
        notices += (_sent(Path(output), kind),) if config.samp else ()
        return _report(job, output, tally, pace, notices)


def _hats_report(config: PredictConfig, *, show_progress: bool, stop: Stop) -> PredictReport:
    start = time.perf_counter()
    output, job, tally = predict_hats(config, show_progress=show_progress, stop=stop)
    return _report(job, str(output), tally, Pace(tally.n_rows / (time.perf_counter() - start)))


def _sent(output: Path, kind: str) -> str:
    """Send a table by SAMP; what came of it, which is no reason to fail."""
    if kind not in ("fits", "votable"):
        return f"--samp sends FITS and VOTable only, so that {output} was not sent"
    try:
        n_receivers = send_table(output.absolute().as_uri(), output.name, kind)
    except PhotozError as error:
        return f"{output} was not sent: {error}"
    return f"{output} was sent to {n_receivers} program{'s' if n_receivers > 1 else ''} by SAMP"


def default_output(catalog: str) -> str:
    """Where the table of a catalogue goes: ``NAME.photoz.fits`` beside it.

    CFITSIO's brackets, and the suffixes of compression and format, are left off the name; a
    catalogue from standard input or from the network gives standard output or a file here.

    Raises
    ------
    CatalogError
        If there is no name that it could be like.

    Examples
    --------
    >>> default_output("survey/cat.fits.gz[1][R < 17.8]")
    'survey/cat.photoz.fits'
    """
    if catalog == STDOUT:
        return STDOUT
    path = PurePath(file_and_selection(catalog)[0])
    if "://" in catalog:
        path = PurePath(path.name)
    if path.suffix.lower() in PACKED_SUFFIXES:
        path = path.with_suffix("")
    if path.name in ("", ".."):
        raise CatalogError(
            "no catalogue is named" if not catalog else f"{catalog} is no name of a catalogue",
            "name a FITS table, or - for standard input",
        )
    return str(path.with_name(f"{path.stem or 'catalog'}.photoz.fits"))


def _streamed(job: PredictionJob, command_line: str, progress: Progress) -> PredictReport:
    """Send the table down the pipe as it is made."""
    n_rows = job.source.n_rows
    manifest, blocks = job.manifest(0, n_rows, command_line), ComputedBlocks(job, 0, n_rows)

    def count(done: int) -> None:
        progress(job.stage, done, n_rows)

    tally = stream_redshifts(manifest, blocks, job.config.catalog, count)
    return _report(job, STDOUT, tally, blocks.pace)


def _report(
    job: PredictionJob,
    output: str,
    tally: Tally,
    pace: Pace = NOTHING_DONE,
    notices: tuple[str, ...] = (),
) -> PredictReport:
    return PredictReport(
        output=output,
        n_rows=tally.n_rows,
        n_redshifts=tally.n_redshifts,
        n_flagged=tally.n_flagged,
        model=job.predictor.name,
        trained_on=job.trained_on,
        dust=tally.dust,
        device=job.predictor.device_name,
        rate=pace.rate,
        slowest=pace.slowest,
        notices=(
            *job.notices,
            *tally.notices(),
            *job.predictor.notices(tally.n_rows),
            *notices,
        ),
    )
