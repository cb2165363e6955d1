"""How a trained network is run: on which device, in which layout, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from photoz_ssl.errors import CheckpointError, ConfigError
from photoz_ssl.later import Later, of_later
from photoz_ssl.networks.checkpoint import Checkpoint
from photoz_ssl.networks.encoder import Encoder, build_encoder
from photoz_ssl.networks.engines import Batches, Engine
from photoz_ssl.networks.openvino_engine import OpenVinoEngine, has_openvino
from photoz_ssl.networks.quantised import QuantisedEngine
from photoz_ssl.redshift.calibration import Calibration

__all__ = ["IMAGES_WORTH_CONVERTING", "Runtime", "choose_device", "open_runtime"]


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
        The encoder; see `photoz_ssl.networks.engines.Engine`.
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


@dataclass(frozen=True)
class EagerEngine:
    """A network as PyTorch runs it, in channels-last layout.

    Parameters
    ----------
    network : Module
        In evaluation mode, on the device.
    device : torch.device
        Where it is.
    bfloat16 : bool
        Whether it runs under autocast.
    """

    network: nn.Module
    device: torch.device
    bfloat16: bool = False

    def __call__(self, batches: Batches) -> Later[NDArray[np.float32]]:
        """The network's output, shape (n, ...), of batches of images, (n, bands, 64, 64).

        A GPU has the next batch copied to it while it computes, and nobody waits for either.
        """
        outputs = [self._output(images) for images in batches]
        return lambda: np.asarray(torch.cat(outputs).float().cpu().numpy())

    def _output(self, images: Tensor) -> Tensor:
        reduced = torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)
        with torch.inference_mode(), reduced:
            placed = self._placed(images).contiguous(memory_format=torch.channels_last)
            output: Tensor = self.network(placed)
        return output

    def _placed(self, images: Tensor) -> Tensor:
        if self.device.type != "cuda":
            return images.to(self.device)
        with torch.cuda.stream(self._copies):
            placed = images.pin_memory().to(self.device, non_blocking=True)
        computing = torch.cuda.current_stream(self.device)
        computing.wait_stream(self._copies)
        placed.record_stream(computing)
        return placed

    @cached_property
    def _copies(self) -> torch.cuda.Stream:
        """A stream of the GPU that copies, apart from the one that computes."""
        return torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]


def open_runtime(
    checkpoint: Checkpoint,
    device: str,
    key: str = "",
    n_images: int | None = 0,
    precision: str = "auto",
) -> Runtime:
    """Build a checkpoint's network on a device.

    On a CPU OpenVINO runs it where that is installed (extra ``[cpu]``) and there are images
    enough, else PyTorch does.

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
        Arithmetic of the network; auto is bfloat16 on a GPU and float32 on a CPU.

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
    bfloat16 = precision == "bf16" or (precision == "auto" and place.type == "cuda")
    many = n_images is None or n_images >= IMAGES_WORTH_CONVERTING[checkpoint.encoder.architecture]
    by_openvino = place.type == "cpu" and bool(key) and many and has_openvino() and not bfloat16
    network = checkpoint.network().to(place).to(memory_format=torch.channels_last)

    def engine(part: nn.Module, name: str) -> Engine:
        if by_openvino:
            return OpenVinoEngine(part, f"{key}-{name}")
        return EagerEngine(part, place, bfloat16)

    encoder = network if isinstance(network, Encoder) else network.encoder
    return Runtime(
        name="OpenVINO" if by_openvino else f"PyTorch{' in bfloat16' if bfloat16 else ''}",
        device=place,
        features=engine(encoder, "features"),
        logits=engine(network, "logits") if network is not encoder else None,
        calibration=checkpoint.calibration or Calibration(),
        feature_size=encoder.feature_size,
        images_a_batch=IMAGES_A_BATCH[checkpoint.encoder.architecture] if by_openvino else None,
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
    with torch.device("meta"):
        encoder = build_encoder(checkpoint.encoder)
    spec, grid = checkpoint.spec, checkpoint.grid
    image = (len(spec.bands), spec.network_size, spec.network_size)
    return Runtime(
        name="OpenVINO in int8",
        device=place,
        features=QuantisedEngine(checkpoint.quantised, "features", (image, encoder.feature_size)),
        logits=(
            QuantisedEngine(checkpoint.quantised, "logits", (image, grid.n_bins)) if grid else None
        ),
        calibration=checkpoint.calibration or Calibration(),
        feature_size=encoder.feature_size,
        images_a_batch=IMAGES_A_BATCH[checkpoint.encoder.architecture],
    )
