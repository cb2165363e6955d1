"""What a prediction would be, seen before it is queued: a look at a few rows."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from photoz_ssl.config import PredictConfig
from photoz_ssl.errors import ConfigError, OutputError
from photoz_ssl.files import claim_output
from photoz_ssl.survey.exchange.formats import format_of, notices_of_format, require_writer
from photoz_ssl.survey.tables.writer import STDOUT, claim_table
from photoz_ssl.workflows.counting import counted
from photoz_ssl.workflows.jobs.part_work import part_path, refuse_unfinished, shard_of
from photoz_ssl.workflows.jobs.shards import EMPTY_SHARD, WHOLE, Shard
from photoz_ssl.workflows.jobs.tally import Tally
from photoz_ssl.workflows.predict import default_output
from photoz_ssl.workflows.prediction.hats import is_hats
from photoz_ssl.workflows.prediction.prediction_job import PredictionJob, open_job, require_extras

__all__ = ["Finding", "PredictionCheck", "check_prediction"]

SAMPLE_ROWS = 64
BYTES_A_VALUE = 4
MINUTE, HOUR = 60, 3600


@dataclass(frozen=True)
class Finding:
    """A line of the screen.

    Parameters
    ----------
    what, found : str
        What was looked at, and what is there.
    """

    what: str
    found: str


@dataclass(frozen=True, kw_only=True)
class PredictionCheck:
    """What a run would be.

    Parameters
    ----------
    findings : tuple of Finding
        One screen of them; none where a shard has no rows.
    n_rows : int
        Rows that it would write.
    seconds : float
        That it is expected to take.
    notices : tuple of str
        What a user should know, one sentence each.
    """

    findings: tuple[Finding, ...]
    n_rows: int
    seconds: float
    notices: tuple[str, ...]

    def summary(self) -> str:
        """One line for a person."""
        if not self.findings:
            return EMPTY_SHARD
        return (
            f"dry run: predict would write {counted(self.n_rows, 'row')} in about"
            f" {_spelled(self.seconds)}; nothing was written"
        )


def check_prediction(config: PredictConfig) -> PredictionCheck:
    """Open all that a prediction needs, and try it on its first rows.

    Parameters
    ----------
    config : PredictConfig
        Of the run.

    Raises
    ------
    photoz_ssl.errors.PhotozError
        That the run itself would raise at its start; if none of the first rows has a usable
        image; or if the disk has no room for the table.
    """
    if is_hats(config.catalog):
        raise ConfigError("--dry-run cannot look into a HATS catalogue", "try it on a small table")
    require_extras(config)
    output = config.output or default_output(config.catalog)
    kind, shard = format_of(output, config.format), shard_of(config)
    _claim(config, output, shard)
    with open_job(config) as job:
        start, stop = (shard or WHOLE).rows(job.source.n_rows, job.block_size)
        if start == stop:
            empty = (*_of_table(job), *_of_model(job), *_of_output(job, output))
            findings = () if job.source.n_rows else empty
            notices = job.notices if findings else ()
            return PredictionCheck(findings=findings, n_rows=0, seconds=0.0, notices=notices)
        tally, reading, computing = _tried(job, start, min(start + SAMPLE_ROWS, stop))
        tally.require_a_redshift(f"the first {tally.n_rows} rows of {config.catalog}")
        needed = _bytes_needed(job, stop - start)
        free = _free_bytes(output)
        _require_room(output, needed, free)
        seconds = (stop - start) * max(reading, computing) / tally.n_rows
        return PredictionCheck(
            findings=(
                *_of_table(job),
                *_of_images(job, tally),
                *_of_model(job),
                Finding("reading", f"{tally.n_rows / reading:.0f} images/s"),
                Finding("network", f"{tally.n_rows / computing:.0f} galaxies/s"),
                *_of_output(job, output),
                Finding("disk", f"{_size(needed)} needed" + _of_free(free)),
            ),
            n_rows=stop - start,
            seconds=seconds,
            notices=(
                *job.notices,
                *notices_of_format(kind, job.layout.dtype, job.pdf_form),
                *tally.notices(),
                *job.predictor.notices(stop - start),
            ),
        )


def _claim(config: PredictConfig, output: str, shard: Shard | None) -> None:
    """Refuse an output that the run itself would refuse."""
    if shard is not None:
        claim_output(part_path(output, shard), overwrite=True)
        return
    claim_table(output, overwrite=config.overwrite or output == STDOUT)
    require_writer(format_of(output, config.format))
    if output != STDOUT:
        refuse_unfinished(config, part_path(output, None))


def _require_room(output: str, needed: int, free: int | None) -> None:
    if free is not None and free < needed:
        lacking = f"has {_size(free)} free, and about {_size(needed)} is needed"
        raise OutputError(
            f"the disk of {output} {lacking}", "free some space or choose another --output"
        )


def _tried(job: PredictionJob, start: int, stop: int) -> tuple[Tally, float, float]:
    """Some rows predicted; the tally, and seconds of reading and of the network."""
    tally, begun = Tally(), time.perf_counter()
    (block,) = job.source.blocks(stop - start, start, stop)
    read = time.perf_counter()
    tally.add(job.begun(block)().facts)
    return tally, read - begun, time.perf_counter() - read


def _of_table(job: PredictionJob) -> tuple[Finding, ...]:
    source = job.source
    position = f"{source.ra_column}, {source.dec_column}" if source.ra_column else "none"
    return (
        Finding("catalogue", f"{job.config.catalog}, {counted(source.n_rows, 'row')}"),
        Finding("id", source.id_column or "none: rows are numbered"),
        Finding("position", position),
    )


def _of_images(job: PredictionJob, tally: Tally) -> tuple[Finding, ...]:
    spec = job.source.spec
    return (
        Finding("images", f"{tally.n_redshifts} of the first {tally.n_rows} rows can be used"),
        Finding("pixels", f"{spec.size} x {spec.size} of {spec.pixel_scale:g} arcsec, {spec.unit}"),
        Finding("bands", " ".join(spec.bands)),
        Finding("dust", tally.dust),
    )


def _of_model(job: PredictionJob) -> tuple[Finding, ...]:
    return (
        Finding("model", f"{job.predictor.name} (trained on {job.trained_on})"),
        Finding("runs on", job.predictor.device_name),
    )


def _of_output(job: PredictionJob, output: str) -> tuple[Finding, ...]:
    return (
        Finding("output", "standard output" if output == STDOUT else output),
        Finding("columns", ", ".join(job.layout.dtype.names or ())),
    )


def _bytes_needed(job: PredictionJob, n_rows: int) -> int:
    """Of the table, and of the part file that is there until it is complete."""
    pdf = BYTES_A_VALUE * job.pdf_form.n_values if job.pdf_form else 0
    return 2 * n_rows * (job.layout.dtype.itemsize + pdf) + (1 << 16)


def _free_bytes(output: str) -> int | None:
    return None if output == STDOUT else shutil.disk_usage(Path(output).absolute().parent).free


def _of_free(free: int | None) -> str:
    return "" if free is None else f", {_size(free)} free"


def _size(n_bytes: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} TB"


def _spelled(seconds: float) -> str:
    if seconds < 2 * MINUTE:
        return f"{seconds:.0f} s"
    return f"{seconds / MINUTE:.0f} min" if seconds < 2 * HOUR else f"{seconds / HOUR:.1f} h"
