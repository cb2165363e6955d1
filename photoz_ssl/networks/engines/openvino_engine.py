"""Networks as OpenVINO runs them: faster than PyTorch on a CPU (extra ``[cpu]``)."""

from __future__ import annotations

import hashlib
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from photoz_ssl import __version__
from photoz_ssl.errors import OutputError
from photoz_ssl.extras import fault_of_version, is_installed
from photoz_ssl.files import atomic_output, cache_folder
from photoz_ssl.later import Later
from photoz_ssl.networks.engines.engine import Batches
from photoz_ssl.networks.engines.openvino_runner import (
    OpenVinoRunner,
    import_openvino,
    network_as_bytes,
    network_of_bytes,
)

__all__ = ["OpenVinoEngine", "has_openvino"]

log = logging.getLogger(__name__)

EXAMPLE_SHAPE = (2, 5, 64, 64)
DIGEST_BYTES = hashlib.sha256().digest_size
LENGTH_BYTES = 8


def has_openvino() -> bool:
    """Whether the extra is installed, and not too old."""
    return is_installed("openvino") and not fault_of_version("openvino")


class OpenVinoEngine:
    """Images to what a network makes of them, on all threads that PyTorch has.

    The network is converted when it is first run, and kept in the user's cache, whose files
    are passed over when they are damaged.

    Parameters
    ----------
    network : Module
        In evaluation mode, on the CPU.
    key : str
        Names the network in the cache; a hash of its weights and configuration.
    bfloat16 : bool
        Whether it computes in bfloat16.
    images_a_batch : int
        Smaller batches are filled up to so many with zeros.
    """

    def __init__(
        self, network: nn.Module, key: str, bfloat16: bool = False, images_a_batch: int = 0
    ) -> None:
        self._network, self._key = network, key
        self._bfloat16, self._images_a_batch = bfloat16, images_a_batch
        self._runner: OpenVinoRunner | None = None

    def __call__(self, batches: Batches) -> Later[NDArray[np.float32]]:
        """The network's output, shape (n, ...), of batches of images, (n, bands, 64, 64)."""
        if self._runner is None:
            self._runner = self._opened()
        return self._runner(batches)

    def _opened(self) -> OpenVinoRunner:
        path = _place(self._key)
        model = _read(path) or _converted(self._network, path)
        return OpenVinoRunner(model, bfloat16=self._bfloat16, images_a_batch=self._images_a_batch)


def _place(key: str) -> Path:
    """Where a network is kept, as these versions of photoz-ssl and OpenVINO convert it."""
    name = f"{key}-photoz-ssl-{__version__}-openvino-{import_openvino().__version__}"
    name = "".join(c if c.isalnum() or c in ".-" else "_" for c in name)
    return cache_folder() / "openvino" / f"{name}.network"


def _converted(network: nn.Module, path: Path) -> Any:
    """Convert a network, and put it into the cache if the disk lets us.

    It is read back wherever there is a disk: what comes from a file may differ from what was
    written to it in the last bits, and a model's results are not to depend on the cache.
    """
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of PyTorch's tracing, about itself
        made = import_openvino().convert_model(network, example_input=torch.zeros(EXAMPLE_SHAPE))
    made.reshape([-1, *EXAMPLE_SHAPE[1:]])
    try:
        kept = _Kept(*network_as_bytes(made))
    except (OSError, RuntimeError) as error:  # OpenVINO tells of a full disk by the latter
        log.info("no temporary file for a network: %s", error)
        return made
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_output(path, overwrite=True) as temporary:
            temporary.write_bytes(kept.to_bytes())
    except (OSError, OutputError) as error:
        log.info("%s is not kept: %s", path, error)
    try:
        return kept.model()
    except RuntimeError as error:  # some versions do not tell of a full disk at all
        log.info("a network was not written as a whole: %s", error)
        return made


def _read(path: Path) -> Any:
    """A model of the cache; None where there is none, or it is not what was written."""
    try:
        return _Kept.from_bytes(path.read_bytes()).model()
    except FileNotFoundError:
        return None
    except (OSError, RuntimeError, ValueError) as error:
        log.info("passed over %s: %s", path, error)
        return None


@dataclass(frozen=True)
class _Kept:
    """A network as `network_as_bytes` gives it.

    In the cache both parts are one file, so that of two processes that write at a time, one's
    weights never stand beside the other's XML.
    """

    description: bytes
    weights: bytes

    @classmethod
    def from_bytes(cls, content: bytes) -> _Kept:
        digest, rest = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if hashlib.sha256(rest).digest() != digest:
            raise ValueError("it is damaged")
        start = LENGTH_BYTES + int.from_bytes(rest[:LENGTH_BYTES], "little")
        return cls(rest[LENGTH_BYTES:start], rest[start:])

    def to_bytes(self) -> bytes:
        """The SHA-256 of what follows, the length of the XML, the XML, and the weights."""
        length = len(self.description).to_bytes(LENGTH_BYTES, "little")
        rest = length + self.description + self.weights
        return hashlib.sha256(rest).digest() + rest

    def model(self) -> Any:
        return network_of_bytes(self.description, self.weights)
