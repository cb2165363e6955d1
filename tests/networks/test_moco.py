"""Momentum contrast: its laws, and small cases by hand."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from photoz_ssl.networks.encoder import PRESETS, build_encoder
from photoz_ssl.networks.moco import (
    MomentumContrast,
    enqueue,
    info_nce_logits,
    update_momentum,
)

TINY = replace(PRESETS["resnet18-compact"], width=0.125)


def network(groups: int = 2, momentum: float = 0.9) -> MomentumContrast:
    return MomentumContrast(
        build_encoder(TINY),
        projection_size=8,
        queue_size=12,
        key_momentum=momentum,
        temperature=0.1,
        batchnorm_groups=groups,
    )


def test_info_nce_by_hand() -> None:
    query, key = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8]])
    queue = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    logits = info_nce_logits(query, key, queue, 0.5)
    torch.testing.assert_close(logits, torch.tensor([[1.2, 0.0, -2.0]]))
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor([0]))
    expected = -math.log(math.exp(1.2) / (math.exp(1.2) + 1 + math.exp(-2)))
    assert float(loss) == pytest.approx(expected)


def test_the_queue_keeps_the_last_keys_in_order() -> None:
    queue, pointer = torch.zeros(5, 1), torch.zeros((), dtype=torch.int64)
    numbers = torch.arange(1.0, 9.0)[:, None]
    enqueue(queue, pointer, numbers[:3])
    assert queue.ravel().tolist() == [1, 2, 3, 0, 0]
    enqueue(queue, pointer, numbers[3:7])
    assert queue.ravel().tolist() == [6, 7, 3, 4, 5]
    assert int(pointer) == 2
    enqueue(queue, pointer, torch.arange(10.0, 22.0)[:, None])
    assert sorted(queue.ravel().tolist()) == [17, 18, 19, 20, 21]
    assert queue[int(pointer) - 1].item() == 21


@pytest.mark.parametrize("momentum", [0.0, 0.75, 1.0])
def test_momentum_mixes_key_and_query_weights(momentum: float) -> None:
    query, key = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    before = copy.deepcopy(key)
    update_momentum(query, key, momentum)
    expected = momentum * before.weight + (1 - momentum) * query.weight
    torch.testing.assert_close(key.weight, expected)


def test_keys_have_no_gradient_and_the_queue_moves_on() -> None:
    moco = network().train()
    views = torch.randn(2, 6, 5, 64, 64)
    before = moco.queue.clone()
    logits, query = moco(views[0], views[1], torch.randperm(6))
    assert logits.shape == (6, 13)
    logits.sum().backward()
    assert all(weights.grad is None for weights in moco.key_network.parameters())
    assert all(weights.grad is not None for weights in moco.query_network.parameters())
    torch.testing.assert_close(query.norm(dim=1), torch.ones(6))
    torch.testing.assert_close(moco.queue.norm(dim=1), torch.ones(12))
    assert not torch.equal(moco.queue[:6], before[:6])
    assert torch.equal(moco.queue[6:], before[6:])


def keys(moco: MomentumContrast, images: Tensor, order: Tensor) -> Tensor:
    return copy.deepcopy(moco).train().keys(images, order)


def test_one_group_makes_the_shuffle_invisible() -> None:
    moco, images = network(groups=1), torch.randn(6, 5, 64, 64)
    plain = keys(moco, images, torch.arange(6))
    torch.testing.assert_close(keys(moco, images, torch.randperm(6)), plain, atol=1e-4, rtol=1e-3)


def test_batchnorm_sees_only_its_own_group() -> None:
    moco, images = network(groups=2), torch.randn(6, 5, 64, 64)
    order = torch.tensor([4, 0, 2, 1, 5, 3])
    found = keys(moco, images, order)
    alone = keys(network(groups=1), images[[0, 2, 4]], torch.arange(3))
    torch.testing.assert_close(found[[0, 2, 4]], alone, atol=1e-4, rtol=1e-3)
    assert not torch.allclose(found, keys(network(groups=1), images, order), atol=1e-2)
