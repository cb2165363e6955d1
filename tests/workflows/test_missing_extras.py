"""An extra that will be missed at the end is missed at the start, before any work is done."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from photoz_ssl.config import EmbedConfig, FinetuneConfig, LabelEfficiencyConfig, PredictConfig
from photoz_ssl.errors import MissingExtraError
from photoz_ssl.networks.encoder import PRESETS
from photoz_ssl.workflows import finetune as finetuning
from photoz_ssl.workflows.embed import embed
from photoz_ssl.workflows.finetune import finetune
from photoz_ssl.workflows.label_efficiency import label_efficiency
from photoz_ssl.workflows.predict import predict
from photoz_ssl.workflows.predict_check import check_prediction

Job = Callable[[Path, Path], Any]

JOBS: dict[str, tuple[str, str, Job]] = {
    "finetune --calibrate": (
        *("nncf", "cpu"),
        lambda archive, output: finetune(
            FinetuneConfig(archive=archive, output=output, encoder="tiny", calibrate=True)
        ),
    ),
    "embed --index": (
        *("faiss", "search"),
        lambda archive, output: embed(
            EmbedConfig(catalog=str(archive), output=output / "a.h5", index="ivf")
        ),
    ),
    "experiment": (
        *("sklearn", "experiment"),
        lambda archive, output: label_efficiency(
            LabelEfficiencyConfig(archive=archive, output=output, encoder="e.safetensors")
        ),
    ),
    "predict --samp": (
        *("pyvo", "samp"),
        lambda archive, output: predict(
            PredictConfig(catalog=str(archive), output=f"{output}/z.fits", samp=True)
        ),
    ),
    "predict --dry-run --dask": (
        *("distributed", "dask"),
        lambda archive, output: check_prediction(
            PredictConfig(catalog=str(archive), output=f"{output}/z.fits", dask="local:2")
        ),
    ),
}


@pytest.mark.parametrize("job", JOBS)
def test_a_missing_extra_is_told_before_any_work(
    job: str, tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, extra, run = JOBS[job]
    monkeypatch.setitem(PRESETS, "tiny", PRESETS["resnet18-compact"])
    for name in ("nncf", "openvino", "faiss", "sklearn", "pyvo", "distributed", "matplotlib"):
        monkeypatch.setitem(sys.modules, name, None if name == package else sys)
    with pytest.raises(MissingExtraError, match=rf"'{package}'.*photoz-ssl\[{extra}\]"):
        run(tiny_archive, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_calibration_that_fails_leaves_the_model(
    tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MissingExtraError("nncf", "cpu", "an 8-bit network", "it is too old")

    monkeypatch.setitem(PRESETS, "tiny", PRESETS["resnet18-compact"])
    monkeypatch.setattr(finetuning, "require_quantiser", lambda: None)
    monkeypatch.setattr(finetuning, "calibrated", fail)
    config = FinetuneConfig(
        archive=tiny_archive,
        output=tmp_path / "run",
        encoder="tiny",
        epochs=1,
        batch_size=6,
        calibrate=True,
    )
    with pytest.raises(MissingExtraError):
        finetune(config)
    predict(
        PredictConfig(
            catalog=str(tiny_archive),
            model=tmp_path / "run" / "photoz.safetensors",
            output=str(tmp_path / "z.fits"),
            device="cpu",
        )
    )
