"""A model in 8-bit integers beside itself, and how far its redshifts are from the original's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from photoz_ssl.datasets.augment import prediction_view
from photoz_ssl.errors import ArchiveError
from photoz_ssl.networks.checkpoint import Checkpoint
from photoz_ssl.networks.engines.quantised import IMAGES_TO_CALIBRATE_BY, quantise
from photoz_ssl.networks.runtimes import Runtime, open_runtime
from photoz_ssl.samples import evenly_spread
from photoz_ssl.survey.archive import Archive
from photoz_ssl.workflows.counting import counted

__all__ = ["calibrated"]

LARGE_CHANGE = 0.002


def calibrated(checkpoint: Checkpoint, archive: Archive) -> tuple[Checkpoint, str]:
    """A checkpoint with its network in 8-bit integers.

    Parameters
    ----------
    checkpoint : Checkpoint
        An encoder or a redshift model.
    archive : Archive
        Galaxies like those the model is for; its validation split, if it has one.

    Returns
    -------
    checkpoint : Checkpoint
        The same, with `Checkpoint.quantised`.
    found : str
        How the two compare on the same galaxies, as a sentence without the full stop.

    Raises
    ------
    photoz_ssl.errors.PhotozError
        If the archive is of other images, or has none, or the extra ``[cpu]`` is not installed.
    """
    archive.spec.require_usable_by(
        checkpoint.spec, here=str(archive.path), there="the model that is to be calibrated"
    )
    images = _validation_images(checkpoint, archive)
    made = replace(checkpoint, quantised=quantise(checkpoint.network(), images))
    return made, _compared(made, images)


def _validation_images(checkpoint: Checkpoint, archive: Archive) -> Tensor:
    """Evenly spaced galaxies as the network sees them, shape (n, bands, 64, 64)."""
    valid = archive.rows(split="valid")
    usable = valid if len(valid) else archive.rows()  # ranges of activations tell no labels
    if not len(usable):
        raise ArchiveError(f"{archive.path} has no usable image with a known reddening")
    rows = usable[evenly_spread(len(usable), IMAGES_TO_CALIBRATE_BY)]
    stamps = torch.from_numpy(np.array(archive.images[rows], np.float32))
    reddening = torch.from_numpy(checkpoint.spec.reddening(archive.ebv[rows]))
    return prediction_view(stamps, reddening)


def _compared(checkpoint: Checkpoint, images: Tensor) -> str:
    integers = open_runtime(checkpoint, "cpu", precision="int8")
    floats = open_runtime(checkpoint, "cpu", precision="fp32")
    galaxies = counted(len(images), "galaxy")
    if checkpoint.grid is None:
        cosine = np.sum(
            integers.represent_later(images)() * floats.represent_later(images)(), axis=1
        )
        return (
            f"on {galaxies} the representations of the 8-bit network have a cosine of"
            f" {cosine.min():.4f} or more with those of the original"
        )
    change = np.abs(_means(integers, checkpoint, images) - _means(floats, checkpoint, images))
    close = 100 * np.mean(change < LARGE_CHANGE)
    return (
        f"of the 8-bit network's redshifts of {galaxies} {close:.1f} % are within"
        f" {LARGE_CHANGE} of the original's, the farthest {change.max():.4f} off"
    )


def _means(runtime: Runtime, checkpoint: Checkpoint, images: Tensor) -> NDArray[np.float64]:
    assert checkpoint.grid is not None
    return np.asarray(runtime.pdf_later(images)() @ checkpoint.grid.centres)
