"""Percentiles among an atlas's own galaxies, and the distance in looks."""

from __future__ import annotations

import numpy as np

from photoz_ssl.neighbours.novelty import (
    Crowd,
    Norms,
    _with_looks,
    mean_distance,
    percentile_among,
)
from photoz_ssl.neighbours.query import Neighbours


def test_percentiles_run_from_0_to_100() -> None:
    own = np.array([1.0, 2.0, 3.0, 4.0])
    values = np.array([0.0, 2.5, 9.0, np.nan])
    np.testing.assert_array_equal(percentile_among(values, own), [0, 50, 100, np.nan])
    assert np.isnan(percentile_among(values, np.empty(0))).all()


def test_own_numbers_are_spread_evenly_over_the_percentiles() -> None:
    own = np.sort(np.random.default_rng(0).normal(size=1000))
    np.testing.assert_allclose(percentile_among(own, own), np.arange(1000) / 10)


def test_mean_distance_is_nan_without_neighbours() -> None:
    found = Neighbours(
        np.array([0, 0, 2]), np.array([1, 2, 1], np.int32), np.arange(3), np.array([1.0, 0.5, -1.0])
    )
    np.testing.assert_allclose(mean_distance(found, 3), [0.5, np.nan, 2.0])


def test_a_crowd_is_far_from_what_breaks_its_correlation() -> None:
    """Each number alone is usual; together they are not."""
    generator = np.random.default_rng(1)
    first = generator.normal(size=(500, 1))
    numbers = np.concatenate([first, first + 0.05 * generator.normal(size=(500, 1))], axis=1)
    crowd = Crowd.of(numbers)
    along, across = crowd.distance(np.array([[1.0, 1.0], [1.0, -1.0]]))
    assert across > 10 * along


def test_a_member_is_not_its_own_neighbour() -> None:
    numbers = np.random.default_rng(2).normal(size=(20, 3))
    crowd = Crowd.of(numbers)
    with_itself, without = crowd.distance(numbers), crowd.distance(numbers, np.arange(20))
    assert (without > with_itself).all()


def test_the_distance_does_not_depend_on_the_batch() -> None:
    numbers = np.random.default_rng(3).normal(size=(700, 3))
    crowd = Crowd.of(numbers)
    one_by_one = [crowd.distance(row[np.newaxis])[0] for row in numbers[250:270]]
    np.testing.assert_allclose(crowd.distance(numbers)[250:270], one_by_one, atol=1e-9)
    assert np.isnan(crowd.distance(np.array([[np.nan, 0, 0]]))[0])


def test_a_score_is_the_largest_distance_on_the_common_scale() -> None:
    norms = Norms(np.array([0.1]), (), 1, np.array([0.5]), np.array([0.2]))
    np.testing.assert_allclose(norms.scores(np.array([0.25, 1.0, np.nan]), None), [0.5, 2, np.nan])


def test_the_usual_distance_in_looks_is_that_from_the_others() -> None:
    looks = np.random.default_rng(4).normal(size=(30, 4)).astype(np.float32)
    rows = np.arange(2, 28)
    (distance, of_spread), crowds = _with_looks(looks, rows, rows[::2], [], 2)
    own = np.arange(0, len(rows), 2)
    for found, crowd, part in zip(
        (distance, of_spread), crowds, (looks, looks[:, 2:]), strict=True
    ):
        np.testing.assert_allclose(found, crowd.distance(part[rows[::2]], own))
        assert (found > crowd.distance(part[rows[::2]])).any()
