"""Principal components of representations: fitted once, stored, applied to queries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import ConfigError

__all__ = ["Projection", "fit_projection", "normalised", "require_components"]

SMALLEST_VARIANCE = 1e-6
"""Relative to the largest, below which whitening would blow up what is only rounding."""


@dataclass(frozen=True)
class Projection:
    """A map of representations to fewer numbers.

    Parameters
    ----------
    mean : ndarray, shape (n_features,), float32
        Of the representations it was fitted to.
    axes : ndarray, shape (n_features, n_components), float32
        Principal axes, the largest variance first; divided by the standard deviation along
        them if it whitens.
    """

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]

    @property
    def n_components(self) -> int:
        """Numbers that are left."""
        return int(self.axes.shape[1])

    def apply(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Project vectors, shape (n, n_features), to unit vectors, shape (n, n_components).

        NaN where a vector has a NaN or is the mean.
        """
        with np.errstate(invalid="ignore"):
            return normalised((np.asarray(vectors, np.float32) - self.mean) @ self.axes)


def fit_projection(
    blocks: Iterable[NDArray[np.floating]], n_components: int, *, whiten: bool
) -> Projection:
    """Fit principal components to vectors that come block by block.

    Parameters
    ----------
    blocks : iterable of ndarray, shape (n, n_features)
        Vectors; those with a NaN are left out.
    n_components : int
        How many to keep.
    whiten : bool
        Whether to give all of them the same variance.

    Raises
    ------
    ConfigError
        If there are fewer features, or fewer vectors, than components.
    """
    n_vectors, total, moments = 0, np.zeros(1), np.zeros((1, 1))
    for block in blocks:
        known = np.asarray(block, np.float64)
        known = known[np.isfinite(known).all(axis=1)]
        n_vectors += len(known)
        total = total + known.sum(axis=0)
        moments = moments + known.T @ known
    require_components(n_components, len(moments), n_vectors)
    mean = total / n_vectors
    variance, axes = np.linalg.eigh(moments / n_vectors - np.outer(mean, mean))
    variance, axes = variance[::-1][:n_components], axes[:, ::-1][:, :n_components]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(n_components)])
    if whiten:
        axes = axes / np.sqrt(np.maximum(variance, SMALLEST_VARIANCE * variance[0]))
    return Projection(mean.astype(np.float32), axes.astype(np.float32))


def require_components(n_components: int, n_numbers: int, n_vectors: int) -> None:
    """Refuse more components than numbers in a vector, or than vectors.

    Raises
    ------
    ConfigError
        That names the most there are.
    """
    if n_components > n_numbers:
        raise ConfigError(
            f"--dim {n_components} is more than the {n_numbers} numbers of a vector",
            "choose fewer",
        )
    if n_components > n_vectors:
        raise ConfigError(
            f"--dim {n_components} is more than the {n_vectors} galaxies with a representation",
            "choose fewer, or embed more galaxies",
        )


def normalised(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Vectors scaled to unit length, shape (n, n_features), float32; NaN for one of length 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
