"""A network whose BatchNorm is folded into its convolutions computes what it did."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Generator, nn

from photoz_ssl.networks.encoder import PRESETS, Encoder, build_encoder
from photoz_ssl.networks.engines.folding import fold_batchnorm


def trained(preset: str) -> Encoder:
    """An encoder whose BatchNorm has statistics, weights and biases of its own."""
    encoder: Encoder = build_encoder(replace(PRESETS[preset], width=0.125)).eval()
    generator = Generator().manual_seed(0)
    for module in encoder.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.running_var, module.weight):
                assert values is not None
                values.data.uniform_(0.5, 2, generator=generator)
            for values in (module.running_mean, module.bias):
                assert values is not None
                values.data.normal_(generator=generator)
    return encoder


@pytest.mark.parametrize("preset", PRESETS)
def test_the_representations_stay(preset: str) -> None:
    encoder = trained(preset)
    images = torch.randn(3, 5, 64, 64, generator=Generator().manual_seed(1))
    with torch.inference_mode():
        before = encoder(images)
        fold_batchnorm(encoder)
        after = encoder(images)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4 * float(before.abs().max()))


@pytest.mark.parametrize("preset", PRESETS)
def test_batchnorm_is_left_where_no_convolution_is_before_it(preset: str) -> None:
    encoder = trained(preset)
    fold_batchnorm(encoder)
    left = [name for name, part in encoder.named_modules() if isinstance(part, nn.BatchNorm2d)]
    assert all(name.startswith("photometry.") for name in left)


def test_what_no_batchnorm_follows_is_left() -> None:
    network = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU())
    convolution = network[0]
    fold_batchnorm(network)
    assert network[0] is convolution
