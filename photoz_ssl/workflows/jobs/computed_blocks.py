"""The rows of a job, block by block, and what held them up."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from photoz_ssl.later import Later
from photoz_ssl.workflows.jobs.ahead import Ahead
from photoz_ssl.workflows.jobs.block_job import BlockJob, ComputedBlock
from photoz_ssl.workflows.jobs.dask_blocks import computed_by_dask
from photoz_ssl.workflows.jobs.linear_algebra import in_one_thread

__all__ = ["ComputedBlocks", "Pace"]


@dataclass(frozen=True)
class Pace:
    """How fast galaxies were worked on.

    Parameters
    ----------
    rate : float
        Galaxies a second; 0 where there was nothing to do.
    slowest : str
        What the others waited for.
    """

    rate: float = 0.0
    slowest: str = ""


class ComputedBlocks:
    """Some rows of a job, in order.

    Images are read while the network computes. Where the next block has been read already, the
    network gets it before the last one is finished.

    Parameters
    ----------
    job : BlockJob
        The catalogue and the model.
    start, stop : int
        First row, and the one after the last.
    """

    def __init__(self, job: BlockJob, start: int, stop: int) -> None:
        self._job, self._rows = job, (start, stop)
        self._seconds, self._waited = 0.0, 0.0

    def __iter__(self) -> Iterator[ComputedBlock]:
        start = time.perf_counter()
        if self._rows[0] == self._rows[1]:
            return
        if self._job.config.dask is not None:
            yield from computed_by_dask(self._job, *self._rows)
        else:
            blocks = Ahead(self._job.source.blocks(self._job.block_size, *self._rows))
            begun: deque[Later[ComputedBlock]] = deque()
            with in_one_thread():
                for block in blocks:
                    begun.append(self._job.begun(block))
                    while begun and (len(begun) > 1 or not blocks.has_next):
                        yield begun.popleft()()
            self._waited = blocks.waited
        self._seconds = time.perf_counter() - start

    @property
    def pace(self) -> Pace:
        """How fast all of them were there."""
        start, stop = self._rows
        if stop == start:
            return Pace()
        slowest = "reading images" if self._waited > self._seconds / 2 else "the network"
        slowest = "the workers" if self._job.config.dask is not None else slowest
        return Pace((stop - start) / max(self._seconds, 1e-9), slowest)
