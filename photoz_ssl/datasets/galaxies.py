"""An archive's rows as seeded batches of tensors."""

from __future__ import annotations

import mmap
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from photoz_ssl.survey.archive import Archive

__all__ = ["GalaxyBatch", "batch_rows", "consecutive_rows", "gather", "read_ahead"]

Rows = NDArray[np.int64]


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
    """

    images: Tensor
    ebv: Tensor
    redshift: Tensor

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
    order = np.argsort(rows, kind="stable")
    _announce(archive.images, rows[order])
    stored = np.asarray(archive.images)
    images = np.empty((len(rows), *stored.shape[1:]), np.float32)
    for place in order:  # ascending rows: the disk is read forward
        images[place] = stored[rows[place]]
    return GalaxyBatch(
        torch.from_numpy(images),
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
    order = np.random.default_rng([seed, epoch]).permutation(len(rows))
    return rows[order[place * batch_size : (place + 1) * batch_size]]


def consecutive_rows(rows: Rows, batch_size: int) -> Iterator[Rows]:
    """All rows in order, the last batch being what is left."""
    for start in range(0, len(rows), batch_size):
        yield rows[start : start + batch_size]


def read_ahead(archive: Archive, batches: Iterable[Rows]) -> Iterator[GalaxyBatch]:
    """Gather batches in order, the next one being read while this one is used."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        waiting = None
        for rows in batches:
            following = reader.submit(gather, archive, rows)
            if waiting is not None:
                yield waiting.result()
            waiting = following
        if waiting is not None:
            yield waiting.result()
