"""The published HDF5 goes through every command as it is, and ours open in code for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fitsio
import h5py
import numpy as np
import pytest

from photoz_ssl.cli import main
from photoz_ssl.fingerprints import sha256_of
from photoz_ssl.networks.checkpoint import Checkpoint, save_checkpoint
from photoz_ssl.networks.encoder import PRESETS, build_encoder
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.archive import open_archive
from photoz_ssl.survey.bands import R_DR12

N = 24
TINY = replace(PRESETS["resnet18-compact"], width=0.125)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``sdss.h5``, written by h5py alone, and a tiny encoder to train."""
    folder = tmp_path_factory.mktemp("published")
    generator = np.random.default_rng(0)
    ebv = generator.uniform(0.01, 0.2, N)
    with h5py.File(folder / "sdss.h5", "w") as file:
        file["ObjID"] = 1237648720693755918 + np.arange(N)
        file["specObjID"] = 299489676975171584 + np.arange(N)
        file["ra"], file["dec"] = generator.uniform(0, 360, N), generator.uniform(-9, 60, N)
        file["e_bv"] = (ebv[:, np.newaxis] * R_DR12).astype("f4")
        file["images"] = generator.normal(0.1, 0.05, (N, 5, 107, 107)).astype("f4")
        file["specz_redshift"] = generator.uniform(0.02, 0.38, N).astype("f4")
        file["specz_redshift_err"] = np.full(N, 1e-5, "f4")
    state = build_encoder(TINY).state_dict()
    tiny = Checkpoint(kind="encoder", spec=ImageSpec(), encoder=TINY, state=state)
    save_checkpoint(folder / "tiny.safetensors", tiny)
    return folder


def run(*arguments: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "--quiet"])
    assert stop.value.code == 0


def test_the_published_file_is_used_as_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    before = sha256_of(Path("sdss.h5"))
    options = ("--epochs", "1", "--batch-size", "8", "--device", "cpu")
    momentum = ("--queue-size", "16", "--batchnorm-groups", "2")
    run("pretrain", "sdss.h5", "-o", "pre", "--encoder", "tiny.safetensors", *options, *momentum)
    run("finetune", "sdss.h5", "-o", "fine", "--encoder", "pre/encoder.safetensors", *options)
    run("predict", "sdss.h5", "--model", "fine/photoz.safetensors")
    run("embed", "sdss.h5", "--model", "pre/encoder.safetensors", "-o", "atlas.h5")
    table = fitsio.read("sdss.photoz.fits")
    with h5py.File("sdss.h5") as file:
        np.testing.assert_array_equal(table["OBJID"], file["ObjID"][:])
        np.testing.assert_array_equal(table["SPECOBJID"], file["specObjID"][:])
        np.testing.assert_array_equal(table["Z_SPEC"], file["specz_redshift"][:])
        np.testing.assert_allclose(table["EBV"], file["e_bv"][:, 2] / R_DR12[2], rtol=1e-5)
    assert np.isfinite(table["Z_PHOT_MEAN"]).all()
    assert Path("atlas.h5").exists()
    assert sha256_of(Path("sdss.h5")) == before


def test_its_images_are_mapped_and_not_read(folder: Path) -> None:
    assert isinstance(open_archive(folder / "sdss.h5").images, np.memmap)


def test_our_archive_has_the_keys_and_values_of_the_published_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    run("prepare", "sdss.h5", "-o", "ours.h5")
    with h5py.File("sdss.h5") as published, h5py.File("ours.h5") as ours:
        for name, dataset in published.items():
            np.testing.assert_allclose(ours[name][:], dataset[:], rtol=1e-6, err_msg=name)
            assert ours[name].shape == dataset.shape
        np.testing.assert_array_equal(ours["ObjID"][:], published["ObjID"][:])
        np.testing.assert_array_equal(ours["specObjID"][:], published["specObjID"][:])
