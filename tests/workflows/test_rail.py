"""RAIL, LSST DESC's photo-z suite: its metrics of our qp file are those that `evaluate` finds."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
import pytest

from photoz_ssl.config import EvaluateConfig, PredictConfig
from photoz_ssl.survey.archive import open_archive
from photoz_ssl.workflows.evaluate import evaluate
from photoz_ssl.workflows.predict import predict

qp: Any = pytest.importorskip("qp", reason="qp (extra [rail]) is not installed")
cdeloss: Any = pytest.importorskip("rail.evaluation.metrics.cdeloss", reason="no RAIL here")
points: Any = pytest.importorskip("rail.evaluation.metrics.pointestimates", reason="no RAIL here")

pytestmark = pytest.mark.filterwarnings("ignore")  # of RAIL and qp, about NumPy and files


@pytest.fixture(scope="module")
def files(tiny_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The predictions for an archive as a FITS table and as a qp file."""
    folder = tmp_path_factory.mktemp("rail")
    for name in ("z.fits", "z.hdf5"):
        predict(
            PredictConfig(
                catalog=str(tiny_archive), output=str(folder / name), pdf="hist", device="cpu"
            )
        )
    return folder / "z.fits", folder / "z.hdf5"


def test_rail_reads_the_redshifts_and_agrees_on_point_estimates(
    files: tuple[Path, Path], tiny_archive: Path
) -> None:
    table, ensemble = fitsio.read(files[0], ext=1), qp.read(str(files[1]))
    true = np.asarray(open_archive(tiny_archive).redshift, float)
    means = np.ravel(ensemble.mean())
    np.testing.assert_allclose(means, table["Z_PHOT_MEAN"], atol=1e-6)
    residual = (means - true) / (1 + true)
    mad = points.PointSigmaMAD(means, true).evaluate()
    assert mad == pytest.approx(
        1.4826 * np.median(np.abs(residual - np.median(residual))), rel=1e-3
    )
    assert points.PointBias(means, true).evaluate() == pytest.approx(np.median(residual), abs=1e-9)


def test_the_qp_file_is_as_good_as_the_table(files: tuple[Path, Path]) -> None:
    table, ensemble = (evaluate(EvaluateConfig(predictions=str(path))) for path in files)
    assert table.quality.pdf is not None
    assert ensemble.quality == table.quality
    assert ensemble.pit_histogram == table.pit_histogram
    assert ensemble.notices == ()


def test_rail_finds_our_cde_loss(files: tuple[Path, Path], tiny_archive: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ensemble = qp.read(str(files[1]))
    true = np.asarray(open_archive(tiny_archive).redshift, float)
    grid = np.linspace(0, 0.4, 180 * 40 + 1)[:-1] + 0.2 / (180 * 40)  # within the bins
    theirs = cdeloss.CDELoss(ensemble, grid, true).evaluate().statistic
    ours = evaluate(EvaluateConfig(predictions=str(files[0]))).quality.pdf
    assert ours is not None
    assert theirs == pytest.approx(ours.cde_loss, rel=2e-3)
