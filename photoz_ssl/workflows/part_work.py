"""Doing a job in parts that survive: what is finished is kept, and gone on from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from photoz_ssl.errors import OutputError, PartError, PhotozError
from photoz_ssl.progress import Progress, Stop, Stopped
from photoz_ssl.survey.part_file import Part, PartWriter, create_part, read_part, require_same_job
from photoz_ssl.workflows.block_job import BlockConfig, BlockJob
from photoz_ssl.workflows.computed_blocks import ComputedBlocks, Pace
from photoz_ssl.workflows.redshift_tally import Tally
from photoz_ssl.workflows.shards import Shard, shard_named

__all__ = ["computed_part", "kept_if_interrupted", "part_path", "shard_of", "unfinished_part"]


def part_path(output: str, shard: Shard | None) -> Path:
    """Where the rows of a shard, or all rows, are kept.

    >>> str(part_path("out.fits", Shard(2, 8))), str(part_path("out.fits", None))
    ('out.fits.2-of-8.part', 'out.fits.part')
    """
    which = "" if shard is None else f".{shard.number}-of-{shard.count}"
    return Path(f"{output}{which}.part")


def unfinished_part(output: str, config: BlockConfig) -> Path | None:
    """Where an interrupted run has left what was done; None if it has done nothing."""
    path = part_path(output, shard_of(config))
    return path if _has_blocks(path) else None


def shard_of(config: BlockConfig) -> Shard | None:
    """The share of the rows that was asked for; None for all of them."""
    return None if config.shard is None else shard_named(config.shard)


def computed_part(
    job: BlockJob,
    path: Path,
    rows: tuple[int, int],
    command_line: str,
    progress: Progress,
    stop: Stop,
) -> tuple[Part, Tally, Pace]:
    """The finished part of some rows, made or found; its tally, and how fast it was made.

    Parameters
    ----------
    job : BlockJob
        What to do.
    path : Path
        The part file.
    rows : (int, int)
        First row, and the one after the last.
    command_line : str
        Recorded in the part.
    progress : Progress
        Told of the rows done.
    stop : callable
        Asked after every block whether to keep what is done and stop.

    Raises
    ------
    PhotozError
        If a part that is there is of another job, or a row cannot be computed.
    photoz_ssl.progress.Stopped
        If ``stop`` said so before the last block was done.
    """
    manifest = job.manifest(*rows, command_line)
    resume, tally = job.config.resume or job.config.shard is not None, Tally()
    if job.config.overwrite and not job.config.resume:
        resume = False
    if resume and (finished := _finished_part(path)) is not None:
        require_same_job(finished, manifest)
        for block in finished.blocks():
            tally.add(block.facts)
        return finished, tally, Pace()
    with create_part(path, manifest, resume=resume, found=tally.add) as writer:
        pace = _append_blocks(job, writer, tally, progress, stop)
        return writer.finish(), tally, pace


def _finished_part(path: Path) -> Part | None:
    if not path.exists():
        return None
    part = read_part(path)
    return part if part.complete else None


def _append_blocks(
    job: BlockJob, writer: PartWriter, tally: Tally, progress: Progress, stop: Stop
) -> Pace:
    """Compute what is not done yet, block by block."""
    first, end = writer.manifest.start + writer.n_done, writer.manifest.stop
    blocks, n_rows = ComputedBlocks(job, first, end), end - writer.manifest.start
    for block in blocks:
        writer.append(block.rows, block.pdfs, block.facts)
        tally.add(block.facts)
        progress(job.stage, writer.n_done, n_rows)
        if stop() and writer.n_done < n_rows:
            raise Stopped(writer.n_done, n_rows, unit="row")
    return blocks.pace


@contextmanager
def kept_if_interrupted(path: Path) -> Iterator[None]:
    """Leave a part file behind where it is of use: not after an error in the input."""
    try:
        yield
    except PartError:  # another job's
        raise
    except OutputError as error:
        if not _has_blocks(path):
            path.unlink(missing_ok=True)
            raise
        hint = f"{error.hint}; then the same command with --resume goes on"
        raise OutputError(error.message, hint) from error
    except PhotozError:
        path.unlink(missing_ok=True)
        raise
    except KeyboardInterrupt:
        if not _has_blocks(path):
            path.unlink(missing_ok=True)
        raise


def _has_blocks(path: Path) -> bool:
    """Whether a part file holds anything that can be gone on from."""
    with suppress(PhotozError):
        return path.exists() and read_part(path).n_done > 0
    return False
