"""Calibration: a PDF sums to 1, and a known temperature is found again."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from photoz_ssl.errors import CheckpointError
from photoz_ssl.redshift.calibration import Calibration, fit_calibration
from photoz_ssl.redshift.grid import RedshiftGrid

GRID = RedshiftGrid(z_max=0.4, n_bins=40)


def draw(temperature: float, n: int = 4000) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Logits, and redshifts drawn from their PDFs at a temperature, evenly within a bin."""
    generator = np.random.default_rng(5)
    centre = generator.uniform(0.1, 0.3, (n, 1))
    logits = -0.5 * ((GRID.centres - centre) / 0.02) ** 2
    cumulative = np.cumsum(Calibration(temperature).apply(logits), axis=1)
    bins = (generator.random((n, 1)) > cumulative).sum(axis=1)
    return logits, GRID.edges[bins] + generator.random(n) * GRID.width


def test_each_pdf_sums_to_1_however_large_the_logits() -> None:
    logits = np.random.default_rng(0).normal(0, 1e4, (10, 40)).astype(np.float32)
    pdf = Calibration(0.3).apply(logits)
    assert pdf.dtype == np.float64
    np.testing.assert_allclose(pdf.sum(axis=1), 1)


def test_temperature_1_is_the_softmax() -> None:
    logits = np.array([[0.0, np.log(3.0)]])
    np.testing.assert_allclose(Calibration().apply(logits), [[0.25, 0.75]])


def test_a_higher_temperature_widens_a_pdf_and_keeps_its_peak() -> None:
    logits = np.random.default_rng(2).normal(size=(5, 40))
    narrow, wide = Calibration(0.5).apply(logits), Calibration(2.0).apply(logits)
    assert (wide.max(axis=1) < narrow.max(axis=1)).all()
    np.testing.assert_array_equal(wide.argmax(axis=1), narrow.argmax(axis=1))


def test_logits_that_are_not_finite_give_nan() -> None:
    pdf = Calibration().apply(np.array([[0.0, np.inf], [np.nan, 1.0], [1.0, 1.0]]))
    np.testing.assert_array_equal(np.isnan(pdf).all(axis=1), [True, True, False])


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_of_the_truth_is_found(temperature: float) -> None:
    fitted = fit_calibration(*draw(temperature), GRID)
    assert fitted.temperature == pytest.approx(temperature, rel=0.05)
    assert fitted.coverage_68 == pytest.approx(0.68, abs=0.03)
    assert fitted.coverage_95 == pytest.approx(0.95, abs=0.015)


def test_no_other_temperature_is_likelier() -> None:
    logits, redshift = draw(1.7)
    fitted = fit_calibration(logits, redshift, GRID).temperature
    truth = (np.arange(len(logits)), GRID.bin_of(redshift))

    def likelihood(temperature: float) -> float:
        return float(np.log(Calibration(temperature).apply(logits)[truth]).mean())

    assert all(likelihood(fitted) > likelihood(fitted * factor) for factor in (0.9, 0.99, 1.1))


def test_unlabelled_rows_do_not_count() -> None:
    logits, redshift = draw(1.7, n=400)
    with_gaps = np.concatenate([redshift, np.full(50, np.nan)])
    more_logits = np.concatenate([logits, np.full((50, 40), 9.0)])
    assert fit_calibration(more_logits, with_gaps, GRID) == fit_calibration(logits, redshift, GRID)


def test_rows_whose_logits_are_not_finite_do_not_count() -> None:
    logits, redshift = draw(1.7, n=400)
    more_logits = np.concatenate([logits, np.full((2, 40), np.nan)])
    more_redshift = np.concatenate([redshift, [0.2, 0.2]])
    fitted = fit_calibration(more_logits, more_redshift, GRID)
    assert fitted == fit_calibration(logits, redshift, GRID)


@pytest.mark.parametrize("n_labels", [1, 2, 3])
def test_a_handful_of_labels_calibrates_nothing(n_labels: int) -> None:
    logits, redshift = draw(1.7, n=n_labels)
    fitted = fit_calibration(logits, redshift, GRID)
    assert (fitted.temperature, fitted.blur, fitted.shift) == (1, 0, 0)


def test_few_labels_do_no_harm() -> None:
    logits, redshift = draw(1.0, n=4000)
    truth = GRID.bin_of(redshift)

    def surprise(calibration: Calibration) -> float:
        return -float(np.log(calibration.apply(logits)[np.arange(4000), truth] + 1e-300).mean())

    draws = [slice(start, start + 10) for start in range(0, 400, 10)]
    fitted = [surprise(fit_calibration(logits[few], redshift[few], GRID)) for few in draws]
    assert np.mean(fitted) < surprise(Calibration()) + 0.05
    assert max(fitted) < surprise(Calibration()) + 1


def test_without_labels_nothing_is_calibrated() -> None:
    assert fit_calibration(np.zeros((3, 40)), np.full(3, np.nan), GRID) == Calibration()


def test_a_calibration_survives_its_dictionary() -> None:
    calibration = Calibration(1.3, 2.0, -0.7, coverage_68=0.68, coverage_95=0.94)
    assert Calibration.from_dict(calibration.to_dict()) == calibration
    without = {name: value for name, value in calibration.to_dict().items() if name != "shift"}
    assert Calibration.from_dict(without).shift == 0  # as files have it that are older


@pytest.mark.parametrize(
    "fields",
    [
        {"heat": 1.0},
        {"temperature": 0.0},
        {"temperature": "warm"},
        {"shift": 21.0},
        {"shift": -21.0},
        {"shift": math.nan},
    ],
)
def test_a_damaged_description_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(CheckpointError):
        Calibration.from_dict(fields)


def test_a_blur_keeps_the_sum_and_away_from_the_ends_the_mean() -> None:
    logits = -0.5 * ((GRID.centres - 0.2) / 0.01) ** 2 + np.zeros((1, 1))
    sharp, blurred = Calibration().apply(logits), Calibration(blur=3.0).apply(logits)
    np.testing.assert_allclose(blurred.sum(axis=1), 1)
    np.testing.assert_allclose(blurred @ GRID.centres, sharp @ GRID.centres, atol=1e-4)
    variance = [(pdf @ (GRID.centres - 0.2) ** 2).item() for pdf in (sharp, blurred)]
    assert variance[1] - variance[0] == pytest.approx((3 * GRID.width) ** 2, rel=0.02)


def test_a_network_sure_of_single_bins_is_blurred_and_not_flattened() -> None:
    generator = np.random.default_rng(4)
    true = generator.uniform(0.06, 0.12, 3000)
    guess = GRID.bin_of(true + generator.normal(0, 0.02, 3000))
    logits = 30.0 * (np.arange(GRID.n_bins) == guess[:, None])
    fitted = fit_calibration(logits, true, GRID)
    assert fitted.blur * GRID.width == pytest.approx(0.02, rel=0.15)
    assert fitted.coverage_68 == pytest.approx(0.68, abs=0.05)
    mean = fitted.apply(logits) @ GRID.centres
    assert abs(np.mean(mean - true)) < 0.003
    flat = Calibration(20.0).apply(logits) @ GRID.centres
    assert abs(np.mean(flat - true)) > 0.05


@pytest.mark.parametrize("blur", [-1.0, float("nan"), float("inf")])
def test_a_blur_that_is_none_is_refused(blur: float) -> None:
    with pytest.raises(CheckpointError, match="blur"):
        Calibration.from_dict({"temperature": 1.0, "blur": blur})


@pytest.mark.parametrize("shift", [21.0, float("nan"), float("-inf")])
def test_a_shift_that_is_none_is_refused(shift: float) -> None:
    with pytest.raises(CheckpointError, match="shift"):
        Calibration.from_dict({"temperature": 1.0, "blur": 1.0, "shift": shift})


@pytest.mark.parametrize("shift", [-1.7, 0.4, 3.0])
def test_a_shift_moves_the_mean_by_so_many_bins(shift: float) -> None:
    logits = -0.5 * ((GRID.centres - 0.2) / 0.01) ** 2 + np.zeros((1, 1))
    still, moved = Calibration(blur=1.0).apply(logits), Calibration(blur=1.0, shift=shift)
    by = (moved.apply(logits) - still) @ GRID.centres / GRID.width
    assert by.item() == pytest.approx(shift, abs=0.01)


def test_a_pdf_at_the_end_of_the_grid_stays_one_when_it_is_moved_beyond() -> None:
    pdf = Calibration(blur=0.05, shift=-20.0).apply(np.eye(GRID.n_bins) * 50)
    np.testing.assert_allclose(pdf.sum(axis=1), 1)
    assert pdf[0, 0] == pytest.approx(1)


def test_a_network_that_is_off_to_one_side_is_brought_back() -> None:
    generator = np.random.default_rng(8)
    seen = generator.uniform(0.1, 0.3, 3000)
    true = seen + generator.normal(0, 0.02, 3000)
    logits = -0.5 * ((GRID.centres - seen[:, None] - 0.012) / 0.01) ** 2
    fitted = fit_calibration(logits, true, GRID)
    assert fitted.shift * GRID.width == pytest.approx(-0.012, abs=0.001)
    assert np.mean(fitted.apply(logits) @ GRID.centres - true) == pytest.approx(0, abs=0.001)
    assert fitted.coverage_68 == pytest.approx(0.68, abs=0.03)


def test_a_network_that_is_off_to_no_side_is_not_shifted() -> None:
    assert fit_calibration(*draw(1.7), GRID).shift == 0


@pytest.mark.parametrize("wrong", [10, 20, 30])
def test_labels_half_of_which_are_wrong_do_not_lead_to_a_corner(wrong: int) -> None:
    generator = np.random.default_rng(3)
    seen = generator.uniform(0.15, 0.3, 60)
    true = seen - 0.05 + generator.normal(0, 0.01, 60)
    seen[:wrong] = 0.01
    logits = -0.5 * ((GRID.centres - seen[:, None]) / 0.006) ** 2
    truth = (np.arange(60), GRID.bin_of(true))

    def likelihood(calibration: Calibration) -> float:
        return float(np.log(calibration.apply(logits)[truth]).mean())

    others = (
        Calibration(temperature, blur, shift)
        for temperature in (1.0, 5.0, 15.0)
        for blur in (1.0, 4.0, 10.0)
        for shift in (-8.0, -5.0, 0.0, 5.0)
    )
    best = likelihood(fit_calibration(logits, true, GRID))
    chance = 3 / 60  # log-likelihood, per galaxy, that three parameters gain without a reason
    assert all(best + chance > likelihood(other) for other in others)


def test_pdfs_that_are_too_wide_are_moved_as_well() -> None:
    """As those of a network that learnt from blurred labels: no blur is to be added."""
    grid, generator = RedshiftGrid(), np.random.default_rng(0)
    centre, width, shift = generator.uniform(40, 140, 2000), 8.0, -0.6
    bins = np.arange(grid.n_bins)
    logits = -0.35 * ((bins - centre[:, np.newaxis]) / width) ** 2
    truth = centre + shift + width * generator.normal(size=len(centre))
    fitted = fit_calibration(logits, (truth + 0.5) * grid.width, grid)
    assert fitted.temperature == pytest.approx(0.7, rel=0.05)
    assert fitted.shift == pytest.approx(shift, abs=0.3)
