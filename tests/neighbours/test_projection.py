"""Principal components: what they keep, and what a second fit would give."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from photoz_ssl.errors import ConfigError
from photoz_ssl.neighbours.projection import fit_projection


def skewed(n: int = 400, n_features: int = 12) -> NDArray[np.float32]:
    generator = np.random.default_rng(5)
    turn, _ = np.linalg.qr(generator.normal(size=(n_features, n_features)))
    vectors = generator.normal(size=(n, n_features)) * 2.0 ** -np.arange(n_features)
    return np.asarray((vectors + 3) @ turn, np.float32)


def test_all_components_keep_the_angles_about_the_mean() -> None:
    vectors = skewed()
    projected = fit_projection([vectors], 12, whiten=False).apply(vectors)
    centred = vectors - vectors.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    np.testing.assert_allclose(projected @ projected.T, centred @ centred.T, atol=1e-5)


def test_the_first_components_hold_the_most() -> None:
    vectors = skewed()
    fitted = fit_projection([vectors], 3, whiten=False)
    assert fitted.n_components == 3
    scores = (vectors - fitted.mean) @ fitted.axes
    variance = np.linalg.eigvalsh(np.cov(vectors.T, bias=True))[::-1]
    np.testing.assert_allclose(scores.var(axis=0), variance[:3], rtol=1e-4)


def test_whitened_components_have_one_variance_and_no_covariance() -> None:
    vectors = skewed()
    fitted = fit_projection([vectors], 5, whiten=True)
    scores = (vectors - fitted.mean) @ fitted.axes
    np.testing.assert_allclose(np.cov(scores.T, bias=True), np.eye(5), atol=1e-3)


def test_blocks_and_missing_vectors_change_nothing() -> None:
    vectors = skewed()
    holes = np.insert(vectors, [0, 100], np.nan, axis=0)
    one = fit_projection([vectors], 4, whiten=False)
    other = fit_projection([holes[:150], holes[150:160], holes[160:]], 4, whiten=False)
    np.testing.assert_allclose(one.axes, other.axes, atol=1e-6)
    projected = one.apply(holes)
    assert np.isnan(projected[[0, 101]]).all()
    np.testing.assert_allclose(np.linalg.norm(projected[1:101], axis=1), 1, atol=1e-6)


def test_no_more_components_than_there_are() -> None:
    with pytest.raises(ConfigError, match="--dim 13 is more than the 12 numbers of a vector"):
        fit_projection([skewed()], 13, whiten=False)
    with pytest.raises(ConfigError, match="--dim 9 is more than the 5 galaxies with"):
        fit_projection([skewed(5)], 9, whiten=False)
