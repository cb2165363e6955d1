"""The trees that the networks are compared with."""

from __future__ import annotations

import numpy as np
import pytest

from photoz_ssl.workflows.photometry import photometric_redshifts

pytest.importorskip("sklearn", reason="the trees need the extra [experiment]")


def test_the_same_redshifts_each_time() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 4))
    redshift = 0.1 + 0.01 * features[:, 0]
    learn, predict = np.arange(200), np.arange(200, 400)
    first, *others = (
        photometric_redshifts(features, redshift, learn, predict, seed=1) for _ in range(4)
    )
    for other in others:
        np.testing.assert_array_equal(other, first)
