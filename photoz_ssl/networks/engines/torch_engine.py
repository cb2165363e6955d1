"""Networks as PyTorch runs them, on a CPU or a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from photoz_ssl.later import Later
from photoz_ssl.networks.engines.engine import Batches, filled_up

__all__ = ["TorchEngine"]


@dataclass(frozen=True)
class TorchEngine:
    """Images to what PyTorch's network makes of them, in channels-last layout.

    Parameters
    ----------
    network : Module
        In evaluation mode, on the device.
    device : torch.device
        Where it is.
    bfloat16 : bool
        Whether it runs under autocast.
    images_a_batch : int
        Smaller batches are filled up to so many with zeros: a network that was compiled for a
        batch is compiled anew for any other.
    """

    network: nn.Module
    device: torch.device
    bfloat16: bool = False
    images_a_batch: int = 0

    def __call__(self, batches: Batches) -> Later[NDArray[np.float32]]:
        """The network's output, shape (n, ...), of batches of images, (n, bands, 64, 64).

        A GPU has the next batch copied to it while it computes, and nobody waits for either. What
        it made is copied back at once: a later copy would wait for whatever it was given since.
        """
        outputs = torch.cat([self._output(images) for images in batches]).float()
        if self.device.type != "cuda":
            return outputs.numpy
        arriving = outputs.to("cpu", non_blocking=True)  # to pinned memory
        # one that does not block keeps a core busy with waiting for it
        copied = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        copied.record(torch.cuda.current_stream(self.device))

        def arrived() -> NDArray[np.float32]:
            copied.synchronize()
            return arriving.numpy()

        return arrived

    def _output(self, images: Tensor) -> Tensor:
        reduced = torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)
        with torch.inference_mode(), reduced:
            batch = filled_up(self._placed(images), self.images_a_batch)
            output: Tensor = self.network(batch.contiguous(memory_format=torch.channels_last))
        return output[: len(images)]

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
