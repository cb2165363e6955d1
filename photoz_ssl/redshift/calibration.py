"""Calibration of redshift PDFs by one temperature (Guo et al. 2017, arXiv 1706.04599)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import CheckpointError
from photoz_ssl.redshift.estimates import summarise
from photoz_ssl.redshift.grid import RedshiftGrid

__all__ = ["Calibration", "fit_calibration"]

TEMPERATURE_RANGE = (0.05, 20.0)
"""Temperatures that a fit may find; a perfect or a hopeless network stops at an end."""

HALVINGS = 40


@dataclass(frozen=True)
class Calibration:
    """How a network's logits become probabilities that mean what they say.

    Parameters
    ----------
    temperature : float
        What logits are divided by; above 1 it widens the PDFs, 1 leaves them alone.
    coverage_68, coverage_95 : float, optional
        Fraction of the galaxies it was fitted on whose redshift lies in the 68 % or 95 %
        interval of the calibrated PDF.
    """

    temperature: float = 1.0
    coverage_68: float | None = None
    coverage_95: float | None = None

    def apply(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Calibrated bin probabilities.

        Parameters
        ----------
        logits : ndarray, shape (n, n_bins)
            What the network gives; a row that is not finite gives NaN.

        Returns
        -------
        ndarray, shape (n, n_bins), float64
            Softmax of the logits over the temperature; each row sums to 1.
        """
        scaled = np.asarray(logits, dtype=np.float64) / self.temperature
        scaled = np.where(np.isfinite(scaled).all(axis=1, keepdims=True), scaled, np.nan)
        weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

    def to_dict(self) -> dict[str, float | None]:
        """The calibration as plain values, for a checkpoint."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Calibration:
        """Rebuild a calibration from `to_dict`.

        Raises
        ------
        CheckpointError
            If the fields are not those of a calibration, or the temperature is not positive.
        """
        try:
            calibration = cls(**fields)
            usable = 0 < calibration.temperature < np.inf
        except TypeError as error:
            raise CheckpointError(f"not a calibration: {dict(fields)!r}") from error
        if not usable:
            raise CheckpointError(f"not a temperature: {calibration.temperature!r}")
        return calibration


def fit_calibration(
    logits: NDArray[np.floating], redshift: NDArray[np.floating], grid: RedshiftGrid
) -> Calibration:
    """Find the temperature with the smallest negative log-likelihood.

    The likelihood is concave in the inverse temperature, so that its one maximum is where
    its slope changes sign; bisection finds it without a step size.

    Parameters
    ----------
    logits : ndarray, shape (n, n_bins)
        What the network gives for validation galaxies; rows that are not finite are left out.
    redshift : ndarray, shape (n,)
        Spectroscopic redshifts; NaN rows are left out. Without a row the temperature is 1.
    grid : RedshiftGrid
        The bins.
    """
    usable = np.isfinite(redshift) & np.isfinite(logits).all(axis=1)
    if not usable.any():
        return Calibration()
    of_usable = np.asarray(logits[usable], dtype=np.float64)
    true = np.asarray(redshift[usable], dtype=np.float64)
    temperature = _best_temperature(of_usable, grid.bin_of(true))
    estimates = summarise(Calibration(temperature).apply(of_usable), grid)
    return Calibration(
        temperature,
        coverage_68=_fraction_inside(true, estimates.l68, estimates.u68),
        coverage_95=_fraction_inside(true, estimates.l95, estimates.u95),
    )


def _best_temperature(logits: NDArray[np.float64], true_bin: NDArray[np.int64]) -> float:
    """Bisect, in the logarithm of the temperature, for the slope of the likelihood."""
    of_truth = logits[np.arange(len(logits)), true_bin].mean()
    low, high = np.log(TEMPERATURE_RANGE)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        pdf = Calibration(float(np.exp(middle))).apply(logits)
        expected = np.sum(pdf * logits, axis=1).mean()
        low, high = (middle, high) if expected > of_truth else (low, middle)
    return float(np.exp((low + high) / 2))


def _fraction_inside(
    redshift: NDArray[np.float64], lower: NDArray[np.float64], upper: NDArray[np.float64]
) -> float:
    return float(np.mean((lower <= redshift) & (redshift <= upper)))
