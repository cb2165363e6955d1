"""Blocks come in order, each while the network is at the next one."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from photoz_ssl.later import Later
from photoz_ssl.workflows.block_job import BlockJob, ComputedBlock
from photoz_ssl.workflows.computed_blocks import ComputedBlocks

N_BLOCKS = 4


class Noted:
    """A job of blocks that are numbers, and what happened in which order."""

    def __init__(self, last: int = N_BLOCKS) -> None:
        self.notes: list[str] = []
        self.config, self.block_size, self.source = SimpleNamespace(dask=None), 1, self
        self._last = last

    def blocks(self, block_size: int, start: int, stop: int) -> Iterator[int]:
        for number in range(start, stop):
            if number == self._last:
                raise OSError(f"block {number} cannot be read")
            yield number

    def begun(self, block: int) -> Later[ComputedBlock]:
        self.notes.append(f"begun {block}")

        def outcome() -> ComputedBlock:
            self.notes.append(f"finished {block}")
            return ComputedBlock(np.zeros(0, "i4,i4"), None, {"block": block})

        return outcome


def computed(job: Noted, stop: int = N_BLOCKS) -> Iterator[int]:
    for block in ComputedBlocks(cast(BlockJob, cast(Any, job)), 0, stop):
        yield block.facts["block"]


def test_they_come_in_order_and_all_of_them() -> None:
    for n in range(N_BLOCKS + 1):
        assert list(computed(Noted(), n)) == list(range(n))


def test_the_network_has_the_next_block_before_one_is_finished() -> None:
    job = Noted()
    list(computed(job, 3))
    assert job.notes == ["begun 0", "begun 1", "finished 0", "begun 2", "finished 1", "finished 2"]


def test_what_was_begun_before_an_error_is_not_lost() -> None:
    job, found = Noted(last=2), []
    with pytest.raises(OSError, match="block 2"):
        for block in computed(job):
            found.append(block)
    assert found == [0, 1]
