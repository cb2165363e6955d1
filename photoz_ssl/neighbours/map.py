"""A map of an atlas: each galaxy's place in a plane, where those that look alike lie together.

Two principal components are there at once. A neighbour embedding (t-SNE; van der Maaten &
Hinton 2008) shows more, and is computed once: of a sample, between which all others are placed
by their nearest neighbours in it. So time grows with the atlas, and memory hardly.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import ArchiveError
from photoz_ssl.extras import import_extra
from photoz_ssl.hdf5 import new_file, open_file
from photoz_ssl.neighbours.atlas import Atlas
from photoz_ssl.neighbours.exact import NOBODY, nearest
from photoz_ssl.neighbours.products import Vectors
from photoz_ssl.neighbours.projection import leading_axes
from photoz_ssl.progress import Progress, silent
from photoz_ssl.samples import evenly_spread

__all__ = [
    "AtlasMap",
    "build_map",
    "has_map",
    "map_path",
    "principal_map",
    "read_map",
    "require_mapper",
]

FORMAT = "photoz-ssl map"
FORMAT_VERSION = 1

SAMPLE_ROWS = 10_000
"""That are embedded together."""

PRINCIPAL_SAMPLE_ROWS = 1 << 15
"""That the principal components are found from."""

PERPLEXITY = 30.0
"""Of t-SNE, about as many neighbours are attracted."""

ANCHORS = 5
"""Neighbours in the sample between which a galaxy is placed."""

CLOSEST = 1e-4
"""Squared distance of representations below which anchors are equally near."""

ROWS_AT_ONCE = 1 << 14

Positions = NDArray[np.float32]


@dataclass(frozen=True)
class AtlasMap:
    """Places of an atlas's galaxies.

    Parameters
    ----------
    kind : {'neighbours', 'principal'}
        Whether it is a neighbour embedding or two principal components.
    positions : ndarray, shape (n_galaxies, 2), float32
        No unit; NaN for a galaxy without a representation.
    """

    kind: str
    positions: Positions


def map_path(atlas: Path) -> Path:
    """Where the map of an atlas is: ``NAME.map.h5`` beside it."""
    return atlas.with_name(f"{atlas.stem}.map.h5")


def has_map(atlas: Atlas) -> bool:
    """Whether a file lies where the map of an atlas would."""
    return map_path(atlas.path).exists()


def require_mapper() -> Any:
    """Scikit-learn's t-SNE.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    return import_extra("sklearn.manifold", extra="browse", purpose="making a map").TSNE


def build_map(
    atlas: Atlas, *, seed: int = 0, overwrite: bool = False, progress: Progress = silent
) -> AtlasMap:
    """Compute the neighbour embedding of an atlas and store it beside it.

    Parameters
    ----------
    atlas : Atlas
        What to map.
    seed : int
        Of t-SNE.
    overwrite : bool
        Whether an existing map may be replaced.
    progress : Progress
        Told of the galaxies done.

    Raises
    ------
    OutputError
        If a map exists or cannot be written.
    MissingExtraError
        If scikit-learn is not installed.
    """
    rows = _sample(atlas, SAMPLE_ROWS)
    anchors = atlas.representations[rows].astype(np.float32)
    placed = _embedded(anchors, seed)
    positions = np.full((len(atlas), 2), np.nan, np.float32)
    for start in range(0, len(atlas), ROWS_AT_ONCE):
        block = atlas.representations[start : start + ROWS_AT_ONCE]
        positions[start : start + len(block)] = _between(block, anchors, placed)
        progress("placing galaxies on the map", start + len(block), len(atlas))
    positions[rows] = placed
    made = AtlasMap("neighbours", positions)
    _write(atlas, made, overwrite=overwrite)
    return made


def principal_map(atlas: Atlas) -> AtlasMap:
    """The first two principal components of an atlas's representations."""
    sample = atlas.representations[_sample(atlas, PRINCIPAL_SAMPLE_ROWS)].astype(np.float32)
    positions = np.full((len(atlas), 2), np.nan, np.float32)
    if len(sample):
        mean = sample.mean(axis=0)
        axes = _first_axes(sample - mean)
        for start in range(0, len(atlas), ROWS_AT_ONCE):
            block = atlas.representations[start : start + ROWS_AT_ONCE].astype(np.float32)
            with np.errstate(invalid="ignore"):
                positions[start : start + len(block)] = (block - mean) @ axes
    return AtlasMap("principal", positions)


def read_map(atlas: Atlas) -> AtlasMap:
    """Read the map of an atlas.

    Raises
    ------
    ArchiveError
        If there is none, it is damaged, or it is that of another or an older atlas.
    """
    path = map_path(atlas.path)
    command = f"photoz-ssl embed {atlas.path} --map"
    if not path.exists():
        raise ArchiveError(f"{atlas.path} has no map", f"make one with {command}")
    try:
        with open_file(path) as file:
            if str(file.attrs["fingerprint"]) != atlas.fingerprint:
                raise ArchiveError(
                    f"{path} is the map of another atlas, or of an older {atlas.path}",
                    f"make it again with {command} --overwrite",
                )
            stored = file["positions"]
            if stored.shape != (len(atlas), 2) or stored.dtype.str != "<f4":
                raise ValueError("positions that do not fit the atlas")
            return AtlasMap("neighbours", np.asarray(stored[()], np.float32))
    except (OSError, RuntimeError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise ArchiveError(
            f"{path} is not a readable map", f"make it again with {command} --overwrite"
        ) from error


def _write(atlas: Atlas, made: AtlasMap, *, overwrite: bool) -> None:
    with new_file(map_path(atlas.path), overwrite=overwrite) as (file, _):
        file.attrs["format"] = FORMAT
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["fingerprint"] = atlas.fingerprint
        file["positions"] = made.positions.astype("<f4")


def _sample(atlas: Atlas, most: int) -> NDArray[np.int64]:
    """Rows with a representation, evenly spread over the atlas."""
    known = np.flatnonzero(np.isfinite(atlas.representations[:, 0]))
    return known[evenly_spread(len(known), most)]


def _embedded(vectors: NDArray[np.float32], seed: int) -> Positions:
    """Places of a sample, shape (n, 2): its t-SNE, or a line of the few that have none."""
    n_vectors = len(vectors)
    if n_vectors < 2 * ANCHORS:
        return np.stack([np.arange(n_vectors), np.zeros(n_vectors)], axis=1).astype(np.float32)
    tsne = require_mapper()(
        perplexity=min(PERPLEXITY, (n_vectors - 1) / 3),
        init=_start(vectors),
        random_state=seed,
        n_jobs=1,  # by more threads the sums, and so the map, would differ from run to run
    )
    return np.asarray(tsne.fit_transform(vectors), np.float32)


def _start(vectors: NDArray[np.float32]) -> Positions:
    """Principal components, small: what is far apart in them stays so."""
    centred = vectors - vectors.mean(axis=0)
    start = centred @ _first_axes(centred)
    return np.asarray(1e-4 * start / max(float(start[:, 0].std()), 1e-12), np.float32)


def _first_axes(centred: NDArray[np.float32]) -> NDArray[np.float32]:
    """The first two principal axes, shape (n_features, 2); zeros for one that is not there."""
    _, axes = leading_axes(centred.T.astype(np.float64) @ centred, 2)
    return np.pad(axes, ((0, 0), (0, 2 - axes.shape[1]))).astype(np.float32)


def _between(block: Vectors, anchors: NDArray[np.float32], placed: Positions) -> Positions:
    """Places of galaxies, shape (n, 2): the means of their anchors', the nearer the weightier."""
    found = nearest(block, anchors, min(ANCHORS, len(anchors)))
    there = found.row != NOBODY
    distance = np.maximum(np.where(there, 2 - 2 * found.similarity, np.inf), CLOSEST)
    weight = 1 / distance
    places = np.einsum("nk,nkd->nd", weight, placed[np.where(there, found.row, 0)])
    with np.errstate(invalid="ignore"):
        return np.asarray(places / weight.sum(axis=1, keepdims=True), np.float32)
