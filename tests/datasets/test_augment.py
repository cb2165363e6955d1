"""Views: each operation against what it should be, by law or by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Generator, Tensor

from photoz_ssl.datasets.augment import (
    add_noise,
    band_mad,
    centre_crop,
    deredden,
    finetuning_view,
    prediction_view,
    pretraining_view,
    redden,
    transform_and_crop,
)

SIZES = (64, 107, 108)


def images(size: int = 107, n: int = 3) -> Tensor:
    return torch.randn(n, 5, size, size, generator=Generator().manual_seed(1))


def transformed(
    stamps: Tensor, angle: float = 0, flip: bool = False, shift: tuple[int, int] = (0, 0)
) -> Tensor:
    n = len(stamps)
    return transform_and_crop(
        stamps, torch.full((n,), angle), torch.full((n,), flip), torch.tensor([shift] * n).float()
    )


def test_no_dust_is_the_identity() -> None:
    stamps = images()
    torch.testing.assert_close(deredden(stamps, torch.zeros(3)), stamps)


def test_reddening_undoes_dereddening() -> None:
    stamps, ebv = images(), torch.tensor([0.01, 0.2, 1.0])
    torch.testing.assert_close(redden(deredden(stamps, ebv), ebv), stamps)


def test_dereddening_by_hand() -> None:
    flux = deredden(torch.ones(1, 5, 1, 1), torch.tensor([0.1])).ravel()
    expected = [10 ** (0.4 * 0.1 * r) for r in (4.239, 3.303, 2.285, 1.698, 1.263)]
    torch.testing.assert_close(flux, torch.tensor(expected))


@pytest.mark.parametrize("size", SIZES)
def test_the_crop_is_about_pixel_half_the_size(size: int) -> None:
    stamps = torch.zeros(1, 5, size, size)
    stamps[..., size // 2, size // 2] = 1
    crop = centre_crop(stamps)
    assert crop.shape[-2:] == (64, 64)
    assert torch.all(crop[..., 32, 32] == 1)


@pytest.mark.parametrize("size", SIZES)
def test_no_transformation_is_the_centre_crop(size: int) -> None:
    stamps = images(size)
    torch.testing.assert_close(transformed(stamps), centre_crop(stamps), atol=2e-4, rtol=0)


def test_a_right_angle_turns_the_pixels() -> None:
    stamps = images()
    turned = centre_crop(torch.rot90(stamps, 1, (2, 3)))
    torch.testing.assert_close(transformed(stamps, math.pi / 2), turned, atol=5e-4, rtol=0)


def test_a_flip_mirrors_x() -> None:
    stamps = images()
    mirrored = centre_crop(torch.flip(stamps, [3]))
    torch.testing.assert_close(transformed(stamps, flip=True), mirrored, atol=2e-4, rtol=0)


@pytest.mark.parametrize("shift", [(3, 0), (0, -7), (-2, 5)])
def test_a_shift_moves_the_galaxy(shift: tuple[int, int]) -> None:
    stamps = torch.zeros(1, 5, 107, 107)
    stamps[..., 53, 53] = 1
    view = transformed(stamps, angle=0.7, shift=shift)
    place = int(view[0, 0].argmax())
    assert (place % 64 - 32, place // 64 - 32) == shift


def test_a_rotation_agrees_with_scipys() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    y, x = torch.meshgrid(torch.arange(107.0) - 53, torch.arange(107.0) - 53, indexing="ij")
    stamp = torch.exp(-(((x - 5) / 9) ** 2) - ((y + 3) / 5) ** 2)
    view = transformed(stamp.expand(1, 5, 107, 107), angle=math.radians(33))[0, 0]
    turned = ndimage.rotate(stamp.numpy(), 33, reshape=False, order=1)
    torch.testing.assert_close(
        view, torch.from_numpy(turned[21:85, 21:85].copy()), atol=2e-3, rtol=0
    )


def test_rotation_never_sees_a_corner_of_a_stored_stamp() -> None:
    stamps = torch.ones(40, 5, 107, 107)
    generator = Generator().manual_seed(5)
    view = finetuning_view(stamps, torch.zeros(40), generator, max_shift=0)
    torch.testing.assert_close(view, torch.ones_like(view))


def test_noise_has_the_stated_deviation() -> None:
    sigma = torch.tensor([[0.1, 1, 2, 3, 4], [0, 0, 0, 0, 0]])
    noise = add_noise(torch.zeros(2, 5, 64, 64), sigma, Generator().manual_seed(2))
    torch.testing.assert_close(noise[0].std(dim=(1, 2)), sigma[0], rtol=0.05, atol=0)
    assert torch.all(noise[1] == 0)


def test_mad_of_gaussian_pixels() -> None:
    scale = torch.tensor([1.0, 2, 3, 4, 5])[:, None, None]
    mad = band_mad(7 + scale * images(64, 20))
    torch.testing.assert_close(mad * 1.4826, scale.ravel(), rtol=0.03, atol=0)


def pretraining(seed: int, stamps: Tensor, reddening: float = 0.5) -> Tensor:
    return pretraining_view(
        stamps,
        torch.full((len(stamps),), 0.1),
        torch.full((5,), 0.01),
        Generator().manual_seed(seed),
        max_reddening=reddening,
        max_shift=7,
        noise_range=(1.0, 3.0),
    )


def test_the_seed_decides_a_view() -> None:
    stamps = images()
    assert torch.equal(pretraining(1, stamps), pretraining(1, stamps))
    assert not torch.equal(pretraining(1, stamps), pretraining(2, stamps))


def test_views_are_reddened_within_the_range() -> None:
    flat = torch.ones(200, 5, 107, 107)
    views = pretraining(3, flat)
    reddening = -2.5 * torch.log10(views[..., 22:42, 22:42].mean(dim=(2, 3)))
    ebv = reddening / torch.tensor([4.239, 3.303, 2.285, 1.698, 1.263])
    ebv = ebv.mean(dim=1) + 0.1
    assert float(ebv.min()) > -0.01
    assert float(ebv.max()) < 0.51
    assert float(ebv.mean()) == pytest.approx(0.25, abs=0.03)


def test_the_prediction_view_is_dereddened_and_central() -> None:
    stamps, ebv = images(), torch.tensor([0.0, 0.1, 0.3])
    torch.testing.assert_close(prediction_view(stamps, ebv), centre_crop(deredden(stamps, ebv)))
