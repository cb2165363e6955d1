"""Memory that is lent comes back, but not before the last of its users has gone."""

from __future__ import annotations

import numpy as np
import torch

from photoz_ssl.datasets.lending import MOST_KEPT, Lender

SHAPE = (4, 5, 8, 8)


def test_memory_comes_back_when_nobody_holds_it() -> None:
    lender = Lender()
    first = lender.empty(SHAPE)
    assert (first.shape, first.dtype) == (SHAPE, np.dtype(np.float32))
    assert first.flags.writeable
    place = first.ctypes.data
    del first
    assert lender.empty(SHAPE[::-1]).ctypes.data == place


def test_it_does_not_while_a_part_of_a_tensor_holds_it() -> None:
    lender = Lender()
    held = torch.from_numpy(lender.empty(SHAPE)).permute(3, 0, 1, 2)[2:, 1]
    held.zero_()
    for _ in range(3):
        lender.empty(SHAPE).fill(1)
    assert torch.all(held == 0)


def test_gradients_hold_it_too() -> None:
    lender = Lender()
    factor = torch.ones(SHAPE, requires_grad=True)
    product = factor * torch.from_numpy(lender.empty(SHAPE)).fill_(2)
    lender.empty(SHAPE).fill(1)
    (slope,) = torch.autograd.grad(product.sum(), factor)
    assert torch.all(slope == 2)


def test_another_size_takes_nothing_over_and_little_is_kept() -> None:
    lender = Lender()
    arrays = [lender.empty(SHAPE) for _ in range(MOST_KEPT + 2)]
    places = {array.ctypes.data for array in arrays}
    assert len(places) == len(arrays)
    del arrays
    assert len(lender._kept) == MOST_KEPT
    lender.empty((3,)).fill(0)
    assert [memory.size for memory in lender._kept] == [3]
