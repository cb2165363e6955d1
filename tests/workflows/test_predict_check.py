"""The dry run of a prediction: it tells, writes nothing, and fails where the run would."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import fitsio
import numpy as np
import pytest

from photoz_ssl.config import PredictConfig
from photoz_ssl.errors import CheckpointError, CutoutError, OutputError
from photoz_ssl.workflows.predict import predict
from photoz_ssl.workflows.predict_check import check_prediction


def test_it_tells_and_writes_nothing(tiny_archive: Path, tmp_path: Path) -> None:
    check = check_prediction(
        PredictConfig(catalog=str(tiny_archive), output=str(tmp_path / "z.fits"), pdf="hist")
    )
    told = {finding.what: finding.found for finding in check.findings}
    assert told["catalogue"] == f"{tiny_archive}, 24 rows"
    assert told["images"] == "24 of the first 24 rows can be used"
    assert told["pixels"] == "107 x 107 of 0.396 arcsec, nanomaggy"
    assert told["bands"] == "u g r i z"
    assert told["dust"].startswith("E(B-V) from the archive")
    assert told["disk"].startswith("10")
    assert "Z_PHOT_MEAN" in told["columns"]
    assert check.n_rows == 24
    assert check.summary().startswith("dry run: predict would write 24 rows in about ")
    assert not list(tmp_path.iterdir())


def test_a_shard_is_a_share_of_the_rows(tiny_archive: Path, tmp_path: Path) -> None:
    check = check_prediction(
        PredictConfig(
            catalog=str(tiny_archive), output=str(tmp_path / "z.fits"), shard="1/3", batch_size=8
        )
    )
    assert check.n_rows == 8


def test_a_shard_without_rows_is_told(tiny_archive: Path, tmp_path: Path) -> None:
    check = check_prediction(
        PredictConfig(catalog=str(tiny_archive), output=str(tmp_path / "z.fits"), shard="1/3")
    )
    assert "this shard has no rows" in check.summary()
    assert not check.findings


def test_a_catalogue_without_rows_is_told(tiny_archive: Path, tmp_path: Path) -> None:
    table = Path(tmp_path / "none.fits")
    kinds = [("OBJID", "i8"), ("CUTOUT", "S9")]
    fitsio.write(table, np.zeros(0, kinds), header={"EXTNAME": "CAT"})
    config = PredictConfig(catalog=str(table))
    check = check_prediction(config)
    (notice,) = check.notices
    assert notice.startswith("no columns of right ascension and declination were found")
    assert predict(config).notices == check.notices
    assert check.summary().startswith("dry run: predict would write 0 rows")
    told = {finding.what: finding.found for finding in check.findings}
    assert told["catalogue"] == f"{table}, 0 rows"
    assert told["model"].startswith("compact-6 (trained on ")
    assert told["runs on"] == "cpu by PyTorch"
    assert "Z_PHOT_MEAN" in told["columns"]


def test_it_fails_where_the_run_would(
    tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "z.fits").touch()
    config = PredictConfig(catalog=str(tiny_archive), output=str(tmp_path / "z.fits"))
    with pytest.raises(OutputError, match="exists already"):
        check_prediction(config)
    with pytest.raises(CheckpointError, match="there is no model file"):
        check_prediction(PredictConfig(catalog=str(tiny_archive), model=tmp_path / "none"))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=10))
    with pytest.raises(OutputError, match="has 10 B free, and about"):
        check_prediction(PredictConfig(catalog=str(tiny_archive), output=str(tmp_path / "y.fits")))


def test_images_of_which_none_can_be_used_are_told(
    tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "photoz_ssl.survey.blocks.GalaxyBlock.usable", property(lambda block: block.flags > 99)
    )
    with pytest.raises(CutoutError, match="no row of the first 24 rows of"):
        check_prediction(PredictConfig(catalog=str(tiny_archive), output=str(tmp_path / "z.fits")))
