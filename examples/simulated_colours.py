"""Compare the colours of simulated galaxies with those of the real ones they descend from.

Prints the differences of the medians in redshift bins as JSON, and draws a figure:
    python examples/simulated_colours.py [-n GALAXIES] [-o FIGURE.png]
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from photoz_ssl.survey.bands import BANDS, R_SF11, extinction_from_ebv
from photoz_ssl.survey.simulation.population import draw_galaxy
from photoz_ssl.survey.simulation.source_galaxies import SourceGalaxies, load_source_galaxies

Array = NDArray[np.float64]

EDGES = np.array([0.02, 0.05, 0.08, 0.11, 0.14, 0.18, 0.25])
COLOURS = tuple(f"{blue}-{red}" for blue, red in pairwise(BANDS))


def colours_of(flux: Array) -> Array:
    """u-g, g-r, r-i, i-z, shape (n, 4), of fluxes, shape (n, 5); NaN where one is not positive."""
    with np.errstate(invalid="ignore", divide="ignore"):
        magnitude = -2.5 * np.log10(flux)
    return np.asarray(
        np.where(np.isfinite(magnitude), magnitude, np.nan)[:, :-1] - magnitude[:, 1:]
    )


def simulated(sources: SourceGalaxies, n_galaxies: int, seed: int) -> tuple[Array, Array]:
    """Redshifts and colours, corrected for dust and measured with noise."""
    generator = np.random.default_rng(seed)
    galaxies = [draw_galaxy(sources, number, generator) for number in range(n_galaxies)]
    flux = np.array([galaxy.flux for galaxy in galaxies])
    error = np.array([galaxy.flux_error for galaxy in galaxies])
    ebv = np.array([galaxy.ebv for galaxy in galaxies])
    measured = flux + error * generator.standard_normal(flux.shape)
    dereddened = measured * 10 ** (0.4 * extinction_from_ebv(ebv, R_SF11))
    return np.array([galaxy.redshift for galaxy in galaxies]), colours_of(dereddened)


def percentiles(redshift: Array, colour: Array) -> Array:
    """16th, 50th and 84th percentile in each redshift bin, shape (n_bins, 3)."""
    places = np.digitize(redshift, EDGES) - 1
    return np.array(
        [np.nanpercentile(colour[places == place], [16, 50, 84]) for place in range(len(EDGES) - 1)]
    )


def draw(axes: Axes, redshift: Array, colour: Array, tint: str, label: str) -> Array:
    """A median line and the band that holds 68 %; returns the percentiles."""
    centres = (EDGES[1:] + EDGES[:-1]) / 2
    found = percentiles(redshift, colour)
    axes.plot(centres, found[:, 1], color=tint, label=label)
    axes.fill_between(centres, found[:, 0], found[:, 2], color=tint, alpha=0.2, linewidth=0)
    return found


def main() -> None:
    """Draw the figure and print the differences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", type=Path, default=Path("docs/figures/simulated_colours.png"))
    options = parser.parse_args()
    sources = load_source_galaxies()
    real = sources.redshift, colours_of(sources.flux)
    made = simulated(sources, options.n, options.seed)
    figure = Figure(figsize=(7, 5.2), layout="constrained")
    differences, scatters = {}, {}
    for number, (axes, name) in enumerate(zip(figure.subplots(2, 2).flat, COLOURS, strict=True)):
        truth = draw(axes, real[0], real[1][:, number], "#0072b2", "real (SDSS)")
        ours = draw(axes, made[0], made[1][:, number], "#d55e00", "simulated")
        differences[name] = np.round(ours[:, 1] - truth[:, 1], 4).tolist()
        widths = (ours[:, 2] - ours[:, 0]) / (truth[:, 2] - truth[:, 0])
        scatters[name] = np.round(widths, 3).tolist()
        axes.set(xlabel="redshift", ylabel=f"${name.replace('-', ' - ')}$ (mag)")
    figure.axes[0].legend(frameon=False)
    figure.savefig(options.o, dpi=160)
    print(
        json.dumps(
            {
                "redshift_edges": EDGES.tolist(),
                "simulated_minus_real_median": differences,
                "simulated_over_real_scatter": scatters,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
