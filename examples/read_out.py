"""What a representation holds of the colours and redshifts of galaxies, by a linear read-out.

Ridge regression on the vectors of an atlas learns each quantity from the training split, and
is measured on the test split; a redshift is also read out with few labels.

    photoz-ssl embed survey.h5 --model pretrained/encoder.safetensors --vectors float32 \
        --no-thumbnails -o atlas.h5
    python read_out.py survey.h5 atlas.h5
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from photoz_ssl.neighbours.atlas import read_atlas
from photoz_ssl.redshift.metrics import normalised_residual, sigma_mad
from photoz_ssl.survey.archive import open_archive

COLOURS = (("u", "g"), ("g", "r"), ("r", "i"), ("i", "z"))
PENALTIES = np.logspace(-2, 4, 13)
N_DRAWS = 3

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


def read_out(vectors: Array, values: Array, learn: Rows, ask: Rows) -> Array:
    """Values of the rows ``ask``, from vectors and the values of the rows ``learn``."""
    model = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
    return np.asarray(model.fit(vectors[learn], values[learn]).predict(vectors[ask]))


def main() -> None:
    """Print the scatter of each quantity, and what is left of it, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("atlas", type=Path)
    parser.add_argument("--labels", type=int, nargs="*", default=[164, 820, 1641])
    arguments = parser.parse_args()
    archive, atlas = open_archive(arguments.archive), read_atlas(arguments.atlas)
    vectors = np.asarray(atlas.representations, np.float64)
    usable = np.isfinite(vectors[:, 0])
    learn, test = (
        rows[usable[rows]]
        for rows in (archive.rows(split=split, labelled=True) for split in ("train", "test"))
    )
    found = {}
    for blue, red in COLOURS:
        bluer, redder = (archive.columns[f"MODEL_MAG_{band}"] for band in (blue, red))
        colour = np.asarray(bluer, np.float64) - np.asarray(redder, np.float64)
        left = colour[test] - read_out(vectors, colour, learn, test)
        found[f"{blue}-{red}"] = {"scatter": sigma_mad(colour[test]), "left": sigma_mad(left)}
    redshift, generator = archive.redshift.astype(np.float64), np.random.default_rng(0)
    scatter = {}
    for n_labels in (*arguments.labels, len(learn)):
        draws = [generator.permutation(learn)[:n_labels] for _ in range(N_DRAWS)]
        read = (read_out(vectors, redshift, draw, test) for draw in draws)
        residuals = [normalised_residual(z_phot, redshift[test]) for z_phot in read]
        scatter[n_labels] = float(np.mean([sigma_mad(dz) for dz in residuals]))
    print(json.dumps({"mag": found, "sigma_mad": scatter}, indent=1))


if __name__ == "__main__":
    main()
