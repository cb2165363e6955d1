"""Metrics: values worked by hand, independent references, and what must not change them."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
from astropy.stats import mad_std
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from photoz_ssl.redshift.metrics import (
    bias,
    bootstrap_error,
    coverage,
    interval_metrics,
    mean_error,
    normalised_residual,
    outlier_fraction,
    point_metrics,
    quantile_edges,
    score_metrics,
    sigma_mad,
    subsets,
)
from photoz_ssl.redshift.scores import pdf_scores

RESIDUALS = st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=40).map(np.array)


def draw(n: int = 400, seed: int = 3) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0.01, 0.02, n)


def test_residual_is_relative_to_one_plus_the_true_redshift() -> None:
    np.testing.assert_allclose(normalised_residual([0.3, 0.1], [0.25, 0.1]), [0.04, 0.0])


def test_values_worked_by_hand() -> None:
    dz = np.array([-0.06, -0.01, 0.0, 0.02, 0.1])
    assert bias(dz) == pytest.approx(0.01)
    assert sigma_mad(dz) == pytest.approx(1.4826 * 0.02)  # deviations 0, 0.01, 0.02, 0.06, 0.1
    assert outlier_fraction(dz) == pytest.approx(0.4)
    assert outlier_fraction(dz, threshold=0.06) == pytest.approx(0.2)


def test_an_outlier_is_beyond_the_threshold_and_not_on_it() -> None:
    assert outlier_fraction(np.array([0.05, -0.05, 0.0500001])) == pytest.approx(1 / 3)


def test_scatter_agrees_with_astropy() -> None:
    dz = draw()
    assert sigma_mad(dz) == pytest.approx(mad_std(dz), rel=1e-4)


def test_residuals_and_scatter_agree_with_qp() -> None:
    qp = pytest.importorskip("qp.metrics.point_estimate_metric_classes", exc_type=ImportError)
    z_spec = np.random.default_rng(1).uniform(0.01, 0.4, 400)
    z_phot = z_spec + draw()
    dz = normalised_residual(z_phot, z_spec)
    np.testing.assert_allclose(dz, qp.PointStatsEz().evaluate(z_phot, z_spec))
    metrics = point_metrics(z_phot, z_spec)
    assert metrics.sigma_mad == pytest.approx(qp.PointSigmaMAD().evaluate(z_phot, z_spec))


@given(RESIDUALS, st.floats(-1, 1))
def test_scatter_does_not_change_with_a_shift(dz: NDArray[np.float64], shift: float) -> None:
    assert sigma_mad(dz + shift) == pytest.approx(sigma_mad(dz), abs=1e-12)


@given(RESIDUALS)
def test_scatter_scales_and_outliers_are_a_fraction(dz: NDArray[np.float64]) -> None:
    assert sigma_mad(-3 * dz) == pytest.approx(3 * sigma_mad(dz), abs=1e-12)
    assert 0 <= outlier_fraction(dz) <= 1
    assert outlier_fraction(dz, 0.01) >= outlier_fraction(dz, 0.1)


def test_bootstrap_repeats_for_a_seed_and_differs_between_seeds() -> None:
    dz = draw()
    assert bootstrap_error(dz, sigma_mad, seed=1) == bootstrap_error(dz, sigma_mad, seed=1)
    assert bootstrap_error(dz, sigma_mad, seed=1) != bootstrap_error(dz, sigma_mad, seed=2)


def test_closed_error_of_a_mean_is_what_resampling_tends_to() -> None:
    dz = draw()
    assert mean_error(dz) == pytest.approx(bootstrap_error(dz, bias, n_resamples=4000), rel=0.05)


def test_bootstrap_error_of_the_scatter_is_that_of_repeated_surveys() -> None:
    surveys = np.random.default_rng(0).normal(size=(400, 1000))
    spread = np.std([sigma_mad(survey) for survey in surveys])
    assert bootstrap_error(surveys[0], sigma_mad) == pytest.approx(spread, rel=0.3)


def test_rows_with_a_nan_are_dropped_and_counted() -> None:
    z_spec = np.array([0.1, 0.2, np.nan, 0.1])
    metrics = point_metrics([0.1, np.nan, 0.1, 0.21], z_spec)
    assert (metrics.n_galaxies, metrics.n_dropped) == (2, 2)
    assert metrics.bias == pytest.approx(0.05)
    assert metrics.outlier_fraction == pytest.approx(0.5)


def test_perfect_redshifts_have_no_error() -> None:
    z = np.linspace(0.01, 0.3, 50)
    metrics = point_metrics(z, z)
    assert set(asdict(metrics).values()) == {0, 50}


def test_no_galaxy_gives_nan_and_one_galaxy_has_no_errors() -> None:
    nothing = point_metrics([], [])
    assert nothing.n_galaxies == 0
    assert math.isnan(nothing.bias)
    assert math.isnan(nothing.sigma_mad)
    assert math.isnan(nothing.outlier_fraction)
    single = point_metrics([0.11], [0.1])
    assert single.bias == pytest.approx(0.01 / 1.1)
    assert math.isnan(single.bias_error)
    assert math.isnan(single.sigma_mad_error)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_error_of_the_outlier_fraction_is_that_of_a_share(sign: int) -> None:
    z_spec = np.full(4, 0.1)
    metrics = point_metrics(z_spec + sign * np.array([0.2, 0, 0, 0]), z_spec)
    assert metrics.outlier_fraction_error == pytest.approx(math.sqrt(0.25 * 0.75 / 4))


def test_an_interval_holds_its_ends() -> None:
    inside = coverage(
        np.array([0.1, 0.2, 0.3, np.nan]), np.array([0.1] * 4), np.array([0.2, 0.2, 0.2, 0.2])
    )
    np.testing.assert_array_equal(inside, [1, 1, 0, np.nan])


def test_coverage_by_hand() -> None:
    z_spec = np.array([0.10, 0.15, 0.30, 0.20, np.nan])
    low, high = np.full(5, 0.1), np.full(5, 0.2)
    metrics = interval_metrics(z_spec, (low, high), (low - 0.1, high + 0.2), np.full(5, 0.8))
    assert (metrics.n_galaxies, metrics.n_dropped) == (4, 1)
    assert metrics.coverage68 == pytest.approx(0.75)
    assert metrics.coverage68_error == pytest.approx(math.sqrt(0.75 * 0.25 / 4))
    assert metrics.coverage95 == 1
    assert metrics.odds == pytest.approx(0.8)


def test_an_interval_that_is_not_known_drops_its_galaxy() -> None:
    z_spec = np.full(3, 0.1)
    narrow, wide = (z_spec - 0.05, z_spec + 0.05), (np.array([0, np.nan, 0]), z_spec + 0.2)
    metrics = interval_metrics(z_spec, narrow, wide, np.full(3, 0.8))
    assert (metrics.n_galaxies, metrics.n_dropped) == (2, 1)
    assert metrics.coverage95 == 1


def test_galaxies_with_a_wide_interval_are_covered_at_the_nominal_rate() -> None:
    generator = np.random.default_rng(5)
    z_phot = 0.2 + generator.normal(0, 0.01, 20_000)
    z_spec = np.full(20_000, 0.2)
    metrics = interval_metrics(
        z_spec,
        (z_phot - 0.0099446, z_phot + 0.0099446),
        (z_phot - 0.0195996, z_phot + 0.0195996),
        np.ones(20_000),
    )
    assert metrics.coverage68 == pytest.approx(0.68, abs=4 * metrics.coverage68_error)
    assert metrics.coverage95 == pytest.approx(0.95, abs=4 * metrics.coverage95_error)


def test_score_metrics_drop_what_has_no_pdf_or_no_truth() -> None:
    edges = np.array([0.0, 0.1, 0.2])
    pdf = np.array([[0.5, 0.5], [np.nan, np.nan], [1.0, 0.0], [0.0, 0.0]])
    metrics = score_metrics(pdf_scores(pdf, edges, [0.1, 0.1, np.nan, 0.1]))
    assert (metrics.n_galaxies, metrics.n_dropped) == (1, 3)
    assert metrics.pit_ks == pytest.approx(0.5)
    assert metrics.cde_loss == pytest.approx(-5)
    assert math.isnan(metrics.crps_error)


def test_subsets_part_the_galaxies() -> None:
    values = np.array([0.0, 0.05, 0.1, 0.2, np.nan, -0.1, 0.3])
    found = list(subsets(values, [0, 0.1, 0.15, 0.2]))
    assert [(part.low, part.high) for part in found] == [(0, 0.1), (0.1, 0.15), (0.15, 0.2)]
    assert [part.rows.sum() for part in found] == [2, 1, 1]
    assert len(list(subsets(values, [0.21, 0.22, 0.3]))) == 1  # the empty bin is left out
    counted = np.sum([part.rows for part in found], axis=0)
    np.testing.assert_array_equal(counted, [1, 1, 1, 1, 0, 0, 0])


def test_bins_by_quantile_hold_equally_many_galaxies() -> None:
    values = np.append(draw(500), np.nan)
    edges = quantile_edges(values, 5)
    assert [part.rows.sum() for part in subsets(values, edges)] == [100] * 5
    assert len(quantile_edges(np.full(3, np.nan), 5)) == 0
    assert list(subsets(values, quantile_edges(np.full(3, np.nan), 5))) == []


def test_equal_values_are_one_bin_and_not_none() -> None:
    found = list(subsets([0.3, 0.3, 0.3], quantile_edges([0.3, 0.3, 0.3], 5)))
    assert [part.rows.sum() for part in found] == [3]
