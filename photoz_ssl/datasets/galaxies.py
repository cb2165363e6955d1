"""An archive's rows as seeded batches of tensors."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from photoz_ssl.datasets.lending import Lender
from photoz_ssl.survey.archive import Archive

__all__ = [
    "GalaxyBatch",
    "batch_rows",
    "consecutive_rows",
    "gather",
    "read_ahead",
]

Rows = NDArray[np.int64]
CPU = torch.device("cpu")


@dataclass(frozen=True)
class GalaxyBatch:
    """Galaxies as tensors.

    Parameters
    ----------
    images : Tensor, shape (n, bands, S, S), float32
        Nanomaggies as stored.
    ebv : Tensor, shape (n,), float32
        E(B-V) of SFD by which they are reddened, magnitudes.
    redshift : Tensor, shape (n,), float32
        Spectroscopic; NaN where unlabelled.
    copied : torch.cuda.Event, optional
        When they have all been copied to a GPU.
    """

    images: Tensor
    ebv: Tensor
    redshift: Tensor
    copied: torch.cuda.Event | None = None

    def __len__(self) -> int:
        return len(self.ebv)

    def to(self, device: torch.device) -> GalaxyBatch:
        """The same batch on a device."""
        return GalaxyBatch(
            self.images.to(device, non_blocking=True),
            self.ebv.to(device, non_blocking=True),
            self.redshift.to(device, non_blocking=True),
        )


def gather(archive: Archive, rows: Rows) -> GalaxyBatch:
    """Read rows of an archive, in their order."""
    return _gather_lent(archive, Lender(), rows)


def _gather_lent(archive: Archive, lender: Lender, rows: Rows) -> GalaxyBatch:
    """Read rows of an archive into memory on loan."""
    images = lender.empty((len(rows), *archive.images.shape[1:]))
    _read(archive, rows, images)
    return _labelled(archive, rows, torch.from_numpy(images))


def _read(archive: Archive, rows: Rows, images: NDArray[np.float32]) -> None:
    """Copy the stamps of rows, in their order, into an array."""
    order = np.argsort(rows, kind="stable")
    _announce(archive.images, rows[order])
    stored = np.asarray(archive.images)
    for place in order:  # ascending rows: the disk is read forward
        images[place] = stored[rows[place]]


def _labelled(archive: Archive, rows: Rows, images: Tensor) -> GalaxyBatch:
    return GalaxyBatch(
        images,
        torch.from_numpy(archive.spec.reddening(archive.ebv[rows])),
        torch.from_numpy(archive.redshift[rows]),
    )


def _announce(images: NDArray[np.float32], rows: Rows) -> None:
    """Have a disk fetch all rows of a memory map together: one by one it is 3 times slower."""
    file: object = images.base
    if not (isinstance(images, np.memmap) and isinstance(file, mmap.mmap)):
        return
    if not hasattr(mmap, "MADV_WILLNEED"):  # as on Windows
        return
    start = images.offset % mmap.ALLOCATIONGRANULARITY
    for row in rows.tolist():
        first = start + row * images.strides[0]
        page = first - first % mmap.PAGESIZE
        file.madvise(mmap.MADV_WILLNEED, page, first + images.strides[0] - page)


def batch_rows(rows: Rows, batch_size: int, *, seed: int, step: int) -> Rows:
    """The rows of one training step: a function of the seed and the step alone.

    Each epoch is a new permutation; its last, incomplete batch is left out.

    Parameters
    ----------
    rows : ndarray, shape (n,)
        Rows to draw from; at least ``batch_size``.
    batch_size : int
        Rows a step.
    seed, step : int
        Of the run, and counted from 0 over all epochs.
    """
    steps_an_epoch = len(rows) // batch_size
    epoch, place = divmod(step, steps_an_epoch)
    order = _order(len(rows), seed, epoch)
    return rows[order[place * batch_size : (place + 1) * batch_size]]


@lru_cache(maxsize=2)
def _order(n: int, seed: int, epoch: int) -> Rows:
    """The order of an epoch; for a million galaxies it takes longer to draw than a step."""
    return np.random.default_rng([seed, epoch]).permutation(n)


def consecutive_rows(rows: Rows, batch_size: int) -> Iterator[Rows]:
    """All rows in order, the last batch being what is left."""
    for start in range(0, len(rows), batch_size):
        yield rows[start : start + batch_size]


def read_ahead(
    archive: Archive, batches: Iterable[Rows], device: torch.device = CPU
) -> Iterator[GalaxyBatch]:
    """Gather batches in order, the next one being read while this one is used.

    Parameters
    ----------
    archive : Archive
        The galaxies.
    batches : iterable of ndarray
        Rows of each batch.
    device : torch.device
        Where the batches are to be; a GPU has the next one copied to it while it computes.
    """
    fetch, begin = partial(_gather_lent, archive, Lender()), None
    if device.type == "cuda":
        stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        fetch = partial(_gather_on_gpu, archive, stream)
        begin = partial(torch.cuda.set_device, stream.device)  # else all take memory of the first
    with ThreadPoolExecutor(max_workers=1, initializer=begin) as reader:
        waiting = None
        for rows in batches:
            following = reader.submit(fetch, rows)
            if waiting is not None:
                yield _arrived(waiting.result())
            waiting = following
        if waiting is not None:
            yield _arrived(waiting.result())


def _gather_on_gpu(archive: Archive, stream: torch.cuda.Stream, rows: Rows) -> GalaxyBatch:
    """Read rows, and have a stream of a GPU copy them to it, apart from what it computes."""
    images = torch.empty((len(rows), *archive.images.shape[1:]), pin_memory=True)
    _read(archive, rows, images.numpy())
    with torch.cuda.stream(stream):
        batch = _labelled(archive, rows, images).to(stream.device)
        return replace(batch, copied=stream.record_event())


def _arrived(batch: GalaxyBatch) -> GalaxyBatch:
    """Have the stream that computes wait for a batch that is being copied to its GPU."""
    if batch.copied is not None:
        stream = torch.cuda.current_stream(batch.images.device)
        stream.wait_event(batch.copied)
        for tensor in (batch.images, batch.ebv, batch.redshift):
            tensor.record_stream(stream)
    return batch
