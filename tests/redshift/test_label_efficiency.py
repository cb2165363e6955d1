"""The factor of labels saved, on curves whose answer is known."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.redshift.label_efficiency import labels_needed, labels_saved

LABELS = np.array([100.0, 200.0, 1000.0, 5000.0])


def scatter(labels: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.05 - 0.005 * np.log(labels))


def test_a_curve_that_needs_a_third_of_the_labels_saves_a_factor_of_three() -> None:
    saved = labels_saved(LABELS, scatter(3 * LABELS), LABELS, scatter(LABELS))
    np.testing.assert_allclose(saved, [3, 3, 3, np.nan])


def test_nothing_is_saved_against_oneself() -> None:
    np.testing.assert_allclose(labels_saved(LABELS, scatter(LABELS), LABELS, scatter(LABELS)), 1)


def test_what_was_never_reached_is_not_guessed() -> None:
    outside = labels_needed([0.001, 0.2], LABELS, scatter(LABELS))
    assert np.isnan(outside).all()


def test_what_is_no_number_answers_for_nothing() -> None:
    np.testing.assert_array_equal(labels_needed([np.nan], [50], [0.03]), [np.nan])
    np.testing.assert_array_equal(labels_needed([0.03], [50], [np.nan]), [np.nan])
    saved = labels_saved([10, 100], [0.03, 0.02], [10, 100], [np.nan, 0.02])
    np.testing.assert_allclose(saved, [np.nan, 1])


def test_a_setback_does_not_count() -> None:
    reached = [0.04, 0.03, 0.035, 0.02]
    np.testing.assert_allclose(labels_needed([0.03, 0.02], LABELS, reached), [200, 5000])
    between = labels_needed([0.025], LABELS, reached)
    np.testing.assert_allclose(between, np.sqrt(200 * 5000))


def test_a_single_point_answers_for_itself_alone() -> None:
    np.testing.assert_allclose(labels_needed([0.03, 0.02], [50], [0.03]), [50, np.nan])
