"""What runs a network: it takes batches of images, and gives what comes of them when asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from photoz_ssl.later import Later

__all__ = ["Batches", "Engine", "filled_up"]

Batches = Iterable[Tensor]
"""Of dereddened images, shape (n, bands, 64, 64) each."""

Engine = Callable[[Batches], Later[NDArray[np.float32]]]
"""Batches of images to what a network makes of all of them, shape (n, ...)."""


def filled_up(images: Tensor, least: int) -> Tensor:
    """A batch of at least so many images; those that it lacks are zeros, and come last."""
    n_missing = least - len(images)
    return F.pad(images, (0, 0, 0, 0, 0, 0, 0, n_missing)) if n_missing > 0 else images
