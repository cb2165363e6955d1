"""How a trained network is run: on which device, in which layout, a batch at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from photoz_ssl.errors import CheckpointError, ConfigError
from photoz_ssl.networks.checkpoint import Checkpoint
from photoz_ssl.networks.encoder import Encoder
from photoz_ssl.networks.redshift_head import RedshiftNetwork
from photoz_ssl.redshift.calibration import Calibration

__all__ = ["EagerRuntime", "choose_device", "open_runtime"]


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


@dataclass(frozen=True)
class EagerRuntime:
    """A network as PyTorch runs it, in channels-last layout.

    Parameters
    ----------
    encoder : Encoder
        The encoder.
    network : RedshiftNetwork, optional
        The encoder with its head; None where the file held an encoder alone.
    calibration : Calibration
        What turns logits into a PDF.
    device : torch.device
        Where they are.
    """

    encoder: Encoder
    network: RedshiftNetwork | None
    calibration: Calibration
    device: torch.device

    def pdf(self, images: Tensor) -> NDArray[np.float64]:
        """Redshift PDFs, shape (n, n_bins), of dereddened images, shape (n, bands, 64, 64).

        Raises
        ------
        CheckpointError
            If the network has no redshift head.
        """
        if self.network is None:
            raise CheckpointError(
                "the model is an encoder without a redshift head", "fine-tune it first"
            )
        with torch.inference_mode():
            logits: Tensor = self.network(self._placed(images))
        return self.calibration.apply(logits.float().cpu().numpy())

    def represent(self, images: Tensor) -> NDArray[np.float32]:
        """Unit vectors, shape (n, feature_size), of images, shape (n, bands, 64, 64)."""
        with torch.inference_mode():
            features = F.normalize(self.encoder(self._placed(images)).float(), dim=1)
        return np.asarray(features.cpu().numpy(), np.float32)

    def _placed(self, images: Tensor) -> Tensor:
        return images.to(self.device).contiguous(memory_format=torch.channels_last)


def open_runtime(checkpoint: Checkpoint, device: str) -> EagerRuntime:
    """Build a checkpoint's network on a device.

    Parameters
    ----------
    checkpoint : Checkpoint
        An encoder or a redshift model.
    device : {'auto', 'cpu', 'cuda'}
        Where to run it.

    Raises
    ------
    CheckpointError
        If the weights do not fit.
    ConfigError
        If there is no such device.
    """
    place = choose_device(device)
    network = checkpoint.network().to(place)
    network = network.to(memory_format=torch.channels_last)
    if isinstance(network, Encoder):
        return EagerRuntime(network, None, Calibration(), place)
    return EagerRuntime(network.encoder, network, checkpoint.calibration or Calibration(), place)
