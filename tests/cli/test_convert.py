"""``photoz-ssl convert``, and published checkpoints wherever a model is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import fitsio
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from photoz_ssl.cli import main
from photoz_ssl.networks.encoder import Encoder
from photoz_ssl.spec import ImageSpec
from photoz_ssl.workflows.trained.encoders import load_encoder
from tests.networks.published import authors_resnet50, contrastive_file, photoz_file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both published files, and a catalogue of two galaxies with their images."""
    folder = tmp_path_factory.mktemp("published")
    state = dict(authors_resnet50(180).state_dict())
    torch.save(photoz_file(state), folder / "photoz.pth.tar")
    torch.save(contrastive_file(state), folder / "moco.pth.tar")
    table = np.zeros(2, [("OBJID", "i8"), ("EBV", "f4"), ("IMAGE", "f4", (5, 64, 64))])
    table["OBJID"], table["EBV"] = (7, 8), 0.03
    table["IMAGE"] = np.random.default_rng(0).normal(0.1, 0.05, (2, 5, 64, 64))
    fitsio.write(str(folder / "catalog.fits"), table)
    return folder


def run(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    code = stop.value.code
    assert isinstance(code, int)
    return code


def redshifts(folder: Path, model: str) -> NDArray[np.float32]:
    table = folder / f"{model}.fits"
    assert run("predict", folder / "catalog.fits", "--model", folder / model, "-o", table) == 0
    found: NDArray[np.float32] = fitsio.read(str(table))["Z_PHOT_MEAN"]
    return found


def test_a_redshift_model_predicts_before_and_after_conversion(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    converted = folder / "photoz.safetensors"
    assert run("convert", folder / "photoz.pth.tar", "-o", converted) == 0
    told = capsys.readouterr().err
    assert "redshift model resnet50 with 180 bins over [0, 0.4], 23,883,124 parameters" in told
    directly, after = redshifts(folder, "photoz.pth.tar"), redshifts(folder, "photoz.safetensors")
    assert np.isfinite(directly).all()
    np.testing.assert_array_equal(directly, after)
    assert "data of the published checkpoint photoz.pth.tar" in capsys.readouterr().err
    assert run("convert", folder / "photoz.pth.tar", "-o", converted) == 1
    assert "exists already" in capsys.readouterr().err


def test_an_encoder_embeds_and_starts_training(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    converted, atlas = folder / "moco.safetensors", folder / "atlas.h5"
    assert run("convert", folder / "moco.pth.tar", "-o", converted) == 0
    told = capsys.readouterr().err
    assert "encoder resnet50, 23,514,304 parameters" in told
    assert "module.encoder_k.*" in told
    model = ("--model", folder / "moco.pth.tar")
    assert run("embed", folder / "catalog.fits", *model, "-o", atlas) == 0
    found = folder / "neighbours.fits"
    assert run("similar", folder / "catalog.fits", "--among", atlas, *model, "-o", found) == 0
    np.testing.assert_array_equal(fitsio.read(str(found))["NEIGHBOUR_ID"], [8, 7])
    before, after = (
        load_encoder(str(folder / name), ImageSpec(), "survey.h5", seed=0)
        for name in ("moco.pth.tar", "moco.safetensors")
    )
    assert isinstance(before, Encoder)
    for name, tensor in before.state_dict().items():
        assert torch.equal(tensor, after.state_dict()[name])


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("owned",)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("convert", "bad.pth.tar", "-o", "out.safetensors"), "holds more than tensors"),
        (("predict", "catalog.fits", "--model", "moco.pth.tar"), "without a redshift head"),
        (("convert", "none.pth.tar", "-o", "out.safetensors"), "there is no model file"),
        (("convert", "sdss.npz", "-o", "out.safetensors"), "photoz-ssl prepare"),
    ],
)
def test_refusals_are_a_sentence_and_a_hint(
    folder: Path,
    command: tuple[str, ...],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    torch.save({"model_state": Malicious()}, "bad.pth.tar")
    assert run(*command) == 1
    told = capsys.readouterr()
    assert words in told.err
    assert told.err.count("\n") <= 2
    assert "owned" not in told.out
    assert not Path("out.safetensors").exists()


def test_a_malicious_model_leaves_no_traceback(folder: Path) -> None:
    torch.save({"model_state": Malicious()}, folder / "bad.pth.tar")
    command = ("predict", "catalog.fits", "--model", "bad.pth.tar", "-o", "bad.fits")
    done = subprocess.run(
        [sys.executable, "-m", "photoz_ssl", *command], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Error: bad.pth.tar is damaged, or holds more than tensors")
    assert "Traceback" not in done.stderr
    assert not (folder / "bad.fits").exists()
