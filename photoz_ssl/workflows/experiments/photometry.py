"""Redshifts from catalogue magnitudes alone, to compare those from images with.

Extremely randomised trees (Geurts et al. 2006) as scikit-learn has them, which is an extra.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.extras import import_extra
from photoz_ssl.survey.archive import Archive
from photoz_ssl.survey.bands import BANDS, R_SF11

__all__ = ["magnitude_systems", "photometric_features", "photometric_redshifts"]

N_TREES = 200


def magnitude_systems(archive: Archive) -> list[str]:
    """What comes before the band in the names of columns of magnitudes in all five bands."""
    prefixes = {name.rpartition("_")[0] for name in archive.columns}
    return sorted(
        prefix
        for prefix in prefixes
        if prefix.upper().endswith("MAG")
        and all(f"{prefix}_{band}" in archive.columns for band in BANDS)
    )


def photometric_features(archive: Archive) -> NDArray[np.float64]:
    """Dereddened magnitudes and the colours of neighbouring bands.

    Parameters
    ----------
    archive : Archive
        Of galaxies with columns of observed magnitudes such as ``MODEL_MAG_u`` … ``MODEL_MAG_z``.

    Returns
    -------
    ndarray, shape (n_galaxies, 9 n_systems)
        A value that is not finite is 0, which no magnitude is.
    """
    features = []
    for system in magnitude_systems(archive):
        observed = np.stack([archive.columns[f"{system}_{band}"] for band in BANDS], axis=1)
        magnitudes = observed - np.outer(archive.ebv, R_SF11)
        features += [magnitudes, np.diff(magnitudes, axis=1)]
    found = np.concatenate(features, axis=1, dtype=np.float64)
    return np.where(np.isfinite(found), found, 0.0)


def photometric_redshifts(
    features: NDArray[np.float64],
    redshift: NDArray[np.floating],
    learn: NDArray[np.int64],
    predict: NDArray[np.int64],
    *,
    seed: int,
) -> NDArray[np.float64]:
    """Redshifts of some rows, learned from others.

    Parameters
    ----------
    features : ndarray, shape (n_galaxies, n_features)
        From `photometric_features`.
    redshift : ndarray, shape (n_galaxies,)
        Spectroscopic; known for the rows to learn from.
    learn, predict : ndarray, shape (n,)
        Rows.
    seed : int
        Of the trees.

    Raises
    ------
    MissingExtraError
        If scikit-learn is not installed.
    """
    ensemble = import_extra("sklearn.ensemble", extra="experiment", purpose="comparing with trees")
    trees = ensemble.ExtraTreesRegressor(N_TREES, min_samples_leaf=2, random_state=seed, n_jobs=-1)
    trees.fit(features[learn], redshift[learn].astype(np.float64))
    # Threads add up their trees in the order in which they finish: another sum each time.
    trees.set_params(n_jobs=1)
    return np.asarray(trees.predict(features[predict]))
