"""Rounding of a network's weights to 8-bit integers, such that each kernel keeps its sum.

A weight that is rounded by itself is off by a quarter of a step on average. Light is smooth over
a kernel, so that its sum is what counts, and a sum that is off is off alike for all galaxies. The
weights of a kernel are therefore rounded together, some up and some down, each to one of its two
neighbours; that the nearer one is seldom the better is known since Nagel et al. (2020).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.extras import import_extra

__all__ = ["keep_sums_of_kernels", "rounded_together"]

LARGEST = 127


def keep_sums_of_kernels(quantised: Any, original: Any) -> None:
    """Round the weights of a quantised network's convolutions again, in place.

    Parameters
    ----------
    quantised : openvino.Model
        As NNCF makes it: 8-bit weights times a scale a channel.
    original : openvino.Model
        What it was made of.

    Raises
    ------
    MissingExtraError
        If OpenVINO is not installed.
    """
    opset = import_extra("openvino.opset13", extra="cpu", purpose="an 8-bit network")
    weights = {name: values.get_data() for name, values in _weights_by_name(original).items()}
    for name, product in _weights_by_name(quantised).items():
        if product.get_type_name() != "Multiply":  # this one stayed in float32
            continue
        converted, scale = (value.get_node() for value in product.input_values())
        integers = converted.input_value(0)
        rounded = rounded_together(weights[name] / scale.get_data())
        integers.replace(opset.constant(rounded).output(0))


def _weights_by_name(model: Any) -> dict[str, Any]:
    """What each convolution is given as its weights, by its name."""
    convolutions = (op for op in model.get_ordered_ops() if op.get_type_name() == "Convolution")
    return {op.get_friendly_name(): op.input_value(1).get_node() for op in convolutions}


def rounded_together(weights: NDArray[np.float32]) -> NDArray[np.int8]:
    """Integers near the weights, of which each kernel has nearly the sum of its weights.

    Parameters
    ----------
    weights : ndarray, shape (channels, channels_in, height, width)
        In steps of the integers, from -127 to 127.

    Returns
    -------
    ndarray, shape (channels, channels_in, height, width)
        Each less than 1 from its weight, and their sums over a kernel at most 1/2 from those of the
        weights.

    Examples
    --------
    Rounded one by one, three weights of 1.4 would lose 1.2:

    >>> rounded_together(np.full((1, 1, 1, 3), 1.4, np.float32))
    array([[[[2, 1, 1]]]], dtype=int8)
    """
    kernels = weights.reshape(*weights.shape[:2], -1).astype(np.float64)
    down = np.floor(kernels)
    excess = kernels - down
    n_up = np.rint(excess.sum(axis=-1, keepdims=True))
    place = np.argsort(np.argsort(-excess, axis=-1, kind="stable"), axis=-1)
    integers = np.clip(down + (place < n_up), -LARGEST, LARGEST)
    return np.asarray(integers, np.int8).reshape(weights.shape)
