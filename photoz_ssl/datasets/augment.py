"""Views of galaxies: one function an operation, each on a whole batch (method section 3).

Images are tensors of shape (n, bands, height, width), nanomaggies; every random draw is
made from a generator that is an argument, so the same seed gives the same views.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from photoz_ssl.spec import NETWORK_SIZE
from photoz_ssl.survey.bands import R_SF11

__all__ = [
    "MAD_TO_SIGMA",
    "add_noise",
    "band_mad",
    "centre_crop",
    "deredden",
    "finetuning_view",
    "prediction_view",
    "pretraining_view",
    "redden",
    "transform_and_crop",
]

MAD_TO_SIGMA = 1.4826
"""Standard deviation of a Gaussian over its median absolute deviation."""


def _transmission(images: Tensor, ebv: Tensor) -> Tensor:
    """Share of the light that dust lets through, shape (n, bands, 1, 1)."""
    coefficients = torch.as_tensor(R_SF11, dtype=torch.float32, device=images.device)
    return (10 ** (-0.4 * ebv.to(torch.float32)[:, None] * coefficients))[:, :, None, None]


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


def centre_crop(images: Tensor, size: int = NETWORK_SIZE) -> Tensor:
    """Pixels S // 2 - size // 2 onwards of both axes, shape (n, bands, size, size)."""
    first = images.shape[-1] // 2 - size // 2
    return images[..., first : first + size, first : first + size]


def transform_and_crop(
    images: Tensor, angle: Tensor, flip: Tensor, shift: Tensor, size: int = NETWORK_SIZE
) -> Tensor:
    """Rotate, flip, shift and crop in one bilinear resampling with zeros outside.

    The galaxy, which lies on pixel S // 2, lands on pixel ``size // 2 + shift``. With angle
    0, no flip and shift 0 this is `centre_crop`.

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
    size : int
        Side of the result.

    Returns
    -------
    Tensor, shape (n, bands, size, size)
    """
    stored = images.shape[-1]
    mirror = 1 - 2 * flip.to(images.dtype)
    cos, sin = torch.cos(angle), torch.sin(angle)
    linear = torch.stack(
        [torch.stack([cos * mirror, -sin], -1), torch.stack([sin * mirror, cos], -1)], -2
    )  # (n, 2, 2): from an offset in the view to one in the stamp, pixels
    # Pixel p of a side of n pixels has the coordinate (2 p + 1) / n - 1, so that the galaxy's
    # pixel n // 2 lies at (2 (n // 2) + 1) / n - 1 in the view as in the stamp.
    view_centre = (2 * (size // 2) + 1) / size - 1 + 2 * shift / size  # (n, 2)
    stored_centre = (2 * (stored // 2) + 1) / stored - 1
    scaled = linear * (size / stored)
    offset = stored_centre - (scaled @ view_centre[..., None])  # (n, 2, 1)
    affine = torch.cat([scaled, offset], dim=-1)  # (n, 2, 3)
    grid = F.affine_grid(affine, [*images.shape[:2], size, size], align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def add_noise(images: Tensor, sigma: Tensor, generator: Generator) -> Tensor:
    """Add Gaussian noise of standard deviation ``sigma``, shape (n, bands), nanomaggies."""
    noise = torch.randn(images.shape, generator=generator, device=images.device)
    return torch.addcmul(images, noise, sigma[:, :, None, None])


def band_mad(images: Tensor) -> Tensor:
    """Median absolute deviation of each band's pixels over a sample of images, shape (bands,)."""
    pixels = images.transpose(0, 1).flatten(1)
    centre = pixels.median(dim=1, keepdim=True).values
    return (pixels - centre).abs().median(dim=1).values


def _uniform(n: int, low: float, high: float, generator: Generator) -> Tensor:
    draw = torch.rand(n, generator=generator, device=generator.device)
    return low + (high - low) * draw


def _random_geometry(images: Tensor, max_shift: int, generator: Generator) -> Tensor:
    n, device = len(images), generator.device
    angle = _uniform(n, 0, 2 * math.pi, generator)
    flip = torch.rand(n, generator=generator, device=device) < 0.5
    shift = torch.randint(-max_shift, max_shift + 1, (n, 2), generator=generator, device=device)
    return transform_and_crop(images, angle, flip, shift.to(images.dtype))


def pretraining_view(
    images: Tensor,
    ebv: Tensor,
    mad: Tensor,
    generator: Generator,
    *,
    max_reddening: float,
    max_shift: int,
    noise_range: tuple[float, ...],
) -> Tensor:
    """A random view for MoCo: deredden, redden, rotate, flip, shift, crop, add noise.

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
    max_reddening, max_shift, noise_range
        As in `photoz_ssl.config.PretrainConfig`.

    Returns
    -------
    Tensor, shape (n, 5, 64, 64)
    """
    artificial = _uniform(len(images), 0, max_reddening, generator)
    view = _random_geometry(images, max_shift, generator)
    view = redden(view, artificial - ebv)  # the geometry, being linear, may come first
    strength = _uniform(len(images), noise_range[0], noise_range[1], generator)
    return add_noise(view, strength[:, None] * mad, generator)


def finetuning_view(images: Tensor, ebv: Tensor, generator: Generator, *, max_shift: int) -> Tensor:
    """A random view for fine-tuning: deredden, rotate, flip, shift, crop; (n, 5, 64, 64)."""
    return deredden(_random_geometry(images, max_shift, generator), ebv)


def prediction_view(images: Tensor, ebv: Tensor) -> Tensor:
    """The view that redshifts are predicted from: deredden, centre crop; (n, 5, 64, 64)."""
    return deredden(centre_crop(images), ebv)
