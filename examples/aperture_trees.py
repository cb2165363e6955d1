"""Redshifts from nothing but sums of pixels: what any network on the same images should reach.

Fluxes of the dereddened images within five circles about the galaxy, as magnitudes and colours,
go into extremely randomised trees, which learn from the training split and are measured on the
test split. Prints one JSON object.

    python examples/aperture_trees.py survey.h5
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor

from photoz_ssl.redshift.metrics import normalised_residual, outlier_fraction, sigma_mad
from photoz_ssl.survey.archive import Archive, open_archive
from photoz_ssl.survey.bands import BANDS, extinction_from_ebv

RADII = (2.5, 5.0, 8.0, 12.0, 18.0)
"""Of the circles, in pixels."""

SOFTENING = 0.1
"""Flux, in nanomaggies, about which a magnitude becomes linear in flux."""

ROWS_AT_ONCE = 1000
N_DRAWS = 3

Array = NDArray[np.float64]


def aperture_colours(archive: Archive) -> Array:
    """The r magnitude and four colours in each circle, shape (n_galaxies, 25)."""
    size = archive.spec.size
    y, x = np.mgrid[:size, :size] - size // 2
    circles = np.stack([np.hypot(x, y) < radius for radius in RADII], axis=-1)
    circles = circles.reshape(-1, len(RADII)).astype(np.float32)
    fluxes = []
    for start in range(0, len(archive), ROWS_AT_ONCE):
        images = np.array(archive.images[start : start + ROWS_AT_ONCE])
        fluxes.append(images.reshape(len(images), len(BANDS), -1) @ circles)
    reddening = 10 ** (0.4 * extinction_from_ebv(archive.ebv))
    flux = np.concatenate(fluxes) * reddening[:, :, np.newaxis]
    magnitude = -2.5 / np.log(10) * np.arcsinh(flux / (2 * SOFTENING))
    colours = magnitude[:, :-1] - magnitude[:, 1:]
    return np.concatenate([magnitude[:, 2], colours.reshape(len(flux), -1)], axis=1)


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
