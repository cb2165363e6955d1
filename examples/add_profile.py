"""Give an encoder the light profiles that go beside its representations; see docs/science.md.

The first galaxies of a simulated archive are rendered again, as another observation shows them:
turned, moved, in another seeing, with new noise. Directions in which profiles differ most from
galaxy to galaxy, and least between two looks at one, are put into the model file.

    photoz-ssl simulate -n 20500 --seed 2026 -o survey.h5
    python examples/add_profile.py survey.h5 --seed 2026 --model old.safetensors -o new.safetensors
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from photoz_ssl.networks.checkpoint import load_checkpoint, save_checkpoint
from photoz_ssl.survey.archive import open_archive
from photoz_ssl.survey.images.light_profile import fit_profile_space, light_profile
from photoz_ssl.survey.simulation.galaxies import simulate_again, simulate_block

BLOCK = 250
LOOK = 1
MAX_SHIFT = 3.0


def main() -> None:
    """Read the command line, fit, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("archive", type=Path, help="from photoz-ssl simulate")
    parser.add_argument("--model", type=Path, required=True, help="an encoder")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--name", help="of the new model; default: that of the old one")
    parser.add_argument("--seed", type=int, default=0, help="that of the archive")
    parser.add_argument("-n", "--n-galaxies", type=int, default=1500, help="seen again")
    parser.add_argument("--axes", type=int, default=16)
    parser.add_argument("--tempering", type=float, default=0.35)
    parser.add_argument("--weight", type=float, default=0.5, help="of profiles in a cosine")
    options = parser.parse_args()

    archive = open_archive(options.archive)
    size, first = archive.spec.size, simulate_block(options.seed, 0, 1, archive.spec.size)
    if not np.array_equal(first.images, archive.images[:1]):
        parser.error(f"{options.archive} was not simulated here with --seed {options.seed}")
    n_again = min(options.n_galaxies, len(archive))
    looks = [light_profile(block.images, block.ebv) for block in archive.blocks(BLOCK)]
    again = []
    for start in range(0, n_again, BLOCK):
        stop = min(start + BLOCK, n_again)
        images = simulate_again(options.seed, start, stop, size, look=LOOK, max_shift=MAX_SHIFT)
        again.append(light_profile(images, archive.ebv[start:stop]))
    space = fit_profile_space(
        np.concatenate(looks),
        np.concatenate(again),
        n_axes=options.axes,
        tempering=options.tempering,
        weight=options.weight,
    )
    model = load_checkpoint(options.model)
    note = f"linear discriminants of {n_again} galaxies simulated twice, seed {options.seed}"
    provenance = {**model.provenance, "light_profiles": note}
    provenance |= {"name": options.name} if options.name else {}
    joined = replace(model, profile=space, provenance=provenance)
    save_checkpoint(options.output, joined, overwrite=True, half=True)
    print(f"{space.n_axes} axes of light profiles → {options.output}")


if __name__ == "__main__":
    main()
