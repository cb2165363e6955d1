"""Images a second of trained networks alone, as ``photoz-ssl predict`` runs them.

Prints one JSON object. The baseline is the plain way: PyTorch in float32 and its default layout,
the network as it was trained, 16 images at a time. Ours are the runtimes that `predict` chooses
from: PyTorch with BatchNorm folded into the convolutions; on a CPU OpenVINO, in bfloat16 if the
CPU computes in it, and in 8-bit integers where the model has some; on a GPU bfloat16, compiled
and not. All begin with images in the computer's memory and end with PDFs there, and run by turns.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from _machine import machine
from _options import at_least, run_benchmark
from photoz_ssl.networks.checkpoint import Checkpoint, load_checkpoint, shipped_model_path
from photoz_ssl.networks.compilation import IMAGES_WORTH_COMPILING
from photoz_ssl.networks.encoder import PRESETS, build_encoder
from photoz_ssl.networks.engines.openvino_engine import has_openvino
from photoz_ssl.networks.engines.openvino_runner import computes_in_bfloat16
from photoz_ssl.networks.redshift_head import RedshiftNetwork
from photoz_ssl.networks.runtimes import (
    IMAGES_WORTH_CONVERTING,
    Runtime,
    choose_device,
    open_runtime,
)
from photoz_ssl.redshift.calibration import Calibration
from photoz_ssl.redshift.grid import RedshiftGrid
from photoz_ssl.spec import ImageSpec

BASELINE_BATCH = 16
BATCHES = {"cpu": 256, "cuda": 1024}
IMAGES = {
    "cpu": {"resnet50": 96, "resnet18-compact": 1024, "shipped": 1024},
    "cuda": {"resnet50": 16_384, "resnet18-compact": 131_072, "shipped": 65_536},
}
"""Seconds of work; the network that ships has its photometry, which is slow on a GPU."""

MOST_DRAWN = 8192
"""Images, 0.7 GB of them, more than any cache holds; where more are run, these come again."""

Runs = Callable[[Tensor, int], Any]
"""Images, and how many times they are run → PDFs of all."""


def galaxies(n_images: int) -> Tensor:
    """Images, shape (n, bands, 64, 64), nanomaggies: noise, and a blob of light in the middle."""
    side = torch.arange(64) - 31.5
    blob = torch.exp(-(side[:, None] ** 2 + side**2) / 20)
    brightness = torch.tensor([0.2, 0.8, 1.6, 2.4, 3.0])[:, None, None]
    noise = torch.randn(n_images, 5, 64, 64, generator=Generator().manual_seed(0))
    return noise.mul_(0.03).add_(brightness * blob)


def untrained(preset: str) -> Checkpoint:
    """A redshift model of a preset with random weights."""
    grid = RedshiftGrid()
    network = RedshiftNetwork(build_encoder(PRESETS[preset], seed=0), grid.n_bins, seed=0)
    return Checkpoint(
        kind="photoz",
        spec=ImageSpec(),
        encoder=PRESETS[preset],
        state=network.state_dict(),
        grid=grid,
    )


def plainly(checkpoint: Checkpoint, device: torch.device) -> Runs:
    """The plain way; gives PDFs."""
    network = checkpoint.network().to(device)
    calibration = checkpoint.calibration or Calibration()

    def run(images: Tensor, n_times: int) -> Any:
        with torch.no_grad():
            batches = torch.split(images, BASELINE_BATCH) * n_times
            logits = torch.cat([network(batch.to(device)).cpu() for batch in batches])
        return calibration.apply(logits.numpy())

    return run


def by_runtime(runtime: Runtime, batch_size: int) -> Runs:
    """What `predict` does; gives PDFs."""
    size = runtime.images_a_batch or batch_size
    return lambda images, n_times: runtime.pdf_later(iter(torch.split(images, size) * n_times))()


def contestants(checkpoint: Checkpoint, name: str, device: torch.device) -> dict[str, Runs]:
    """The plain way and ours, by name."""
    size = BATCHES[device.type]
    many = IMAGES_WORTH_CONVERTING[checkpoint.encoder.architecture]
    settings: dict[str, dict[str, Any]] = {"torch": {}}
    if device.type == "cuda":
        settings["compiled"] = {"n_images": IMAGES_WORTH_COMPILING}
    elif has_openvino():
        settings["openvino"] = {"n_images": many, "key": f"benchmark-{name}"}
        if computes_in_bfloat16():
            settings["bf16"] = {**settings["openvino"], "precision": "bf16"}
        if checkpoint.quantised is not None:
            settings["int8"] = {"precision": "int8"}
    ours = {
        way: by_runtime(open_runtime(checkpoint, device.type, batch_size=size, **setting), size)
        for way, setting in settings.items()
    }
    return {"plain": plainly(checkpoint, device), **ours}


def measured(runs: dict[str, Runs], n_images: int, n_rounds: int) -> dict[str, Any]:
    """Medians of images a second, by turns, and how far PDFs are from the plain way's."""
    images = galaxies(min(n_images, MOST_DRAWN))
    n_times = n_images // len(images)
    pdfs = {way: np.asarray(run(images, 1)) for way, run in runs.items()}  # compiled meanwhile
    rates: dict[str, list[float]] = {way: [] for way in runs}
    for _ in range(n_rounds):
        for way, run in runs.items():
            start = time.perf_counter()
            run(images, n_times)
            rates[way].append(n_times * len(images) / (time.perf_counter() - start))
    found = {way: median(of_way) for way, of_way in rates.items()}
    ours = [way for way in runs if way != "plain"]
    return {
        "images_a_second": {way: round(rate, 1) for way, rate in found.items()},
        "ratios": {way: round(found[way] / found["plain"], 2) for way in ours},
        "largest_difference": {
            way: float(f"{np.abs(pdfs[way] - pdfs['plain']).max():.1e}") for way in ours
        },
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=tuple(BATCHES))
    parser.add_argument("--rounds", type=at_least(1), default=3)
    options = parser.parse_args()
    device = choose_device(options.device)
    checkpoints = {
        "resnet50": untrained("resnet50"),
        "resnet18-compact": untrained("resnet18-compact"),
        "shipped": load_checkpoint(shipped_model_path("photoz")),
    }
    found = {}
    for name, checkpoint in checkpoints.items():
        ways = contestants(checkpoint, name, device)
        found[name] = measured(ways, IMAGES[device.type][name], options.rounds)
    result = {
        "benchmark": "inference",
        "machine": machine(device.type),
        "baseline": "PyTorch in float32 and its default layout, as trained, batches of 16",
        "networks": found,
        "ratios": {
            f"{name}_{way}": ratio
            for name, of_name in found.items()
            for way, ratio in of_name["ratios"].items()
        },
    }
    print(json.dumps(result))


if __name__ == "__main__":
    run_benchmark(main)
