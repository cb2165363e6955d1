"""Calibration of redshift PDFs: a temperature (Guo et al. 2017, arXiv 1706.04599), a blur, a shift.

A classifier does not know that neighbouring bins are alike. Trained on few labels it gives its
probability to single bins, and a temperature that makes up for that spreads it over all
redshifts, which moves the mean to the middle of the grid. A blur spreads it nearby.

PDFs of galaxies that a network has not learned from may be off by a little, always to the same
side: a shift brings them back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import CheckpointError
from photoz_ssl.redshift.estimates import summarise
from photoz_ssl.redshift.grid import RedshiftGrid
from photoz_ssl.scalars import require_types

__all__ = ["Calibration", "fit_calibration"]

TEMPERATURE_RANGE = (0.05, 20.0)
"""Temperatures that a fit may find; a perfect or a hopeless network stops at an end."""

HALVINGS = 40

FIRST_BLUR = 4.0
BLUR_RANGE = (0.05, 50.0)
"""Blurs that a fit may find, in bins."""

LEAST_BLUR_TO_SHIFT = 0.6
"""Blur, in bins, of which a shift by a part of a bin is nearly one: with less it is none."""

MOST_SHIFT = 20.0
"""Shift that a fit may find, in bins, to either side."""


@dataclass(frozen=True)
class Calibration:
    """How a network's logits become probabilities that mean what they say.

    Parameters
    ----------
    temperature : float
        What logits are divided by; above 1 it widens the PDFs, 1 leaves them alone.
    blur : float
        Standard deviation, in bins, of the Gaussian by which the PDFs are then blurred.
    shift : float
        Mean of that Gaussian, in bins: above 0 it moves the PDFs to higher redshifts. It is taken
        at the bins' centres, so that with a blur below half a bin it moves them otherwise.
    coverage_68, coverage_95 : float, optional
        Fraction of the galaxies it was fitted on whose redshift lies in the 68 % or 95 %
        interval of the calibrated PDF.
    """

    temperature: float = 1.0
    blur: float = 0.0
    shift: float = 0.0
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
            Softmax of the logits over the temperature, blurred and shifted; each row sums to 1.
        """
        scaled = np.asarray(logits, dtype=np.float64) / self.temperature
        scaled = np.where(np.isfinite(scaled).all(axis=1, keepdims=True), scaled, np.nan)
        weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        pdf = np.asarray(weights / weights.sum(axis=1, keepdims=True))
        return pdf @ _kernel(self.blur, self.shift, pdf.shape[1]) if self.blur else pdf

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
            require_types(fields, cls)
            calibration = cls(**fields)
            usable = 0 < calibration.temperature < np.inf and 0 <= calibration.blur < np.inf
            usable = usable and abs(calibration.shift) <= MOST_SHIFT
        except (AttributeError, TypeError) as error:
            raise CheckpointError(f"not a calibration: {fields!r:.200}") from error
        if not usable:
            raise CheckpointError(
                "not a temperature, a blur and a shift:"
                f" {calibration.temperature!r}, {calibration.blur!r}, {calibration.shift!r}"
            )
        return calibration


def _kernel(blur: float, shift: float, n_bins: int) -> NDArray[np.float64]:
    """How a bin's probability is shared among all, shape (n_bins, n_bins); rows sum to 1."""
    bins = np.arange(n_bins)
    exponents = -0.5 * ((bins - bins[:, None] - shift) / blur) ** 2
    weights = np.exp(exponents - exponents.max(axis=1, keepdims=True))  # at an end all may be far
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def fit_calibration(
    logits: NDArray[np.floating], redshift: NDArray[np.floating], grid: RedshiftGrid
) -> Calibration:
    """Find the temperature, blur and shift with the smallest negative log-likelihood.

    Each is kept where it raises the likelihood by more than its parameters are worth (Akaike
    1974, in the form for few galaxies of Hurvich & Tsai 1989).

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
    fitted = _likeliest(of_usable, grid.bin_of(true))
    estimates = summarise(fitted.apply(of_usable), grid)
    return replace(
        fitted,
        coverage_68=_fraction_inside(true, estimates.l68, estimates.u68),
        coverage_95=_fraction_inside(true, estimates.l95, estimates.u95),
    )


def _likeliest(logits: NDArray[np.float64], true_bin: NDArray[np.int64]) -> Calibration:
    """Nothing, a temperature, a blur, too, and a shift, too: as much as is worth it."""

    def surprise(calibration: Calibration) -> float:
        of_truth = calibration.apply(logits)[np.arange(len(logits)), true_bin]
        return float(-np.log(np.maximum(of_truth, np.finfo(float).tiny)).mean())

    plain = Calibration(_best_temperature(logits, true_bin))
    off = float(np.median(true_bin - Calibration().apply(logits) @ np.arange(logits.shape[1])))
    simple = [0.0, float(np.log(FIRST_BLUR))]
    blurred = _least(surprise, simple)
    movable = [blurred[0], max(blurred[1], float(np.log(LEAST_BLUR_TO_SHIFT)))]
    shifted = _least(surprise, [*movable, off], [*simple, off])
    candidates = [Calibration(), plain, _calibration_at(blurred), _calibration_at(shifted)]
    information = [
        len(logits) * surprise(each) + _worth(n_parameters, len(logits))
        for n_parameters, each in enumerate(candidates)
    ]
    return candidates[int(np.argmin(information))]


def _least(surprise: Callable[[Calibration], float], *starts: list[float]) -> NDArray[np.float64]:
    """Where calibrations surprise least, from the best of some starts; see `_calibration_at`."""
    from scipy.optimize import minimize  # not above: who predicts would wait for it in vain

    found = [
        minimize(
            lambda point: surprise(_calibration_at(point)),
            x0=start,
            method="Nelder-Mead",
            options={"xatol": 1e-3, "fatol": 1e-6, "maxiter": 300},
        )
        for start in starts
    ]
    return np.asarray(min(found, key=lambda one: float(one.fun)).x)


def _calibration_at(point: NDArray[np.float64]) -> Calibration:
    """A calibration from the logarithms of temperature and blur, and the shift if there is one."""
    limits = np.log([TEMPERATURE_RANGE, BLUR_RANGE])
    shift = np.clip(point[2:], -MOST_SHIFT, MOST_SHIFT)
    return Calibration(*np.exp(np.clip(point[:2], *limits.T)).tolist(), *shift.tolist())


def _worth(n_parameters: int, n_galaxies: int) -> float:
    """Log-likelihood that parameters gain by chance: their number, and more of few galaxies."""
    left = n_galaxies - n_parameters - 1
    if n_parameters and left <= 0:
        return float("inf")
    return n_parameters + n_parameters * (n_parameters + 1) / left if n_parameters else 0.0


def _best_temperature(logits: NDArray[np.float64], true_bin: NDArray[np.int64]) -> float:
    """Bisect, in the logarithm of the temperature, for the slope of the likelihood.

    It is concave in the inverse temperature: its one maximum is where its slope changes sign.
    """
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
