"""Training on several processes: who started them, where they meet, how gradients are shared.

Each process works on its part of every batch, under PyTorch's DistributedDataParallel.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from photoz_ssl.datasets.parts import Share
from photoz_ssl.errors import ConfigError, PeerError, PhotozError
from photoz_ssl.networks.ranks import World
from photoz_ssl.networks.runtimes import choose_device
from photoz_ssl.progress import Stopped

__all__ = ["Launch", "join_world", "launched", "require_equal_parts", "share_of", "synchronised"]

log = logging.getLogger(__name__)

TORCHRUN = frozenset({"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"})
SRUN = frozenset({"SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID", "SLURM_STEP_ID"})
"""Of a step; a batch script and a shell of salloc know the number of tasks, and are none."""

FIRST_PORT, N_PORTS = 20_000, 12_000
"""Ports to meet at under SLURM: below those that systems give away by themselves."""

PATIENCE = timedelta(minutes=10)
"""How long processes wait for each other before they give up."""

SECONDS_UNTOLD = 15
"""Of waiting for the others to come, until it is told."""

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
"""By which somebody ends a program that waits."""


@dataclass(frozen=True)
class Launch:
    """How this process was started among others.

    Parameters
    ----------
    rank, size, local_rank : int
        Its number, the number of processes, and its number on this node.
    meeting : str
        Where they meet, as an ``init_method`` of torch.distributed.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    meeting: str = ""


def launched(environ: Mapping[str, str] = os.environ) -> Launch:
    """How ``torchrun`` or ``srun`` started this process; alone if neither did.

    Parameters
    ----------
    environ : mapping of str to str
        Environment variables.
    """
    if environ.keys() >= TORCHRUN:
        rank, size = int(environ["RANK"]), int(environ["WORLD_SIZE"])
        return Launch(rank, size, int(environ.get("LOCAL_RANK", rank)), "env://")
    if environ.keys() >= SRUN:
        return Launch(
            int(environ["SLURM_PROCID"]),
            int(environ.get("SLURM_STEP_NUM_TASKS", environ["SLURM_NTASKS"])),
            int(environ["SLURM_LOCALID"]),
            f"tcp://{_slurm_host(environ)}:{_slurm_port(environ)}",
        )
    return Launch()


def _slurm_host(environ: Mapping[str, str]) -> str:
    """The first node of a list such as ``gpu[003-005,7],login1``, unless one is named."""
    nodes = environ.get("SLURM_STEP_NODELIST", environ.get("SLURM_JOB_NODELIST", "127.0.0.1"))
    first = re.sub(r"\[([^\],-]*)[^\]]*\]", r"\1", nodes).partition(",")[0]
    return environ.get("MASTER_ADDR", first)


def _slurm_port(environ: Mapping[str, str]) -> str:
    """A port that all tasks of a step derive from its number, unless one is named."""
    job, step = (int(environ.get(name, "0")) for name in ("SLURM_JOB_ID", "SLURM_STEP_ID"))
    return environ.get("MASTER_PORT", str(FIRST_PORT + (31 * job + step) % N_PORTS))


@contextmanager
def join_world(device: str) -> Iterator[World]:
    """Meet the other processes that were started together with this one, if there are any.

    Parameters
    ----------
    device : {'auto', 'cpu', 'cuda'}
        Where to compute: NCCL connects GPUs, gloo CPUs. Each process of a node takes its
        own GPU.

    Yields
    ------
    World
        Of the processes; inert where this one is alone.

    Raises
    ------
    photoz_ssl.errors.ConfigError
        If this node does not know where they are to meet.
    photoz_ssl.errors.PeerError
        If they do not come together within ten minutes.
    """
    launch, place = launched(), choose_device(device)
    if launch.size == 1:
        yield World(device=place)
        return
    if place.type == "cuda":
        place = torch.device("cuda", launch.local_rank % torch.cuda.device_count())
        torch.cuda.set_device(place)
    world = World(launch.rank, launch.size, place)
    _meet(launch, world)
    try:
        yield world
    except (PhotozError, Stopped) as end:
        if not isinstance(end, PeerError):  # an orderly end takes all of them
            _leave()
        raise
    _leave()


_left: list[object] = []
"""Groups that this process has left, kept until it joins another or ends.

What averages gradients, in C++, is often the last that knows its group, and it lets go of it
with Python's lock held: the group would then wait for a thread that may wait for that lock, for
ever (https://github.com/pytorch/pytorch/issues/56297).
"""
atexit.register(_left.clear)


def _leave() -> None:
    """End this process's part in the group of all."""
    _left.append(dist.group.WORLD)
    dist.destroy_process_group()


def _meet(launch: Launch, world: World) -> None:
    on_gpu = world.device.type == "cuda"
    _require_address(launch.meeting)
    _left.clear()  # the last one holds the port at which the next would meet
    with world.peers(), _signals_of_the_system(), _told_of_waiting(launch):
        dist.init_process_group(
            "nccl" if on_gpu else "gloo",
            init_method=launch.meeting,
            rank=launch.rank,
            world_size=launch.size,
            timeout=PATIENCE,
            device_id=world.device if on_gpu else None,
        )
        dist.barrier()  # they meet at the first of them, which may not end before all have met


@contextmanager
def _signals_of_the_system() -> Iterator[None]:
    """Let a signal end this process at once: while torch waits, Python heeds none.

    Nothing has been begun yet that could be lost.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python lets no other thread set them
        return
    numbers = (getattr(signal, name) for name in SIGNALS if hasattr(signal, name))
    heeded = [number for number in numbers if callable(signal.getsignal(number))]
    before = {number: signal.signal(number, signal.SIG_DFL) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _told_of_waiting(launch: Launch) -> Iterator[None]:
    """Say after a while for whom this process waits, and where."""
    met_at = urlsplit(launch.meeting).netloc or ":".join(
        os.environ.get(name, "") for name in ("MASTER_ADDR", "MASTER_PORT")
    )
    words = "process %d of %d waits at %s for the others to be started"
    teller = threading.Timer(SECONDS_UNTOLD, log.warning, (words, launch.rank, launch.size, met_at))
    teller.daemon = True
    teller.start()
    try:
        yield
    finally:
        teller.cancel()


def _require_address(meeting: str) -> None:
    """Refuse a node that has no address here, for which torch would look for ten minutes."""
    host = urlsplit(meeting).hostname
    try:
        if host is not None:
            socket.getaddrinfo(host, None)
    except socket.gaierror as error:
        if error.errno != socket.EAI_NONAME:
            return  # it may come
        raise ConfigError(
            f"the processes are to meet on {host}, a name that is not known here",
            "set MASTER_ADDR to an address of the job's first node",
        ) from error


def synchronised(network: nn.Module, world: World) -> nn.Module:
    """The network as one whose gradients are averaged over the processes.

    Weights are the same everywhere at any time. BatchNorm's running statistics are not:
    those of rank 0 are saved, as in He et al. (2020)'s code.
    """
    if world.size == 1:
        return network
    with world.peers():
        learner = DistributedDataParallel(network)
    learner.broadcast_buffers = False  # an argument of this name, torch warns, is given up
    return learner


def share_of(n: int, world: World) -> Share:
    """Where the n galaxies at hand are in the batch of all processes."""
    return Share(n * world.size, world.part(n * world.size))


def require_equal_parts(batch_size: int, n_processes: int) -> None:
    """Refuse a batch that does not split evenly.

    Raises
    ------
    ConfigError
        If it does not.
    """
    if batch_size % n_processes:
        raise ConfigError(
            f"--batch-size {batch_size} cannot be split evenly over {n_processes} processes",
            f"make it a multiple of {n_processes}",
        )
