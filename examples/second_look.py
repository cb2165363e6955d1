"""Whether a galaxy that is observed a second time finds itself first, and what look-alikes share.

Prints one JSON object. The first galaxies of a simulated archive are rendered again: the field
turned and moved, in another seeing, with new noise. Each asks for its nearest neighbour in the
whole archive, and counts if that is itself. Then, for galaxies of the archive: by what factor
their neighbours are closer to them than random pairs are, in redshift, colour and size.

    photoz-ssl simulate -n 20000 -o survey.h5
    python examples/second_look.py survey.h5 -n 1000
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.neighbours.exact import nearest
from photoz_ssl.spec import NETWORK_SIZE
from photoz_ssl.survey.archive import Archive, open_archive
from photoz_ssl.survey.bands import PIXEL_SCALE, R_SF11
from photoz_ssl.survey.simulation.galaxies import simulate_again, simulate_block
from photoz_ssl.workflows.trained.inference import Predictor

BLOCK = 250
LOOK = 1
Floats = NDArray[np.float64]


def represented(archive: Archive, predictor: Predictor) -> tuple[NDArray[np.float32], Floats]:
    """Representations and half-light radii of all galaxies."""
    blocks = [
        (predictor.represent(block.images, block.ebv), half_light_radius(block.images[:, 2]))
        for block in archive.blocks(BLOCK)
    ]
    vectors, radii = zip(*blocks, strict=True)
    return np.concatenate(vectors), np.concatenate(radii)


def second_look(
    archive: Archive, predictor: Predictor, n_galaxies: int, *, seed: int, max_shift: float
) -> NDArray[np.float32]:
    """Representations of the first galaxies as another observation shows them."""
    found = []
    for start in range(0, n_galaxies, BLOCK):
        stop = min(start + BLOCK, n_galaxies)
        size = archive.spec.size
        images = simulate_again(seed, start, stop, size, look=LOOK, max_shift=max_shift)
        found.append(predictor.represent(images, archive.ebv[start:stop]))
    return np.concatenate(found)


def half_light_radius(images: NDArray[np.float32]) -> Floats:
    """Radius, arcseconds, of half the light within 20 pixels; one a stamp."""
    first = images.shape[-1] // 2 - NETWORK_SIZE // 2
    stamps = images[:, first : first + NETWORK_SIZE, first : first + NETWORK_SIZE]
    y, x = np.indices((NETWORK_SIZE, NETWORK_SIZE)) - NETWORK_SIZE // 2
    radius = np.hypot(y, x)
    rings = np.arange(1, 21)
    growth = np.stack([stamps[:, radius <= ring].sum(axis=1) for ring in rings], axis=1)
    half = growth / np.maximum(growth[:, -1:], 1e-3) >= 0.5
    return np.asarray(PIXEL_SCALE * rings[np.argmax(half, axis=1)], np.float64)


def closer_by(
    values: Floats, neighbours: NDArray[np.int64], generator: np.random.Generator
) -> float:
    """Mean absolute difference of random pairs over that of neighbours."""
    pairs = np.abs(values[:, np.newaxis] - values[neighbours])
    random = np.abs(values - values[generator.permutation(len(values))])
    return float(np.nanmean(random) / np.nanmean(pairs))


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("archive", type=Path, help="from photoz-ssl simulate")
    parser.add_argument("--model", type=Path, help="default: the encoder that ships")
    parser.add_argument("-n", "--n-galaxies", type=int, default=1000, help="seen again")
    parser.add_argument("-k", "--n-neighbours", type=int, default=10)
    parser.add_argument("--max-shift", type=float, default=3.0, help="pixels")
    parser.add_argument("--seed", type=int, default=0, help="that of the archive")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    options = parser.parse_args()

    archive = open_archive(options.archive)
    n_galaxies = min(options.n_galaxies, len(archive))
    first = simulate_block(options.seed, 0, 1, archive.spec.size)
    if not np.array_equal(first.images, archive.images[:1]):
        parser.error(f"{options.archive} was not simulated here with --seed {options.seed}")
    predictor = Predictor.load(options.model, options.device, kind="encoder")
    vectors, radii = represented(archive, predictor)
    again = second_look(
        archive, predictor, n_galaxies, seed=options.seed, max_shift=options.max_shift
    )
    found = nearest(again, vectors, options.n_neighbours).row
    own = np.arange(n_galaxies)[:, np.newaxis]
    neighbours = nearest(vectors, vectors, options.n_neighbours + 1).row[:, 1:]
    generator = np.random.default_rng(options.seed)
    green, red = (np.asarray(archive.columns[f"MODEL_MAG_{band}"], np.float64) for band in "gr")
    colour = green - red - archive.ebv * (R_SF11[1] - R_SF11[2])
    quantities = {
        "redshift": np.asarray(archive.redshift, np.float64),
        "dereddened_g_r": np.asarray(colour, np.float64),
        "log_half_light_radius": np.log10(radii),
    }
    result = {
        "model": predictor.name,
        "n_archive": len(archive),
        "n_seen_again": n_galaxies,
        "max_shift": options.max_shift,
        "seed": options.seed,
        "found_first": float(np.mean(found[:, 0] == own[:, 0])),
        f"found_among_{options.n_neighbours}": float(np.mean((found == own).any(axis=1))),
        "neighbours_closer_than_random_pairs_by": {
            name: closer_by(values, neighbours, generator) for name, values in quantities.items()
        },
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
