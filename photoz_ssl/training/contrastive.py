"""Pretraining: two views of a galaxy are drawn together, and apart from all others."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from photoz_ssl.config import PretrainConfig
from photoz_ssl.datasets.augment import band_mad, deredden, pretraining_views
from photoz_ssl.datasets.compiled_views import VIEWS_WORTH_COMPILING
from photoz_ssl.datasets.galaxies import GalaxyBatch, Rows, gather
from photoz_ssl.networks.ranks import ALONE, World
from photoz_ssl.samples import evenly_spread
from photoz_ssl.survey.archive import Archive
from photoz_ssl.training.distributed import share_of
from photoz_ssl.training.loop import Step

__all__ = ["contrastive_step", "measure_band_mad"]

MAD_SAMPLE = 1024


def measure_band_mad(archive: Archive, rows: Rows) -> Tensor:
    """Each band's MAD over dereddened training stamps, shape (bands,), nanomaggies.

    At most 1024 stamps, evenly spaced over the rows, are looked at.
    """
    batch = gather(archive, rows[evenly_spread(len(rows), MAD_SAMPLE)])
    return band_mad(deredden(batch.images, batch.ebv))


def contrastive_step(
    network: nn.Module, mad: Tensor, config: PretrainConfig, world: World = ALONE, n_steps: int = 0
) -> Step:
    """The step of momentum contrast on batches of galaxies.

    Parameters
    ----------
    network : Module
        A `photoz_ssl.networks.moco.MomentumContrast`, trained in place.
    mad : Tensor, shape (bands,)
        Scale of the added noise, nanomaggies.
    config : PretrainConfig
        The views.
    world : World
        The processes among which each batch is split.
    n_steps : int
        Of the whole run: with many, compiling what makes the views pays.

    Returns
    -------
    callable
        Logs the accuracy of telling the own key from the queue's, and the standard
        deviation of the unit vectors times the square root of their length: 1 for
        directions spread evenly, 0 for a collapse.
    """
    compiled = 2 * n_steps * config.batch_size >= VIEWS_WORTH_COMPILING

    def step(batch: GalaxyBatch, generator: Generator) -> tuple[Tensor, dict[str, Tensor]]:
        share = share_of(len(batch), world)
        query_view, key_view = (
            view.contiguous(memory_format=torch.channels_last)
            for view in pretraining_views(
                batch.images,
                batch.ebv,
                mad,
                generator,
                max_reddening=config.max_reddening,
                max_shift=config.max_shift,
                noise_range=config.noise_range,
                mirror=config.mirror,
                share=share,
                compiled=compiled,
            )
        )
        order = torch.randperm(share.whole, generator=generator, device=generator.device)
        logits, query = network(query_view, key_view, order, world)
        own_key = torch.zeros(len(batch), dtype=torch.int64, device=logits.device)
        loss = F.cross_entropy(logits.float(), own_key)
        with torch.no_grad():
            accuracy = (logits.argmax(dim=1) == 0).float().mean()
            directions = world.gather(query.float())
            spread = directions.std(dim=0).mean() * query.shape[1] ** 0.5
        return loss, {"accuracy": accuracy, "spread": spread}

    return step
