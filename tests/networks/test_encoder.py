"""The encoder is the paper's, and a seed decides its weights."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import resnet50

from photoz_ssl.errors import CheckpointError, ConfigError
from photoz_ssl.networks.encoder import (
    PRESETS,
    EncoderConfig,
    build_encoder,
    encoder_config,
    without_storage,
)
from photoz_ssl.networks.redshift_head import RedshiftNetwork
from photoz_ssl.spec import NETWORK_SIZE

TINY = replace(PRESETS["resnet18-compact"], width=0.125)


def test_the_papers_network_has_the_papers_parameters() -> None:
    encoder = build_encoder(PRESETS["resnet50"])
    assert sum(weights.numel() for weights in encoder.parameters()) == 23_514_304
    network = RedshiftNetwork(encoder, 180)
    assert sum(weights.numel() for weights in network.parameters()) == 23_883_124


def test_the_papers_network_is_torchvisions_with_another_stem() -> None:
    with without_storage():
        ours, theirs = build_encoder(PRESETS["resnet50"]), resnet50()
    shapes = {name: weights.shape for name, weights in ours.state_dict().items()}
    expected = {
        name: weights.shape
        for name, weights in theirs.state_dict().items()
        if not name.startswith("fc.")
    }
    assert list(shapes) == list(expected)
    assert {name for name in shapes if shapes[name] != expected[name]} == {"conv1.weight"}
    assert shapes["conv1.weight"] == (64, 5, 7, 7)


@pytest.mark.parametrize("preset", PRESETS)
def test_networks_without_storage_are_the_same_but_for_their_values(preset: str) -> None:
    config = replace(PRESETS[preset], width=0.25)
    state = torch.random.get_rng_state()
    with without_storage():
        outline = build_encoder(config)
    assert torch.equal(torch.random.get_rng_state(), state)
    whole = build_encoder(config)
    assert all(values.is_meta for values in outline.state_dict().values())
    assert [
        (name, values.shape, values.dtype) for name, values in outline.state_dict().items()
    ] == [(name, values.shape, values.dtype) for name, values in whole.state_dict().items()]
    assert whole.conv1.weight.std() > 0  # outside of it weights are drawn
    images = torch.zeros(1, config.in_channels, NETWORK_SIZE, NETWORK_SIZE)
    assert whole.eval()(images).shape == (1, config.feature_size)


def test_the_papers_network_computes_what_torchvisions_does() -> None:
    ours, theirs = build_encoder(PRESETS["resnet50"], seed=1).eval(), resnet50().eval()
    theirs.conv1 = torch.nn.Conv2d(5, 64, 7, stride=1, padding=3, bias=False)
    theirs.maxpool = theirs.fc = torch.nn.Identity()
    theirs.load_state_dict(ours.state_dict())
    images = torch.randn(2, 5, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), theirs(images))


@pytest.mark.parametrize(("preset", "giga"), [("resnet50", 5.25), ("resnet50-fast", 1.36)])
def test_multiply_adds_of_an_image(preset: str, giga: float) -> None:
    network = RedshiftNetwork(build_encoder(PRESETS[preset]), 180).to("meta").eval()
    with FlopCounterMode(display=False) as counter:
        network(torch.empty(1, 5, 64, 64, device="meta"))
    assert counter.get_total_flops() / 2e9 == pytest.approx(giga, abs=0.005)


@pytest.mark.parametrize(
    ("preset", "side"), [("resnet18", 8), ("resnet18-fast", 4), ("resnet18-compact", 2)]
)
def test_feature_maps_have_the_stated_sizes(preset: str, side: int) -> None:
    encoder = build_encoder(replace(PRESETS[preset], width=0.125)).eval()
    sizes = []
    encoder.layer4.register_forward_hook(lambda *call: sizes.append(tuple(call[2].shape)))
    with torch.inference_mode():
        features = encoder(torch.zeros(2, 5, 64, 64))
    assert sizes == [(2, 64, side, side)]
    assert features.shape == (2, encoder.feature_size) == (2, 64)


def moved(images: torch.Tensor, pixels: int) -> torch.Tensor:
    return torch.roll(images, (pixels, pixels), dims=(2, 3))


def test_averaging_makes_an_encoder_steadier_under_shifts() -> None:
    y, x = np.indices((64, 64)) - 31.5
    galaxy = 3 * np.exp(-(x**2 + y**2) / 18)
    images = torch.tensor(galaxy, dtype=torch.float32).expand(1, 5, 64, 64)
    change = []
    for averaged in (False, True):
        config = replace(TINY, width=0.5, max_pool=True, averaged=averaged)
        encoder = build_encoder(config, seed=3).eval()
        with torch.inference_mode():
            still = encoder(images)
            others = [encoder(moved(images, pixels)) for pixels in (1, 2, 3, 5)]
        scale = still.norm()
        change.append(np.mean([float((other - still).norm() / scale) for other in others]))
    assert change[1] < 0.5 * change[0]


def test_averaging_costs_no_parameters() -> None:
    averaged, strided = (
        build_encoder(replace(PRESETS["resnet18"], averaged=averaged)) for averaged in (True, False)
    )
    sizes = [sum(w.numel() for w in network.parameters()) for network in (averaged, strided)]
    assert sizes[0] == sizes[1]


def test_a_seed_decides_the_weights_and_leaves_the_global_state() -> None:
    before = torch.random.get_rng_state()
    first, second, third = (build_encoder(TINY, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.conv1.weight, second.conv1.weight)
    assert not torch.equal(first.conv1.weight, third.conv1.weight)
    assert torch.equal(before, torch.random.get_rng_state())


def test_softening_is_the_arcsinh_of_flux_over_noise() -> None:
    linear = build_encoder(replace(TINY, softening=None)).eval()
    soft = build_encoder(TINY).eval()
    images = torch.randn(2, 5, 64, 64)
    noise = torch.tensor(TINY.softening)[:, None, None]
    with torch.inference_mode():
        torch.testing.assert_close(soft(images), linear(torch.asinh(images / noise)))


def test_softening_is_arcsinh_at_any_brightness_and_for_gradients_too() -> None:
    soft = build_encoder(TINY)
    seen: list[Tensor] = []
    soft.conv1.register_forward_pre_hook(lambda _, taken: seen.append(taken[0].detach()))
    sizes = torch.logspace(-30, 37, 5 * 64 * 32)
    images = torch.stack([sizes, -sizes], dim=1).reshape(1, 5, 64, 64)
    images[0, 0, 0, :3] = torch.tensor([0.0, math.inf, math.nan])
    expected = torch.asinh(images.double() / soft.softening).float()
    soft(images)
    soft(images.clone().requires_grad_())
    for found in seen:
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=3e-7, equal_nan=True)


def test_a_config_survives_json_and_refuses_nonsense() -> None:
    assert EncoderConfig.from_dict(TINY.to_dict()) == TINY
    for nonsense in ({"architecture": "vgg"}, {"width": 1e9}, {"softening": [0.0]}, {"x": 1}):
        with pytest.raises(CheckpointError):
            EncoderConfig.from_dict({**TINY.to_dict(), **nonsense})
    with pytest.raises(ConfigError, match="presets are"):
        encoder_config("resnet51")
