"""Doing a job in parts that survive: what is finished is kept, and gone on from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from photoz_ssl.errors import PartError, PhotozError
from photoz_ssl.progress import Progress, Stop, Stopped
from photoz_ssl.survey.tables.part_file import (
    SHARE,
    Part,
    PartWriter,
    begun_part,
    create_part,
    locked_part,
    require_same_job,
)
from photoz_ssl.workflows.jobs.block_job import BlockConfig, BlockJob
from photoz_ssl.workflows.jobs.computed_blocks import ComputedBlocks, Pace
from photoz_ssl.workflows.jobs.shards import Shard, shard_named
from photoz_ssl.workflows.jobs.tally import Tally

__all__ = [
    "computed_part",
    "kept_if_interrupted",
    "part_path",
    "refuse_unfinished",
    "shard_of",
    "unfinished_part",
]


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


@contextmanager
def computed_part(
    job: BlockJob,
    path: Path,
    rows: tuple[int, int],
    command_line: str,
    progress: Progress,
    stop: Stop,
) -> Iterator[tuple[Part, Tally, Pace]]:
    """The finished part of some rows, made or found; its tally, and how fast it was made.

    Until the block ends no other process can write the part, or take it away.

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
        If a part that is there is of another job, or of an interrupted run and nobody said
        what to do with it, or a row cannot be computed.
    photoz_ssl.progress.Stopped
        If ``stop`` said so before the last block was done.
    """
    manifest = job.manifest(*rows, command_line)
    resume, tally = job.config.resume or job.config.shard is not None, Tally()
    if job.config.overwrite and not job.config.resume:
        resume = False
    refuse_unfinished(job.config, path)
    part = begun_part(path) if resume else None
    if part is not None and part.complete:
        require_same_job(part, manifest)
        with locked_part(path):
            for block in part.blocks():
                tally.add_noted(block.facts)
            yield part, tally, Pace()
        return
    with create_part(path, manifest, resume=resume, found=tally.add_noted) as writer:
        pace = _append_blocks(job, writer, tally, progress, stop)
        yield writer.finish(), tally, pace


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
    """Say after an error that what is finished is kept, if anything is, and how to go on.

    The file itself is left alone: it may be another process's.
    """
    try:
        yield
    except PartError:  # another job's, or another process's
        raise
    except PhotozError as error:
        if _has_blocks(path):
            error.hint = "; then ".join(
                filter(None, (error.hint, "the same command with --resume goes on"))
            )
        raise


def refuse_unfinished(config: BlockConfig, path: Path) -> None:
    """Refuse to begin anew where an interrupted run has left hours of work, unless asked to.

    Parameters
    ----------
    config : BlockConfig
        Of a run that is to begin.
    path : Path
        Its part file.

    Raises
    ------
    PartError
        If that holds finished blocks, and neither ``resume`` nor ``overwrite`` says what to do
        with them, if another process is at work on it, or if beside it are shares of another
        division of the rows.
    """
    if config.shard is not None:
        _refuse_other_division(path)
    elif not (config.resume or config.overwrite) and _has_blocks(path):
        with locked_part(path):  # else it is at work
            raise PartError(
                f"{path} keeps what an interrupted run has done",
                "add --resume to go on from it, or --overwrite to begin anew",
            )


def _refuse_other_division(path: Path) -> None:
    """Refuse a share of so many, where others are of more or fewer: they make up no whole.

    So it is where one task of an array is submitted again by itself.
    """
    output, count = _share_named(path.name)
    for other in path.parent.iterdir() if path.parent.is_dir() else ():
        other_output, other_count = _share_named(other.name)
        if other_output == output and other_count != count:
            raise PartError(
                f"{other} is a share of {other_count}, and {path.name} would be one of {count}",
                "submit the whole array again, which passes over what is finished, or say"
                f" --shard NUMBER/{other_count}; or remove the parts of the other division",
            )


def _share_named(name: str) -> tuple[str, int]:
    """What a part is of, and of how many it is one; 0 for another file.

    >>> _share_named("out.fits.2-of-8.part"), _share_named("out.fits.part")
    (('out.fits', 8), ('', 0))
    """
    named = SHARE.fullmatch(name)
    return (named[1], int(named[3])) if named else ("", 0)


def _has_blocks(path: Path) -> bool:
    """Whether a part file holds anything that can be gone on from."""
    with suppress(PhotozError):
        part = begun_part(path)
        return part is not None and part.n_done > 0
    return False
