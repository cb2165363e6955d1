"""The encoder: a ResNet that sees 64-pixel stamps in five bands (method section 4)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from photoz_ssl.errors import CheckpointError, ConfigError
from photoz_ssl.networks.aperture_photometry import PHOTOMETRY_SIZE, AperturePhotometry
from photoz_ssl.networks.resnet import BasicBlock, Bottleneck, build_stage
from photoz_ssl.scalars import require_types
from photoz_ssl.survey.bands import SKY_NOISE

__all__ = [
    "PRESETS",
    "Encoder",
    "EncoderConfig",
    "build_encoder",
    "encoder_config",
    "without_storage",
]

ARCHITECTURES: dict[str, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, ...]]] = {
    "resnet18": (BasicBlock, (2, 2, 2, 2)),
    "resnet50": (Bottleneck, (3, 4, 6, 3)),
}
MAX_WIDTH = 4.0
MAX_CHANNELS = 64
MAX_APERTURES = 64


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """What it takes to build an encoder again.

    Parameters
    ----------
    architecture : {'resnet18', 'resnet50'}
        Blocks and their numbers, as in He et al. (2016), version 1.5.
    width : float
        Factor on every layer's channels.
    stem_stride : {1, 2}
        Stride of the first convolution.
    max_pool : bool
        Whether a max-pool follows it.
    averaged : bool
        Whether all halvings of the maps behind the first convolution are means of 2x2 pixels,
        in place of the max-pool and of strides. Those alias, and what they make of a galaxy
        changes with the fraction of a pixel by which it is moved (Zhang 2019).
    in_channels : int
        Bands.
    softening : tuple of float, length in_channels, optional
        If given, pixels enter as arcsinh(flux / softening), nanomaggies; else as they are.
    apertures : tuple of float, optional
        Radii in pixels of circles whose fluxes enter beside the maps; see
        `photoz_ssl.networks.aperture_photometry`.
    """

    architecture: str = "resnet50"
    width: float = 1.0
    stem_stride: int = 1
    max_pool: bool = False
    averaged: bool = False
    in_channels: int = 5
    softening: tuple[float, ...] | None = None
    apertures: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise ConfigError(f"there is no architecture {self.architecture!r}")
        if not 0 < self.width <= MAX_WIDTH or not 0 < self.in_channels <= MAX_CHANNELS:
            raise ConfigError("the encoder's width or number of channels is out of range")
        if self.stem_stride not in (1, 2):
            raise ConfigError("the encoder's stem stride must be 1 or 2")
        if self.softening is not None and (
            len(self.softening) != self.in_channels
            or not all(math.isfinite(value) and value > 0 for value in self.softening)
        ):
            raise ConfigError("the encoder needs one positive softening a band")
        if self.apertures is not None and not (
            0 < len(self.apertures) <= MAX_APERTURES
            and all(math.isfinite(radius) and radius > 0 for radius in self.apertures)
        ):
            raise ConfigError("the encoder's apertures are a few radii in pixels")

    @property
    def n_channels(self) -> int:
        """Of the first convolution's maps."""
        return max(1, round(64 * self.width))

    @property
    def feature_size(self) -> int:
        """Length of a representation."""
        block, _ = ARCHITECTURES[self.architecture]
        of_maps: int = 8 * self.n_channels * block.expansion
        return of_maps + (0 if self.apertures is None else PHOTOMETRY_SIZE)

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready values; without apertures where there are none."""
        fields = asdict(self)
        if self.apertures is None:
            del fields["apertures"]
        return fields

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> EncoderConfig:
        """Rebuild from `to_dict`.

        Raises
        ------
        CheckpointError
            If the fields do not describe an encoder.
        """
        try:
            require_types(fields, cls)
            lists = {
                name: tuple(fields[name])
                for name in ("softening", "apertures")
                if fields.get(name) is not None
            }
            return cls(**{**fields, **lists})
        except (TypeError, ValueError, AttributeError, ConfigError) as error:
            raise CheckpointError(f"the file describes no known encoder: {error}") from error


PRESETS: dict[str, EncoderConfig] = {
    "resnet50": EncoderConfig(),
    "resnet50-fast": EncoderConfig(max_pool=True),
    "resnet18": EncoderConfig(architecture="resnet18"),
    "resnet18-fast": EncoderConfig(architecture="resnet18", max_pool=True),
    "resnet18-compact": EncoderConfig(
        architecture="resnet18",
        width=0.5,
        stem_stride=2,
        max_pool=True,
        averaged=True,
        softening=SKY_NOISE,
    ),
}
PRESETS["resnet18-photometric"] = replace(
    PRESETS["resnet18-compact"], apertures=(2.5, 5.0, 8.0, 12.0, 18.0)
)
"""``resnet50`` is the paper's; ``-fast`` adds the max-pool; ``-compact`` is for small machines, and
``-photometric`` is that with sums of pixels beside."""


def encoder_config(preset: str) -> EncoderConfig:
    """The configuration of a preset.

    Raises
    ------
    ConfigError
        If there is no such preset.
    """
    if preset not in PRESETS:
        raise ConfigError(
            f"{preset!r} is neither an encoder file nor a preset",
            f"presets are {', '.join(PRESETS)}",
        )
    return PRESETS[preset]


class Encoder(nn.Module):
    """A ResNet without its classifier; see `build_encoder`."""

    softening: Tensor

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.n_channels
        self.conv1 = nn.Conv2d(
            config.in_channels,
            channels,
            kernel_size=7,
            stride=config.stem_stride,
            padding=3,
            bias=False,
        )
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = _stem_pool(config)
        self.layer1, self.layer2, self.layer3, self.layer4 = _stages(config)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.feature_size = config.feature_size
        self.photometry: AperturePhotometry | None = None
        if config.apertures is not None:
            self.photometry = AperturePhotometry(config.in_channels, config.apertures)
        softening = torch.tensor(config.softening or (1.0,) * config.in_channels, device="cpu")
        self.register_buffer("softening", softening[:, None, None], persistent=False)
        _initialise(self)

    def forward(self, images: Tensor) -> Tensor:
        """Representations, shape (n, feature_size), of images, shape (n, bands, y, x)."""
        soft = images
        if self.config.softening is not None:
            soft = _arcsinh(images / self.softening)
        maps = self.maxpool(self.relu(self.bn1(self.conv1(soft))))
        maps = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
        features = torch.flatten(self.avgpool(maps), 1)
        if self.photometry is not None:
            features = torch.cat([features, self.photometry(images)], dim=1)
        return features


def _stem_pool(config: EncoderConfig) -> nn.Module:
    """What halves the maps of the first convolution, if anything does."""
    if not config.max_pool:
        return nn.Identity()
    return nn.AvgPool2d(2) if config.averaged else nn.MaxPool2d(3, stride=2, padding=1)


def _stages(config: EncoderConfig) -> list[nn.Sequential]:
    """The four of them; each but the first halves the maps and doubles their number."""
    block, numbers = ARCHITECTURES[config.architecture]
    channels, stride = config.n_channels, 1 if config.averaged else 2
    stages = [build_stage(block, channels, channels, n_blocks=numbers[0])]
    for n_blocks in numbers[1:]:
        incoming, channels = channels * block.expansion, 2 * channels
        stage = build_stage(block, incoming, channels, n_blocks=n_blocks, stride=stride)
        stages.append(nn.Sequential(nn.AvgPool2d(2), *stage) if config.averaged else stage)
    return stages


def _arcsinh(ratio: Tensor) -> Tensor:
    """Arcsinh of what has no gradient; on a CPU PyTorch's own takes 6 times as long."""
    traced: bool = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    if traced or ratio.requires_grad or ratio.device.type != "cpu":
        return torch.asinh(ratio)
    size = torch.hypot(ratio, ratio.new_ones(()))  # which never overflows, as squares do
    return size.add_(ratio.abs()).log_().copysign_(ratio)


def _initialise(network: nn.Module) -> None:
    """He et al.'s normal weights for convolutions, the identity for BatchNorm."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


def build_encoder(config: EncoderConfig, *, seed: int = 0) -> Encoder:
    """Make an encoder with random weights that a seed decides.

    Parameters
    ----------
    config : EncoderConfig
        What to build.
    seed : int
        Of the weights; the global random state is left as it was.

    Returns
    -------
    Encoder
        Maps (n, bands, 64, 64) dereddened nanomaggies to (n, feature_size).
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Encoder(config)


@contextmanager
def without_storage() -> Iterator[None]:
    """Networks that are built in it have weights of a shape and a type, and without values."""
    with torch.device("meta"), _Undrawn():
        yield


class _Undrawn(TorchFunctionMode):
    """Draws no weights: PyTorch takes longer over those without storage than over all else."""

    DRAWN = frozenset((Tensor.normal_, Tensor.uniform_))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0] if func in self.DRAWN else func(*args, **(kwargs or {}))
