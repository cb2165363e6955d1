"""Networks as OpenVINO runs them: faster than PyTorch on a CPU (extra ``[cpu]``)."""

from __future__ import annotations

import importlib.util
import logging
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from photoz_ssl.files import cache_folder
from photoz_ssl.later import Later
from photoz_ssl.networks.engines import Batches
from photoz_ssl.networks.openvino_runner import OpenVinoRunner, import_openvino

__all__ = ["OpenVinoEngine", "has_openvino"]

log = logging.getLogger(__name__)

EXAMPLE_SHAPE = (2, 5, 64, 64)


def has_openvino() -> bool:
    """Whether the extra is installed."""
    return importlib.util.find_spec("openvino") is not None


class OpenVinoEngine:
    """Images to what a network makes of them, in float32, on all threads that PyTorch has.

    The network is converted when it is first run, and kept in the user's cache, whose files
    are passed over when they are damaged.

    Parameters
    ----------
    network : Module
        In evaluation mode, on the CPU.
    key : str
        Names the network in the cache; a hash of its weights and configuration.
    """

    def __init__(self, network: nn.Module, key: str) -> None:
        self._network, self._key = network, key
        self._runner: OpenVinoRunner | None = None

    def __call__(self, batches: Batches) -> Later[NDArray[np.float32]]:
        """The network's output, shape (n, ...), of batches of images, (n, bands, 64, 64)."""
        if self._runner is None:
            self._runner = self._opened()
        return self._runner(batches)

    def _opened(self) -> OpenVinoRunner:
        openvino = import_openvino()
        core = openvino.Core()
        version = "".join(c if c.isalnum() or c in ".-" else "_" for c in openvino.__version__)
        path = cache_folder() / "openvino" / f"{self._key}-{version}.xml"
        model = _read(core, path) or _converted(openvino, core, self._network, path)
        return OpenVinoRunner(model)


def _converted(openvino: ModuleType, core: Any, network: nn.Module, path: Path) -> Any:
    """Convert a network, and put it into the cache if the disk lets us.

    It is read back in any case: what comes from a file differs from what was written to it
    in the last bits, and a model's results are not to depend on the cache.
    """
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")  # of PyTorch's tracing, about itself
        made = openvino.convert_model(network, example_input=torch.zeros(EXAMPLE_SHAPE))
    made.reshape([-1, *EXAMPLE_SHAPE[1:]])
    with _folder_beside(path) as folder:
        written = Path(folder) / path.name
        openvino.save_model(made, written, compress_to_fp16=False)
        model = core.read_model(written)
        with suppress(OSError):
            for suffix in (".bin", ".xml"):  # the one that is looked for comes last
                written.with_suffix(suffix).replace(path.with_suffix(suffix))
    return model


def _folder_beside(path: Path) -> tempfile.TemporaryDirectory[str]:
    """A temporary folder, on the disk of the cache where that can be written."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=path.parent)
    return tempfile.TemporaryDirectory()


def _read(core: Any, path: Path) -> Any:
    """A model of the cache; None where there is none that can be read."""
    try:
        return core.read_model(path) if path.exists() else None
    except RuntimeError as error:
        log.info("passed over %s: %s", path, error)
        return None
