"""Weights rounded together: near what they were, and with its sum for each kernel."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Generator

from photoz_ssl.extras import is_installed
from photoz_ssl.networks.encoder import PRESETS, build_encoder
from photoz_ssl.networks.engines.quantised import quantise
from photoz_ssl.networks.engines.rounding import rounded_together

STEPS = 127
BATCHNORM_EPSILON = 1e-5


def kernels(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Weights of which a channel's largest is a whole number of steps, as scales make them."""
    weights = np.random.default_rng(seed).normal(0, 1, shape).astype("f4")
    return np.asarray(weights * (STEPS / np.abs(weights).max(axis=(1, 2, 3), keepdims=True)))


def off(weights: NDArray[np.float32], integers: NDArray[Any]) -> NDArray[np.float64]:
    """How far the sums of kernels are from those of the weights, in steps."""
    return np.asarray(np.abs((integers - weights.astype(np.float64)).sum(axis=(2, 3))))


@pytest.mark.parametrize("size", [1, 3, 7])
def test_each_weight_goes_to_a_neighbour_and_each_kernel_keeps_its_sum(size: int) -> None:
    weights = kernels(8, 5, size, size)
    integers = rounded_together(weights)
    assert integers.dtype == np.int8
    assert integers.shape == weights.shape
    assert np.abs(integers - weights).max() < 1
    assert off(weights, integers).max() <= 0.5 + 1e-9
    if size > 1:
        assert off(weights, np.rint(weights)).max() > 1


def test_a_kernel_of_one_weight_is_rounded_to_the_nearer_integer() -> None:
    weights = kernels(64, 9, 1, 1)
    np.testing.assert_array_equal(rounded_together(weights), np.rint(weights))


def test_those_that_are_nearest_to_the_next_integer_go_up() -> None:
    weights = np.array([0.9, -0.2, -3.7, 2.1], np.float32).reshape(1, 1, 2, 2)
    assert rounded_together(weights).ravel().tolist() == [1, 0, -4, 2]


def test_integers_stay_as_they_are() -> None:
    whole = np.rint(kernels(4, 3, 3, 3))
    assert np.abs(whole).max() == STEPS
    np.testing.assert_array_equal(rounded_together(whole), whole)


def test_the_smallest_of_eight_bits_is_not_used_however_scales_are_rounded() -> None:
    weights = np.full((1, 1, 1, 1), -127.6, np.float32)
    assert rounded_together(weights).item() == -STEPS


@pytest.mark.skipif(
    not (is_installed("openvino") and is_installed("nncf")),
    reason="OpenVINO or NNCF (extra [cpu]) is not installed",
)
def test_the_convolutions_of_a_quantised_network_keep_their_sums() -> None:
    import openvino

    preset = replace(PRESETS["resnet18-compact"], width=0.125)
    encoder = build_encoder(preset, seed=1).eval()
    images = torch.randn(16, 5, 64, 64, generator=Generator().manual_seed(0))
    quantised = quantise(encoder, images)
    content = openvino.Tensor(np.frombuffer(quantised.weights, np.uint8))
    model = openvino.Core().read_model(quantised.description, content)
    layers = [op for op in model.get_ordered_ops() if op.get_type_name() == "Convolution"]
    weights = [each.numpy() for each in encoder.state_dict().values() if each.ndim == 4]
    for layer, weight in zip(layers, weights, strict=True):
        converted, scale = (
            value.get_node() for value in layer.input_value(1).get_node().input_values()
        )
        integers = converted.input_value(0).get_node().get_data()
        folded = weight / np.sqrt(np.float32(1 + BATCHNORM_EPSILON))
        assert off(folded / scale.get_data(), integers).max() < 0.5 + 1e-3
