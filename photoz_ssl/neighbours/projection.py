"""Principal axes of representations, and projections on them: fitted once, applied to queries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import ConfigError

__all__ = [
    "Projection",
    "fit_projection",
    "leading_axes",
    "normalised",
    "principal_axes",
    "require_components",
    "share_outside",
]

SMALLEST_VARIANCE = 1e-6
"""Relative to the largest, below which whitening would blow up what is only rounding."""

SUBSPACE_ITERATIONS = 3


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
    variance, axes = leading_axes(moments / n_vectors - np.outer(mean, mean), n_components)
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


def leading_axes(
    moments: NDArray[np.float64], n_axes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The largest eigenvalues of a symmetric matrix, and their eigenvectors as columns.

    At most ``n_axes``, the largest first; the largest number of each eigenvector is positive.
    """
    variance, axes = np.linalg.eigh(moments)
    variance, axes = variance[::-1][:n_axes], axes[:, ::-1][:, :n_axes]
    return variance, axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])


def principal_axes(vectors: NDArray[np.floating], n_axes: int) -> NDArray[np.float32]:
    """Orthonormal axes that hold as much of some vectors as so many can, or nearly so.

    By subspace iteration, as a full decomposition may take longer than the search.

    Parameters
    ----------
    vectors : ndarray, shape (n, n_features)
        Finite.
    n_axes : int
        How many axes to find.

    Returns
    -------
    ndarray, shape (n_features, n_axes)
        Those that hold most first.
    """
    moments = vectors.T.astype(np.float64) @ vectors.astype(np.float64)
    axes = np.random.default_rng(0).standard_normal((len(moments), n_axes))
    for _ in range(SUBSPACE_ITERATIONS):
        axes, _ = np.linalg.qr(moments @ axes)
    _, turn = np.linalg.eigh(axes.T @ moments @ axes)
    return np.ascontiguousarray((axes @ turn)[:, ::-1], np.float32)


def share_outside(vectors: NDArray[np.float32], axes: NDArray[np.float32]) -> float:
    """Share of the squares of some vectors that orthonormal axes do not hold; 0 without vectors."""
    total = float(np.sum(vectors**2))
    return (total - float(np.sum((vectors @ axes) ** 2))) / (total or 1.0)


def normalised(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Vectors scaled to unit length, shape (n, n_features), float32; NaN for one of length 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
