"""A survey's galaxies by number: each a function of the survey's seed and its own number."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import cache

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.config import SPLITS
from photoz_ssl.survey.bands import BANDS
from photoz_ssl.survey.blocks import GalaxyBlock
from photoz_ssl.survey.simulation.population import SimulatedGalaxy, draw_galaxy
from photoz_ssl.survey.simulation.render import render, render_again
from photoz_ssl.survey.simulation.source_galaxies import SourceGalaxies, load_source_galaxies

__all__ = [
    "MAGNITUDE_COLUMNS",
    "TABLE_DTYPE",
    "simulate_again",
    "simulate_block",
    "simulate_blocks",
]

BLOCK_SIZE = 32

MAGNITUDE_COLUMNS = tuple(
    f"{kind}_{quantity}_{band}"
    for kind in ("MODEL", "PETRO")
    for quantity in ("MAG", "MAGERR")
    for band in BANDS
)

TABLE_DTYPE = np.dtype(
    [
        ("OBJID", "i8"),
        ("RA", "f8"),
        ("DEC", "f8"),
        ("Z_SPEC", "f4"),
        ("EBV", "f4"),
        *((name, "f4") for name in MAGNITUDE_COLUMNS),
        ("SPLIT", "S5"),
    ]
)

PETROSIAN_NOISE = 2.0
"""Error of a Petrosian flux over that of a model flux."""

MAGNITUDES_A_RATIO = 2.5 / np.log(10)


@cache
def _sources() -> SourceGalaxies:
    return load_source_galaxies()


def simulate_block(seed: int, start: int, stop: int, size: int) -> GalaxyBlock:
    """Render the galaxies ``start`` to ``stop - 1`` of a survey.

    Parameters
    ----------
    seed : int
        Of the survey.
    start, stop : int
        Numbers of its galaxies, from 0.
    size : int
        Side of the stamps, pixels.

    Returns
    -------
    GalaxyBlock
        Its ``table`` has `TABLE_DTYPE`.
    """
    sources = _sources()
    generators = [np.random.default_rng([seed, number]) for number in range(start, stop)]
    galaxies = [
        draw_galaxy(sources, number + 1, generator)
        for number, generator in zip(range(start, stop), generators, strict=True)
    ]
    images = [
        render(galaxy, sources, size, generator)
        for galaxy, generator in zip(galaxies, generators, strict=True)
    ]
    table = np.zeros(len(galaxies), TABLE_DTYPE)
    for row, galaxy, generator in zip(table, galaxies, generators, strict=True):
        _fill_row(row, galaxy, SPLITS[sources.side[galaxy.source]], generator)
    return GalaxyBlock(
        start=start,
        object_id=table["OBJID"],
        ra=table["RA"],
        dec=table["DEC"],
        images=np.array(images, np.float32).reshape(len(galaxies), len(BANDS), size, size),
        ebv=table["EBV"],
        flags=np.zeros(len(galaxies), np.int32),
        redshift=table["Z_SPEC"],
        redshift_error=np.full(len(galaxies), 1e-4, np.float32),
        split=table["SPLIT"].astype("U5"),
        table=table,
    )


def simulate_again(
    seed: int, start: int, stop: int, size: int, *, look: int, max_shift: float
) -> NDArray[np.float32]:
    """Render galaxies of a survey as they are seen in another observation.

    Parameters
    ----------
    seed, start, stop, size
        As of `simulate_block`.
    look : int
        Number of the observation, from 1.
    max_shift : float
        Largest shift along an axis, pixels.

    Returns
    -------
    ndarray, shape (stop - start, n_bands, size, size)
        Nanomaggies.
    """
    sources, images = _sources(), []
    for number in range(start, stop):
        generator = np.random.default_rng([seed, number])
        galaxy = draw_galaxy(sources, number + 1, generator)
        other = np.random.default_rng([seed, number, look])
        images.append(render_again(galaxy, sources, size, generator, other, max_shift=max_shift))
    return np.array(images, np.float32).reshape(stop - start, len(BANDS), size, size)


def _fill_row(
    row: np.void, galaxy: SimulatedGalaxy, split: str, generator: np.random.Generator
) -> None:
    """What the catalogue says of a galaxy, its photometry with errors."""
    row["OBJID"], row["RA"], row["DEC"] = galaxy.object_id, galaxy.ra, galaxy.dec
    row["Z_SPEC"], row["EBV"], row["SPLIT"] = galaxy.redshift, galaxy.ebv, split.encode()
    for kind, flux, error in (
        ("MODEL", galaxy.flux, galaxy.flux_error),
        ("PETRO", galaxy.petrosian_flux, PETROSIAN_NOISE * galaxy.flux_error),
    ):
        measured = flux + error * generator.standard_normal(len(flux))
        floor = np.maximum(measured, 0.1 * error)
        for band, magnitude, uncertainty in zip(
            BANDS, 22.5 - 2.5 * np.log10(floor), MAGNITUDES_A_RATIO * error / floor, strict=True
        ):
            row[f"{kind}_MAG_{band}"] = magnitude
            row[f"{kind}_MAGERR_{band}"] = uncertainty


def simulate_blocks(
    seed: int, n_galaxies: int, size: int, *, workers: int = 0
) -> Iterator[GalaxyBlock]:
    """A whole survey as consecutive blocks, rendered by several processes.

    Parameters
    ----------
    seed : int
        Of the survey; the galaxies do not depend on ``workers``.
    n_galaxies : int
        In all.
    size : int
        Side of the stamps, pixels.
    workers : int
        Processes; 0 is one a core, 1 is none but this one.
    """
    _sources()  # fill the cache once, before the workers look for it
    starts = range(0, n_galaxies, BLOCK_SIZE)
    blocks = [(seed, start, min(start + BLOCK_SIZE, n_galaxies), size) for start in starts]
    workers = min(workers or _usable_cores(), len(blocks))
    if workers <= 1:
        yield from (simulate_block(*block) for block in blocks)
        return
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawning) as pool:
        yield from _in_order(pool, blocks, ahead=2 * workers)


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _in_order(
    pool: ProcessPoolExecutor, blocks: list[tuple[int, int, int, int]], ahead: int
) -> Iterator[GalaxyBlock]:
    """Results in the order of the blocks, with few of them in memory."""
    waiting: list[Future[GalaxyBlock]] = []
    try:
        for block in blocks:
            waiting.append(pool.submit(simulate_block, *block))
            if len(waiting) > ahead:
                yield waiting.pop(0).result()
        while waiting:
            yield waiting.pop(0).result()
    finally:
        for future in waiting:
            future.cancel()
