"""A batch on a CPU is worked on in parts that fit its cache, a thread a core."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import Barrier

import numpy as np
import torch
from torch import Generator, Tensor

__all__ = ["empty_views", "fetched", "in_parts"]

IMAGES_A_PART = 8
"""Of 107 pixels and five bands these fill 2 MB; more of them fall out of a core's cache."""


def in_parts(
    work: Callable[[slice, Generator], None], images: Tensor, generator: Generator
) -> None:
    """Do some work on all of a batch: part by part on a CPU, at once on a GPU.

    What comes out depends on the generator alone, and not on the number of threads.

    Parameters
    ----------
    work : callable
        Takes the images of a part, and a generator of its own.
    images : Tensor, shape (n, ...)
        The batch.
    generator : Generator
        Seeds those of the parts.
    """
    n = len(images)
    if images.device.type != "cpu":
        return work(slice(0, n), generator)
    parts = [slice(start, start + IMAGES_A_PART) for start in range(0, n, IMAGES_A_PART)]
    seeds = torch.randint(2**63 - 1, (len(parts),), generator=generator).tolist()
    generators = (Generator().manual_seed(seed) for seed in seeds)
    list(_workers(torch.get_num_threads()).map(work, parts, generators))  # raises errors here
    return None


@lru_cache(maxsize=1)
def _workers(n_threads: int) -> ThreadPoolExecutor:
    """Threads that are kept, each of which lets torch use itself alone."""
    torch.set_num_threads(1)  # what threads that torch does not know yet take over
    try:
        started = Barrier(n_threads)
        workers = ThreadPoolExecutor(n_threads)
        list(workers.map(lambda _: (torch.get_num_threads(), started.wait()), range(n_threads)))
    finally:
        torch.set_num_threads(n_threads)
    return workers


if hasattr(os, "register_at_fork"):  # threads do not survive a fork
    os.register_at_fork(after_in_child=_workers.cache_clear)


def fetched(images: Tensor) -> Tensor:
    """The same images, on a CPU copied in the order in which they lie in memory.

    A rotation reads them all over the place: twice as fast from the cache, copy included.
    """
    return images.clone() if images.device.type == "cpu" else images


def empty_views(images: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Room for views on the images' device, of their type.

    On a CPU it is numpy's: in large pages, where torch's costs a page fault for every 4 kB.
    """
    if images.device.type != "cpu" or images.dtype != torch.float32:
        return images.new_empty(shape)
    return torch.from_numpy(np.empty(shape, np.float32))
