"""Arcsinh of images, apart from the network that begins with it: NumPy is faster at it.

OpenVINO vectorises no logarithm and no arcsinh, so that they take a quarter of a small network's
time in 8-bit integers.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["softened", "without_softening"]

SIGN_BIT = np.uint32(1 << 31)


def without_softening(model: Any) -> tuple[Any, NDArray[np.float32] | None]:
    """A network that takes its images softened, and what they are divided by for that.

    Parameters
    ----------
    model : openvino.Model
        With one input, images of shape (n, bands, 64, 64).

    Returns
    -------
    openvino.Model
        The same where the network does not begin with arcsinh(images / scale).
    ndarray, shape (1, bands, 1, 1), optional
        The scale; None where there is none.
    """
    arcsinhs = [op for op in model.get_ordered_ops() if op.get_type_name() == "Asinh"]
    if len(arcsinhs) != 1:
        return model, None
    quotient = arcsinhs[0].input_value(0).get_node()
    if quotient.get_type_name() != "Divide":
        return model, None
    images, scale = (quotient.input_value(place).get_node() for place in range(2))
    if (images.get_type_name(), scale.get_type_name()) != ("Parameter", "Constant"):
        return model, None
    if [*scale.shape] != [1, scale.data.size, 1, 1]:
        return model, None
    openvino, opset = (importlib.import_module(f"openvino{name}") for name in ("", ".opset13"))
    soft = opset.parameter(images.get_partial_shape(), np.float32)
    arcsinhs[0].output(0).replace(soft.output(0))
    return openvino.Model(model.get_results(), [soft]), scale.get_data()


def softened(images: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """arcsinh(images / scale), shape (n, bands, y, x), to the last bits of float32."""
    with np.errstate(all="ignore"):  # a model may hold any scale
        soft = images / scale
        if _numpy_vectorises_arcsinh():
            return np.asarray(np.arcsinh(soft, out=soft))
        size = np.empty_like(images[0])
        for image in soft:
            _soften(image, size)
    return soft


def _soften(image: NDArray[np.float32], size: NDArray[np.float32]) -> None:
    """Sign(x) ln(|x| + sqrt(x^2 + 1)) in place, of which NumPy vectorises every step anywhere.

    ``size`` is room of the image's shape; an image at a time stays in the cache.
    """
    bits = image.view(np.uint32)
    sign = bits & SIGN_BIT
    np.abs(image, out=image)
    np.multiply(image, image, out=size)
    size += 1
    np.sqrt(size, out=size)
    size += image
    np.log(size, out=image)
    bits |= sign


@lru_cache(maxsize=1)
def _numpy_vectorises_arcsinh() -> bool:
    """Whether it does on this CPU, as those with AVX-512; elsewhere its arcsinh is slow."""
    try:
        from numpy.lib.introspect import opt_func_info  # of NumPy 2
    except ImportError:
        return False
    of_float32 = opt_func_info("^arcsinh$").get("arcsinh", {}).get("ff", {})
    return not str(of_float32.get("current", "baseline")).startswith("baseline")
