"""What runs a network: it takes batches of images, and gives what comes of them when asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from photoz_ssl.later import Later

__all__ = ["Batches", "Engine"]

Batches = Iterable[Tensor]
"""Of dereddened images, shape (n, bands, 64, 64) each."""

Engine = Callable[[Batches], Later[NDArray[np.float32]]]
"""Batches of images to what a network makes of all of them, shape (n, ...)."""
