"""Point estimates: laws of histograms, then values worked by hand."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from photoz_ssl.redshift.estimates import PointEstimates, quantiles, summarise
from photoz_ssl.redshift.grid import RedshiftGrid

GRID = RedshiftGrid(z_max=0.4, n_bins=20)

weights = arrays(np.float64, (3, 20), elements=st.floats(0, 1)).filter(
    lambda values: bool((values.sum(axis=1) > 1e-3).all())
)


@given(weights)
def test_estimates_lie_on_the_grid_and_in_order(pdf: NDArray[np.float64]) -> None:
    found = summarise(pdf, GRID)
    ordered = np.stack([found.l95, found.l68, found.median, found.u68, found.u95])
    assert (np.diff(ordered, axis=0) >= -1e-12).all()
    assert (ordered >= 0).all()
    assert (ordered <= GRID.z_max).all()
    assert ((found.odds >= -1e-12) & (found.odds <= 1 + 1e-12)).all()
    assert ((found.mean >= GRID.centres[0]) & (found.mean <= GRID.centres[-1])).all()


@given(weights, st.floats(0.01, 0.99))
def test_the_stated_probability_lies_below_a_quantile(
    pdf: NDArray[np.float64], probability: float
) -> None:
    (redshift,) = quantiles(pdf, (probability,), GRID)
    cumulative = np.concatenate([np.zeros((3, 1)), np.cumsum(pdf, axis=1)], axis=1)
    below = [
        np.interp(z, GRID.edges, row / row[-1]) for z, row in zip(redshift, cumulative, strict=True)
    ]
    np.testing.assert_allclose(below, probability, atol=1e-6)


def test_a_quantile_is_the_least_redshift_below_which_so_much_lies() -> None:
    grid = RedshiftGrid(z_max=0.4, n_bins=4)
    pdf = np.array([[0.25, 0.25, 0.25, 0.25], [0.0, 0.5, 0.5, 0.0]])
    lowest, highest = quantiles(pdf, (0.0, 1.0), grid)
    np.testing.assert_allclose(lowest, 0)
    np.testing.assert_allclose(highest, [0.4, 0.3])


@given(weights)
def test_the_scale_of_a_pdf_does_not_matter(pdf: NDArray[np.float64]) -> None:
    once, thrice = summarise(pdf, GRID), summarise(3 * pdf, GRID)
    np.testing.assert_allclose(once.mean, thrice.mean)
    np.testing.assert_allclose(once.u95, thrice.u95)


def test_the_mean_is_the_sum_over_bin_centres() -> None:
    pdf = np.random.default_rng(1).dirichlet(np.ones(20), size=5)
    np.testing.assert_allclose(summarise(pdf, GRID).mean, pdf @ GRID.centres)


def test_a_flat_pdf_has_the_moments_of_a_uniform_distribution() -> None:
    found = summarise(np.full((1, 20), 0.05), GRID)
    assert found.mean[0] == pytest.approx(0.2)
    assert found.median[0] == pytest.approx(0.2)
    assert found.std[0] == pytest.approx(0.4 / np.sqrt(12))
    assert [found.l68[0], found.u68[0]] == pytest.approx([0.16 * 0.4, 0.84 * 0.4])
    assert [found.l95[0], found.u95[0]] == pytest.approx([0.025 * 0.4, 0.975 * 0.4])


def test_a_pdf_in_one_bin_is_uniform_within_it() -> None:
    pdf = np.zeros((1, 20))
    pdf[0, 7] = 1.0
    found = summarise(pdf, GRID)
    assert found.mean[0] == found.mode[0] == pytest.approx(GRID.centres[7])
    assert found.l68[0] == pytest.approx(GRID.edges[7] + 0.16 * GRID.width)
    assert found.std[0] == pytest.approx(GRID.width / np.sqrt(12))
    assert found.odds[0] == pytest.approx(1.0)


def test_odds_count_fractions_of_bins() -> None:
    pdf = np.full((1, 20), 0.5 / 19)
    pdf[0, 10] = 0.5
    window = 0.03 * (1 + GRID.centres[10])
    outside_the_bin = 2 * (window - GRID.width / 2)
    expected = 0.5 + outside_the_bin / GRID.width * 0.5 / 19
    assert summarise(pdf, GRID).odds[0] == pytest.approx(expected)


def test_odds_at_the_grid_s_end_count_what_is_there() -> None:
    pdf = np.full((1, 20), 0.5 / 19)
    pdf[0, 0] = 0.5
    upper = GRID.centres[0] + 0.03 * (1 + GRID.centres[0])
    expected = 0.5 + (upper - GRID.width) / GRID.width * 0.5 / 19
    assert summarise(pdf, GRID).odds[0] == pytest.approx(expected)


def test_the_mode_is_the_lowest_of_equal_peaks() -> None:
    pdf = np.zeros((1, 20))
    pdf[0, [3, 15]] = 0.5
    assert summarise(pdf, GRID).mode[0] == pytest.approx(GRID.centres[3])


@pytest.mark.parametrize("missing", [np.nan, 0.0, np.inf])
def test_a_row_without_a_pdf_is_nan_and_leaves_the_others_alone(missing: float) -> None:
    pdf = np.full((3, 20), 0.05)
    pdf[1] = missing
    found = summarise(pdf, GRID)
    for field in fields(PointEstimates):
        values = getattr(found, field.name)
        np.testing.assert_array_equal(np.isnan(values), [False, True, False])


def test_no_galaxies_give_no_estimates() -> None:
    found = summarise(np.empty((0, 20)), GRID)
    assert all(getattr(found, field.name).shape == (0,) for field in fields(PointEstimates))


def test_pdfs_of_another_grid_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(n, 20\)"):
        summarise(np.ones((2, 21)), GRID)
