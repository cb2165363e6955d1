"""BatchNorm in groups is BatchNorm of each group, whichever way it is computed."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from photoz_ssl.networks.batchnorm import group_batchnorm, set_groups


def grouped(n_groups: int) -> nn.Sequential:
    torch.manual_seed(1)
    norm = nn.BatchNorm2d(6).requires_grad_(False)
    norm.weight.uniform_(0.5, 2)
    network = nn.Sequential(norm)
    group_batchnorm(network)
    set_groups(network, n_groups)
    return network


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("n", [8, 7])  # the last of four groups is smaller
def test_without_gradients_it_is_the_same(
    n: int, layout: torch.memory_format, dtype: torch.dtype
) -> None:
    network, images = grouped(4).train(), torch.randn(n, 6, 5, 5, dtype=dtype)
    images = images.contiguous(memory_format=layout)
    other, plain = copy.deepcopy(network), copy.deepcopy(network)
    set_groups(plain, 1)
    with torch.no_grad():
        found = network(images)
    with torch.enable_grad():
        assert torch.equal(found, other(images))
        assert torch.equal(found, torch.cat([plain(part) for part in images.chunk(4)]))
    assert found.dtype == dtype
    assert found.is_contiguous(memory_format=layout)
    for reference in (other, plain):
        for name, value in reference.state_dict().items():
            assert torch.equal(network.state_dict()[name], value), name
    assert network.state_dict()["0.num_batches_tracked"] == 4
