"""Blocks of a catalogue computed by Dask workers, each of which holds the model once."""

from __future__ import annotations

import dataclasses
import os
import re
from collections import deque
from collections.abc import Generator
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from typing import Any

from photoz_ssl.errors import ConfigError
from photoz_ssl.extras import import_extra
from photoz_ssl.fingerprints import file_and_selection
from photoz_ssl.survey.images.cutouts import template_folder
from photoz_ssl.workflows.jobs.block_job import BlockJob, ComputedBlock, Opener
from photoz_ssl.workflows.jobs.linear_algebra import in_one_thread

__all__ = ["computed_by_dask", "dask_client", "from_anywhere"]

BLOCKS_A_WORKER = 3
"""Blocks that are asked of each worker ahead of their use."""

FAILURES_ALLOWED = 10
"""Workers that may die over a block before it is given up."""

SECONDS_TO_ANSWER = 20
"""That a scheduler is waited for."""

ANY_PORT_HERE = "127.0.0.1:0"
"""Of the page that a scheduler shows: a fixed one would be taken where another job runs here."""

LOCAL = re.compile(r"local:([1-9]\d{0,3})")


def computed_by_dask(job: BlockJob, start: int, stop: int) -> Generator[ComputedBlock, None, None]:
    """Rows ``start`` to ``stop`` of a job, block by block and in order.

    A block whose worker dies is given to another one, so that nothing changes in the result.

    Parameters
    ----------
    job : BlockJob
        Its configuration names the scheduler, or how many workers to start here.
    start, stop : int
        As `photoz_ssl.survey.blocks.GalaxySource.blocks`.

    Raises
    ------
    ConfigError
        If the scheduler cannot be reached, has no workers, or these see another catalogue or
        model than this process.
    MissingExtraError
        If Dask is not installed.
    """
    config, opener = from_anywhere(job.config), job.opener
    there: Any = job  # a dataclass, of whichever command
    expected = dataclasses.replace(there, config=config).identity()
    with ExitStack() as stack:
        client = dask_client(str(job.config.dask), stack)
        window = BLOCKS_A_WORKER * max(1, len(client.scheduler_info()["workers"]))
        starts = iter(range(start, stop, job.block_size))
        waiting: deque[Any] = deque()
        while True:
            while len(waiting) < window and (first := next(starts, None)) is not None:
                end = min(first + job.block_size, stop)
                waiting.append(client.submit(compute_rows, opener, config, first, end, pure=False))
            if not waiting:
                return
            found, block = waiting.popleft().result()
            _require_the_same(expected, found)
            yield block


def compute_rows(
    opener: Opener, config: Any, start: int, stop: int
) -> tuple[dict[str, str | int], ComputedBlock]:
    """Compute a block in this process, and say of what it is; this is what a worker runs."""
    job, _ = _job_of_this_process(opener, config)
    (block,) = job.source.blocks(stop - start, start, stop)
    with in_one_thread():
        return job.identity(), job.begun(block)()


@lru_cache(maxsize=1)
def _job_of_this_process(opener: Opener, config: Any) -> tuple[BlockJob, ExitStack]:
    """The job of a worker, and what keeps it open: it is closed when that is forgotten."""
    stack = ExitStack()
    return stack.enter_context(opener(config)), stack


def from_anywhere(config: Any) -> Any:
    """The configuration of a command with paths that are the same in every folder."""
    catalog, cutouts = config.catalog, config.cutouts
    if "://" not in catalog:
        name, selection = file_and_selection(catalog)
        catalog = f"{Path(name).absolute()}{selection}"
        if cutouts is not None:
            own = Path(name) if Path(name).is_dir() else Path(name).parent
            folder = str(template_folder(cutouts, own).absolute())
            cutouts = os.path.join(folder.replace("{", "{{").replace("}", "}}"), cutouts)  # noqa: PTH118
    paths = {
        field.name: path.absolute()
        for field in dataclasses.fields(config)
        if isinstance(path := getattr(config, field.name), Path)
    }
    return dataclasses.replace(
        config, **{**paths, "catalog": catalog, "cutouts": cutouts, "dask": None}
    )


def dask_client(address: str, stack: ExitStack) -> Any:
    """A connection to a scheduler, or to workers started here for the time being."""
    distributed = import_extra("distributed", extra="dask", purpose="--dask")
    import dask

    dask.config.set({"distributed.scheduler.allowed-failures": FAILURES_ALLOWED})
    if (local := LOCAL.fullmatch(address)) is not None:
        cluster = distributed.LocalCluster(
            n_workers=int(local[1]),
            threads_per_worker=1,
            processes=True,
            dashboard_address=ANY_PORT_HERE,
            silence_logs=50,
        )
        return stack.enter_context(distributed.Client(stack.enter_context(cluster)))
    try:
        client = stack.enter_context(distributed.Client(address, timeout=SECONDS_TO_ANSWER))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"no Dask scheduler answers at {address}",
            "start one with dask scheduler, or say --dask local:4",
        ) from error
    if not client.scheduler_info()["workers"]:
        raise ConfigError(
            f"the Dask scheduler at {address} has no workers",
            f"start some with: dask worker {address} --nthreads 1",
        )
    return client


def _require_the_same(expected: dict[str, str | int], found: dict[str, str | int]) -> None:
    if expected == found:
        return
    name = next(key for key in expected | found if expected.get(key) != found.get(key))
    raise ConfigError(
        f"a Dask worker differs in {name}: {found.get(name)}, here {expected.get(name)}",
        "give all workers the same files, packages and kind of device",
    )
