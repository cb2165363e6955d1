"""Blocks of a residual network, version 1.5, and stages of them (He et al. 2016).

Parts are named as torchvision names its own, and compute the same to the bit, so that weights go
from one to the other. Torchvision itself is not imported: it brings PyTorch's compiler along,
which costs each process 2 s and 165 MB, and fails beside a PyTorch of another build.
"""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["BasicBlock", "Bottleneck", "build_stage"]


class _Block(nn.Module):
    """What convolutions make of the maps is added to the maps.

    Parameters
    ----------
    in_channels : int
        Maps that come in.
    channels : int
        Maps within; `expansion` times as many go out.
    stride : int
        Of the first convolution of 3 by 3 pixels, and of the shortcut.
    """

    expansion: int

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self._add_convolutions(in_channels, channels, stride)
        self.relu = nn.ReLU(inplace=True)
        out_channels = channels * self.expansion
        self.downsample: nn.Sequential | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                _convolution(1, in_channels, out_channels, stride), nn.BatchNorm2d(out_channels)
            )

    def _add_convolutions(self, in_channels: int, channels: int, stride: int) -> None:
        """Make the convolutions, each with its BatchNorm."""
        raise NotImplementedError

    def _residual(self, maps: Tensor) -> Tensor:
        """What is added to the maps, shape (n, channels, y, x)."""
        raise NotImplementedError

    def forward(self, maps: Tensor) -> Tensor:
        """Maps, shape (n, channels, y, x), of maps."""
        residual = self._residual(maps)
        residual += maps if self.downsample is None else self.downsample(maps)
        rectified: Tensor = self.relu(residual)
        return rectified


class BasicBlock(_Block):
    """Two convolutions of 3 by 3 pixels."""

    expansion = 1

    def _add_convolutions(self, in_channels: int, channels: int, stride: int) -> None:
        self.conv1 = _convolution(3, in_channels, channels, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _convolution(3, channels, channels)
        self.bn2 = nn.BatchNorm2d(channels)

    def _residual(self, maps: Tensor) -> Tensor:
        inner: Tensor = self.relu(self.bn1(self.conv1(maps)))
        outer: Tensor = self.bn2(self.conv2(inner))
        return outer


class Bottleneck(_Block):
    """A convolution of 3 by 3 pixels between two of one pixel; the stride is that of the 3 by 3."""

    expansion = 4

    def _add_convolutions(self, in_channels: int, channels: int, stride: int) -> None:
        self.conv1 = _convolution(1, in_channels, channels)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = _convolution(3, channels, channels, stride)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = _convolution(1, channels, channels * self.expansion)
        self.bn3 = nn.BatchNorm2d(channels * self.expansion)

    def _residual(self, maps: Tensor) -> Tensor:
        narrow: Tensor = self.relu(self.bn1(self.conv1(maps)))
        inner: Tensor = self.relu(self.bn2(self.conv2(narrow)))
        outer: Tensor = self.bn3(self.conv3(inner))
        return outer


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
