"""Blocks come in order, each while the network is at the next one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from photoz_ssl.later import Later
from photoz_ssl.workflows.jobs.block_job import BlockJob, ComputedBlock
from photoz_ssl.workflows.jobs.computed_blocks import ComputedBlocks
from photoz_ssl.workflows.jobs.dask_blocks import compute_rows

N_BLOCKS = 4


class Noted:
    """A job of blocks that are numbers, and what happened in which order."""

    def __init__(self, last: int = N_BLOCKS, *, slow: bool = False) -> None:
        self.notes: list[str] = []
        self.config, self.block_size, self.source = SimpleNamespace(dask=None), 1, self
        self._last, self._finished = last, threading.Semaphore()
        self._read, self._slow = threading.Semaphore(0), slow

    def blocks(self, block_size: int, start: int, stop: int) -> Iterator[int]:
        """A slow one is read when the one before is finished; others before that is begun."""
        for number in range(start, stop):
            if number == self._last:
                raise OSError(f"block {number} cannot be read")
            assert not self._slow or self._finished.acquire(timeout=10)
            yield number
            self._read.release()  # asked for the next one: this one is ready

    def begun(self, block: int) -> Later[ComputedBlock]:
        if not self._slow and block + 1 < min(self._last, N_BLOCKS):
            for _ in range(2 if block == 0 else 1):
                assert self._read.acquire(timeout=10)
        self.notes.append(f"begun {block}")

        def outcome() -> ComputedBlock:
            self.notes.append(f"finished {block}")
            self._finished.release()
            return ComputedBlock(np.zeros(0, "i4,i4"), None, {"block": block})

        return outcome


def computed(job: Noted, stop: int = N_BLOCKS) -> Iterator[int]:
    for block in ComputedBlocks(cast(BlockJob, cast(Any, job)), 0, stop):
        yield block.facts["block"]


@pytest.mark.parametrize("slow", [False, True])
def test_they_come_in_order_and_all_of_them(slow: bool) -> None:
    assert list(computed(Noted(slow=slow))) == list(range(N_BLOCKS))
    assert list(computed(Noted(slow=slow), 0)) == []


def test_the_network_has_the_next_block_before_one_is_finished() -> None:
    job = Noted()
    list(computed(job))
    assert job.notes[:5] == ["begun 0", "begun 1", "finished 0", "begun 2", "finished 1"]


def test_a_block_does_not_wait_for_one_that_is_not_read_yet() -> None:
    job = Noted(slow=True)
    list(computed(job, 2))
    assert job.notes == ["begun 0", "finished 0", "begun 1", "finished 1"]


def test_what_was_begun_before_an_error_is_not_lost() -> None:
    job, found = Noted(last=2), []
    with pytest.raises(OSError, match="block 2"):
        for block in computed(job):
            found.append(block)
    assert found == [0, 1]


def blas_threads() -> set[int]:
    return {found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"}


class Counting(Noted):
    """Notes how many threads linear algebra has while a block is finished."""

    def begun(self, block: int) -> Later[ComputedBlock]:
        def outcome() -> ComputedBlock:
            self.notes += [str(count) for count in blas_threads()]
            return ComputedBlock(np.zeros(0, "i4,i4"), None, {"block": block})

        return outcome

    def identity(self) -> dict[str, str | int]:
        return {}


def test_linear_algebra_leaves_the_cores_to_the_network() -> None:
    job = Counting()
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        list(computed(job))
        assert (set(job.notes), blas_threads()) == ({"1"}, before)


def test_it_does_so_on_a_worker_of_dask() -> None:
    job = Counting()
    with threadpool_limits(2, user_api="blas"):
        compute_rows(cast(Any, lambda _: nullcontext(job)), "this job", 0, 1)
    assert set(job.notes) == {"1"}
