"""The processes that train one network together, and what they tell each other."""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from photoz_ssl.errors import PeerError, PeerFailedError, PhotozError

__all__ = ["ALONE", "World"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class World:
    """A process among those that train together; one alone by default.

    Every method is called by all of them, in the same order. Where there is one process,
    none of them does anything.

    Parameters
    ----------
    rank : int
        Number of this process, from 0.
    size : int
        Number of processes.
    device : torch.device
        Where this one computes.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def leads(self) -> bool:
        """Whether this is the one process that writes and reports."""
        return self.rank == 0

    def part(self, n: int) -> slice:
        """What of a batch of n, a multiple of ``size``, this process works on."""
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    @torch.no_grad()
    def gather(self, part: Tensor) -> Tensor:
        """The parts, shape (n, ...), of all processes in order, shape (size n, ...)."""
        if self.size == 1:
            return part
        whole = part.new_empty((self.size * len(part), *part.shape[1:]))
        with self.peers():
            dist.all_gather(list(whole.chunk(self.size)), part.contiguous())
        return whole

    @torch.no_grad()
    def mean(self, figures: dict[str, Tensor]) -> dict[str, Tensor]:
        """Scalars of the same names averaged over the processes."""
        if self.size == 1:
            return figures
        values = torch.stack([value.float() for value in figures.values()])
        with self.peers():
            dist.all_reduce(values)
        return dict(zip(figures, values / self.size, strict=True))

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Of each flag, whether at least one process has raised it."""
        if self.size == 1:
            return flags
        raised = self.gather(torch.tensor([flags], dtype=torch.int32, device=self.device))
        return tuple(raised.any(dim=0).tolist())

    def agree(self, *numbers: int) -> bool:
        """Whether all processes have the same numbers."""
        known = self.gather(torch.tensor([numbers], dtype=torch.int64, device=self.device))
        return bool((known == known[0]).all())

    def share_buffers(self, network: nn.Module) -> None:
        """Replace a network's buffers, such as BatchNorm's statistics, by those of rank 0."""
        if self.size > 1:
            with self.peers():
                for buffer in network.buffers():
                    dist.broadcast(buffer, src=0)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Do what may fail on one process alone, such as writing: then it ends on all of them.

        Raises
        ------
        PeerFailedError
            If it failed on another process, which raises what happened.
        """
        failure: Exception | None = None
        try:
            yield
        except Exception as error:
            failure = error
        failed = self.gather(torch.tensor([failure is not None], device=self.device).int())
        first = int(failed.argmax())
        if failure is not None and self.rank == first:
            raise self._signed(failure)
        if bool(failed.any()):
            raise PeerFailedError(f"process {first} of {self.size} could not go on") from failure

    def _signed(self, failure: Exception) -> Exception:
        """An error that tells where it happened, unless that is clear."""
        if self.rank == 0 or not isinstance(failure, PhotozError):
            return failure
        where = f"process {self.rank} of {self.size} on {platform.node()}"
        signed = PhotozError(f"{where}: {failure.message}", failure.hint)
        signed.__cause__ = failure
        return signed

    @contextmanager
    def peers(self) -> Iterator[None]:
        """Tell in a sentence that another process has gone while this one waited for it.

        Raises
        ------
        PeerError
            Whatever the backend calls it.
        """
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            of_gpu = self.device.type == "cuda" and not isinstance(error, dist.DistError)
            if self.size == 1 or of_gpu:  # NCCL's are DistErrors, gloo's are of any kind
                raise
            log.info("lost the other processes", exc_info=error)
            raise PeerError(
                f"process {self.rank} of {self.size} lost the others",
                "what ended the first of them is told there; afterwards go on with --resume",
            ) from error


ALONE = World()
"""One process."""
