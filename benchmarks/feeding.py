"""Stamps a second from an archive to tensors: random batches by memory map, against h5py.

Prints one JSON object. The archive is read warm, from memory, and cold, from the disk, where
the same file read from beginning to end says what the disk can do.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from _machine import machine
from _options import at_least, run_benchmark
from photoz_ssl.datasets.galaxies import Rows, batch_rows, gather
from photoz_ssl.spec import NETWORK_SIZE
from photoz_ssl.survey.archive import open_archive

BATCH_SIZE = 256
STAMP_SHAPE = (5, NETWORK_SIZE, NETWORK_SIZE)


def write_archive(path: Path, n_galaxies: int) -> None:
    """An archive of noise, written through to the disk."""
    stamps = np.random.default_rng(0).standard_normal((BATCH_SIZE, *STAMP_SHAPE), np.float32)
    with h5py.File(path, "w") as file:
        file["ebv"] = np.zeros(n_galaxies, np.float32)
        images = file.create_dataset("images", shape=(n_galaxies, *STAMP_SHAPE), dtype="<f4")
        for start in range(0, n_galaxies, BATCH_SIZE):
            images[start : start + BATCH_SIZE] = stamps[: n_galaxies - start]
    forget(path)


def forget(path: Path) -> None:
    """Write a file through, and have the system drop what it keeps of it in memory."""
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def ours(path: Path) -> Callable[[Rows], object]:
    """Rows as a training step gets them."""
    archive = open_archive(path)
    return lambda rows: gather(archive, rows)


def by_h5py(path: Path) -> Callable[[Rows], object]:
    """Rows by h5py's own indexing, which wants them in ascending order."""
    images = h5py.File(path)["images"]
    return lambda rows: images[np.sort(rows)]


def rate(read: Callable[[Rows], object], n_galaxies: int, n_batches: int) -> float:
    """Stamps a second of random batches, no stamp twice in an epoch."""
    everything = np.arange(n_galaxies)
    start = time.perf_counter()
    for step in range(n_batches):
        read(batch_rows(everything, BATCH_SIZE, seed=0, step=step))
    return n_batches * BATCH_SIZE / (time.perf_counter() - start)


def sequential_rate(path: Path) -> float:
    """Stamps a second of the file as a whole, from beginning to end."""
    block, start = bytearray(1 << 22), time.perf_counter()
    with path.open("rb", buffering=0) as stream:
        while stream.readinto(block):
            pass
    n_stamps = path.stat().st_size / (4 * np.prod(STAMP_SHAPE))
    return float(n_stamps / (time.perf_counter() - start))


def measure(path: Path, n_galaxies: int) -> dict[str, float]:
    """Cold rates first, over part of the archive; then warm ones."""
    some = max(1, n_galaxies // BATCH_SIZE // 4)
    found = {"cold": rate(ours(path), n_galaxies, some)}
    forget(path)
    found["baseline_cold"] = rate(by_h5py(path), n_galaxies, some)
    forget(path)
    found["disk_sequential"] = sequential_rate(path)  # and now the file is in memory
    found["warm"] = rate(ours(path), n_galaxies, 4 * some)
    found["baseline_warm"] = rate(by_h5py(path), n_galaxies, 4 * some)
    return found


def main() -> None:
    """Measure all and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", help="ignored: nothing leaves the memory")
    parser.add_argument(
        "--galaxies", type=at_least(BATCH_SIZE), default=8192, help="in the archive, 82 kB each"
    )
    parser.add_argument("--folder", type=Path, help="where to write it: the disk to measure")
    options = parser.parse_args()
    if options.folder and not options.folder.is_dir():
        parser.error(f"there is no folder {options.folder}")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "survey.h5"
        write_archive(path, options.galaxies)
        found = measure(path, options.galaxies)
    result = {
        "benchmark": "feeding",
        "machine": machine(),
        "baseline": "h5py, a sorted list of rows",
        "stamps_a_second": {name: round(value) for name, value in found.items()},
        "ratios": {
            "warm": round(found["warm"] / found["baseline_warm"], 2),
            "cold": round(found["cold"] / found["baseline_cold"], 2),
            "cold_of_disk": round(found["cold"] / found["disk_sequential"], 2),
        },
    }
    print(json.dumps(result))


if __name__ == "__main__":
    run_benchmark(main)
