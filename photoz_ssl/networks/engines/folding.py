"""BatchNorm folded into the convolutions before it, where a network is run and not trained."""

from __future__ import annotations

from typing import cast

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["fold_batchnorm"]


def fold_batchnorm(network: nn.Module) -> None:
    """Multiply each BatchNorm of a ResNet into the convolution that it follows, in place.

    Both are linear once the statistics are fixed, so that the outputs stay the same but for
    rounding, and the maps are written and read once less.

    Parameters
    ----------
    network : Module
        In evaluation mode. Convolutions and their BatchNorm are told by torchvision's names,
        ``conv1`` and ``bn1``, or by being the two parts of a shortcut.
    """
    for module in list(network.modules()):
        for convolution, norm in _pairs(module):
            folded = fuse_conv_bn_eval(
                cast(nn.Conv2d, getattr(module, convolution)),
                cast(nn.BatchNorm2d, getattr(module, norm)),
            )
            setattr(module, convolution, folded)
            setattr(module, norm, nn.Identity())


def _pairs(module: nn.Module) -> list[tuple[str, str]]:
    """Names of a module's convolutions, and of the BatchNorm behind each."""
    names = [name for name, _ in module.named_children()]
    pairs = [(name, name.replace("conv", "bn")) for name in names if name.startswith("conv")]
    if isinstance(module, nn.Sequential) and len(names) == 2:
        pairs = [(names[0], names[1])]
    return [
        (convolution, norm)
        for convolution, norm in pairs
        if isinstance(getattr(module, convolution), nn.Conv2d)
        and isinstance(getattr(module, norm, None), nn.BatchNorm2d)
    ]
