"""Networks compiled for a GPU by TorchInductor, where a run is long enough to be worth it."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["STEPS_WORTH_COMPILING", "compile_for_training"]

STEPS_WORTH_COMPILING = 2000
"""Training steps from which the minute that compiling a ResNet takes is won back."""


def compile_for_training(*networks: nn.Module, device: torch.device, n_steps: int) -> bool:
    """Compile networks in place when they are first called; a CPU and short runs are left as is.

    Their weights and the names of these stay what they are. Where compiling fails, as without
    a C compiler, PyTorch says so and goes on without.

    Parameters
    ----------
    *networks : Module
        On the device.
    device : torch.device
        Where they are trained.
    n_steps : int
        Steps of the run.

    Returns
    -------
    bool
        Whether they will be compiled.
    """
    if device.type != "cuda":
        return False
    torch.backends.cudnn.benchmark = True
    if n_steps < STEPS_WORTH_COMPILING:
        return False
    torch._dynamo.config.suppress_errors = True
    for network in networks:
        network.compile()
    return True
