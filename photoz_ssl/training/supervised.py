"""Fine-tuning, and training from scratch: redshifts as classes (method section 4)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Generator, Tensor, nn

from photoz_ssl.config import FinetuneConfig
from photoz_ssl.datasets.augment import finetuning_view, prediction_view
from photoz_ssl.datasets.galaxies import GalaxyBatch, Rows, consecutive_rows, read_ahead
from photoz_ssl.networks.ranks import ALONE, World
from photoz_ssl.networks.redshift_head import RedshiftNetwork
from photoz_ssl.redshift.calibration import Calibration
from photoz_ssl.redshift.grid import RedshiftGrid
from photoz_ssl.redshift.metrics import bias, normalised_residual, outlier_fraction, sigma_mad
from photoz_ssl.survey.archive import Archive
from photoz_ssl.training.distributed import share_of
from photoz_ssl.training.loop import Step
from photoz_ssl.training.optimizers import make_optimizer

__all__ = [
    "Evaluation",
    "evaluate_logits",
    "finetuning_optimizer",
    "label_distribution",
    "some_labels",
    "supervised_step",
    "usual_blur",
    "usual_encoder_rate",
    "valid_metrics",
]


def some_labels(rows: Rows, fraction: float, *, seed: int) -> Rows:
    """A random part of the labelled rows, ascending; smaller parts lie inside larger ones.

    Parameters
    ----------
    rows : ndarray, shape (n,)
        Labelled rows.
    fraction : float
        Between 0 and 1; at least one row is kept.
    seed : int
        Of the draw.
    """
    order = np.random.default_rng([seed, 1]).permutation(len(rows))
    return np.sort(rows[order[: max(1, round(fraction * len(rows)))]])


def finetuning_optimizer(
    network: RedshiftNetwork, config: FinetuneConfig, *, pretrained: bool
) -> torch.optim.Optimizer:
    """The optimizer, with the encoder at its own rate if it is pretrained and one is given."""
    relative = config.encoder_rate if pretrained else None
    learning: list[tuple[nn.Module, float]] = [(network.head, config.learning_rate)]
    if not network.frozen:
        encoder_rate = config.learning_rate * (1.0 if relative is None else relative)
        learning = [(network.encoder, encoder_rate), *learning]
    return make_optimizer(learning, config, weight_decay=config.weight_decay)


LABELS_FOR_FULL_RATE = 3000
"""From so many on a pretrained encoder learns as fast as its head (docs/science.md)."""


def usual_encoder_rate(n_labels: int) -> float:
    """Rate of a pretrained encoder, relative to the head's, where no other is asked for."""
    return min(1.0, max(0.1, n_labels / LABELS_FOR_FULL_RATE))


BLUR_OF_ONE_LABEL = 110.0
"""Bins, from trials with 164 to 16,408 labels (docs/science.md, "Blurred labels")."""


def usual_blur(n_labels: int) -> float:
    """Standard deviation, in bins, that labels are blurred by where no other is asked for."""
    return float(BLUR_OF_ONE_LABEL / n_labels ** (1 / 3))


def label_distribution(redshift: Tensor, grid: RedshiftGrid, blur: float) -> Tensor:
    """What a label says of each bin: a Gaussian about the redshift.

    The labels of few galaxies leave most bins without one, and a network that is to be sure
    of single bins learns these galaxies by heart; a label that its neighbours share with it
    says that neighbouring bins are alike (Geng 2016, arXiv 1408.6027).

    Parameters
    ----------
    redshift : Tensor, shape (n,)
        Spectroscopic redshifts.
    grid : RedshiftGrid
        The bins.
    blur : float
        Standard deviation of the Gaussian, in bins.

    Returns
    -------
    Tensor, shape (n, n_bins), float32
        Each row sums to 1.
    """
    centres = torch.from_numpy(grid.centres).to(redshift.device)
    away = (centres - redshift.double().unsqueeze(1)) / (blur * grid.width)
    return torch.softmax(-0.5 * away**2, dim=1).float()


def supervised_step(
    network: nn.Module, grid: RedshiftGrid, config: FinetuneConfig, world: World = ALONE
) -> Step:
    """The step of learning redshift bins by cross-entropy, batches split over a world."""
    inner_edges = torch.from_numpy(grid.edges[1:-1]).to(world.device)

    def step(batch: GalaxyBatch, generator: Generator) -> tuple[Tensor, dict[str, Tensor]]:
        view = finetuning_view(
            batch.images,
            batch.ebv,
            generator,
            max_shift=config.max_shift,
            mirror=config.mirror,
            share=share_of(len(batch), world),
        )
        logits = network(view.contiguous(memory_format=torch.channels_last))
        if config.label_blur:
            target = label_distribution(batch.redshift, grid, config.label_blur)
        else:
            target = torch.bucketize(batch.redshift.double(), inner_edges, right=True)
        return F.cross_entropy(logits.float(), target), {}

    return step


@dataclass(frozen=True)
class Evaluation:
    """Logits beside the truth.

    Parameters
    ----------
    logits : ndarray, shape (n, n_bins)
        Of the network.
    redshift : ndarray, shape (n,)
        Spectroscopic.
    """

    logits: NDArray[np.float32]
    redshift: NDArray[np.float32]


def valid_metrics(
    evaluation: Evaluation, calibration: Calibration, grid: RedshiftGrid
) -> dict[str, float]:
    """What the mean redshifts of calibrated PDFs reach on the galaxies that have one.

    Parameters
    ----------
    evaluation : Evaluation
        Of validation galaxies.
    calibration : Calibration
        Of the PDFs.
    grid : RedshiftGrid
        Of the logits.

    Returns
    -------
    dict of str to float
        ``valid_sigma_mad``, ``valid_outlier_fraction`` and ``valid_bias`` of dz / (1 + z); NaN
        where no galaxy has a redshift.
    """
    mean = calibration.apply(evaluation.logits) @ grid.centres
    dz = normalised_residual(mean, evaluation.redshift)
    dz = dz[np.isfinite(dz)]
    return {
        "valid_sigma_mad": sigma_mad(dz),
        "valid_outlier_fraction": outlier_fraction(dz),
        "valid_bias": bias(dz),
    }


def evaluate_logits(
    network: RedshiftNetwork, archive: Archive, rows: Rows, batch_size: int, world: World = ALONE
) -> Evaluation:
    """Run a network, in evaluation mode, on the prediction views of some rows, in order.

    The rows are split over the processes, the last ones filled up with some more; each
    process has all logits at the end.
    """
    network.eval()
    world.share_buffers(network)
    filled = np.resize(rows, math.ceil(len(rows) / world.size) * world.size)
    own = filled[world.part(len(filled))]
    logits = [torch.empty((0, network.head.out_features), device=world.device)]
    with torch.inference_mode():
        for batch in read_ahead(archive, consecutive_rows(own, batch_size), world.device):
            view = prediction_view(batch.images, batch.ebv)
            view = view.contiguous(memory_format=torch.channels_last)
            logits.append(network(view).float())
        whole = world.gather(torch.cat(logits))[: len(rows)]
    return Evaluation(whole.cpu().numpy(), archive.redshift[rows])
