"""Images softened by NumPy, and networks that leave it to that."""

from __future__ import annotations

import importlib
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from photoz_ssl.networks.encoder import PRESETS, build_encoder
from photoz_ssl.networks.engines import softening
from photoz_ssl.networks.engines.openvino_engine import has_openvino
from photoz_ssl.networks.engines.openvino_runner import import_openvino
from photoz_ssl.networks.engines.softening import softened, without_softening
from photoz_ssl.spec import NETWORK_SIZE

SCALE = np.array([0.1, 0.02, 0.03, 0.05, 0.2], np.float32)[np.newaxis, :, np.newaxis, np.newaxis]


@pytest.fixture(params=[True, False], ids=["arcsinh", "by its logarithm"])
def by_arcsinh(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(softening, "_numpy_vectorises_arcsinh", lambda: request.param)


def images() -> NDArray[np.float32]:
    """Of every size that there is, of both signs."""
    generator = np.random.default_rng(0)
    size = 10 ** generator.uniform(-12, 9, (3, 5, 16, 16))
    return np.asarray(size * generator.choice([-1, 1], size.shape), np.float32)


@pytest.mark.usefixtures("by_arcsinh")
def test_they_are_the_arcsinh_and_images_are_left_alone() -> None:
    taken = images()
    before = taken.copy()
    soft = softened(taken, SCALE)
    truth = np.arcsinh(taken.astype(np.float64) / SCALE)
    np.testing.assert_allclose(soft, truth, rtol=3e-7, atol=3e-7)
    np.testing.assert_array_equal(taken, before)
    assert soft.dtype == np.float32


@pytest.mark.usefixtures("by_arcsinh")
def test_it_is_odd_and_what_is_not_finite_stays_so() -> None:
    taken = images()
    np.testing.assert_array_equal(softened(-taken, SCALE), -softened(taken, SCALE))
    strange = np.full((1, 5, 1, 1), np.nan, np.float32)
    strange[0, :4, 0, 0] = [np.inf, -np.inf, 0.0, -0.0]
    soft = softened(strange, SCALE)[0, :, 0, 0]
    np.testing.assert_array_equal(soft, strange[0, :, 0, 0])


@pytest.mark.skipif(not has_openvino(), reason="OpenVINO (extra [cpu]) is not installed")
@pytest.mark.parametrize("preset", ["resnet18", "resnet18-compact", "resnet18-photometric"])
def test_a_network_without_it_gives_the_same_for_softened_images(preset: str) -> None:
    encoder = build_encoder(replace(PRESETS[preset], width=0.125)).eval()
    stamps = torch.randn(2, 5, NETWORK_SIZE, NETWORK_SIZE)
    openvino = import_openvino()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of PyTorch's tracing, about itself
        model = openvino.convert_model(encoder, example_input=stamps)
        expected = encoder(stamps).numpy()
    left, scale = without_softening(model)
    assert (scale is None) == (encoder.config.softening is None)
    taken = [stamps.numpy()] if scale is None else [softened(stamps.numpy(), scale)]
    if encoder.config.apertures is not None:
        taken.append(stamps.numpy())
    compiled = openvino.Core().compile_model(left, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    assert len(compiled.inputs) == len(taken)
    np.testing.assert_allclose(compiled(taken)[0], expected, rtol=0, atol=2e-5)


@pytest.mark.skipif(not has_openvino(), reason="OpenVINO (extra [cpu]) is not installed")
@pytest.mark.parametrize(
    "shape", [(), (1, 5, 64, 64), (1, 1, 5, 1, 1)], ids=["one", "pixels", "an axis more"]
)
def test_a_scale_that_is_none_of_ours_stays_in_the_network(shape: tuple[int, ...]) -> None:
    openvino = import_openvino()
    opset = importlib.import_module("openvino.opset13")
    taken = opset.parameter([-1, 5, 64, 64], np.float32)
    scale = opset.constant(np.full(shape, 2, np.float32))
    model = openvino.Model([opset.asinh(opset.divide(taken, scale))], [taken])
    left, found = without_softening(model)
    assert found is None
    compiled = openvino.Core().compile_model(left, "CPU")
    result = compiled([np.full((1, 5, 64, 64), 2, np.float32)])[0]
    np.testing.assert_allclose(result, np.arcsinh(1), rtol=1e-3)
