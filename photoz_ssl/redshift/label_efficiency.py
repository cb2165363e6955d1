"""How many labels a pretrained network saves: accuracy against labels, for both ways to learn."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["labels_needed", "labels_saved"]

Array = NDArray[np.float64]


def labels_needed(sigma: ArrayLike, n_labels: ArrayLike, reached: ArrayLike) -> Array:
    """Labels with which a method reaches a scatter, log-linearly between those it was given.

    Where more labels made the scatter worse, the best one so far counts; NaNs do not.

    Parameters
    ----------
    sigma : array_like, shape (n,)
        Scatters that are asked for.
    n_labels, reached : array_like, shape (m,)
        Labels that the method was given, ascending, and the scatter it reached with them.

    Returns
    -------
    ndarray, shape (n,)
        NaN where the scatter lies outside those that were reached.
    """
    wanted = np.asarray(sigma, np.float64)
    known = np.isfinite(np.asarray(reached, np.float64))
    if not known.any():
        return np.full(wanted.shape, np.nan)
    best = np.minimum.accumulate(np.asarray(reached, np.float64)[known])
    falling = np.append(True, np.diff(best) < 0)
    labels = np.log(np.asarray(n_labels, np.float64)[known][falling][::-1])
    needed = np.interp(wanted, best[falling][::-1], labels, left=np.nan, right=np.nan)
    return np.where(np.isnan(wanted), np.nan, np.exp(needed))


def labels_saved(
    n_labels: ArrayLike, finetuned: ArrayLike, n_scratch: ArrayLike, scratch: ArrayLike
) -> Array:
    """Factor of labels that fine-tuning saves: at each of its points, at equal scatter.

    Parameters
    ----------
    n_labels, finetuned : array_like, shape (n,)
        Labels and scatters of the fine-tuned networks.
    n_scratch, scratch : array_like, shape (m,)
        Labels, ascending, and scatters of the networks trained from scratch.

    Returns
    -------
    ndarray, shape (n,)
        Labels that training from scratch needs over those that fine-tuning had; NaN where it
        never reached that scatter, or was better already with its fewest labels.
    """
    return np.asarray(
        labels_needed(finetuned, n_scratch, scratch) / np.asarray(n_labels, np.float64)
    )
