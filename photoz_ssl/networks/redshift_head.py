"""From a representation to the redshift's logits (method section 4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from photoz_ssl.networks.encoder import Encoder

__all__ = ["RedshiftNetwork"]


class RedshiftNetwork(nn.Module):
    """An encoder and a linear head on it.

    Parameters
    ----------
    encoder : Encoder
        Pretrained or not.
    n_bins : int
        Bins of the redshift grid.
    seed : int
        Of the head's weights.
    frozen : bool
        Whether training leaves the encoder, its BatchNorm statistics included, as it is.
    """

    def __init__(
        self, encoder: Encoder, n_bins: int, *, seed: int = 0, frozen: bool = False
    ) -> None:
        super().__init__()
        self.encoder = encoder.requires_grad_(not frozen)
        self.frozen = frozen
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = nn.Linear(encoder.feature_size, n_bins)

    def train(self, mode: bool = True) -> RedshiftNetwork:
        """Set training or evaluation mode; a frozen encoder stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def forward(self, images: Tensor) -> Tensor:
        """Logits, shape (n, n_bins), of images, shape (n, bands, 64, 64)."""
        logits: Tensor = self.head(self.encoder(images))
        return logits
