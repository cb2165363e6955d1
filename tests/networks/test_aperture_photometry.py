"""Sums of pixels beside the maps: exact in float32, whatever the rest of the network does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from photoz_ssl.errors import CheckpointError, ConfigError
from photoz_ssl.networks.aperture_photometry import FAINTEST, AperturePhotometry
from photoz_ssl.networks.batchnorm import group_batchnorm, set_groups
from photoz_ssl.networks.encoder import PRESETS, Encoder, EncoderConfig, build_encoder
from photoz_ssl.networks.engines.quantised import QuantisedEngine, quantise
from photoz_ssl.networks.engines.torch_engine import TorchEngine

RADII = (1.5, 6.0, 20.0)
TINY = replace(PRESETS["resnet18-photometric"], width=0.125)


def galaxies(n: int = 6, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    brightness = 10 ** torch.empty(n, 5, 1, 1).uniform_(-1, 1, generator=generator)
    return brightness * torch.rand(n, 5, 64, 64, generator=generator)


def test_numbers_are_logarithms_of_sums_about_the_galaxy_s_pixel() -> None:
    images = galaxies()
    numbers = AperturePhotometry(5, RADII).numbers(images).numpy()
    y, x = np.mgrid[:64, :64] - 32
    for place, radius in enumerate(RADII):
        sums = images.numpy().astype(np.float64)[:, :, np.hypot(x, y) < radius].sum(axis=-1)
        logarithms = np.arcsinh(sums / FAINTEST)
        np.testing.assert_allclose(numbers[:, 0, place], logarithms[:, 2], rtol=1e-5)
        np.testing.assert_allclose(numbers[:, 1:, place], np.diff(logarithms, axis=1), atol=1e-5)


def test_numbers_turn_with_nothing_and_move_with_the_flux() -> None:
    images = galaxies()
    photometry = AperturePhotometry(5, RADII)
    numbers = photometry.numbers(images)
    centred = images[:, :, 1:, 1:]
    turned = torch.zeros_like(images)
    turned[:, :, 1:, 1:] = torch.rot90(centred, 1, (2, 3))
    torch.testing.assert_close(photometry.numbers(turned), numbers)
    brighter = photometry.numbers(100 * images) - photometry.numbers(10 * images)
    torch.testing.assert_close(brighter[:, 0], torch.full((6, 3), np.log(10)), atol=2e-3, rtol=0)
    torch.testing.assert_close(brighter[:, 1:], torch.zeros(6, 4, 3), atol=4e-3, rtol=0)


def test_an_encoder_gives_them_beside_its_maps() -> None:
    plain, encoder = build_encoder(replace(TINY, apertures=None)), build_encoder(TINY)
    assert encoder.feature_size == plain.feature_size + 128
    assert plain.photometry is None
    features = encoder.eval()(galaxies())
    assert features.shape == (6, encoder.feature_size)
    assert encoder.photometry is not None
    torch.testing.assert_close(features[:, plain.feature_size :], encoder.photometry(galaxies()))


def test_their_normalisation_is_grouped_with_that_of_the_maps() -> None:
    encoder = build_encoder(TINY).train()
    group_batchnorm(encoder)
    images = galaxies()
    halves = torch.cat([encoder(images[:3]), encoder(images[3:])])
    set_groups(encoder, 2)
    torch.testing.assert_close(encoder(images), halves)


def test_bfloat16_does_not_blur_them() -> None:
    photometry = AperturePhotometry(5, RADII)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(photometry.numbers(galaxies()), photometry.numbers(galaxies()))
        reduced = photometry.numbers(galaxies())
    assert torch.equal(reduced, photometry.numbers(galaxies()))


def test_encoders_without_them_are_described_as_before() -> None:
    assert "apertures" not in PRESETS["resnet18-compact"].to_dict()
    for preset in PRESETS.values():
        assert EncoderConfig.from_dict(preset.to_dict()) == preset


@pytest.mark.parametrize("apertures", [(), (0.0,), (float("nan"),), (1.0,) * 65])
def test_absurd_apertures_are_refused(apertures: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="apertures"):
        replace(TINY, apertures=apertures)
    with pytest.raises(CheckpointError, match="apertures"):
        EncoderConfig.from_dict({**TINY.to_dict(), "apertures": list(apertures)})


def of(encoder: Encoder, images: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return TorchEngine(encoder, torch.device("cpu"))([images])()


def test_openvino_gives_the_same_and_8_bits_leave_the_photometry_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino", reason="the extra [cpu] is not installed")
    pytest.importorskip("nncf", reason="the extra [cpu] is not installed")
    from photoz_ssl.networks.engines.openvino_engine import OpenVinoEngine

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    encoder, images = build_encoder(TINY).eval(), galaxies(40)
    expected = of(encoder, images)
    np.testing.assert_allclose(OpenVinoEngine(encoder, "")([images])(), expected, atol=1e-4)
    quantised = quantise(encoder, images)
    quantised.require_plain()
    engine = QuantisedEngine(quantised, "features", ((5, 64, 64), encoder.feature_size))
    found = engine([images])()
    np.testing.assert_allclose(found[:, -128:], expected[:, -128:], atol=1e-4)
    assert np.abs(found[:, :-128] - expected[:, :-128]).max() > 1e-4
