"""A batch on a CPU is worked on in parts that fit its cache, a thread a core."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from threading import Barrier

import torch
from torch import Generator, Tensor

from photoz_ssl.datasets.lending import Lender

__all__ = ["Part", "Share", "empty_views", "fetched", "in_parts", "whole_batch"]

IMAGES_A_PART = 8
"""Of 107 pixels and five bands these fill 2 MB; more of them fall out of a core's cache."""

_VIEWS = Lender()


@dataclass(frozen=True)
class Share:
    """Where the galaxies at hand are in a batch that several processes have split.

    Each process makes the random draws of the whole batch and keeps its own, so that views
    do not depend on the number of processes. The dear ones, of noise, are made on a CPU only
    for the parts that it shares in.

    Parameters
    ----------
    whole : int
        Galaxies in the batch.
    own : slice
        Those at hand, from start to stop.
    """

    whole: int
    own: slice


def whole_batch(images: Tensor) -> Share:
    """All of a batch."""
    return Share(len(images), slice(0, len(images)))


@dataclass(frozen=True)
class Part:
    """Some of the galaxies at hand.

    Parameters
    ----------
    rows : slice
        Of the galaxies at hand.
    drawn : int
        Galaxies that are drawn for, some of them perhaps at hand elsewhere.
    kept : slice
        Those of the drawn that are at hand.
    """

    rows: slice
    drawn: int
    kept: slice


def _part(start: int, stop: int, own: slice) -> Part:
    """What of the batch's galaxies from start to stop is at hand."""
    first, last = max(start, own.start), min(stop, own.stop)
    rows = slice(first - own.start, last - own.start)
    return Part(rows, stop - start, slice(first - start, last - start))


def in_parts(
    work: Callable[[Part, Generator], None], images: Tensor, generator: Generator, share: Share
) -> None:
    """Do some work on all of a batch: part by part on a CPU, at once on a GPU.

    What comes out depends on the generator alone, and not on the number of threads or of
    processes.

    Parameters
    ----------
    work : callable
        Takes a part, and a generator of its own.
    images : Tensor, shape (n, ...)
        The galaxies at hand.
    generator : Generator
        Seeds those of the parts.
    share : Share
        Of the batch, that the galaxies at hand are.
    """
    n, own = share.whole, share.own
    if images.device.type != "cpu":
        return work(_part(0, n, own), generator)
    starts = range(0, n, IMAGES_A_PART)
    seeds = torch.randint(2**63 - 1, (len(starts),), generator=generator).tolist()
    parts = (_part(start, min(start + IMAGES_A_PART, n), own) for start in starts)
    left = deque(pair for pair in zip(parts, seeds, strict=True) if _at_hand(pair[0]))
    n_threads = torch.get_num_threads()
    list(_workers(n_threads).map(_work_off, [work] * n_threads, [left] * n_threads))  # raises
    return None


def _work_off(work: Callable[[Part, Generator], None], left: deque[tuple[Part, int]]) -> None:
    """Take part after part: to hand each to a thread and hear of its end takes longer."""
    while True:
        try:
            part, seed = left.popleft()
        except IndexError:  # another thread may have taken the last
            return
        work(part, Generator().manual_seed(seed))


def _at_hand(part: Part) -> bool:
    return bool(part.rows.stop > part.rows.start)


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
    """Room for views on the images' device, of their type; on a CPU used again and again."""
    if images.device.type != "cpu" or images.dtype != torch.float32:
        return images.new_empty(shape)
    return torch.from_numpy(_VIEWS.empty(shape))
