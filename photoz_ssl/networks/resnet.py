"""Blocks of a residual network, version 1.5, and stages of them (He et al. 2016).

Parts are named as torchvision names its own, and compute the same to the bit, so that weights go
from one to the other. Torchvision itself is not imported: it brings PyTorch's compiler along,
which costs each process 2 s and 165 MB, and fails beside a PyTorch of another build.
"""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["BasicBlock", "Bottleneck", "build_stage"]


class _Block(nn.Module):
    """Convolutions, each with its BatchNorm, whose outcome is added to the maps that came in.

    Parameters
    ----------
    *convolutions : Conv2d
        One after the other.
    stride : int
        Of all of them together, and of the shortcut.
    """

    def __init__(self, *convolutions: nn.Conv2d, stride: int) -> None:
        super().__init__()
        self.depth = len(convolutions)
        for number, convolution in enumerate(convolutions, start=1):
            self.add_module(f"conv{number}", convolution)
            self.add_module(f"bn{number}", nn.BatchNorm2d(convolution.out_channels))
        self.relu = nn.ReLU(inplace=True)
        in_channels, out_channels = convolutions[0].in_channels, convolutions[-1].out_channels
        self.downsample: nn.Sequential | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                _convolution(1, in_channels, out_channels, stride), nn.BatchNorm2d(out_channels)
            )

    def forward(self, maps: Tensor) -> Tensor:
        """Maps, shape (n, channels, y, x), of maps."""
        residual = maps
        for number in range(1, self.depth + 1):
            taken = residual if number == 1 else self.relu(residual)
            residual = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(taken))
        residual += maps if self.downsample is None else self.downsample(maps)
        rectified: Tensor = self.relu(residual)
        return rectified


class BasicBlock(_Block):
    """Two convolutions of 3 by 3 pixels, the first with the stride.

    Parameters
    ----------
    in_channels, channels : int
        Maps that come in, and maps within; `expansion` times as many go out.
    stride : int
        How many times smaller the maps become.
    """

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__(
            _convolution(3, in_channels, channels, stride),
            _convolution(3, channels, channels),
            stride=stride,
        )


class Bottleneck(_Block):
    """One of 3 by 3 pixels, with the stride, between two of one pixel; see `BasicBlock`."""

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__(
            _convolution(1, in_channels, channels),
            _convolution(3, channels, channels, stride),
            _convolution(1, channels, channels * self.expansion),
            stride=stride,
        )


def build_stage(
    block: type[BasicBlock] | type[Bottleneck],
    in_channels: int,
    channels: int,
    *,
    n_blocks: int,
    stride: int = 1,
) -> nn.Sequential:
    """Put blocks in a row.

    Parameters
    ----------
    block : type
        Which.
    in_channels, channels : int
        Maps that come in, and maps within each block.
    n_blocks : int
        How many.
    stride : int
        Of the first block.

    Returns
    -------
    Sequential
        Maps (n, in_channels, y, x) to (n, channels * block.expansion, y / stride, x / stride).
    """
    first = block(in_channels, channels, stride)
    rest = (block(channels * block.expansion, channels) for _ in range(n_blocks - 1))
    return nn.Sequential(first, *rest)


def _convolution(side: int, in_channels: int, channels: int, stride: int = 1) -> nn.Conv2d:
    """A convolution of side by side pixels that keeps the size of maps, divided by the stride."""
    return nn.Conv2d(in_channels, channels, side, stride=stride, padding=side // 2, bias=False)
