"""Views of galaxies: one function an operation, each on a whole batch (method section 3).

Images are tensors of shape (n, bands, height, width), nanomaggies; every random draw is
made from a generator that is an argument, so the same seed gives the same views.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from photoz_ssl.datasets.compiled_views import compiled_fill, has_numba
from photoz_ssl.datasets.parts import Part, Share, empty_views, fetched, in_parts, whole_batch
from photoz_ssl.spec import NETWORK_SIZE, network_pixels
from photoz_ssl.survey.bands import R_SF11

__all__ = [
    "band_mad",
    "centre_crop",
    "deredden",
    "dihedral_view",
    "finetuning_view",
    "prediction_view",
    "pretraining_views",
    "redden",
    "standard_normal",
    "transform_and_crop",
]

N_VIEWS = 2
"""Of each galaxy in pretraining: a query and its key."""


def _transmission(images: Tensor, ebv: Tensor) -> Tensor:
    """Share of the light that dust lets through, shape (n, bands, 1, 1).

    In double precision first: a power's last bit depends on how many are taken at a time.
    """
    exponent = -0.4 * ebv.to(torch.float64)[:, None] * _coefficients(images.device)
    return (10**exponent).to(torch.float32)[:, :, None, None]


@lru_cache(maxsize=8)
def _coefficients(device: torch.device) -> Tensor:
    """The bands' A / E(B-V), kept on the device: a copy there would wait for all work on it."""
    return torch.as_tensor(R_SF11, dtype=torch.float64, device=device)


def deredden(images: Tensor, ebv: Tensor) -> Tensor:
    """Take Galactic extinction out: flux x 10^(+0.4 R E) (method section 2).

    Parameters
    ----------
    images : Tensor, shape (n, 5, height, width)
        Nanomaggies.
    ebv : Tensor, shape (n,)
        E(B-V) of SFD, magnitudes.
    """
    return images / _transmission(images, ebv)


def redden(images: Tensor, ebv: Tensor) -> Tensor:
    """Put Galactic extinction in: the inverse of `deredden`."""
    return images * _transmission(images, ebv)


def centre_crop(images: Tensor) -> Tensor:
    """Pixels S // 2 - 32 to S // 2 + 31 of both axes, shape (n, bands, 64, 64)."""
    middle = network_pixels(images.shape[-1])
    return images[..., middle, middle]


def transform_and_crop(images: Tensor, angle: Tensor, flip: Tensor, shift: Tensor) -> Tensor:
    """Rotate, flip, shift and crop in one bilinear resampling with zeros outside.

    The galaxy, which lies on pixel S // 2, lands on pixel ``32 + shift``. With angle 0, no
    flip and shift 0 this is `centre_crop`.

    Parameters
    ----------
    images : Tensor, shape (n, bands, S, S)
        Stamps.
    angle : Tensor, shape (n,)
        Rotation about the galaxy, radians.
    flip : Tensor, shape (n,), bool
        Whether the x axis is mirrored.
    shift : Tensor, shape (n, 2)
        Shift along x and y, pixels.

    Returns
    -------
    Tensor, shape (n, bands, 64, 64)
    """
    return _resample(images, *_grid_axes(angle, flip, shift, images.shape[-1]))


def _grid_axes(angle: Tensor, flip: Tensor, shift: Tensor, stored: int) -> tuple[Tensor, Tensor]:
    """Terms, shape (n, 64), whose sum is where a row's and a column's pixel lies in a stamp.

    Points are complex numbers x + iy: to rotate is to multiply by exp(i angle). Pixel p of a
    side of n pixels has the coordinate (2 p + 1) / n - 1, so that a pixel's step is 2 / n.
    """
    pixel = torch.arange(NETWORK_SIZE, device=angle.device) - NETWORK_SIZE // 2
    turn = torch.polar(torch.full_like(angle, 2 / stored), angle)[:, None]  # (n, 1)
    mirror = (1 - 2 * flip.to(angle.dtype))[:, None]
    centre = (2 * (stored // 2) + 1) / stored - 1
    column = turn * mirror * (pixel - shift[:, :1])
    row = turn * 1j * (pixel - shift[:, 1:]) + complex(centre, centre)
    return row, column


def _resample(images: Tensor, row: Tensor, column: Tensor) -> Tensor:
    """Bilinear values of stamps at the points that `_grid_axes` gives, zeros outside."""
    grid = torch.view_as_real(row[:, :, None] + column[:, None, :])  # (n, 64, 64, 2)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def standard_normal(shape: Sequence[int], generator: Generator) -> Tensor:
    """Normal deviates of mean 0 and variance 1, on the generator's device.

    On a CPU, where drawing them takes longer than all the rest of a view, each is one of
    65,536 equally likely quantiles, the outermost at 4.3: 16 random bits and a look-up.
    """
    if generator.device.type != "cpu":
        return torch.randn(*shape, generator=generator, device=generator.device)
    count = math.prod(shape)
    words = _random_bits(generator).random_raw(-(-count // 4))
    quarters = torch.from_numpy(words.view(np.uint16)[:count])
    return _normal_quantiles().index_select(0, quarters.to(torch.int32)).reshape(*shape)


def _random_bits(generator: Generator) -> np.random.SFC64:
    """Bits by NumPy, as PyTorch's own cost twice as much; a draw of the generator seeds them."""
    return np.random.SFC64(int(torch.randint(2**63 - 1, (), generator=generator)))


@lru_cache(maxsize=1)
def _normal_quantiles() -> Tensor:
    """Quantiles of the normal distribution in the middle of 2**16 equal parts, of variance 1."""
    parts = torch.arange(2**16, dtype=torch.float64)
    quantiles: Tensor = torch.special.ndtri((parts + 0.5) / 2**16)
    return (quantiles / quantiles.std(correction=0)).to(torch.float32)


def band_mad(images: Tensor) -> Tensor:
    """Median absolute deviation of each band's pixels over a sample of images, shape (bands,)."""
    pixels = images.transpose(0, 1).flatten(1)
    centre = pixels.median(dim=1, keepdim=True).values
    return (pixels - centre).abs().median(dim=1).values


def _uniform(shape: int | tuple[int, ...], low: float, high: float, generator: Generator) -> Tensor:
    draw = torch.rand(shape, generator=generator, device=generator.device)
    return low + (high - low) * draw


def _random_geometry(
    share: Share, max_shift: int, mirror: bool, generator: Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """A random angle, flip and shift for each image, as `transform_and_crop` takes them."""
    n, own, device = share.whole, share.own, generator.device
    angle = _uniform(n, 0, 2 * math.pi, generator)
    flip = torch.rand(n, generator=generator, device=device) < (0.5 if mirror else 0.0)
    shift = torch.randint(-max_shift, max_shift + 1, (n, 2), generator=generator, device=device)
    return angle[own], flip[own], shift[own]


def pretraining_views(
    images: Tensor,
    ebv: Tensor,
    mad: Tensor,
    generator: Generator,
    *,
    max_reddening: float,
    max_shift: int,
    noise_range: tuple[float, ...],
    mirror: bool = True,
    share: Share | None = None,
    compiled: bool = True,
) -> Tensor:
    """Random views for MoCo: deredden, redden, rotate, flip, shift, crop, add noise.

    Parameters
    ----------
    images : Tensor, shape (n, 5, S, S)
        Nanomaggies as observed.
    ebv : Tensor, shape (n,)
        E(B-V) of SFD, magnitudes.
    mad : Tensor, shape (5,)
        Each band's median absolute deviation, nanomaggies (`band_mad`).
    generator : Generator
        Source of every draw, on the images' device.
    max_reddening, max_shift, noise_range, mirror
        As in `photoz_ssl.config.PretrainConfig`.
    share : Share, optional
        The batch of which the images are a part; draws are made for all of it.
    compiled : bool
        Whether numba compiles what makes them, on a CPU where it is; see `VIEWS_WORTH_COMPILING`.

    Returns
    -------
    Tensor, shape (2, n, 5, 64, 64)
    """
    share = share or whole_batch(images)
    n, own, stored = share.whole, share.own, images.shape[-1]
    geometry = [_random_geometry(share, max_shift, mirror, generator) for _ in range(N_VIEWS)]
    axes = [_grid_axes(*of_view, stored) for of_view in geometry]
    reddening = _uniform((N_VIEWS, n), 0, max_reddening, generator)[:, own] - ebv
    drawn = _Drawn(
        rows=torch.stack([row for row, _ in axes]),
        columns=torch.stack([column for _, column in axes]),
        dust=torch.stack([_transmission(images, of_view) for of_view in reddening]),
        sigma=_uniform((N_VIEWS, n, 1), noise_range[0], noise_range[1], generator)[:, own] * mad,
    )
    size = (N_VIEWS, len(images), images.shape[1], NETWORK_SIZE, NETWORK_SIZE)
    views = empty_views(images, size)
    fill = drawn.fill
    if compiled and (images.device.type, images.dtype) == ("cpu", torch.float32) and has_numba():
        images, fill = images.contiguous(), drawn.fill_compiled
    in_parts(partial(fill, views, images), images, generator, share)
    return views


@dataclass(frozen=True)
class _Drawn:
    """What has been drawn for the views of a batch.

    Parameters
    ----------
    rows, columns : Tensor, shape (2, n, 64)
        Where their pixels lie; see `_grid_axes`.
    dust : Tensor, shape (2, n, bands, 1, 1)
        Share of the light that is let through.
    sigma : Tensor, shape (2, n, bands)
        Standard deviation of the noise, nanomaggies.
    """

    rows: Tensor
    columns: Tensor
    dust: Tensor
    sigma: Tensor

    def fill(self, views: Tensor, images: Tensor, part: Part, generator: Generator) -> None:
        """Fill a part of the views of images, operation by operation."""
        rows = part.rows
        stamps = fetched(images[rows])
        noise = standard_normal((part.drawn, len(views), *views.shape[2:]), generator)[part.kept]
        for number, view in enumerate(views):
            clean = _resample(stamps, self.rows[number, rows], self.columns[number, rows])
            clean *= self.dust[number, rows]  # the geometry, being linear, may come first
            sigma = self.sigma[number, rows, :, None, None]
            torch.addcmul(clean, noise[:, number], sigma, out=view[rows])

    def fill_compiled(
        self, views: Tensor, images: Tensor, part: Part, generator: Generator
    ) -> None:
        """The same in one pass on a CPU."""
        compiled_fill()(
            views.numpy(),
            images.numpy(),
            (part.rows.start, part.rows.stop, part.kept.start),
            self.rows.numpy(),
            self.columns.numpy(),
            self.dust.flatten(2).numpy(),
            self.sigma.numpy(),
            _random_bits(generator).state["state"]["state"],
            _normal_quantiles().numpy(),
        )


def finetuning_view(
    images: Tensor,
    ebv: Tensor,
    generator: Generator,
    *,
    max_shift: int,
    mirror: bool = True,
    share: Share | None = None,
) -> Tensor:
    """A random view for fine-tuning: deredden, rotate, flip, shift, crop; (n, 5, 64, 64)."""
    share = share or whole_batch(images)
    geometry = _random_geometry(share, max_shift, mirror, generator)
    return deredden(transform_and_crop(images, *geometry), ebv)


def prediction_view(images: Tensor, ebv: Tensor) -> Tensor:
    """The view that redshifts are predicted from: deredden, centre crop; (n, 5, 64, 64).

    On a CPU NumPy multiplies, in one thread: PyTorch's would hold up those of the network.
    """
    view, brightening = centre_crop(images), _transmission(images, -ebv)
    if images.device.type != "cpu":
        return view * brightening
    return torch.from_numpy(np.multiply(view.numpy(), brightening.numpy()))


def dihedral_view(images: Tensor, number: int) -> Tensor:
    """One of the 8 quarter turns and mirror images of square images, (n, bands, size, size)."""
    return torch.rot90(images.flip(-1) if number >= 4 else images, number % 4, (2, 3))
