"""Pretraining's views on a CPU in one pass over their pixels, compiled by numba (extra ``[cpu]``).

What `photoz_ssl.datasets.augment` does operation by operation, each of which reads and writes all
pixels, is done here pixel by pixel and from the same draws: the results differ by rounding alone.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["VIEWS_WORTH_COMPILING", "compiled_fill", "has_numba"]

VIEWS_WORTH_COMPILING = 50_000
"""From here on the seconds that it takes to compile what makes them are won back."""

Floats = NDArray[np.float32]


@lru_cache(maxsize=1)
def has_numba() -> bool:
    """Whether numba is installed, and goes with the NumPy that is."""
    try:
        importlib.import_module("numba")
    except ImportError:
        return False
    return True


@lru_cache(maxsize=1)
def compiled_fill() -> Callable[..., None]:
    """What fills views, without Python's lock; the first call compiles it, in two seconds."""
    numba = importlib.import_module("numba")
    compiled = numba.njit(nogil=True, fastmath={"contract", "reassoc", "arcp", "nsz"})
    draw, find_corners, blend = compiled(_draw), compiled(_find_corners), compiled(_blend)

    def fill(
        views: Floats,
        stamps: Floats,
        part: tuple[int, int, int],
        rows: NDArray[np.complex64],
        columns: NDArray[np.complex64],
        dust: Floats,
        sigma: Floats,
        state: NDArray[np.uint64],
        quantiles: Floats,
    ) -> None:
        """Fill the views of some galaxies of a batch.

        Parameters
        ----------
        views : ndarray, shape (n_views, n, bands, size, size)
            Those of all galaxies at hand.
        stamps : ndarray, shape (n, bands, S, S)
            Nanomaggies.
        part : (int, int, int)
            Of the galaxies at hand the first, and the one after the last; how many before the
            first, at hand elsewhere, are drawn for.
        rows, columns : ndarray, shape (n_views, n, size)
            Terms whose sum is where a pixel lies; see `photoz_ssl.datasets.augment`.
        dust, sigma : ndarray, shape (n_views, n, bands)
            Share of the light that is let through; the noise's deviation, nanomaggies.
        state : ndarray, shape (4,)
            Of numpy.random.SFC64.
        quantiles : ndarray, shape (65536,)
            Of the normal distribution; 16 random bits choose one.
        """
        n_views, _, n_bands, size, _ = views.shape
        start, stop, n_elsewhere = part
        stored = stamps.shape[3]
        stamp = np.empty((n_bands, stored * stored), np.float32)
        corners, weights = np.empty(size * size, np.uint32), np.empty((4, size * size), np.float32)
        words = np.empty(n_bands * size * size // 4, np.uint64)
        noise = words.view(np.uint16).reshape(n_bands, size * size)
        for _ in range(n_elsewhere * n_views):
            draw(state, words)
        for galaxy in range(start, stop):
            stamp[:] = stamps[galaxy].reshape(stamp.shape)  # as it lies in memory, into the cache
            for view in range(n_views):
                draw(state, words)
                find_corners(rows[view, galaxy], columns[view, galaxy], stored, corners, weights)
                for band in range(n_bands):
                    blend(
                        stamp[band],
                        stored,
                        corners,
                        weights,
                        dust[view, galaxy, band],
                        sigma[view, galaxy, band],
                        noise[band],
                        quantiles,
                        views[view, galaxy, band].reshape(size * size),
                    )

    return compiled(fill)  # type: ignore[no-any-return]


def _draw(state: NDArray[np.uint64], words: NDArray[np.uint64]) -> None:
    """Fill words with random bits as numpy.random.SFC64 does (Doty-Humphrey 2010)."""
    one, three, shift, turn = np.uint64(1), np.uint64(3), np.uint64(11), np.uint64(24)
    back = np.uint64(64) - turn
    a, b, c, count = state[0], state[1], state[2], state[3]
    for place in range(len(words)):
        words[place] = a + b + count
        count += one
        a = b ^ (b >> shift)
        b = c + (c << three)
        c = ((c << turn) | (c >> back)) + words[place]
    state[0], state[1], state[2], state[3] = a, b, c, count


def _find_corners(
    row: NDArray[np.complex64],
    column: NDArray[np.complex64],
    stored: int,
    corners: NDArray[np.uint32],
    weights: Floats,
) -> None:
    """The first of the four pixels of a stamp that a view's pixel lies between, and their weights.

    A weight falls to nothing at the next pixel, and so do all of them beyond the edges.
    """
    zero, half, one = np.float32(0), np.float32(0.5), np.float32(1)
    middle, last, width = np.float32(stored / 2), np.float32(stored - 2), np.uint32(stored)
    for y in range(len(row)):
        for x in range(len(column)):
            point, place = row[y] + column[x], y * len(column) + x
            at_x, at_y = (point.real + one) * middle - half, (point.imag + one) * middle - half
            left = min(max(np.float32(math.floor(at_x)), zero), last)
            top = min(max(np.float32(math.floor(at_y)), zero), last)
            of_left, of_right = one - abs(at_x - left), one - abs(at_x - left - one)
            of_top, of_bottom = one - abs(at_y - top), one - abs(at_y - top - one)
            of_left, of_right = max(zero, of_left), max(zero, of_right)
            of_top, of_bottom = max(zero, of_top), max(zero, of_bottom)
            corners[place] = np.uint32(top) * width + np.uint32(left)
            weights[0, place], weights[1, place] = of_top * of_left, of_top * of_right
            weights[2, place], weights[3, place] = of_bottom * of_left, of_bottom * of_right


def _blend(
    stamp: Floats,
    stored: int,
    corners: NDArray[np.uint32],
    weights: Floats,
    dust: np.float32,
    sigma: np.float32,
    noise: NDArray[np.uint16],
    quantiles: Floats,
    view: Floats,
) -> None:
    """A band of a view: light from four pixels, what dust lets through of it, and noise."""
    right, below = np.uint32(1), np.uint32(stored)
    for place in range(len(view)):
        first = corners[place]
        light = (
            weights[0, place] * stamp[first]
            + weights[1, place] * stamp[first + right]
            + weights[2, place] * stamp[first + below]
            + weights[3, place] * stamp[first + below + right]
        )
        view[place] = dust * light + sigma * quantiles[noise[place]]
