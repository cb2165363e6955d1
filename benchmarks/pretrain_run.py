"""Images a second of a whole pretraining run, against the steps alone on one batch in memory.

Prints one JSON object. The run reads an archive of 107-pixel stamps in random order, as
``photoz-ssl pretrain`` does; where its rate is that of the steps alone, reading never held it
up. Of a GPU, the fraction of the time is given in which it had a kernel to work on.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from _machine import machine
from _options import at_least, positive, run_benchmark
from photoz_ssl.config import PretrainConfig
from photoz_ssl.datasets.galaxies import read_ahead
from photoz_ssl.networks.encoder import PRESETS
from photoz_ssl.progress import Stopped
from photoz_ssl.spec import STAMP_SIZE
from photoz_ssl.training import loop
from photoz_ssl.workflows.pretrain import pretrain

SECONDS_OF_WARMUP = 5.0


def write_archive(path: Path, n_galaxies: int) -> None:
    """Noise instead of galaxies: to a network all images cost the same."""
    block = np.random.default_rng(0).standard_normal((256, 5, STAMP_SIZE, STAMP_SIZE), np.float32)
    with h5py.File(path, "w") as file:
        file["ebv"] = np.full(n_galaxies, 0.05, np.float32)
        images = file.create_dataset("images", shape=(n_galaxies, *block.shape[1:]), dtype="<f4")
        for start in range(0, n_galaxies, len(block)):
            images[start : start + len(block)] = block[: n_galaxies - start]


class Watch:
    """Measures a run through its reports: its rate first, then what of it a GPU works.

    A report is made when all kernels of the steps before it are done. To record kernels slows
    a run down, so their time an image is set against the rate without.

    Parameters
    ----------
    on_gpu : bool
        Whether to record kernels at all.
    warmup, seconds : float
        How long not to look, and how long to look at most.
    """

    def __init__(self, on_gpu: bool, warmup: float, seconds: float) -> None:
        activities = [ProfilerActivity.CUDA]
        self.profiler = profile(activities=activities) if on_gpu else None
        self.ends = (warmup, warmup + seconds, warmup + (1.5 if on_gpu else 1) * seconds)
        self.reports: list[tuple[float, int]] = []
        self.begun = 0.0

    @property
    def done(self) -> bool:
        """Whether all is measured."""
        return len(self.reports) == len(self.ends)

    def progress(self, stage: str, done: int, total: int | None, /, **figures: float) -> None:
        """Take note of the images done."""
        now = time.perf_counter()
        self.begun = self.begun or now  # the first step is done: whatever is compiled is there
        if self.done or now - self.begun < self.ends[len(self.reports)]:
            return
        self.reports.append((now, done))
        if self.profiler and len(self.reports) == 2:
            self.profiler.start()
        elif self.profiler and self.done:
            self.profiler.stop()

    @property
    def rate(self) -> float:
        """Images a second."""
        (start, before), (end, after), _ = self.reports
        return (after - before) / (end - start)

    def busy(self) -> float | None:
        """Fraction of the time in which a GPU has a kernel to work on."""
        if self.profiler is None:
            return None
        events: Any = self.profiler.events()  # type: ignore[no-untyped-call]
        kernels = sorted(
            (event.time_range.start, event.time_range.end)
            for event in events
            if event.device_type.name == "CUDA" and not event.name.startswith("Mem")
        )
        covered, until = 0.0, 0.0
        for start, end in kernels:  # microseconds
            covered += max(0.0, end - max(start, until))
            until = max(until, end)
        _, (_, before), (_, after) = self.reports
        return self.rate * covered / 1e6 / (after - before)


def run(config: PretrainConfig, warmup: float, seconds: float) -> Watch:
    """Pretrain for a while and give up."""
    watch = Watch(config.device == "cuda", warmup, seconds)
    try:
        pretrain(config, progress=watch.progress, stop=lambda: watch.done)
    except Stopped:
        return watch
    raise SystemExit("the run ended before it was measured: ask for more --galaxies")


def same_batch_again(archive: Any, batches: Any, device: torch.device) -> Any:
    """In place of `read_ahead`: the first batch for ever, without reading."""
    batches = iter(batches)
    (batch,) = read_ahead(archive, [next(batches)], device)
    batch = batch.to(device)
    for _ in batches:
        yield batch


def main() -> None:
    """Measure both and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--encoder", choices=tuple(PRESETS), help="resnet50 on a GPU")
    parser.add_argument("--batch-size", type=at_least(2), help="128, or 256 on a GPU")
    parser.add_argument("--galaxies", type=at_least(1), help="2048, or 51200 on a GPU")
    parser.add_argument("--warmup", type=positive, default=SECONDS_OF_WARMUP, help="seconds")
    parser.add_argument("--seconds", type=positive, default=10.0, help="to measure for")
    options = parser.parse_args()
    on_gpu = options.device == "cuda"
    encoder = options.encoder or ("resnet50" if on_gpu else "resnet18-compact")
    batch_size = options.batch_size or (256 if on_gpu else 128)
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "survey.h5"
        write_archive(archive, options.galaxies or (51200 if on_gpu else 2048))
        config = PretrainConfig(
            archive=archive,
            output=Path(folder) / "run",
            encoder=encoder,
            batch_size=batch_size,
            queue_size=8192,
            device=options.device,
            epochs=1000,
            overwrite=True,
        )
        reading = run(config, options.warmup, options.seconds)
        loop.__dict__["read_ahead"] = same_batch_again
        alone = run(config, options.warmup, options.seconds)
    busy = reading.busy()
    result = {
        "benchmark": "pretrain_run",
        "machine": machine("cuda" if on_gpu else "cpu"),
        "baseline": "the same steps on one batch in memory",
        "encoder": encoder,
        "batch_size": batch_size,
        "images_a_second": {"run": round(reading.rate, 1), "steps_alone": round(alone.rate, 1)},
        "gpu_busy": None if busy is None else round(busy, 3),
        "ratios": {"run": round(reading.rate / alone.rate, 3)},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    run_benchmark(main)
