"""PyTorch's engine gives a row an image, whatever the batches."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Generator, Tensor, nn

from photoz_ssl.networks.compilation import IMAGES_WORTH_COMPILING, compile_for_inference
from photoz_ssl.networks.engines.torch_engine import TorchEngine
from tests.fake_gpu import fake_gpu

CPU = torch.device("cpu")


class Sums(nn.Module):
    """Sums of images; it remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: list[tuple[int, ...]] = []
        self.channels_last: list[bool] = []

    def forward(self, images: Tensor) -> Tensor:
        self.shapes.append(tuple(images.shape))
        self.channels_last.append(images.is_contiguous(memory_format=torch.channels_last))
        return images.sum(dim=(2, 3))


def images(n: int) -> Tensor:
    return torch.randn(n, 5, 8, 8, generator=Generator().manual_seed(0))


@pytest.mark.parametrize("images_a_batch", [0, 4])
@pytest.mark.parametrize("sizes", [[4], [4, 3], [1], [2, 4, 1]])
def test_a_row_an_image_in_their_order(images_a_batch: int, sizes: list[int]) -> None:
    network, given = Sums(), images(sum(sizes))
    engine = TorchEngine(network, CPU, images_a_batch=images_a_batch)
    sums = engine(torch.split(given, sizes))()
    np.testing.assert_allclose(sums, given.sum(dim=(2, 3)).numpy(), rtol=1e-5, atol=1e-5)
    assert network.channels_last == [True] * len(sizes)
    assert [shape[0] for shape in network.shapes] == [images_a_batch or size for size in sizes]


@pytest.mark.parametrize(
    ("device", "n_images", "expected"),
    [
        ("cuda", IMAGES_WORTH_COMPILING, True),
        ("cuda", IMAGES_WORTH_COMPILING - 1, False),
        ("cuda", None, False),
        ("cpu", IMAGES_WORTH_COMPILING, False),
    ],
)
def test_a_network_is_compiled_on_a_gpu_for_many_images(
    device: str, n_images: int | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[nn.Module] = []
    monkeypatch.setattr(Sums, "compile", lambda network: compiled.append(network))
    network = Sums()
    place = torch.device(device)
    assert compile_for_inference(network, device=place, n_images=n_images) is expected
    assert compiled == [network] * expected


def test_a_gpu_s_outputs_are_waited_for_and_in_order() -> None:
    given = images(7)
    with fake_gpu() as gpu:
        engine = TorchEngine(Sums(), torch.device("cuda"))
        first, second = engine(torch.split(given[:5], 2)), engine([given[5:]])
        assert gpu.copies == ["to", "to", "to", "from", "to", "from"]
        sums = np.concatenate([first(), second()])
    np.testing.assert_allclose(sums, given.sum(dim=(2, 3)).numpy(), rtol=1e-5, atol=1e-5)


def test_outputs_that_are_asked_for_later_wait_for_no_more_than_their_own_batches() -> None:
    with fake_gpu() as gpu:
        engine = TorchEngine(Sums(), torch.device("cuda"))
        first, _ = engine([images(2)]), engine([images(3)])
        first()
        assert len(gpu.stream.copies) == 1
