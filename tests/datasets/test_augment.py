"""Views: each operation against what it should be, by law or by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from photoz_ssl.datasets import augment
from photoz_ssl.datasets.augment import (
    band_mad,
    centre_crop,
    deredden,
    dihedral_view,
    finetuning_view,
    prediction_view,
    pretraining_views,
    redden,
    standard_normal,
    transform_and_crop,
)
from photoz_ssl.datasets.compiled_views import has_numba
from photoz_ssl.datasets.parts import Share, whole_batch

SIZES = (64, 107, 108)

THE_NAN = torch.tensor([[0, 0, 2], [1, 0, 2]])
"""View, galaxy and band of a pixel that is not a number."""


def images(size: int = 107, n: int = 3) -> Tensor:
    return torch.randn(n, 5, size, size, generator=Generator().manual_seed(1))


def transformed(
    stamps: Tensor, angle: float = 0, flip: bool = False, shift: Sequence[int] = (0, 0)
) -> Tensor:
    n = len(stamps)
    return transform_and_crop(
        stamps,
        torch.full((n,), float(angle)),
        torch.full((n,), flip),
        torch.tensor([list(shift)] * n),
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


def test_reddening_by_hand() -> None:
    """E(B-V) = 0.3 dims u by 0.4 x 4.239 x 0.3 = 0.50868 dex, and z by 0.15156 dex."""
    flux = redden(torch.full((1, 5, 2, 2), 100.0), torch.tensor([0.3]))[0, :, 1, 0]
    expected = torch.tensor([30.9970, 40.1458, 53.1863, 62.5518, 70.5407])
    torch.testing.assert_close(flux, expected, atol=2e-3, rtol=0)


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


@pytest.mark.parametrize("size", SIZES)
def test_the_whole_geometry_agrees_with_scipys(size: int) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    random = np.random.default_rng(size)
    stamp = random.normal(size=(size, size)).astype(np.float32)
    for angle, flip, shift in zip(
        random.uniform(0, 2 * np.pi, 6),
        (False, True) * 3,
        random.integers(-7, 8, (6, 2)).tolist(),
        strict=True,
    ):
        ours = transformed(torch.from_numpy(stamp).expand(1, 5, size, size), angle, flip, shift)
        cos, sin, mirror = np.cos(angle), np.sin(angle), -1 if flip else 1
        matrix = np.array([[cos, sin * mirror], [-sin, cos * mirror]])  # (y, x) of view to stamp
        galaxy = 32 + np.array(shift[::-1])
        theirs = ndimage.affine_transform(
            stamp,
            matrix,
            offset=size // 2 - matrix @ galaxy,
            output_shape=(64, 64),
            order=1,
            mode="grid-constant",
        )
        np.testing.assert_allclose(ours[0, 0].numpy(), theirs, atol=1e-3)


def test_a_networks_precision_does_not_reach_the_geometry() -> None:
    stamps = images()
    exact = transformed(stamps, 0.7, shift=(3, -2))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(transformed(stamps, 0.7, shift=(3, -2)), exact)


def test_rotation_never_sees_a_corner_of_a_stored_stamp() -> None:
    stamps = torch.ones(40, 5, 107, 107)
    generator = Generator().manual_seed(5)
    view = finetuning_view(stamps, torch.zeros(40), generator, max_shift=0)
    torch.testing.assert_close(view, torch.ones_like(view))


@pytest.mark.parametrize("count", [400_000, 400_003])
def test_normal_deviates_are_normal(count: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    drawn = standard_normal((count,), Generator().manual_seed(4))
    assert drawn.shape == (count,)
    assert stats.kstest(drawn.numpy(), "norm").pvalue > 0.01
    assert float(drawn.abs().max()) == pytest.approx(4.3, abs=0.2)
    neighbours = torch.corrcoef(torch.stack([drawn[:-1], drawn[1:]]))[0, 1]
    assert abs(float(neighbours)) < 4 / math.sqrt(count)


def test_mad_of_gaussian_pixels() -> None:
    scale = torch.tensor([1.0, 2, 3, 4, 5])[:, None, None]
    mad = band_mad(7 + scale * images(64, 20))
    torch.testing.assert_close(mad * 1.4826, scale.ravel(), rtol=0.03, atol=0)


def pretraining(
    seed: int,
    stamps: Tensor,
    mad: Tensor | None = None,
    share: Share | None = None,
    noise_range: tuple[float, float] = (1.0, 3.0),
) -> Tensor:
    return pretraining_views(
        stamps,
        torch.full((len(stamps),), 0.1),
        torch.full((5,), 0.01) if mad is None else mad,
        Generator().manual_seed(seed),
        max_reddening=0.5,
        max_shift=7,
        noise_range=noise_range,
        share=share,
    )


@pytest.fixture(params=[True, False], ids=["numba", "PyTorch"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param and not has_numba():
        pytest.skip("numba (extra [cpu]) is not installed")
    monkeypatch.setattr(augment, "has_numba", lambda: request.param)


@pytest.mark.skipif(not has_numba(), reason="numba (extra [cpu]) is not installed")
@pytest.mark.parametrize("size", SIZES)
def test_compiled_views_are_those_of_pytorch(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a view reaches beyond its stamp, and of a batch that is shared."""
    stamps, share = images(size, 20)[3:14].mT, Share(20, slice(3, 14))
    compiled = pretraining(1, stamps, share=share)
    monkeypatch.setattr(augment, "has_numba", lambda: False)
    torch.testing.assert_close(compiled, pretraining(1, stamps, share=share), atol=2e-4, rtol=0)


@pytest.mark.usefixtures("either_way")
def test_noise_has_the_stated_deviation() -> None:
    mad = torch.tensor([0.1, 1.0, 2.0, 3.0, 0.0])
    views = pretraining(2, torch.zeros(2, 5, 107, 107), mad=mad, noise_range=(1.5, 1.5))
    expected = (1.5 * mad).expand(2, 2, 5)
    torch.testing.assert_close(views.std(dim=(3, 4)), expected, rtol=0.05, atol=0)


@pytest.mark.usefixtures("either_way")
def test_noise_is_of_the_stated_range_and_what_is_not_a_number_stays_so() -> None:
    stamps = torch.zeros(20, 5, 107, 107)
    stamps[0, 2, 53, 53] = torch.nan
    mad = torch.tensor([0.1, 1.0, 2.0, 3.0, 0.0])
    views = pretraining(2, stamps, mad=mad)
    assert torch.equal(views.isnan().flatten(3).any(dim=3).nonzero(), THE_NAN)
    spread = views[:, 1:].std(dim=(3, 4))
    assert torch.all(spread <= 3.1 * mad)
    assert torch.all(spread >= 0.95 * mad)
    assert torch.all(views[:, :, 4] == 0)


@pytest.mark.usefixtures("either_way")
def test_the_seed_decides_the_views_and_no_two_are_alike() -> None:
    stamps = images()
    views = pretraining(1, stamps)
    assert views.shape == (2, 3, 5, 64, 64)
    assert torch.equal(views, pretraining(1, stamps))
    assert not torch.equal(views[0], views[1])
    assert not torch.equal(views, pretraining(2, stamps))


@pytest.mark.usefixtures("either_way")
def test_the_number_of_threads_does_not_change_a_view() -> None:
    stamps, before = images(n=19), torch.get_num_threads()
    try:
        views = []
        for n_threads in (1, 3):
            torch.set_num_threads(n_threads)
            views.append(pretraining(1, stamps))
            assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*views)


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("size", [2, 5])
def test_views_of_parts_of_a_batch_are_those_of_the_batch(size: int) -> None:
    stamps, n = images(n=20), 20 // size
    whole = pretraining(1, stamps)
    seen = finetuning_view(stamps, torch.zeros(20), Generator().manual_seed(1), max_shift=7)
    for own in (slice(start, start + n) for start in range(0, 20, n)):
        share = Share(20, own)
        assert torch.equal(pretraining(1, stamps[own], share=share), whole[:, own])
        generator = Generator().manual_seed(1)
        view = finetuning_view(stamps[own], torch.zeros(n), generator, max_shift=7, share=share)
        assert torch.equal(view, seen[own])


@pytest.mark.usefixtures("either_way")
def test_views_are_reddened_within_the_range() -> None:
    flat = torch.ones(100, 5, 107, 107)
    views = pretraining(3, flat).flatten(0, 1)
    reddening = -2.5 * torch.log10(views[..., 22:42, 22:42].mean(dim=(2, 3)))
    ebv = reddening / torch.tensor([4.239, 3.303, 2.285, 1.698, 1.263])
    ebv = ebv.mean(dim=1) + 0.1
    assert float(ebv.min()) > -0.01
    assert float(ebv.max()) < 0.51
    assert float(ebv.mean()) == pytest.approx(0.25, abs=0.03)


def handedness(views: Tensor) -> Tensor:
    """On which side of the bright star the faint one lies as seen from the centre: -1 or 1."""
    places = [int(band.argmax()) for view in views for band in view[:2]]
    place = torch.tensor(places).reshape(-1, 2)
    (bright_x, faint_x), (bright_y, faint_y) = (place % 64 - 32).T, (place // 64 - 32).T
    return torch.sign(bright_x * faint_y - bright_y * faint_x)


@pytest.mark.parametrize(("mirror", "found"), [(True, {-1, 1}), (False, {1})])
def test_views_are_mirrored_only_if_they_may_be(mirror: bool, found: set[int]) -> None:
    stamps = torch.zeros(30, 5, 107, 107)
    stamps[:, 0, 53, 53 + 15] = stamps[:, 1, 53 + 15, 53] = 1
    views = finetuning_view(
        stamps, torch.zeros(30), Generator().manual_seed(1), max_shift=0, mirror=mirror
    )
    assert set(handedness(views).tolist()) == found


def test_views_are_turned_by_angles_all_around() -> None:
    share = whole_batch(torch.zeros(4000, 1))
    angle, _, _ = augment._random_geometry(share, 7, True, Generator().manual_seed(1))
    of_quadrants = torch.histc(angle, 4, 0, 2 * math.pi)
    torch.testing.assert_close(of_quadrants, torch.full((4,), 1000.0), atol=150, rtol=0)


def test_the_finetuning_view_is_dereddened() -> None:
    ebv = torch.tensor([0.0, 0.3])
    view = finetuning_view(torch.ones(2, 5, 107, 107), ebv, Generator().manual_seed(1), max_shift=7)
    expected = deredden(torch.ones(2, 5, 1, 1), ebv).expand(-1, -1, 64, 64)
    torch.testing.assert_close(view, expected)


def test_the_prediction_view_is_dereddened_and_central() -> None:
    stamps, ebv = images(), torch.tensor([0.0, 0.1, 0.3])
    torch.testing.assert_close(prediction_view(stamps, ebv), centre_crop(deredden(stamps, ebv)))


def test_the_dihedral_views_are_eight_and_the_same_set_after_a_quarter_turn() -> None:
    images = torch.arange(2 * 5 * 4 * 4, dtype=torch.float32).reshape(2, 5, 4, 4)
    views = {dihedral_view(images, number).numpy().tobytes() for number in range(8)}
    upturned = torch.rot90(images, 1, (2, 3))
    turned = {dihedral_view(upturned, number).numpy().tobytes() for number in range(8)}
    assert len(views) == 8
    assert views == turned
