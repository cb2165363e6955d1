"""Arcsinh of images, apart from the network that begins with it: NumPy is faster at it.

OpenVINO vectorises no logarithm and no arcsinh, so that they take a quarter of a small network's
time in 8-bit integers.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.extras import import_extra

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
        The same where the network does not begin with arcsinh(images / scale). Else its first
        input is those softened; the images as they are become a second where it has another use
        for them, as one with photometry.
    ndarray, shape (1, bands, 1, 1), optional
        The scale; None where there is none.
    """
    softenings = [op for op in model.get_ordered_ops() if _is_softening(op)]
    if len(softenings) != 1:
        return model, None
    quotient = softenings[0].input_value(0)
    images, scale = (value.get_node() for value in quotient.get_node().input_values())
    uses = [len(value.get_target_inputs()) for value in (images.output(0), quotient)]
    openvino, opset = (
        import_extra(f"openvino{name}", extra="cpu", purpose="running networks by OpenVINO")
        for name in ("", ".opset13")
    )
    soft = opset.parameter(images.get_partial_shape(), np.float32)
    softenings[0].output(0).replace(soft.output(0))
    inputs = [soft] if uses == [1, 1] else [soft, images]
    return openvino.Model(model.get_results(), inputs), scale.get_data()


def _is_softening(op: Any) -> bool:
    """Whether an operation is arcsinh(images / scale), of a scale a band."""
    if op.get_type_name() != "Asinh":
        return False
    quotient = op.input_value(0).get_node()
    if quotient.get_type_name() != "Divide":
        return False
    images, scale = (value.get_node() for value in quotient.input_values())
    if (images.get_type_name(), scale.get_type_name()) != ("Parameter", "Constant"):
        return False
    return [*scale.shape] == [1, scale.data.size, 1, 1]


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
