"""Calibrating a model: at the end of fine-tuning, or on a model that is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
import pytest
from torch import Tensor

from photoz_ssl.config import ConvertConfig, FinetuneConfig, PredictConfig
from photoz_ssl.errors import ArchiveError, CheckpointError, SpecMismatchError
from photoz_ssl.networks.checkpoint import load_checkpoint, shipped_model_path
from photoz_ssl.networks.encoder import PRESETS
from photoz_ssl.networks.engines import openvino_engine
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.archive import open_archive
from photoz_ssl.survey.archive_writer import create_archive
from photoz_ssl.survey.bands import R_SF11
from photoz_ssl.survey.flags import RowFlag
from photoz_ssl.workflows.convert import convert
from photoz_ssl.workflows.finetune import finetune
from photoz_ssl.workflows.predict import predict
from photoz_ssl.workflows.trained.quantisation import calibrated

pytest.importorskip("nncf", reason="NNCF (extra [cpu]) is not installed")
if not openvino_engine.has_openvino():
    pytest.skip("OpenVINO (extra [cpu]) is not installed", allow_module_level=True)


def test_a_model_is_calibrated_and_predicts_nearly_the_same(
    tiny_archive: Path, tmp_path: Path
) -> None:
    model = tmp_path / "q8.safetensors"
    report = convert(
        ConvertConfig(checkpoint=shipped_model_path("photoz"), output=model, calibrate=tiny_archive)
    )
    assert "8-bit network's redshifts" in report.notices[-1]
    means = []
    for precision in ("fp32", "int8"):
        output = tmp_path / f"{precision}.fits"
        predict(
            PredictConfig(
                catalog=str(tiny_archive), model=model, output=str(output), precision=precision
            )
        )
        means.append(fitsio.read(str(output), ext="PHOTOZ")["Z_PHOT_MEAN"])
    assert np.median(np.abs(means[0] - means[1])) < 0.005


def views_of(archive: Path, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """What ranges would be measured on."""
    seen: list[Tensor] = []

    def remembered(network: object, views: Tensor) -> None:
        seen.append(views)
        raise CheckpointError("enough")

    monkeypatch.setattr("photoz_ssl.workflows.trained.quantisation.quantise", remembered)
    with pytest.raises(CheckpointError, match="enough"):
        calibrated(load_checkpoint(shipped_model_path("photoz")), open_archive(archive))
    return seen[0]


def rewritten(archive: Path, path: Path, **fields: Any) -> Path:
    block = open_archive(archive).block(slice(0, 24))
    with create_archive(path, ImageSpec(), 24) as writer:
        writer.write(replace(block, **fields))
    return path


def test_images_that_cannot_be_used_tell_no_ranges(
    tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags, images = np.zeros(24, np.int32), np.array(open_archive(tiny_archive).images)
    flags[:10], images[:10] = int(RowFlag.IMAGE_MISSING), 0
    some = {"flags": flags, "images": images, "split": np.full(24, "")}
    views = views_of(rewritten(tiny_archive, tmp_path / "some.h5", **some), monkeypatch)
    assert len(views) == 14
    assert bool(views.abs().amax(dim=(1, 2, 3)).min() > 0)
    some["flags"] = np.full(24, int(RowFlag.IMAGE_MISSING), np.int32)
    none = rewritten(tiny_archive, tmp_path / "none.h5", **some)
    with pytest.raises(ArchiveError, match="no usable image"):
        calibrated(load_checkpoint(shipped_model_path("photoz")), open_archive(none))


def test_ranges_are_measured_on_some_dereddened_validation_images(
    tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("photoz_ssl.workflows.trained.quantisation.IMAGES_TO_CALIBRATE_BY", 3)
    archive = open_archive(tiny_archive)
    views = views_of(tiny_archive, monkeypatch)
    rows = archive.rows(split="valid")[[0, 2, 5]]  # from the first to the last
    bright = 10 ** (0.4 * np.outer(archive.ebv[rows], R_SF11))[:, :, np.newaxis, np.newaxis]
    expected = bright * np.array(archive.images[rows])[:, :, 21:85, 21:85]
    np.testing.assert_allclose(views.numpy(), expected, rtol=1e-5, atol=1e-7)


def test_fine_tuning_ends_with_it_where_asked_to(
    tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, "tiny", PRESETS["resnet18-compact"])
    report = finetune(
        FinetuneConfig(
            archive=tiny_archive,
            output=tmp_path / "run",
            encoder="tiny",
            epochs=1,
            batch_size=6,
            calibrate=True,
        )
    )
    assert load_checkpoint(report.model).quantised is not None


def test_our_own_model_needs_no_conversion_without_it(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        convert(
            ConvertConfig(
                checkpoint=shipped_model_path("photoz"), output=tmp_path / "a.safetensors"
            )
        )


def test_images_of_another_kind_do_not_calibrate(tiny_archive: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.h5"
    with create_archive(path, ImageSpec(pixel_scale=0.2), 24) as archive:
        archive.write(open_archive(tiny_archive).block(slice(0, 24)))
    with pytest.raises(SpecMismatchError):
        convert(
            ConvertConfig(
                checkpoint=shipped_model_path("photoz"),
                output=tmp_path / "a.safetensors",
                calibrate=path,
            )
        )
    assert not (tmp_path / "a.safetensors").exists()
