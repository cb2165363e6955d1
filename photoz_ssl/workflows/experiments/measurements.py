"""What single trainings of the label-efficiency experiment reached, one file each."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from photoz_ssl.errors import CheckpointError
from photoz_ssl.training.run_folder import RunFolder

__all__ = ["METHODS", "Measurement", "measured_in", "read_measurements"]

METHODS = ("fine-tuned", "from scratch", "photometry")


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one training reached on the test galaxies.

    Parameters
    ----------
    method : str
        One of `METHODS`.
    fraction : float
        Of the training labels.
    seed, n_labels : int
        Which labels, and how many.
    sigma_mad, outlier_fraction : float
        Of the test galaxies.
    """

    method: str
    fraction: float
    seed: int
    n_labels: int
    sigma_mad: float
    outlier_fraction: float


def measured_in(folder: Path) -> Path:
    """Where the measurements in an experiment's folder are."""
    return folder / "measured"


def read_measurements(folder: RunFolder) -> tuple[Measurement, ...]:
    """All measurements of an experiment, by fraction, seed and method.

    Raises
    ------
    CheckpointError
        If one is damaged, or of an experiment with another configuration or archive.
    """
    found = [_read(path, folder) for path in sorted(measured_in(folder.path).glob("*.json"))]
    return tuple(sorted(found, key=lambda one: (one.fraction, one.seed, METHODS.index(one.method))))


def _read(path: Path, folder: RunFolder) -> Measurement:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        same = folder.is_of_run(fields.pop("fingerprint"))
        measurement = Measurement(**fields)
        METHODS.index(measurement.method)
        if not math.isfinite(measurement.sigma_mad + measurement.outlier_fraction):
            raise ValueError("of no galaxy")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"the measurement {path} is damaged", "remove it to measure again"
        ) from error
    if not same:
        raise CheckpointError(
            f"{path} was measured with other options, another archive or another encoder",
            "give the same ones, or start again with --overwrite",
        )
    return measurement
