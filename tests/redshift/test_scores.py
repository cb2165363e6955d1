"""Scores of PDFs against hand calculation, numerical integration and qp."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from photoz_ssl.redshift import scores as module
from photoz_ssl.redshift.scores import cde_loss, crps, ks_distance, pdf_scores, pit_values

EDGES = np.linspace(0, 0.4, 41)


def some_pdfs(n: int = 30, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    generator = np.random.default_rng(seed)
    pdf = generator.dirichlet(np.full(40, 0.3), n)
    return pdf, generator.uniform(-0.02, 0.45, n)


def two_bins(low: float, high: float) -> NDArray[np.float64]:
    return np.array([[low, high]])


def test_pit_by_hand() -> None:
    edges = np.array([0.0, 0.1, 0.3])
    z_spec = np.array([-1, 0, 0.05, 0.1, 0.2, 0.3, 9])
    pdf = np.repeat(two_bins(0.4, 0.6), 7, axis=0)
    np.testing.assert_allclose(pit_values(pdf, edges, z_spec), [0, 0, 0.2, 0.4, 0.7, 1, 1])


def test_crps_by_hand() -> None:
    edges = np.array([0.0, 0.1, 0.2])
    # F rises to 1 over the first bin; the truth at its upper edge: the integral of (10 z)².
    assert crps(two_bins(1, 0), edges, np.array([0.1]))[0] == pytest.approx(0.1 / 3)
    # A truth further away adds its distance, as F is 1 there.
    assert crps(two_bins(1, 0), edges, np.array([0.5]))[0] == pytest.approx(0.1 / 3 + 0.4)


def test_crps_is_the_integral() -> None:
    pdf, z_spec = some_pdfs()
    z = np.linspace(-0.1, 0.5, 600_001)
    cumulative = np.pad(np.cumsum(pdf, axis=1), ((0, 0), (1, 0)))
    expected = [
        np.mean((np.interp(z, EDGES, steps) - (z >= truth)) ** 2) * 0.6
        for steps, truth in zip(cumulative, z_spec, strict=True)
    ]
    np.testing.assert_allclose(crps(pdf, EDGES, z_spec), expected, atol=2e-6)


def test_crps_is_least_for_a_narrow_pdf_at_the_truth() -> None:
    narrow = np.eye(40)
    z_spec = np.full(40, 0.205)
    scores = crps(narrow, EDGES, z_spec)
    assert scores.argmin() == 20
    assert np.all(scores >= 0)


def test_cde_loss_by_hand() -> None:
    edges = np.array([0.0, 0.1, 0.3])
    pdf = np.repeat(two_bins(0.4, 0.6), 4, axis=0)  # densities 4 and 3
    squared = 16 * 0.1 + 9 * 0.2
    expected = squared - 2 * np.array([4.0, 3.0, 3.0, 0.0])
    np.testing.assert_allclose(cde_loss(pdf, edges, np.array([0.05, 0.1, 0.3, 0.31])), expected)


def test_true_pdf_has_the_least_cde_loss() -> None:
    generator = np.random.default_rng(1)
    true = np.array([0.1, 0.2, 0.3, 0.4])
    edges = np.linspace(0, 0.4, 5)
    z_spec = np.array([0.05, 0.15, 0.25, 0.35])[generator.choice(4, 20_000, p=true)]
    losses = [
        np.mean(cde_loss(np.broadcast_to(pdf, (20_000, 4)), edges, z_spec))
        for pdf in (true, np.full(4, 0.25), np.array([0.0, 0.1, 0.3, 0.6]))
    ]
    assert losses[0] < min(losses[1:])


def test_pit_of_truths_drawn_from_the_pdfs_is_uniform() -> None:
    generator = np.random.default_rng(2)
    pdf = generator.dirichlet(np.ones(40), 4000)
    cumulative = np.cumsum(pdf, axis=1)
    bins = (generator.uniform(size=(4000, 1)) > cumulative).sum(axis=1).clip(max=39)
    pit = pit_values(pdf, EDGES, EDGES[bins] + generator.uniform(0, 0.01, 4000))
    assert ks_distance(pit) < 1.63 / np.sqrt(4000)  # 1 % of uniform samples exceed it
    assert ks_distance(pit**1.2) > 1.63 / np.sqrt(4000)


def test_ks_distance_by_hand_and_by_scipy() -> None:
    assert ks_distance(np.array([0.5])) == 0.5
    assert ks_distance(np.array([1.0, 1.0])) == 1
    stats = pytest.importorskip("scipy.stats")
    pit = np.random.default_rng(0).beta(1.3, 1, 100)
    assert ks_distance(pit) == pytest.approx(stats.kstest(pit, "uniform").statistic)
    assert np.isnan(ks_distance(np.empty(0)))


def test_pit_agrees_with_qp() -> None:
    qp = pytest.importorskip("qp")
    pdf, z_spec = some_pdfs()
    ensemble = qp.Ensemble(qp.hist, data={"bins": EDGES, "pdfs": pdf / np.diff(EDGES)})
    inside = np.clip(z_spec, 0, 0.4 - 1e-9)
    expected = np.array([ensemble[row].cdf(z) for row, z in enumerate(inside)]).reshape(-1)
    np.testing.assert_allclose(pit_values(pdf, EDGES, inside), expected, atol=1e-6)


def test_pit_and_cde_loss_agree_with_qps_metrics() -> None:
    qp = pytest.importorskip("qp")
    qp_pit = pytest.importorskip("qp.metrics.pit", exc_type=ImportError)
    qp_metrics = pytest.importorskip("qp.metrics.concrete_metric_classes", exc_type=ImportError)
    pdf, z_spec = some_pdfs(n=200)
    inside = np.clip(z_spec, 0.0001, 0.3999)
    ensemble = qp.Ensemble(qp.hist, data={"bins": EDGES, "pdfs": pdf / np.diff(EDGES)})
    pit = qp_pit.PIT(ensemble, inside)
    np.testing.assert_allclose(pit_values(pdf, EDGES, inside), pit.pit_samps, atol=1e-6)
    grid = np.linspace(0, 0.4, 200_001)  # qp integrates on points, we bin by bin
    theirs = qp_metrics.CDELossMetric(grid).evaluate(ensemble, inside)
    assert np.mean(cde_loss(pdf, EDGES, inside)) == pytest.approx(theirs, rel=1e-3)


def test_bins_may_be_each_galaxy_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 7)
    pdf, z_spec = some_pdfs()
    shared = pdf_scores(pdf, EDGES, z_spec)
    own = pdf_scores(pdf, np.tile(EDGES, (len(pdf), 1)), z_spec)
    moved = pdf_scores(pdf, EDGES + np.arange(len(pdf))[:, np.newaxis], z_spec + np.arange(30))
    for name in ("pit", "crps", "cde_loss"):
        np.testing.assert_allclose(getattr(own, name), getattr(shared, name), rtol=1e-12)
        np.testing.assert_allclose(getattr(moved, name), getattr(shared, name), rtol=1e-9)


def test_a_bin_without_width_holds_its_probability_at_a_point() -> None:
    edges, pdf = np.array([[0, 0.1, 0.1, 0.2]]), np.array([[0.25, 0.5, 0.25]])
    for truth, pit in ((0.05, 0.125), (0.1, 0.75), (0.15, 0.875)):
        scores = pdf_scores(pdf, edges, np.array([truth]))
        assert scores.pit[0] == pytest.approx(pit)
        assert np.isfinite(scores.cde_loss[0])
    # F is 2.5 z below the point and 0.5 + 2.5 z above it: twice the integral of (2.5 z)².
    assert crps(pdf, edges, np.array([0.1]))[0] == pytest.approx(2 * 2.5**2 * 0.1**3 / 3)


def test_scores_do_not_depend_on_the_block_or_on_the_normalisation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pdf, z_spec = some_pdfs()
    whole = pdf_scores(pdf, EDGES, z_spec)
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 7)
    parts = pdf_scores(3 * pdf, EDGES, z_spec)
    for name in ("pit", "crps", "cde_loss"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), rtol=1e-12)


def test_no_pdf_or_no_truth_has_no_score() -> None:
    pdf = np.array([[0.5, 0.5], [np.nan, 1.0], [0.0, 0.0]])
    scores = pdf_scores(pdf, [0, 1, 2], [np.nan, 1, 1])
    assert np.isnan([scores.pit, scores.crps, scores.cde_loss]).all()
    assert len(pdf_scores(np.empty((0, 2)), [0, 1, 2], []).pit) == 0
