"""Pretraining steps a second: ours against the step assembled from lightly's parts.

Prints one JSON object. Both take the same stamps, views, network and optimizer through whole
steps: views, forward, backward, update. The other one is put together as lightly's documentation
does it, in float32 and PyTorch's default layout; it does not split BatchNorm. On a GPU ours is in
bfloat16 and compiled, and the operations of a step are compared with what the GPU does when it
multiplies matrices.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from lightly.loss import NTXentLoss
from lightly.models.modules import MoCoProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from torch import Generator, Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from _machine import machine
from _options import at_least, run_benchmark
from photoz_ssl.config import PretrainConfig
from photoz_ssl.datasets.augment import pretraining_views
from photoz_ssl.datasets.galaxies import GalaxyBatch
from photoz_ssl.fields import PRECISIONS
from photoz_ssl.networks.compilation import STEPS_WORTH_COMPILING, compile_for_training
from photoz_ssl.networks.encoder import PRESETS, Encoder, build_encoder
from photoz_ssl.networks.moco import MomentumContrast
from photoz_ssl.networks.runtimes import choose_arithmetic, choose_device, uses_bfloat16
from photoz_ssl.training.contrastive import contrastive_step
from photoz_ssl.training.optimizers import make_optimizer

SIZE = 107
MAD = (0.03, 0.012, 0.02, 0.034, 0.12)
N_WARMUP = 2


def our_step(
    batch: GalaxyBatch, config: PretrainConfig, device: torch.device
) -> Callable[[], Tensor]:
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
    compile_for_training(
        network.query_network,
        network.key_network,
        device=device,
        n_steps=STEPS_WORTH_COMPILING,
    )
    groups = [(network.query_network, config.learning_rate)]
    optimizer = make_optimizer(groups, config, weight_decay=config.weight_decay)
    mad = torch.tensor(MAD, device=device)
    loss_of = contrastive_step(network, mad, config, n_steps=STEPS_WORTH_COMPILING)
    generator = Generator(device).manual_seed(0)
    bfloat16 = choose_arithmetic(config.precision, device)

    def step() -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            loss, _ = loss_of(batch, generator)
        return _descend(loss, optimizer)

    return step


class LightlyMoCo(nn.Module):
    """Query and key networks as lightly's documentation of MoCo has them."""

    def __init__(self, backbone: Encoder, projection_size: int) -> None:
        super().__init__()
        size = backbone.feature_size
        self.backbone = backbone
        self.projection_head = MoCoProjectionHead(size, size, projection_size)
        self.backbone_momentum = copy.deepcopy(self.backbone)
        self.projection_head_momentum = copy.deepcopy(self.projection_head)
        deactivate_requires_grad(self.backbone_momentum)
        deactivate_requires_grad(self.projection_head_momentum)

    def forward(self, images: Tensor) -> Tensor:
        """Projected queries, shape (n, projection_size)."""
        query: Tensor = self.projection_head(self.backbone(images).flatten(start_dim=1))
        return query

    def forward_momentum(self, images: Tensor) -> Tensor:
        """Projected keys, shape (n, projection_size), without gradient."""
        key: Tensor = self.projection_head_momentum(
            self.backbone_momentum(images).flatten(start_dim=1)
        )
        return key.detach()

    def update(self, momentum: float) -> None:
        """Let the key networks follow the query networks."""
        update_momentum(self.backbone, self.backbone_momentum, m=momentum)
        update_momentum(self.projection_head, self.projection_head_momentum, m=momentum)


def lightly_step(
    batch: GalaxyBatch, config: PretrainConfig, device: torch.device
) -> Callable[[], Tensor]:
    """The step of lightly's documentation; returns its loss."""
    model = LightlyMoCo(build_encoder(PRESETS[config.encoder]), config.projection_size).to(device)
    bank_size = (config.queue_size, config.projection_size)
    criterion = NTXentLoss(config.temperature, memory_bank_size=bank_size).to(device)
    optimizer = _sgd(model, config)
    generator = Generator(device).manual_seed(0)
    mad = torch.tensor(MAD, device=device)

    def step() -> Tensor:
        query_view, key_view = pretraining_views(
            batch.images,
            batch.ebv,
            mad,
            generator,
            max_reddening=config.max_reddening,
            max_shift=config.max_shift,
            noise_range=config.noise_range,
        )
        model.update(config.key_momentum)
        loss: Tensor = criterion(model(query_view), model.forward_momentum(key_view))
        return _descend(loss, optimizer)

    return step


def _sgd(network: nn.Module, config: PretrainConfig) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        [weights for weights in network.parameters() if weights.requires_grad],
        lr=config.learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
    )


def _descend(loss: Tensor, optimizer: torch.optim.Optimizer) -> Tensor:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.detach()


def seconds_a_step(
    steps: dict[str, Callable[[], Tensor]], n_rounds: int, steps_a_round: int
) -> dict[str, tuple[float, float]]:
    """Median time of each step, and of the CPU in it, taken in turns so that all are slowed alike.

    On a busy machine the time that the CPU spent says more than the clock. A GPU is waited for
    after each round, as a run does it.
    """
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for _ in range(N_WARMUP + n_rounds):
        for name, step in steps.items():
            start, work = time.perf_counter(), time.process_time()
            losses = [step() for _ in range(steps_a_round)]
            float(losses[-1])  # has to be known, so that a GPU has finished
            wall, cpu = time.perf_counter() - start, time.process_time() - work
            spent[name].append((wall / steps_a_round, cpu / steps_a_round))
    taken = {name: zip(*times[N_WARMUP:], strict=True) for name, times in spent.items()}
    return {name: (median(wall), median(cpu)) for name, (wall, cpu) in taken.items()}


def operations_of(step: Callable[[], Tensor]) -> int:
    """Floating-point operations of a step's convolutions and matrix products."""
    with FlopCounterMode(display=False) as counter:
        step()
    return int(counter.get_total_flops())


def peak_operations(device: torch.device, side: int = 8192, n: int = 20) -> float:
    """Operations a second of products of bfloat16 matrices: what a GPU reaches at best."""
    one, other = torch.randn(2, side, side, device=device, dtype=torch.bfloat16)
    for _ in range(3):
        one @ other
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    for _ in range(n):
        one @ other
    torch.cuda.synchronize(device)
    return n * 2 * side**3 / (time.perf_counter() - start)


def settings() -> tuple[argparse.Namespace, PretrainConfig]:
    """The command line, and the configuration it means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--encoder", choices=tuple(PRESETS), help="resnet50 on a GPU")
    parser.add_argument("--batch-size", type=at_least(2), help="128, or 256 on a GPU")
    parser.add_argument("--queue-size", type=at_least(1), default=8192, help="of both")
    parser.add_argument("--precision", default="auto", choices=PRECISIONS, help="of our step")
    parser.add_argument("--steps", type=at_least(1), default=5, help="rounds to take the median of")
    parser.add_argument("--threads", type=at_least(1), help="of both on a CPU")
    options = parser.parse_args()
    torch.set_num_threads(options.threads or torch.get_num_threads())
    on_gpu = options.device == "cuda"
    return options, PretrainConfig(
        archive=Path("none"),
        output=Path("none"),
        encoder=options.encoder or ("resnet50" if on_gpu else "resnet18-compact"),
        batch_size=options.batch_size or (256 if on_gpu else 128),
        queue_size=options.queue_size,
        precision=options.precision,
    )


def main() -> None:
    """Measure both and print the ratio."""
    options, config = settings()
    device = choose_device(options.device)
    generator = Generator().manual_seed(0)
    stamps = torch.randn(config.batch_size, 5, SIZE, SIZE, generator=generator)
    ebv = torch.full((config.batch_size,), 0.05)
    batch = GalaxyBatch(stamps, ebv, torch.zeros(config.batch_size)).to(device)
    steps = {
        "ours": our_step(batch, config, device),
        "baseline": lightly_step(batch, config, device),
    }
    on_gpu = device.type == "cuda"
    operations = operations_of(steps["baseline"])
    times = seconds_a_step(steps, options.steps, 10 if on_gpu else 1)
    reached = operations / times["ours"][0]
    print(
        json.dumps(
            {
                "benchmark": "pretrain_step",
                "machine": machine(device.type),
                "baseline": "lightly's parts, as its documentation puts them together",
                "encoder": config.encoder,
                "batch_size": config.batch_size,
                "queue_size": config.queue_size,
                "bfloat16": uses_bfloat16(config.precision, device),
                "tera_operations_a_second": round(reached / 1e12, 3),
                "fraction_of_peak": round(reached / peak_operations(device), 3) if on_gpu else None,
                "images_a_second": {
                    name: round(config.batch_size / wall, 1) for name, (wall, _) in times.items()
                },
                "ratios": {
                    "time": round(times["baseline"][0] / times["ours"][0], 2),
                    "cpu_time": round(times["baseline"][1] / times["ours"][1], 2),
                },
            }
        )
    )


if __name__ == "__main__":
    run_benchmark(main)
