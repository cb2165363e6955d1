"""How a trained network is run: on which device, in which layout, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from photoz_ssl.errors import CheckpointError, ConfigError
from photoz_ssl.later import Later, of_later
from photoz_ssl.networks.checkpoint import Checkpoint
from photoz_ssl.networks.compilation import compile_for_inference
from photoz_ssl.networks.encoder import Encoder
from photoz_ssl.networks.engines.engine import Batches, Engine
from photoz_ssl.networks.engines.folding import fold_batchnorm
from photoz_ssl.networks.engines.openvino_engine import OpenVinoEngine, has_openvino
from photoz_ssl.networks.engines.openvino_runner import computes_in_bfloat16
from photoz_ssl.networks.engines.quantised import QuantisedEngine
from photoz_ssl.networks.engines.torch_engine import TorchEngine
from photoz_ssl.networks.redshift_head import RedshiftNetwork
from photoz_ssl.redshift.calibration import Calibration

__all__ = [
    "IMAGES_WORTH_CONVERTING",
    "Runtime",
    "choose_arithmetic",
    "choose_device",
    "multiplies_bfloat16",
    "open_runtime",
    "uses_bfloat16",
]


def choose_device(name: str) -> torch.device:
    """The device that ``auto``, ``cpu`` or ``cuda`` means here.

    Raises
    ------
    ConfigError
        If CUDA is demanded and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("no GPU is visible to torch", "use --device cpu, or auto")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def uses_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether ``--precision`` means bfloat16 on a device.

    GPUs before NVIDIA's Ampere take it, too, and are slower in it than in float32.
    """
    if precision != "auto":
        return precision == "bf16"
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def choose_arithmetic(precision: str, device: torch.device) -> bool:
    """`uses_bfloat16`; where a GPU is to compute in float32, it does so from now on.

    PyTorch allows TF32, which leaves 10 bits of float32's 23, in convolutions, and where the
    environment says so (NVIDIA's containers do) in products of matrices.
    """
    bfloat16 = uses_bfloat16(precision, device)
    if device.type == "cuda" and not bfloat16:
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
    return bfloat16


def multiplies_bfloat16() -> bool:
    """Whether this CPU multiplies matrices of bfloat16 (AMX), if PyTorch is new enough to say."""
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16"))


IMAGES_WORTH_CONVERTING = {"resnet18": 1000, "resnet50": 100}
"""From here on the seconds that converting a network for OpenVINO takes are won back."""

IMAGES_A_BATCH = {"resnet18": 32, "resnet50": 8}
"""Enough for a stream of OpenVINO, and so few that no stream waits long for the last of them."""


@dataclass(frozen=True)
class Runtime:
    """A trained network on a device, ready to be run.

    Parameters
    ----------
    name : str
        What runs it.
    device : torch.device
        Where.
    features : callable
        The encoder; see `photoz_ssl.networks.engines.engine.Engine`.
    logits : callable, optional
        The encoder with its head; None where the file held an encoder alone.
    calibration : Calibration
        What turns logits into a PDF.
    feature_size : int
        Length of the encoder's output.
    images_a_batch : int, optional
        More in a batch do not make it faster; None if they do.
    """

    name: str
    device: torch.device
    features: Engine
    logits: Engine | None
    calibration: Calibration
    feature_size: int
    images_a_batch: int | None = None

    def pdf_later(self, images: Tensor | Iterator[Tensor]) -> Later[NDArray[np.float64]]:
        """Redshift PDFs, shape (n, n_bins), of images, or of all images of some batches.

        What is returned waits for them; the network goes on meanwhile.

        Raises
        ------
        CheckpointError
            If the network has no redshift head.
        """
        if self.logits is None:
            raise CheckpointError(
                "the model is an encoder without a redshift head", "fine-tune it first"
            )
        return of_later(self.calibration.apply, self.logits(_batches(images)))

    def represent_later(self, images: Tensor | Iterator[Tensor]) -> Later[NDArray[np.float32]]:
        """Unit vectors, shape (n, feature_size), of images, or of all images of some batches.

        What is returned waits for them, as with `pdf_later`.
        """
        return of_later(_of_unit_length, self.features(_batches(images)))


def _of_unit_length(features: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(F.normalize(torch.from_numpy(features), dim=1).numpy())


def _batches(images: Tensor | Iterator[Tensor]) -> Batches:
    return [images] if isinstance(images, Tensor) else images


def open_runtime(
    checkpoint: Checkpoint,
    device: str,
    key: str = "",
    n_images: int | None = 0,
    precision: str = "auto",
    batch_size: int = 0,
) -> Runtime:
    """Build a checkpoint's network on a device.

    On a CPU OpenVINO runs it where that is installed (extra ``[cpu]``) and there are images
    enough, but for bfloat16 on a CPU that has no such instructions; else PyTorch does. On a GPU
    PyTorch compiles it for images that are very many.

    Parameters
    ----------
    checkpoint : Checkpoint
        An encoder or a redshift model.
    device : {'auto', 'cpu', 'cuda'}
        Where to run it.
    key : str
        The model file's hash, by which OpenVINO's form of the network is kept in the user's
        cache; PyTorch runs it if there is none.
    n_images : int, optional
        How many there are to be; None if nobody knows.
    precision : {'auto', 'fp32', 'bf16', 'int8'}
        Arithmetic of the network; auto is bfloat16 on a GPU that computes in it, else float32.
    batch_size : int
        Most images that it is given at a time.

    Raises
    ------
    CheckpointError
        If the weights do not fit, or int8 is asked for and the file has no such network.
    ConfigError
        If there is no such device, or int8 is asked for on a GPU.
    """
    place = choose_device(device)
    if precision == "int8":
        return _quantised_runtime(checkpoint, place)
    bfloat16 = choose_arithmetic(precision, place)
    many = n_images is None or n_images >= IMAGES_WORTH_CONVERTING[checkpoint.encoder.architecture]
    if place.type == "cpu" and key and many and _openvino_serves(bfloat16=bfloat16):
        return _openvino_runtime(checkpoint, key, bfloat16=bfloat16)
    network = checkpoint.network()
    fold_batchnorm(network)  # OpenVINO does so by itself
    network = network.to(place).to(memory_format=torch.channels_last)
    compiled = compile_for_inference(
        *dict.fromkeys((network, _encoder_of(network))), device=place, n_images=n_images
    )
    filled_to = batch_size if compiled else 0
    return _float_runtime(
        checkpoint,
        network,
        lambda part, _: TorchEngine(part, place, bfloat16, filled_to),
        name=f"{'compiled ' if compiled else ''}PyTorch{' in bfloat16' if bfloat16 else ''}",
        device=place,
    )


def _openvino_runtime(checkpoint: Checkpoint, key: str, *, bfloat16: bool) -> Runtime:
    size = IMAGES_A_BATCH[checkpoint.encoder.architecture]
    filled_to = size if bfloat16 else 0
    return _float_runtime(
        checkpoint,
        checkpoint.network(),
        lambda part, output: OpenVinoEngine(part, f"{key}-{output}", bfloat16, filled_to),
        name=f"OpenVINO{' in bfloat16' if bfloat16 else ''}",
        device=torch.device("cpu"),
        images_a_batch=size,
    )


def _openvino_serves(*, bfloat16: bool) -> bool:
    return has_openvino() and (not bfloat16 or computes_in_bfloat16())


def _encoder_of(network: RedshiftNetwork | Encoder) -> Encoder:
    return network if isinstance(network, Encoder) else network.encoder


def _float_runtime(
    checkpoint: Checkpoint,
    network: RedshiftNetwork | Encoder,
    engine: Callable[[nn.Module, str], Engine],
    *,
    name: str,
    device: torch.device,
    images_a_batch: int | None = None,
) -> Runtime:
    """A runtime of a network and of its encoder, each in an engine of its own."""
    encoder = _encoder_of(network)
    return Runtime(
        name=name,
        device=device,
        features=engine(encoder, "features"),
        logits=engine(network, "logits") if network is not encoder else None,
        calibration=checkpoint.calibration or Calibration(),
        feature_size=encoder.feature_size,
        images_a_batch=images_a_batch,
    )


def _quantised_runtime(checkpoint: Checkpoint, place: torch.device) -> Runtime:
    """The network in 8-bit integers that a checkpoint brings."""
    if place.type != "cpu":
        raise ConfigError("int8 runs on a CPU", "add --device cpu, or leave --precision to auto")
    if checkpoint.quantised is None:
        raise CheckpointError(
            "the model file holds no network in 8-bit integers",
            "make one with photoz-ssl convert MODEL --calibrate ARCHIVE",
        )
    spec, grid, size = checkpoint.spec, checkpoint.grid, checkpoint.encoder.feature_size
    image = (len(spec.bands), spec.network_size, spec.network_size)
    return Runtime(
        name="OpenVINO in int8",
        device=place,
        features=QuantisedEngine(checkpoint.quantised, "features", (image, size)),
        logits=(
            QuantisedEngine(checkpoint.quantised, "logits", (image, grid.n_bins)) if grid else None
        ),
        calibration=checkpoint.calibration or Calibration(),
        feature_size=size,
        images_a_batch=IMAGES_A_BATCH[checkpoint.encoder.architecture],
    )
