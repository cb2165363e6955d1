"""Pretraining views a second from an archive: ours against a loader that works image by image.

Prints one JSON object. Both read 107-pixel stamps in random order from the same archive and
make two views of each: deredden, redden, rotate, shift, crop to 64 pixels, add noise. The
loader is the usual one, of PyTorch, h5py and scikit-image: it is measured in one process,
and with a worker process for each thread that ours may use.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from skimage.transform import rotate
from torch.utils.data import DataLoader, Dataset

from _machine import machine
from _options import at_least, positive, run_benchmark
from photoz_ssl.datasets.augment import pretraining_views
from photoz_ssl.datasets.galaxies import batch_rows, read_ahead
from photoz_ssl.networks.runtimes import choose_device
from photoz_ssl.spec import NETWORK_SIZE, STAMP_SIZE
from photoz_ssl.survey.archive import open_archive
from photoz_ssl.survey.bands import R_SF11

BATCH_SIZE, MAX_SHIFT, MAX_REDDENING, NOISE_RANGE = 256, 7, 0.5, (1.0, 3.0)
MAD = np.array([0.03, 0.012, 0.02, 0.034, 0.12], np.float32)
EBV = 0.05


def write_archive(path: Path, n_galaxies: int) -> None:
    """Noise instead of galaxies: to a resampling all images are alike."""
    generator = np.random.default_rng(0)
    shape = (n_galaxies, 5, STAMP_SIZE, STAMP_SIZE)
    with h5py.File(path, "w") as file:
        file["ebv"] = np.full(n_galaxies, EBV, np.float32)
        images = file.create_dataset("images", shape=shape, dtype="<f4")
        for start in range(0, n_galaxies, BATCH_SIZE):
            rows = slice(start, min(start + BATCH_SIZE, n_galaxies))
            images[rows] = generator.standard_normal((rows.stop - start, *shape[1:]), np.float32)


class ImageByImage(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """The usual loader: a stamp from h5py, two views of it from scikit-image."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.images: Any = None  # opened where it is read: HDF5 files do not survive a fork
        self.random = np.random.default_rng()
        with h5py.File(path) as file:
            self.length = len(file["images"])

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Two views, shape (5, 64, 64) each."""
        if self.images is None:
            self.images = h5py.File(self.path)["images"]
        image = np.moveaxis(self.images[row], 0, 2)
        return self.view(image), self.view(image)

    def view(self, image: NDArray[np.float32]) -> torch.Tensor:
        """One random view of a stamp, shape (107, 107, 5)."""
        random = self.random
        dust = 10 ** (-0.4 * R_SF11 * (random.uniform(0, MAX_REDDENING) - EBV))
        image = rotate(  # type: ignore[no-untyped-call]
            (image * dust).astype(np.float32), random.uniform(0, 360)
        )
        first = STAMP_SIZE // 2 - NETWORK_SIZE // 2
        y, x = first + random.integers(-MAX_SHIFT, MAX_SHIFT + 1, 2)
        crop = image[y : y + NETWORK_SIZE, x : x + NETWORK_SIZE]
        sigma = (random.uniform(*NOISE_RANGE) * MAD).astype(np.float32)
        crop = crop + sigma * random.standard_normal(crop.shape, np.float32)
        return torch.from_numpy(np.ascontiguousarray(np.moveaxis(crop, 2, 0)))


def usual_batches(path: Path, workers: int) -> Iterator[int]:
    """Views in each batch of the usual loader, without end."""
    loader = DataLoader(
        ImageByImage(path),
        batch_size=BATCH_SIZE if workers else 32,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    while True:
        for query, key in loader:
            yield len(query) + len(key)


def our_batches(path: Path, device: torch.device) -> Iterator[int]:
    """Views in each of our batches, without end, as pretraining makes them."""
    archive, mad = open_archive(path), torch.from_numpy(MAD).to(device)
    generator = torch.Generator(device).manual_seed(0)
    order = (batch_rows(archive.rows(), BATCH_SIZE, seed=0, step=step) for step in iter(int, None))
    for batch in read_ahead(archive, order):
        placed = batch.to(device)
        views = pretraining_views(
            placed.images,
            placed.ebv,
            mad,
            generator,
            max_reddening=MAX_REDDENING,
            max_shift=MAX_SHIFT,
            noise_range=NOISE_RANGE,
            mirror=False,
        )
        if device.type == "cuda":
            float(views[0, 0, 0, 0, 0])  # wait until it is made
        yield 2 * len(batch)


def rate(views: Iterator[int], seconds: float) -> tuple[float, float]:
    """Views a second, and this process's CPU time a view, microseconds; after a warm-up."""
    next(views)
    start, work, done = time.perf_counter(), time.process_time(), 0
    while (spent := time.perf_counter() - start) < seconds:
        done += next(views)
    return done / spent, 1e6 * (time.process_time() - work) / done


def measure(options: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """Rate and CPU time of ours, and of the usual loader both ways."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "survey.h5"
        write_archive(path, options.galaxies)
        return {
            name: rate(views, options.seconds)
            for name, views in (
                ("ours", our_batches(path, choose_device(options.device))),
                ("one_process", usual_batches(path, 0)),
                ("worker_processes", usual_batches(path, options.threads)),
            )
        }


def main() -> None:
    """Measure all and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--threads", type=at_least(1), default=2, help="of ours; workers of theirs")
    parser.add_argument(
        "--galaxies", type=at_least(BATCH_SIZE), default=2048, help="in the archive"
    )
    parser.add_argument("--seconds", type=positive, default=10.0, help="for each of the three")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = measure(options)
    alone = ("ours", "one_process")  # the CPU time of worker processes is not ours to see
    result = {
        "benchmark": "views",
        "machine": machine(options.device),
        "baseline": "h5py, skimage.transform.rotate and DataLoader, image by image",
        "views_a_second": {name: round(speed) for name, (speed, _) in found.items()},
        "cpu_microseconds_a_view": {name: round(found[name][1]) for name in alone},
        "ratios": {
            "one_process": round(found["ours"][0] / found["one_process"][0], 2),
            "worker_processes": round(found["ours"][0] / found["worker_processes"][0], 2),
            "cpu_time": round(found["one_process"][1] / found["ours"][1], 2),
        },
    }
    print(json.dumps(result))


if __name__ == "__main__":
    run_benchmark(main)
