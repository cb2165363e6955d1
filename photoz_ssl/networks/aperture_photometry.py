"""Fluxes within circles, as a network can use them: what convolutions measure only roughly.

The mean over a map, with which a ResNet ends, is taken behind many nonlinear layers, and the
colours that a redshift depends on drown in them (docs/science.md, "Fewer labels"). A sum of
pixels is exact.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from photoz_ssl.spec import NETWORK_SIZE

__all__ = ["PHOTOMETRY_SIZE", "AperturePhotometry"]

FAINTEST = 0.2
"""Flux, nanomaggies, below which arcsinh takes the place of a logarithm: 24.25 mag."""

PHOTOMETRY_SIZE = 128
"""Of the layers, and so the length of what they give."""


class AperturePhotometry(nn.Module):
    """Colours and magnitudes within circles about the galaxy's pixel, through two layers.

    Parameters
    ----------
    in_channels : int
        Bands, from blue to red.
    radii : tuple of float
        Of the circles, pixels.
    """

    circles: Tensor
    contrasts: Tensor

    def __init__(self, in_channels: int, radii: tuple[float, ...]) -> None:
        super().__init__()
        steps = torch.arange(NETWORK_SIZE, device="cpu") - NETWORK_SIZE // 2
        distance = torch.hypot(*torch.meshgrid(steps.float(), steps.float(), indexing="ij"))
        circles = torch.stack([distance < radius for radius in radii], dim=-1).flatten(0, 1)
        self.register_buffer("circles", circles.float(), persistent=False)
        self.register_buffer("contrasts", _contrasts(in_channels), persistent=False)
        self.in_channels = in_channels
        self.n_numbers = in_channels * len(radii)
        self.norm = nn.BatchNorm2d(self.n_numbers)  # of two dimensions, as those are grouped
        self.layers = nn.Sequential(
            nn.Linear(self.n_numbers, PHOTOMETRY_SIZE),
            nn.ReLU(),
            nn.Linear(PHOTOMETRY_SIZE, PHOTOMETRY_SIZE),
            nn.ReLU(),
        )

    def numbers(self, images: Tensor) -> Tensor:
        """A magnitude and colours in each circle, shape (n, bands, circles).

        Parameters
        ----------
        images : Tensor, shape (n, bands, 64, 64)
            Nanomaggies, dereddened. Magnitudes are of base e and without a sign: natural
            logarithms of flux, that of the middle band first, then those of each band's to the
            one before. They are of float32 where the rest of a network is of bfloat16.
        """
        with torch.autocast(images.device.type, enabled=False):
            pixels = images.float().reshape(-1, self.in_channels, NETWORK_SIZE**2)
            fluxes = pixels @ self.circles
            return self.contrasts @ torch.asinh(fluxes / FAINTEST)

    def forward(self, images: Tensor) -> Tensor:
        """Features, shape (n, `PHOTOMETRY_SIZE`), of images, shape (n, bands, 64, 64)."""
        numbers = self.numbers(images).reshape(-1, self.n_numbers, 1, 1)
        features: Tensor = self.layers(self.norm(numbers).flatten(1))
        return features


def _contrasts(n_bands: int) -> Tensor:
    """What makes one brightness and colours of the logarithms of fluxes, shape (bands, bands)."""
    rows = torch.zeros(n_bands, n_bands, device="cpu")
    rows[0, n_bands // 2] = 1
    for band in range(1, n_bands):
        rows[band, band], rows[band, band - 1] = 1, -1
    return rows
