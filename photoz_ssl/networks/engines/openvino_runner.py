"""A network of OpenVINO at work on this CPU, on several parts of a batch at a time."""

from __future__ import annotations

import atexit
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from photoz_ssl.extras import import_extra
from photoz_ssl.later import Later
from photoz_ssl.networks.engines.engine import Batches, filled_up
from photoz_ssl.networks.engines.softening import softened, without_softening

__all__ = [
    "OpenVinoRunner",
    "computes_in_bfloat16",
    "import_openvino",
    "network_as_bytes",
    "network_of_bytes",
]

MOST_STREAMS = 4
"""Few enough for the batches of a block of rows; with more cores each stream has several."""


def import_openvino() -> ModuleType:
    """OpenVINO, without its telemetry: nobody has agreed to that here."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return import_extra("openvino", extra="cpu", purpose="running networks by OpenVINO")


def computes_in_bfloat16() -> bool:
    """Whether this CPU has instructions for it, by which OpenVINO is 2 to 7 times faster."""
    capable = import_openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "BF16" in capable


def network_as_bytes(model: Any) -> tuple[bytes, bytes]:
    """A network as OpenVINO writes it to files: its XML, and the weights that this refers to."""
    with tempfile.TemporaryDirectory(prefix="photoz-ssl-") as folder:
        path = Path(folder) / "network.xml"
        import_openvino().save_model(model, path, compress_to_fp16=False)
        return path.read_bytes(), path.with_suffix(".bin").read_bytes()


def network_of_bytes(description: bytes, weights: bytes) -> Any:
    """The network that `network_as_bytes` was given, an ``openvino.Model``."""
    openvino = import_openvino()
    content = openvino.Tensor(np.frombuffer(weights, np.uint8))
    return openvino.Core().read_model(description, content)


class OpenVinoRunner:
    """A compiled network; its streams share the threads that PyTorch has.

    Several streams, each on cores of its own, wait for nobody: where another thread keeps a core
    busy, as the one that reads images does, the other streams take over what is left to do.

    Parameters
    ----------
    model : openvino.Model
        With one input, images of shape (n, bands, 64, 64).
    output : str, optional
        Name of the output that is wanted; by default the first.
    bfloat16 : bool
        Whether it computes in bfloat16, on a CPU that does; see `computes_in_bfloat16`.
    images_a_batch : int
        Smaller batches are filled up to so many with zeros: in bfloat16 the last bits go by the
        size of the batch.
    """

    def __init__(
        self,
        model: Any,
        output: str | None = None,
        *,
        bfloat16: bool = False,
        images_a_batch: int = 0,
    ) -> None:
        openvino = import_openvino()
        model, self._scale = without_softening(model)
        n_streams = min(torch.get_num_threads(), MOST_STREAMS)
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",  # else the CPU decides
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": n_streams,
        }
        self._takes_both = len(model.inputs) > 1
        self._images_a_batch = images_a_batch
        compiled = openvino.Core().compile_model(model, "CPU", settings)
        port = compiled.output(output) if output else compiled.output(0)
        self._port = port
        self._length = port.get_partial_shape()[1].get_length()
        self._queue = openvino.AsyncInferQueue(compiled, n_streams)
        self._queue.set_callback(self._keep)
        atexit.register(_settle, self._queue)

    def __call__(self, batches: Batches) -> Later[NDArray[np.float32]]:
        """The network's output, shape (n, length), of all images of all batches.

        The next batch is made ready while the streams are at work, and may be one of the next
        call.
        """
        work: list[_Batch] = []
        try:
            for images in batches:
                batch = _Batch(
                    self._taken(images), np.empty((len(images), self._length), np.float32)
                )
                work.append(batch)
                self._queue.start_async(batch.inputs, batch, share_inputs=True)
        except BaseException:
            self._queue.wait_all()
            raise

        def outcome() -> NDArray[np.float32]:
            if not all(batch.done for batch in work):
                self._queue.wait_all()
            outputs = (batch.output for batch in work)
            return np.concatenate([np.empty((0, self._length), np.float32), *outputs])

        return outcome

    def _taken(self, images: Tensor) -> list[NDArray[np.float32]]:
        """Images as the compiled network takes them, in memory that OpenVINO can read."""
        taken = filled_up(images, self._images_a_batch).contiguous().numpy()
        if self._scale is None:
            return [taken]
        soft = softened(taken, self._scale)
        return [soft, taken] if self._takes_both else [soft]

    def _keep(self, request: Any, batch: _Batch) -> None:
        batch.output[:] = request.get_tensor(self._port).data[: len(batch.output)]
        batch.done = True


def _settle(queue: Any) -> None:
    """Wait for work that nobody wants any more: its threads abort where Python has ended."""
    with suppress(RuntimeError):
        queue.wait_all()


@dataclass
class _Batch:
    """Images in a stream, and what has become of them."""

    inputs: list[NDArray[np.float32]]
    output: NDArray[np.float32]
    done: bool = False
