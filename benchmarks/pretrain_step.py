"""Pretraining steps a second: ours against momentum contrast as a tutorial writes it.

Prints one JSON object. Both take the same stamps, views, network and optimizer through whole
steps: views, forward, backward, update. They differ in memory layout, precision, and BatchNorm.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from photoz_ssl.config import PRECISIONS, PretrainConfig
from photoz_ssl.datasets.augment import pretraining_view
from photoz_ssl.datasets.galaxies import GalaxyBatch
from photoz_ssl.networks.encoder import PRESETS, build_encoder
from photoz_ssl.networks.moco import MomentumContrast, projector
from photoz_ssl.training.contrastive import contrastive_step
from photoz_ssl.workflows.pretrain import uses_bfloat16

SIZE = 107
MAD = (0.03, 0.012, 0.02, 0.034, 0.12)
N_WARMUP = 2


def our_step(
    batch: GalaxyBatch, config: PretrainConfig, device: torch.device
) -> Callable[[], float]:
    """The step that ``photoz-ssl pretrain`` does; returns its loss."""
    network = MomentumContrast(
        build_encoder(PRESETS[config.encoder]),
        projection_size=config.projection_size,
        queue_size=config.queue_size,
        key_momentum=config.key_momentum,
        temperature=config.temperature,
        batchnorm_groups=config.batchnorm_groups,
    ).to(device)
    network = network.to(memory_format=torch.channels_last)
    optimizer = _sgd(network.query_network, config)
    loss_of = contrastive_step(network, torch.tensor(MAD, device=device), config)
    generator = Generator(device).manual_seed(0)
    bfloat16 = uses_bfloat16(config.precision, device)

    def step() -> float:
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            loss, _ = loss_of(batch, generator)
        return _descend(loss, optimizer)

    return step


def tutorial_step(
    batch: GalaxyBatch, config: PretrainConfig, device: torch.device
) -> Callable[[], float]:
    """He et al.'s algorithm 1, line by line, in float32 and PyTorch's default layout."""
    encoder = build_encoder(PRESETS[config.encoder])
    query_network = nn.Sequential(
        encoder, projector(encoder.feature_size, config.projection_size)
    ).to(device)
    key_network = copy.deepcopy(query_network).requires_grad_(False)
    queue = F.normalize(torch.randn(config.queue_size, config.projection_size, device=device))
    optimizer = _sgd(query_network, config)
    generator = Generator(device).manual_seed(0)
    mad = torch.tensor(MAD, device=device)
    pointer = 0

    def view() -> Tensor:
        return pretraining_view(
            batch.images,
            batch.ebv,
            mad,
            generator,
            max_reddening=config.max_reddening,
            max_shift=config.max_shift,
            noise_range=config.noise_range,
        )

    def step() -> float:
        nonlocal pointer
        query = F.normalize(query_network(view()), dim=1)
        with torch.no_grad():
            for ours, key in zip(query_network.parameters(), key_network.parameters(), strict=True):
                key.copy_(key * config.key_momentum + ours * (1 - config.key_momentum))
            shuffle = torch.randperm(len(batch), device=device)
            keys = F.normalize(key_network(view()[shuffle]), dim=1)[torch.argsort(shuffle)]
        positive = torch.einsum("nc,nc->n", query, keys)[:, None]
        negative = torch.einsum("nc,kc->nk", query, queue.clone())
        logits = torch.cat([positive, negative], dim=1) / config.temperature
        labels = torch.zeros(len(batch), dtype=torch.int64, device=device)
        loss = _descend(F.cross_entropy(logits, labels), optimizer)
        queue[pointer : pointer + len(batch)] = keys
        pointer = (pointer + len(batch)) % config.queue_size
        return loss

    return step


def _sgd(network: nn.Module, config: PretrainConfig) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        network.parameters(),
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
    )


def _descend(loss: Tensor, optimizer: torch.optim.Optimizer) -> float:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return float(loss.detach())


def seconds_a_step(steps: dict[str, Callable[[], float]], n_steps: int) -> dict[str, float]:
    """Median time of each step, taken in turns so that a busy machine slows all alike."""
    spent: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(N_WARMUP + n_steps):
        for name, step in steps.items():
            start = time.perf_counter()
            step()  # returns a number, so that a GPU has finished
            spent[name].append(time.perf_counter() - start)
    return {name: median(times[N_WARMUP:]) for name, times in spent.items()}


def settings() -> tuple[argparse.Namespace, PretrainConfig]:
    """The command line, and the configuration it means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--encoder", choices=tuple(PRESETS), help="resnet50 on a GPU")
    parser.add_argument("--batch-size", type=int, help="128, or 256 on a GPU")
    parser.add_argument("--queue-size", type=int, default=8192, help="a multiple of the batch")
    parser.add_argument("--precision", default="auto", choices=PRECISIONS, help="of our step")
    parser.add_argument("--steps", type=int, default=5, help="to take the median of")
    options = parser.parse_args()
    on_gpu = options.device == "cuda"
    config = PretrainConfig(
        archive=Path("none"),
        output=Path("none"),
        encoder=options.encoder or ("resnet50" if on_gpu else "resnet18-compact"),
        batch_size=options.batch_size or (256 if on_gpu else 128),
        queue_size=options.queue_size,
        precision=options.precision,
    )
    if config.queue_size % config.batch_size:
        parser.error("the tutorial's queue must be a multiple of the batch")
    return options, config


def main() -> None:
    """Measure both and print the ratio."""
    options, config = settings()
    device = torch.device(options.device)
    generator = Generator().manual_seed(0)
    stamps = torch.randn(config.batch_size, 5, SIZE, SIZE, generator=generator)
    ebv = torch.full((config.batch_size,), 0.05)
    batch = GalaxyBatch(stamps, ebv, torch.zeros(config.batch_size)).to(device)
    steps = {
        "ours": our_step(batch, config, device),
        "baseline": tutorial_step(batch, config, device),
    }
    times = seconds_a_step(steps, options.steps)
    print(
        json.dumps(
            {
                "benchmark": "pretrain_step",
                "machine": {
                    "processor": platform.processor() or platform.machine(),
                    "threads": torch.get_num_threads(),
                    "torch": torch.__version__,
                    "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
                },
                "baseline": "MoCo v2 as in a tutorial: float32, default layout, joint BatchNorm",
                "encoder": config.encoder,
                "batch_size": config.batch_size,
                "queue_size": config.queue_size,
                "bfloat16": uses_bfloat16(config.precision, device),
                "images_a_second": {
                    name: round(config.batch_size / seconds, 1) for name, seconds in times.items()
                },
                "ratio": round(times["baseline"] / times["ours"], 2),
            }
        )
    )


if __name__ == "__main__":
    main()
