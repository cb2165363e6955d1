"""A model's PDFs are calibrated anew on labels; its weights stay as they are."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from photoz_ssl.config import ConvertConfig, PredictConfig
from photoz_ssl.errors import ArchiveError, CheckpointError, SpecMismatchError
from photoz_ssl.networks.checkpoint import load_checkpoint, shipped_model_path
from photoz_ssl.redshift.calibration import Calibration
from photoz_ssl.redshift.metrics import normalised_residual, outlier_fraction, sigma_mad
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.archive import open_archive
from photoz_ssl.survey.archive_writer import create_archive
from photoz_ssl.survey.flags import RowFlag
from photoz_ssl.workflows.convert import convert
from photoz_ssl.workflows.predict import predict
from photoz_ssl.workflows.trained import recalibration

N_TINY, COPIES = 24, 5
N = N_TINY * COPIES
OFFSET = 0.015


def means(archive: Path, output: Path, model: Path | None = None) -> NDArray[np.float64]:
    predict(PredictConfig(catalog=str(archive), output=str(output), model=model, device="cpu"))
    return np.asarray(fitsio.read(str(output), ext="PHOTOZ")["Z_PHOT_MEAN"], float)


@pytest.fixture(scope="module")
def labelled(tiny_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Galaxies whose redshifts lie below what the model that ships makes of them."""
    folder = tmp_path_factory.mktemp("labelled")
    guess = np.tile(means(tiny_archive, folder / "z.fits"), COPIES)
    truth = guess - OFFSET + np.random.default_rng(1).normal(0, 0.01, N)
    whole = open_archive(tiny_archive).block(slice(0, N_TINY))
    with create_archive(folder / "real.h5", ImageSpec(), N) as archive:
        for number, redshift in enumerate(np.split(truth.astype(np.float32), COPIES)):
            start, split = number * N_TINY, np.full(N_TINY, "")
            archive.write(dataclasses.replace(whole, start=start, redshift=redshift, split=split))
    return folder / "real.h5"


def test_what_is_off_is_brought_back(labelled: Path, tmp_path: Path) -> None:
    path = tmp_path / "real.safetensors"
    report = convert(ConvertConfig(checkpoint=Path("shipped"), output=path, labels=labelled))
    assert report.notices[-1].startswith(f"on the {N} labels that the PDFs are fitted to: a bias")
    truth = open_archive(labelled).redshift
    before = np.mean(means(labelled, tmp_path / "before.fits") - truth)
    after = np.mean(means(labelled, tmp_path / "after.fits", path) - truth)
    assert before > 0.8 * OFFSET
    assert abs(after) < 0.3 * OFFSET
    told = re.findall(r"a bias of (\S+) and (\d+) % inside the 68 % interval", report.notices[-1])
    for (bias, inside), name in zip(told, ("before", "after"), strict=True):
        table = fitsio.read(str(tmp_path / f"{name}.fits"), ext="PHOTOZ")
        dz = (table["Z_PHOT_MEAN"] - truth) / (1 + truth)
        assert float(bias) == pytest.approx(np.mean(dz), abs=1e-4)
        share = np.mean((table["Z_PHOT_L68"] <= truth) & (truth <= table["Z_PHOT_U68"]))
        assert float(inside) == pytest.approx(100 * share, abs=1.0)


def test_of_very_many_labels_some_do(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recalibration, "MOST_LABELS", 105)
    checkpoint = load_checkpoint(shipped_model_path("photoz"))
    seen: list[NDArray[np.float32]] = []

    def fitted(logits: object, redshift: NDArray[np.float32], grid: object) -> Calibration:
        seen.append(redshift)
        return Calibration()

    monkeypatch.setattr(recalibration, "fit_calibration", fitted)
    archive = open_archive(labelled)
    _, found = recalibration.recalibrated(checkpoint, archive)
    assert found.startswith("on the 105 labels")
    assert len(seen[0]) == 105
    assert (seen[0][0], seen[0][-1]) == (archive.redshift[0], archive.redshift[-1])


def test_weights_stay_and_the_file_says_what_was_done(labelled: Path, tmp_path: Path) -> None:
    path = tmp_path / "real.safetensors"
    convert(ConvertConfig(checkpoint=shipped_model_path("photoz"), output=path, labels=labelled))
    before, after = load_checkpoint(shipped_model_path("photoz")), load_checkpoint(path)
    for name, tensor in before.state.items():
        assert torch.equal(after.state[name], tensor)
    assert after.quantised is not None
    assert after.calibration is not None
    assert after.calibration != before.calibration
    assert after.provenance["calibrated_on"] == f"{N} labels of real.h5"
    assert "name" not in after.provenance
    truth = open_archive(labelled).redshift
    dz = normalised_residual(means(labelled, tmp_path / "z.fits", path), truth)
    assert "test" in before.metrics  # of its old PDFs
    assert after.metrics == pytest.approx(
        {
            "valid_sigma_mad": sigma_mad(dz),
            "valid_outlier_fraction": outlier_fraction(dz),
            "valid_bias": np.mean(dz),
        },
        abs=1e-4,
    )


def test_a_file_that_is_called_shipped_is_itself(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shipped").write_text("no model")
    output = tmp_path / "real.safetensors"
    with pytest.raises(CheckpointError, match="shipped"):
        convert(ConvertConfig(checkpoint=Path("shipped"), output=output, labels=labelled))


def rewritten(archive: Path, path: Path, **fields: Any) -> Path:
    block = open_archive(archive).block(slice(0, N))
    with create_archive(path, ImageSpec(), N) as writer:
        writer.write(dataclasses.replace(block, **fields))
    return path


def test_images_that_cannot_be_used_do_not_count(labelled: Path, tmp_path: Path) -> None:
    flags, images = np.zeros(N, np.int32), open_archive(labelled).images.copy()
    flags[:20], images[:20] = int(RowFlag.IMAGE_MISSING), 0
    archive = rewritten(labelled, tmp_path / "some.h5", flags=flags, images=images)
    report = convert(
        ConvertConfig(checkpoint=Path("shipped"), output=tmp_path / "m.safetensors", labels=archive)
    )
    assert report.notices[-1].startswith(f"on the {N - 20} labels")


def test_galaxies_of_another_split_are_left_alone(labelled: Path, tmp_path: Path) -> None:
    split = np.where(np.arange(N) % 5 == 0, "test", "train")
    archive = rewritten(labelled, tmp_path / "split.h5", split=split)
    with pytest.raises(ArchiveError, match="0 usable galaxies with redshifts in its validation"):
        convert(
            ConvertConfig(
                checkpoint=Path("shipped"), output=tmp_path / "m.safetensors", labels=archive
            )
        )


def test_what_cannot_be_calibrated_is_refused(
    labelled: Path, tiny_archive: Path, tmp_path: Path
) -> None:
    output = tmp_path / "real.safetensors"
    with pytest.raises(CheckpointError, match="an encoder has no PDFs"):
        convert(
            ConvertConfig(checkpoint=shipped_model_path("encoder"), output=output, labels=labelled)
        )
    with pytest.raises(ArchiveError, match="PDFs are calibrated on 100 or more"):
        convert(ConvertConfig(checkpoint=Path("shipped"), output=output, labels=tiny_archive))
    other = tmp_path / "other.h5"
    with create_archive(other, ImageSpec(pixel_scale=0.2), N) as archive:
        archive.write(open_archive(labelled).block(slice(0, N)))
    with pytest.raises(SpecMismatchError):
        convert(ConvertConfig(checkpoint=Path("shipped"), output=output, labels=other))
    assert not output.exists()
