"""Redshifts from nothing but sums of pixels: what any network on the same images should reach.

The numbers that the preset resnet18-photometric takes beside its maps, of dereddened images,
go into extremely randomised trees, which learn from the training split and are measured on the
test split. Prints one JSON object.

    python examples/aperture_trees.py survey.h5
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor

from photoz_ssl.datasets.augment import prediction_view
from photoz_ssl.networks.aperture_photometry import AperturePhotometry
from photoz_ssl.networks.encoder import PRESETS
from photoz_ssl.redshift.metrics import normalised_residual, outlier_fraction, sigma_mad
from photoz_ssl.survey.archive import Archive, open_archive

ROWS_AT_ONCE = 1000
N_DRAWS = 3


def aperture_colours(archive: Archive) -> NDArray[np.float32]:
    """A magnitude and four colours in each circle, shape (n_galaxies, 25)."""
    apertures = PRESETS["resnet18-photometric"].apertures
    assert apertures is not None
    photometry, found = AperturePhotometry(len(archive.spec.bands), apertures), []
    for start in range(0, len(archive), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        stamps = torch.from_numpy(np.array(archive.images[rows], np.float32))
        reddening = torch.from_numpy(archive.spec.reddening(archive.ebv[rows]))
        found.append(photometry.numbers(prediction_view(stamps, reddening)).flatten(1).numpy())
    return np.concatenate(found)


def main() -> None:
    """Print scatter and outliers for each number of labels."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--labels", type=int, nargs="*", default=[164, 820, 1641])
    arguments = parser.parse_args()
    archive = open_archive(arguments.archive)
    learn, test = (archive.rows(split=split, labelled=True) for split in ("train", "test"))
    colours, redshift = aperture_colours(archive), archive.redshift.astype(np.float64)
    found = {}
    for n_labels in (*arguments.labels, len(learn)):
        reached = []
        for seed in range(N_DRAWS):
            chosen = np.random.default_rng(seed).permutation(learn)[:n_labels]
            trees = ExtraTreesRegressor(
                200, min_samples_leaf=2, max_features=0.5, n_jobs=-1, random_state=seed
            )
            z_phot = trees.fit(colours[chosen], redshift[chosen]).predict(colours[test])
            dz = normalised_residual(z_phot, redshift[test])
            reached.append((sigma_mad(dz), outlier_fraction(dz)))
        scatter, outliers = np.mean(reached, axis=0)
        found[n_labels] = {"sigma_mad": scatter, "outlier_fraction": outliers}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
