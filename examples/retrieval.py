"""How often a galaxy is found again by a copy that is rotated, shifted and noisier.

Prints one JSON object. Of N galaxies of an archive each has a copy, mirrored, turned and moved
at random and with more noise; the copy counts as found if its nearest neighbour among the N
originals is its own original. The same seed gives the same copies.

    python examples/retrieval.py survey.h5 --model run/encoder.safetensors -n 1000
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from photoz_ssl.datasets.augment import (
    band_mad,
    deredden,
    prediction_view,
    standard_normal,
    transform_and_crop,
)
from photoz_ssl.neighbours.exact import nearest
from photoz_ssl.survey.archive import Archive, open_archive
from photoz_ssl.workflows.trained.inference import Predictor

BATCH = 128
MAD_GALAXIES = 256


def retrieved(
    archive: Archive,
    predictor: Predictor,
    rows: NDArray[np.int64],
    *,
    max_shift: int,
    noise: float,
    seed: int,
) -> float:
    """Fraction of copies whose nearest neighbour is their own original.

    Parameters
    ----------
    archive : Archive
        Galaxies.
    predictor : Predictor
        The model.
    rows : ndarray, shape (n,)
        Rows to take.
    max_shift : int
        Largest shift along an axis, pixels.
    noise : float
        Standard deviation of the added noise in units of each band's MAD.
    seed : int
        Of every draw.
    """
    generator = torch.Generator().manual_seed(seed)
    mad = band_mad(torch.from_numpy(np.array(archive.images[rows[:MAD_GALAXIES]])))
    originals, copies = [], []
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        images = np.array(archive.images[batch])
        stamps = torch.from_numpy(images)
        reddening = torch.from_numpy(archive.spec.reddening(archive.ebv[batch]))
        originals.append(predictor.runtime.represent_later(prediction_view(stamps, reddening))())
        view = disturbed(stamps, reddening, noise * mad, max_shift, generator)
        copies.append(predictor.runtime.represent_later(view)())
    found = nearest(np.concatenate(copies), np.concatenate(originals), 1).row[:, 0]
    return float(np.mean(found == np.arange(len(rows))))


def disturbed(
    images: Tensor, ebv: Tensor, sigma: Tensor, max_shift: int, generator: Generator
) -> Tensor:
    """Copies turned, mirrored and moved at random, noisier and dereddened; (n, 5, 64, 64)."""
    n = len(images)
    angle = 2 * math.pi * torch.rand(n, generator=generator)
    flip = torch.rand(n, generator=generator) < 0.5
    shift = torch.randint(-max_shift, max_shift + 1, (n, 2), generator=generator)
    view = transform_and_crop(images, angle, flip, shift)
    noise = sigma[:, None, None] * standard_normal(view.shape, generator)
    return deredden(view + noise, ebv)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("archive", type=Path)
    parser.add_argument("--model", type=Path, help="default: the encoder that ships")
    parser.add_argument("-n", "--n-galaxies", type=int, default=1000)
    parser.add_argument("--split", help="only galaxies of this split, e.g. test")
    parser.add_argument("--max-shift", type=int, default=7, help="pixels")
    parser.add_argument("--noise", type=float, default=1.0, help="in units of each band's MAD")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    options = parser.parse_args()

    archive = open_archive(options.archive)
    predictor = Predictor.load(options.model, options.device, kind="encoder")
    rows = archive.rows(split=options.split)[: options.n_galaxies]
    if not len(rows):
        parser.error(f"{options.archive} has no usable galaxy of this kind")
    fraction = retrieved(
        archive,
        predictor,
        rows,
        max_shift=options.max_shift,
        noise=options.noise,
        seed=options.seed,
    )
    result = {
        "model": predictor.name,
        "n_galaxies": len(rows),
        "max_shift": options.max_shift,
        "noise": options.noise,
        "seed": options.seed,
        "retrieved": fraction,
        "by_chance": 1 / len(rows),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
