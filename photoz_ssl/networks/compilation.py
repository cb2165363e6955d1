"""Networks compiled for a GPU by TorchInductor, where a run is long enough to be worth it."""

from __future__ import annotations

import torch
from torch import nn

__all__ = [
    "IMAGES_WORTH_COMPILING",
    "STEPS_WORTH_COMPILING",
    "compile_for_inference",
    "compile_for_training",
]

STEPS_WORTH_COMPILING = 2000
"""Training steps from which the minute that compiling a ResNet takes is won back."""

IMAGES_WORTH_COMPILING = 2_000_000
"""Images to run a trained network on from which that minute is won back: at 10,000 a second they
take some three."""


def compile_for_training(*networks: nn.Module, device: torch.device, n_steps: int) -> None:
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
    """
    if device.type != "cuda":
        return
    torch.backends.cudnn.benchmark = True
    if n_steps >= STEPS_WORTH_COMPILING:
        _compile(*networks)


def compile_for_inference(*networks: nn.Module, device: torch.device, n_images: int | None) -> bool:
    """Compile trained networks as `compile_for_training` does those that learn.

    What is chosen goes by the number of images alone, so that all parts of a survey are computed
    by the same arithmetic.

    Parameters
    ----------
    *networks : Module
        In evaluation mode, on the device.
    device : torch.device
        Where they run.
    n_images : int, optional
        How many there are to be; None if nobody knows.

    Returns
    -------
    bool
        Whether they will be compiled.
    """
    if device.type != "cuda" or n_images is None or n_images < IMAGES_WORTH_COMPILING:
        return False
    _compile(*networks)
    return True


def _compile(*networks: nn.Module) -> None:
    torch._dynamo.config.suppress_errors = True
    for network in networks:
        network.compile()
