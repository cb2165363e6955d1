"""Optimizers with a peak rate for each group of parameters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from photoz_ssl.config import TrainingConfig

__all__ = ["make_optimizer"]


def make_optimizer(
    groups: Sequence[tuple[nn.Module, float]], config: TrainingConfig, *, weight_decay: float
) -> torch.optim.Optimizer:
    """SGD with momentum (method section 4), or AdamW (Loshchilov & Hutter 2019).

    Parameters
    ----------
    groups : sequence of (Module, float)
        What is trained, and its peak rate; kept as the group's ``peak``.
    config : TrainingConfig
        Names the optimizer, and the momentum of SGD.
    weight_decay : float
        Of all groups.
    """
    parameters = [
        {"params": list(module.parameters()), "lr": peak, "peak": peak} for module, peak in groups
    ]
    fused = all(weights.is_cuda for module, _ in groups for weights in module.parameters())
    if config.optimizer == "adamw":
        return torch.optim.AdamW(parameters, weight_decay=weight_decay, fused=fused)
    return torch.optim.SGD(
        parameters, momentum=config.momentum, weight_decay=weight_decay, fused=fused
    )
