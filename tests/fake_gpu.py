"""A GPU that is not there, for tests: its tensors are computed with in this computer's memory.

It is as strict as a GPU. A tensor in this memory and one of the GPU do not go together, and a copy
that nobody waits for arrives only where its stream is waited for: until then there is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

__all__ = ["FakeGpu", "fake_gpu"]

aten = torch.ops.aten
CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


class OnGpu(Tensor):
    """A tensor that says that it is on the GPU."""

    inside: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @staticmethod
    def __new__(cls, values: Tensor) -> OnGpu:
        made: OnGpu = Tensor._make_wrapper_subclass(
            cls, values.size(), strides=values.stride(), dtype=values.dtype, device=GPU
        )
        made.inside = values
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        raise RuntimeError(f"{func} of a tensor of a GPU that is gone")


class Stream:
    """Copies in the order in which they were asked for, done when somebody waits for them."""

    def __init__(self, device: object = None) -> None:
        self.copies: list[Callable[[], object]] = []

    def synchronize(self) -> None:
        while self.copies:
            self.copies.pop(0)()

    def wait_stream(self, other: Stream) -> None:
        other.synchronize()


class Event:
    """That a stream has come so far; one that does not block is waited for by a busy core."""

    def __init__(self, *, blocking: bool = False) -> None:
        self._blocking = blocking

    def record(self, stream: Stream) -> None:
        self._copies, self._stream = stream.copies[:], stream

    def synchronize(self) -> None:
        assert self._blocking, "a core is kept busy"
        for copy in self._copies:
            if copy in self._stream.copies:
                self._stream.copies.remove(copy)
                copy()


class FakeGpu(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """What is computed while this mode is on, and what is asked of the GPU.

    Parameters
    ----------
    pinned : list of Tensor
        Page-locked tensors in this memory.
    copies : list of str
        ``to`` or ``from`` for each copy to or from the GPU, in the order asked for.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.stream = Stream()
        self.pinned: list[Tensor] = []
        self.copies: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is aten._to_copy.default:
            return self._copied(args[0], **kwargs)
        if func in (aten.pin_memory.default, aten._pin_memory.default):
            self.pinned.append(args[0].clone())
            return self.pinned[-1]
        if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd"):
            with self:  # in inference mode such operations come here whole
                return func.decompose(*args, **kwargs)
        return _computed(func, args, kwargs)

    def _copied(
        self, tensor: Tensor, *, device: Any = None, non_blocking: bool = False, **kind: Any
    ) -> Tensor:
        kind.pop("pin_memory", None)
        here = not isinstance(tensor, OnGpu)
        to_gpu = torch.device(device or tensor.device).type == "cuda"
        source = _here(tensor)
        copy: Tensor = aten._to_copy.default(source, **kind)
        if here is to_gpu:
            self.copies.append("to" if to_gpu else "from")
            if non_blocking and (not here or any(tensor is pinned for pinned in self.pinned)):
                copy = self._late(source, copy)
            else:
                self.stream.synchronize()
        return OnGpu(copy) if to_gpu else copy

    def _late(self, tensor: Tensor, copy: Tensor) -> Tensor:
        """A copy without values as yet."""
        late = torch.full_like(copy, torch.nan)
        self.stream.copies.append(lambda: late.copy_(tensor))
        return late

    @contextmanager
    def on_stream(self, stream: Stream) -> Iterator[None]:
        before, self.stream = self.stream, stream
        try:
            yield
        finally:
            self.stream = before


def _computed(func: Any, args: Any, kwargs: Any) -> Any:
    """What an operation makes; of tensors of the GPU, or where it says so, another one there."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    to_gpu = any(isinstance(tensor, OnGpu) for tensor in tensors)
    if to_gpu and any(tensor.dim() for tensor in tensors if not isinstance(tensor, OnGpu)):
        raise RuntimeError(f"{func}: tensors on the CPU and on the GPU")
    if kwargs.get("device") is not None:
        to_gpu = kwargs["device"].type == "cuda"
    found = func(*tree_map(_here, args), **tree_map(_here, kwargs))
    return tree_map(_there, found) if to_gpu else found


def _here(leaf: Any) -> Any:
    """The same, in this memory."""
    if isinstance(leaf, torch.device):
        return CPU
    return leaf.inside if isinstance(leaf, OnGpu) else leaf


def _there(leaf: Any) -> Any:
    """The same, on the GPU."""
    return OnGpu(leaf) if isinstance(leaf, Tensor) else leaf


@contextmanager
def fake_gpu() -> Iterator[FakeGpu]:
    """Let PyTorch believe in a GPU meanwhile."""
    gpu = FakeGpu()
    with pytest.MonkeyPatch.context() as patch:
        for name, stand_in in {
            "is_available": lambda: True,
            "is_bf16_supported": lambda including_emulation=True: True,
            "_lazy_init": lambda: None,
            "Event": Event,
            "Stream": Stream,
            "stream": gpu.on_stream,
            "current_stream": lambda device=None: gpu.stream,
        }.items():
            patch.setattr(torch.cuda, name, stand_in)
        patch.setattr(Tensor, "record_stream", lambda tensor, stream: None)
        # networks keep their parameters' objects otherwise, which are no such tensors
        patch.setattr(torch.__future__, "_overwrite_module_params_on_conversion", True)
        with torch.backends.cudnn.flags(enabled=False), gpu:
            _require_belief()
            gpu.copies.clear()
            yield gpu


def _require_belief() -> None:
    """Skip a test with a PyTorch that asks for a GPU's driver all the same, as older ones do."""
    try:
        torch._C._ensureCUDADeviceGuardSet()
        torch.empty(0).to("cuda")
    except (AttributeError, RuntimeError):
        pytest.skip("this PyTorch believes in no GPU that is not there")
