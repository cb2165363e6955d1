"""Momentum contrast, version 2 (He et al. 2020; Chen et al. 2020), in the papers' order."""

from __future__ import annotations

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photoz_ssl.networks.batchnorm import group_batchnorm, set_groups
from photoz_ssl.networks.encoder import Encoder
from photoz_ssl.networks.ranks import ALONE, World

__all__ = ["MomentumContrast", "enqueue", "info_nce_logits", "projector", "update_momentum"]


def projector(feature_size: int, projection_size: int) -> nn.Sequential:
    """The MLP head that is thrown away after pretraining."""
    return nn.Sequential(
        nn.Linear(feature_size, feature_size),
        nn.ReLU(inplace=True),
        nn.Linear(feature_size, projection_size),
    )


@torch.no_grad()
def update_momentum(query_network: nn.Module, key_network: nn.Module, momentum: float) -> None:
    """theta_k <- m theta_k + (1 - m) theta_q (He et al. 2020, equation 2)."""
    keys: list[Tensor] = list(key_network.parameters())
    queries: list[Tensor] = list(query_network.parameters())
    torch._foreach_lerp_(keys, queries, 1 - momentum)  # all at once: a GPU is not kept waiting


@torch.no_grad()
def enqueue(queue: Tensor, pointer: Tensor, keys: Tensor) -> None:
    """Put keys, shape (n, d), over the oldest ones of a queue, shape (size, d), in order.

    ``pointer``, a scalar, is where the next key goes; both are changed in place. Of more
    keys than the queue holds, the last are kept.
    """
    size = len(queue)
    place = (pointer + torch.arange(len(keys), device=queue.device)) % size
    queue[place[-size:]] = keys[-size:]
    pointer.copy_((pointer + len(keys)) % size)


def info_nce_logits(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Similarities of each query to its own key, first, and to the queue's.

    Parameters
    ----------
    query, key : Tensor, shape (n, d)
        Unit vectors.
    queue : Tensor, shape (size, d)
        Unit vectors.
    temperature : float
        Divides the similarities.

    Returns
    -------
    Tensor, shape (n, 1 + size)
        InfoNCE is their cross-entropy with class 0.
    """
    positive = (query * key).sum(dim=1, keepdim=True)  # (n, 1)
    negative = query @ queue.T  # (n, size)
    return torch.cat([positive, negative], dim=1) / temperature


class MomentumContrast(nn.Module):
    """Query and key networks and the queue of past keys.

    Parameters
    ----------
    encoder : Encoder
        The query encoder; the key encoder starts as its copy.
    projection_size : int
        Length of the contrasted vectors.
    queue_size : int
        Keys that the queue keeps.
    key_momentum : float
        m of the key network's update.
    temperature : float
        Of InfoNCE.
    batchnorm_groups : int
        Into how many parts a shuffled batch of keys is cut, so that BatchNorm cannot tell
        which key belongs to which query (He et al. 2020, section 3.3). Each of several
        processes cuts its own, so that there are at least as many parts as processes.
    seed : int
        Of the projector's weights and the queue's first keys.
    """

    queue: Tensor
    pointer: Tensor

    def __init__(
        self,
        encoder: Encoder,
        *,
        projection_size: int,
        queue_size: int,
        key_momentum: float,
        temperature: float,
        batchnorm_groups: int,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.key_momentum = key_momentum
        self.temperature = temperature
        self.batchnorm_groups = batchnorm_groups
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.query_network = nn.Sequential(
                encoder, projector(encoder.feature_size, projection_size)
            )
            first_keys = F.normalize(torch.randn(queue_size, projection_size), dim=1)
        self.key_network = copy.deepcopy(self.query_network).requires_grad_(False)
        group_batchnorm(self.key_network)
        self.register_buffer("queue", first_keys)
        self.register_buffer("pointer", torch.zeros((), dtype=torch.int64))

    def forward(
        self, query_view: Tensor, key_view: Tensor, order: Tensor, world: World = ALONE
    ) -> tuple[Tensor, Tensor]:
        """One step's InfoNCE logits; the key network and the queue move on.

        Parameters
        ----------
        query_view, key_view : Tensor, shape (n, bands, 64, 64)
            Two views of the same galaxies: this process's part of the batch.
        order : Tensor, shape (n_all,), int64
            The permutation by which the keys of the whole batch are shuffled before they
            are cut into groups; the same on every process.
        world : World
            The processes among which the batch is split.

        Returns
        -------
        logits : Tensor, shape (n, 1 + queue_size)
            See `info_nce_logits`.
        query : Tensor, shape (n, projection_size)
            Unit vectors.
        """
        query = F.normalize(self.query_network(query_view), dim=1)  # (n, d)
        update_momentum(self.query_network, self.key_network, self.key_momentum)
        keys = self.keys(key_view, order, world)  # (n_all, d)
        key = keys[world.part(len(keys))]  # (n, d)
        # The queue changes below, and the loss's gradient needs it as it was.
        logits = info_nce_logits(query, key, self.queue.clone(), self.temperature)
        enqueue(self.queue, self.pointer, keys)
        return logits, query

    @torch.no_grad()
    def keys(self, view: Tensor, order: Tensor, world: World = ALONE) -> Tensor:
        """Unit vectors, shape (n_all, d), of all views, with BatchNorm split into groups.

        The views are shuffled across the processes (He et al. 2020, section 3.3), and each
        encodes another part than it has the queries of.
        """
        shuffled = world.gather(view)[order]  # (n_all, bands, 64, 64)
        own = shuffled[world.part(len(order))].contiguous(memory_format=torch.channels_last)
        set_groups(self.key_network, math.ceil(self.batchnorm_groups / world.size))
        encoded = self.key_network(own)  # (n, d)
        keys = world.gather(encoded)[torch.argsort(order)]  # (n_all, d)
        return F.normalize(keys, dim=1).to(self.queue.dtype)
