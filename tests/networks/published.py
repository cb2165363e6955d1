"""Networks as their authors save them, for tests: built by torchvision alone."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import resnet50


def authors_resnet50(n_outputs: int, *, seed: int = 0) -> nn.Module:
    """The paper's ResNet-50, its BatchNorm statistics not those of a fresh one."""
    torch.manual_seed(seed)
    network: nn.Module = resnet50(num_classes=n_outputs)
    network.conv1 = nn.Conv2d(5, 64, kernel_size=7, stride=1, padding=3, bias=False)
    network.maxpool = nn.Identity()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.randn(module.num_features) / 10
            module.running_var = torch.rand(module.num_features) + 0.5
            nn.init.uniform_(module.weight, 0.2, 0.5)
    return network.eval()


def photoz_file(state: dict[str, Tensor]) -> dict[str, Any]:
    """A redshift model's file: weights, and what training needs besides."""
    weights = OrderedDict((f"module.{name}", value) for name, value in state.items())
    return {"iters": 7, "epoch": 100, "model_state": weights, "optimizer_state_dict": {"lr": 0.1}}


def contrastive_file(state: dict[str, Tensor]) -> dict[str, Any]:
    """A momentum-contrast file: two encoders with their heads, and the queue."""
    encoder = {name: value for name, value in state.items() if not name.startswith("fc.")}
    for layer, shape in ((0, (2048, 2048)), (2, (128, 2048))):
        encoder[f"fc.{layer}.weight"] = torch.zeros(shape)
        encoder[f"fc.{layer}.bias"] = torch.zeros(shape[:1])
    weights = {
        f"module.encoder_{which}.{name}": value for which in "qk" for name, value in encoder.items()
    }
    weights["module.queue"] = torch.zeros(128, 64)
    weights["module.queue_ptr"] = torch.zeros(1, dtype=torch.long)
    return {"epoch": 50, "arch": "resnet50", "state_dict": weights, "optimizer": {"state": {}}}
