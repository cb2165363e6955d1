"""Networks in 8-bit integers: made once by NNCF, kept in the model file, run by OpenVINO.

The form that is kept is OpenVINO's own, a description in XML and a block of weights. It is read
from files that anybody may have made, so that it is looked through before OpenVINO sees it.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from photoz_ssl.extras import import_extra, require_extra
from photoz_ssl.later import Later
from photoz_ssl.networks.encoder import Encoder
from photoz_ssl.networks.engines.engine import Batches
from photoz_ssl.networks.engines.openvino_description import damaged, require_plain
from photoz_ssl.networks.engines.openvino_runner import (
    OpenVinoRunner,
    import_openvino,
    network_as_bytes,
    network_of_bytes,
)
from photoz_ssl.networks.engines.rounding import keep_sums_of_kernels
from photoz_ssl.networks.redshift_head import RedshiftNetwork

__all__ = [
    "IMAGES_TO_CALIBRATE_BY",
    "Quantised",
    "QuantisedEngine",
    "quantise",
    "require_quantiser",
]

IMAGES_TO_CALIBRATE_BY = 300
DESCRIPTION, WEIGHTS = "int8.xml", "int8.bin"
OUTPUTS = ("features", "logits")


@dataclass(frozen=True)
class Quantised:
    """A network in 8-bit integers, as bytes.

    Parameters
    ----------
    description : bytes
        OpenVINO's XML.
    weights : bytes
        What it refers to.
    """

    description: bytes
    weights: bytes

    names: ClassVar[tuple[str, str]] = (DESCRIPTION, WEIGHTS)
    """Of its tensors in a model file."""

    def tensors(self) -> dict[str, Tensor]:
        """As tensors of bytes, for a model file."""
        parts = {DESCRIPTION: self.description, WEIGHTS: self.weights}
        return {
            name: torch.from_numpy(np.frombuffer(part, np.uint8).copy())
            for name, part in parts.items()
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Quantised | None:
        """Out of a model file's tensors; None where they hold none.

        Raises
        ------
        CheckpointError
            If it is not what our networks are made of.
        """
        parts = [tensors[name] for name in (DESCRIPTION, WEIGHTS) if name in tensors]
        if not parts:
            return None
        if len(parts) != 2 or any(part.dtype != torch.uint8 or part.ndim != 1 for part in parts):
            raise damaged("it is not two runs of bytes")
        quantised = cls(*(part.numpy().tobytes() for part in parts))
        quantised.require_plain()
        return quantised

    def require_plain(self) -> None:
        """Refuse a description of anything but a network of ours.

        Raises
        ------
        CheckpointError
            That says what is wrong.
        """
        require_plain(self.description, len(self.weights))


class QuantisedEngine:
    """Images to one of the outputs of a network in 8-bit integers.

    Parameters
    ----------
    quantised : Quantised
        The network.
    output : {'features', 'logits'}
        Which output.
    shapes : ((int, int, int), int)
        Bands, height and width of an image, and the output's length.
    """

    def __init__(
        self, quantised: Quantised, output: str, shapes: tuple[tuple[int, int, int], int]
    ) -> None:
        self._quantised, self._output, self._shapes = quantised, output, shapes
        self._runner: OpenVinoRunner | None = None

    def __call__(self, batches: Batches) -> Later[NDArray[np.float32]]:
        """The output, shape (n, ...), of batches of images, shape (n, bands, 64, 64).

        Raises
        ------
        CheckpointError
            If OpenVINO refuses the network.
        """
        if self._runner is None:
            self._runner = self._opened()
        return self._runner(batches)

    def _opened(self) -> OpenVinoRunner:
        try:
            model = network_of_bytes(self._quantised.description, self._quantised.weights)
            self._require_shapes(model)
            return OpenVinoRunner(model, self._output)
        except RuntimeError as error:
            raise damaged("OpenVINO refuses it") from error

    def _require_shapes(self, model: Any) -> None:
        """Refuse a network that takes other images, or gives something else than it should."""
        image, length = self._shapes
        taken = [list(port.get_partial_shape()) for port in model.inputs]
        given = {name: port.get_partial_shape() for port in model.outputs for name in port.names}
        if [shape[1:] for shape in taken] != [list(image)]:
            raise damaged(f"it does not take images of {' x '.join(map(str, image))}")
        if self._output not in given or list(given[self._output])[1:] != [length]:
            raise damaged(f"it does not give {length} {self._output}")


class _BothOutputs(nn.Module):
    """A redshift network that gives its features beside its logits."""

    def __init__(self, network: RedshiftNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network.encoder(images)
        return features, self.network.head(features)


def quantise(network: RedshiftNetwork | Encoder, images: Tensor) -> Quantised:
    """A network in 8-bit integers, its ranges measured on images (Jacob et al. 2018).

    The ranges are those from the smallest to the largest activation: a galaxy's flux is in its
    brightest pixels, and ranges by means, NNCF's own choice, cut them off. The weights of a kernel
    are rounded together, see `photoz_ssl.networks.engines.rounding`. The first convolution stays in
    float32 where it is given fluxes, of which a step would be more than the faintest have, and so
    does the photometry of an encoder that has one. Biases are left as trained.

    Parameters
    ----------
    network : RedshiftNetwork or Encoder
        In evaluation mode, on the CPU.
    images : Tensor, shape (n, bands, 64, 64)
        As the network is given them; some hundred galaxies it was not trained on.

    Raises
    ------
    MissingExtraError
        If OpenVINO or NNCF is not installed.
    """
    openvino = import_openvino()
    module = network if isinstance(network, Encoder) else _BothOutputs(network)
    with _quiet_nncf() as nncf, torch.inference_mode():
        model = openvino.convert_model(module.eval(), example_input=images[:2])
        model.reshape([-1, *images.shape[1:]])
        for output, name in zip(model.outputs, OUTPUTS, strict=False):
            output.get_tensor().set_names({name})
        made = nncf.quantize(
            model,
            nncf.Dataset([image[np.newaxis] for image in images.contiguous().numpy()]),
            subset_size=len(images),
            preset=nncf.QuantizationPreset.MIXED,
            ignored_scope=nncf.IgnoredScope(**_left_in_float32(network, model)),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                disable_bias_correction=True,
                activations_range_estimator_params=_smallest_to_largest(),
            ),
        )
    keep_sums_of_kernels(made, model)
    quantised = Quantised(*network_as_bytes(made))
    quantised.require_plain()
    return quantised


def _left_in_float32(network: RedshiftNetwork | Encoder, model: Any) -> dict[str, list[str]]:
    """Names of operations that stay as they are, and patterns of such names."""
    encoder = network if isinstance(network, Encoder) else network.encoder
    first = next(op for op in model.get_ordered_ops() if op.get_type_name() == "Convolution")
    return {
        "names": [first.get_friendly_name()] if encoder.config.softening is None else [],
        "patterns": [".*photometry.*"] if encoder.config.apertures is not None else [],
    }


def require_quantiser() -> None:
    """Refuse work at whose end `quantise` would fail.

    Raises
    ------
    MissingExtraError
        If OpenVINO or NNCF is not installed.
    """
    for package in ("openvino", "nncf"):
        require_extra(package, extra="cpu", purpose="an 8-bit network")


def _smallest_to_largest() -> Any:
    module = import_extra(
        "nncf.quantization.range_estimator", extra="cpu", purpose="an 8-bit network"
    )
    return module.RangeEstimatorParametersSet.MINMAX


@contextmanager
def _quiet_nncf() -> Iterator[Any]:
    """NNCF, which draws bars on standard output and warns of what it meets in other libraries."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        nncf = import_extra("nncf", extra="cpu", purpose="an 8-bit network")
        nncf.set_log_level("ERROR")
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
        yield nncf
