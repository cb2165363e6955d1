"""Memory that is used again when nobody holds it any more.

Memory that is new comes from the system page by page, each emptied first: for batches of images
that takes as long as copying them.
"""

from __future__ import annotations

import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

__all__ = ["Lender"]

MOST_KEPT = 2
"""Arrays that wait for their next use; of a loop that works on one and has one made ready."""


class Lender:
    """Lends arrays, and gets their memory back when the last of their views has gone.

    A tensor made from an array, or a slice of one, holds its memory as the array itself does.
    """

    def __init__(self) -> None:
        self._kept: deque[NDArray[np.float32]] = deque(maxlen=MOST_KEPT)

    def empty(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """An array that holds anything; one of another size than before takes no memory over."""
        memory = self._taken(math.prod(shape))
        return np.asarray(_Loan(memory, self._kept)).reshape(shape)

    def _taken(self, size: int) -> NDArray[np.float32]:
        while True:
            try:
                memory = self._kept.pop()  # another thread may be quicker
            except IndexError:
                return np.empty(size, np.float32)
            if memory.size == size:
                return memory


class _Loan:
    """What an array that is lent takes for the owner of its memory; its end gives that back."""

    def __init__(self, memory: NDArray[np.float32], kept: deque[NDArray[np.float32]]) -> None:
        self.__array_interface__ = memory.__array_interface__
        self._memory, self._kept = memory, kept

    def __del__(self) -> None:
        self._kept.append(self._memory)
