"""Momentum contrast: its laws, and small cases by hand."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

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
    loss = F.cross_entropy(logits, torch.tensor([0]))
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


@pytest.mark.parametrize("compiling", [False, True])
@pytest.mark.parametrize("n_groups", [1, 2, 3, 4])
def test_keys_are_those_of_one_group_after_the_other(
    n_groups: int, compiling: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: compiling)
    images = torch.randn(6, 5, 64, 64, generator=Generator().manual_seed(5))
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    together = network(groups=n_groups).train()
    separate = copy.deepcopy(together).key_network
    for _ in range(2):
        groups = [separate(group) for group in images[order].chunk(n_groups)]
        expected = F.normalize(torch.cat(groups)[torch.argsort(order)], dim=1)
        found = together.keys(images, order)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)
    for name, buffer in separate.named_buffers():
        torch.testing.assert_close(buffer, together.key_network.get_buffer(name))


def test_batchnorm_sees_only_its_own_group() -> None:
    moco, images = network(groups=2), torch.randn(6, 5, 64, 64)
    order = torch.tensor([4, 0, 2, 1, 5, 3])
    found = keys(moco, images, order)
    alone = keys(network(groups=1), images[[0, 2, 4]], torch.arange(3))
    torch.testing.assert_close(found[[0, 2, 4]], alone, atol=1e-4, rtol=1e-3)
    assert not torch.allclose(found, keys(network(groups=1), images, order), atol=1e-2)


def test_info_nce_and_the_queue_are_lightlys() -> None:
    losses = pytest.importorskip("lightly.loss")
    generator = torch.Generator().manual_seed(3)
    criterion = losses.NTXentLoss(temperature=0.1, memory_bank_size=(12, 8))
    queue, pointer = criterion.memory_bank.bank.clone(), torch.zeros((), dtype=torch.int64)
    for _ in range(7):  # the queue is full after three batches, and full again after six
        query, key = F.normalize(torch.randn(2, 4, 8, generator=generator), dim=2)
        theirs = criterion(query.requires_grad_(), key)
        logits = info_nce_logits(query, key, queue.clone(), 0.1)
        ours = F.cross_entropy(logits, torch.zeros(4, dtype=torch.int64))
        torch.testing.assert_close(ours, theirs)
        enqueue(queue, pointer, key)
        torch.testing.assert_close(queue, criterion.memory_bank.bank)
        assert int(pointer) == int(criterion.memory_bank.bank_ptr)


def test_the_momentum_update_is_lightlys() -> None:
    utils = pytest.importorskip("lightly.models.utils")
    query, ours = build_encoder(TINY, seed=1), build_encoder(TINY, seed=2)
    theirs = copy.deepcopy(ours)
    update_momentum(query, ours, 0.99)
    utils.update_momentum(query, theirs, 0.99)
    for found, expected in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(found, expected)


def test_whole_steps_of_momentum_contrast_are_lightlys() -> None:
    utils = pytest.importorskip("lightly.models.utils")
    losses = pytest.importorskip("lightly.loss")
    moco = network(groups=1).train()
    query_network, key_network = (copy.deepcopy(moco.query_network) for _ in range(2))
    utils.deactivate_requires_grad(key_network)
    criterion = losses.NTXentLoss(temperature=0.1, memory_bank_size=(12, 8))
    criterion.memory_bank.bank = moco.queue.clone()
    ours = torch.optim.SGD(moco.query_network.parameters(), lr=0.05, momentum=0.9)
    theirs = torch.optim.SGD(query_network.parameters(), lr=0.05, momentum=0.9)
    for views in torch.randn(4, 2, 4, 5, 64, 64, generator=torch.Generator().manual_seed(1)):
        logits, _ = moco(views[0], views[1], torch.arange(4))
        our_loss = F.cross_entropy(logits, torch.zeros(4, dtype=torch.int64))
        utils.update_momentum(query_network, key_network, 0.9)
        their_loss = criterion(query_network(views[0]), key_network(views[1]).detach())
        torch.testing.assert_close(our_loss, their_loss, atol=1e-4, rtol=1e-4)
        for optimizer, loss in ((ours, our_loss), (theirs, their_loss)):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    torch.testing.assert_close(moco.queue, criterion.memory_bank.bank, atol=1e-4, rtol=1e-3)
