"""Run folders that meet a full disk, another archive, or what a killed process left."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from photoz_ssl.config import FinetuneConfig, PretrainConfig
from photoz_ssl.errors import CheckpointError, ConfigError, OutputError
from photoz_ssl.files import is_leftover
from photoz_ssl.networks.checkpoint import Checkpoint, save_checkpoint
from photoz_ssl.networks.encoder import PRESETS, build_encoder
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.archive import open_archive
from photoz_ssl.survey.archive_writer import create_archive
from photoz_ssl.training.run_folder import MARK, check_run_folder, identity_of
from photoz_ssl.workflows.finetune import finetune
from photoz_ssl.workflows.trained import encoders
from tests.conftest import toy_block

pytestmark = pytest.mark.usefixtures("tiny_preset")

Disk = Callable[[int], AbstractContextManager[None]]


def finetuning(archive: Path, output: Path, **change: Any) -> FinetuneConfig:
    settings = {"epochs": 2, "batch_size": 4, "encoder": "tiny", **change}
    return FinetuneConfig(archive=archive, output=output, **settings)


@pytest.mark.parametrize(("size", "written"), [(150, "metrics.jsonl"), (100_000, "state.pt")])
def test_a_full_disk_is_told_and_nothing_is_lost(
    size: int, written: str, tiny_archive: Path, tmp_path: Path, full_disk: Disk
) -> None:
    whole = finetune(finetuning(tiny_archive, tmp_path / "whole")).model
    config = finetuning(tiny_archive, tmp_path / "cut")

    def fill_the_disk(stage: str, done: int, total: int | None, /, **figures: float) -> None:
        if done == 24:  # the last step: an epoch's state and metrics are there
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    with full_disk(resource.RLIM_INFINITY), pytest.raises(OutputError) as full:
        finetune(config, progress=fill_the_disk)
    assert f"no space left on the disk while writing {config.output / written}" in str(full.value)
    resumed = finetune(replace(config, resume=True)).model
    assert resumed.read_bytes() == whole.read_bytes()
    lines = [(tmp_path / run / "metrics.jsonl").read_text() for run in ("whole", "cut")]
    assert lines[0] == lines[1]


def test_a_full_disk_is_told_when_the_model_is_written(
    tiny_archive: Path, tmp_path: Path, full_disk: Disk
) -> None:
    config = finetuning(tiny_archive, tmp_path / "run")
    model = finetune(config).model
    before = model.read_bytes()
    with full_disk(100_000), pytest.raises(OutputError, match=r"photoz\.safetensors"):
        finetune(replace(config, resume=True))
    assert model.read_bytes() == before


@pytest.mark.parametrize("column", ["images", "specz_redshift", "ObjID"])
def test_a_changed_archive_is_told(column: str, tiny_archive: Path, tmp_path: Path) -> None:
    config = finetuning(tmp_path / "survey.h5", tmp_path / "run", epochs=1)
    shutil.copy(tiny_archive, config.archive)
    model = finetune(config).model.read_bytes()
    with h5py.File(config.archive, "r+") as file:
        file[column][...] = file[column][()][::-1]
    with pytest.raises(CheckpointError, match="the archive is no longer what"):
        finetune(replace(config, resume=True))
    shutil.copy(tiny_archive, config.archive)
    assert finetune(replace(config, resume=True)).model.read_bytes() == model


def test_what_tells_most_of_another_run_is_told(tiny_archive: Path, tmp_path: Path) -> None:
    config = finetuning(tiny_archive, tmp_path / "run", epochs=1)
    finetune(config)
    larger = toy_block(40)
    with create_archive(tmp_path / "larger.h5", ImageSpec(), len(larger)) as archive:
        archive.write(larger)
    other = replace(config, resume=True, archive=tmp_path / "larger.h5")
    with pytest.raises(CheckpointError, match="the archive is no longer what"):
        finetune(other)  # of which labels are blurred otherwise, too
    with pytest.raises(CheckpointError, match=r"other options \(label_fraction, label_blur\)"):
        finetune(replace(config, resume=True, label_fraction=0.5))


def test_the_fingerprint_is_of_what_training_depends_on(tiny_archive: Path) -> None:
    archive = open_archive(tiny_archive)
    assert open_archive(tiny_archive).fingerprint() == archive.fingerprint()
    for change in (
        {"object_id": archive.object_id + 1},
        {"ebv": archive.ebv + 1},
        {"split": np.roll(archive.split, 1)},
        {"spec": replace(archive.spec, dereddened=True)},
    ):
        assert replace(archive, **change).fingerprint() != archive.fingerprint()


def saved_encoder(path: Path, seed: int) -> str:
    """An encoder file of random weights."""
    encoder = build_encoder(PRESETS["tiny"], seed=seed)
    checkpoint = Checkpoint(
        kind="encoder", spec=ImageSpec(), encoder=encoder.config, state=encoder.state_dict()
    )
    save_checkpoint(path, checkpoint)
    return str(path)


def test_an_encoder_may_be_moved_but_not_be_another(tiny_archive: Path, tmp_path: Path) -> None:
    encoder = saved_encoder(tmp_path / "encoder.safetensors", seed=0)
    config = finetuning(tiny_archive, tmp_path / "run", epochs=1, encoder=encoder)
    finetune(config)
    moved = str(Path(encoder).rename(tmp_path / "moved.safetensors"))
    assert finetune(replace(config, encoder=moved, resume=True)).model.exists()
    saved_encoder(Path(encoder), seed=1)
    with pytest.raises(CheckpointError, match="was trained from another encoder file"):
        finetune(replace(config, resume=True))
    with pytest.raises(CheckpointError, match=r"other options \(encoder\)"):
        finetune(replace(config, encoder="tiny", encoder_rate=0.1, resume=True))


def test_a_run_that_does_not_know_its_encoder_s_content_goes_by_its_name(
    tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = saved_encoder(tmp_path / "encoder.safetensors", seed=0)
    config = finetuning(tiny_archive, tmp_path / "run", epochs=1, encoder=encoder)
    with monkeypatch.context() as before:
        before.setattr(encoders, "identity_of", lambda archive, rows, _: identity_of(archive, rows))
        finetune(config)
    assert finetune(replace(config, resume=True)).model.exists()
    moved = str(Path(encoder).rename(tmp_path / "moved.safetensors"))
    with pytest.raises(CheckpointError, match=r"other options \(encoder\)"):
        finetune(replace(config, encoder=moved, resume=True))


def test_a_run_of_another_command_is_told(tiny_archive: Path, tmp_path: Path) -> None:
    config = finetuning(tiny_archive, tmp_path / "run", epochs=1)
    finetune(config)
    options: dict[str, Any] = {"epochs": 1, "batch_size": 4, "batchnorm_groups": 2}
    other = PretrainConfig(
        archive=tiny_archive, output=config.output, encoder="tiny", resume=True, **options
    )
    with pytest.raises(CheckpointError, match=r"run is a run folder of finetune") as caught:
        check_run_folder(other, "pretrain", {})
    assert "--output" in caught.value.hint


def test_a_model_whose_state_is_gone_is_not_trained_over(
    tiny_archive: Path, tmp_path: Path
) -> None:
    config = finetuning(tiny_archive, tmp_path / "run", epochs=1)
    model = finetune(config).model
    before = model.read_bytes()
    (config.output / "state.pt").unlink()  # it is large, and training is done
    for epochs in (1, 2):
        with pytest.raises(OutputError, match=r"photoz\.safetensors is there, and no state\.pt"):
            finetune(replace(config, epochs=epochs, resume=True))
    assert model.read_bytes() == before
    assert finetune(replace(config, epochs=2, overwrite=True)).model.read_bytes() != before


def test_what_a_killed_process_left_is_removed(tiny_archive: Path, tmp_path: Path) -> None:
    config = finetuning(tiny_archive, tmp_path / "run", epochs=1)
    config.output.mkdir()
    leftovers = [config.output / name for name in (".state.0123abcd.part.pt", ".x.0123abcd.part")]
    kept = config.output / ".part.of-a-thesis"
    for path in leftovers:
        path.write_text("half of it")
    finetune(config)  # a folder with leftovers alone counts as empty
    kept.touch()
    leftovers[0].write_text("half of it")
    finetune(replace(config, resume=True))
    assert not any(is_leftover(path) for path in config.output.iterdir())
    assert kept.exists()


def test_overwriting_removes_what_trainings_write_and_nothing_else(
    tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = finetuning(tiny_archive, tmp_path / "run", epochs=1)
    finetune(config)
    before = (config.output / "photoz.safetensors").read_bytes()
    for name in ("thesis.tex", "fine-tuned-0.1-0/thesis.tex", "measured/thesis.tex"):
        mine = config.output / name
        mine.parent.mkdir(exist_ok=True)
        mine.write_text("years of work")
        with pytest.raises(OutputError, match=rf"holds other files .*{name}"):
            finetune(replace(config, overwrite=True))
        assert mine.read_text() == "years of work"
        mine.unlink()
    monkeypatch.chdir(config.output)
    for output in (Path(), config.output):
        with pytest.raises(OutputError, match="is the working directory"):
            finetune(replace(config, output=output, overwrite=True))
    assert (config.output / "photoz.safetensors").read_bytes() == before


@pytest.mark.parametrize("choice", ["resume", "overwrite"])
def test_a_config_of_the_user_s_own_is_no_run(
    choice: str, tiny_archive: Path, tmp_path: Path
) -> None:
    config = finetuning(tiny_archive, tmp_path / "run", epochs=1, **{choice: True})
    config.output.mkdir()
    (config.output / "config.toml").write_text("[finetune]\nepochs = 3\n")
    with pytest.raises(ConfigError, match="is not a run folder"):
        finetune(config)
    assert (config.output / "config.toml").read_text() == "[finetune]\nepochs = 3\n"


@pytest.mark.parametrize("choice", ["resume", "overwrite"])
@pytest.mark.parametrize(
    "name", ["config.toml", "state.pt", "metrics.jsonl", "photoz.safetensors", ".lock"]
)
def test_a_folder_in_place_of_a_file_is_told(
    name: str, choice: str, tiny_archive: Path, tmp_path: Path
) -> None:
    config = finetuning(tiny_archive, tmp_path / "run", **{choice: True})
    (config.output / name).mkdir(parents=True)
    if name != "config.toml":
        (config.output / "config.toml").write_text(MARK)
    with pytest.raises(OutputError, match=rf"{name} is a folder, where a training has a file"):
        finetune(config)
    assert (config.output / name).is_dir()


@pytest.mark.parametrize("choice", ["resume", "overwrite"])
def test_a_run_that_was_killed_at_once_is_a_run(
    choice: str, tiny_archive: Path, tmp_path: Path
) -> None:
    config = finetuning(tiny_archive, tmp_path / "run", epochs=1)
    finetune(config)
    for path in config.output.iterdir():
        if path.name != "config.toml":
            path.unlink()
    again = finetuning(tiny_archive, config.output, epochs=1, **{choice: True})
    assert finetune(again).model.exists()


def test_a_run_folder_behind_a_link_is_overwritten(tiny_archive: Path, tmp_path: Path) -> None:
    config = finetuning(tiny_archive, tmp_path / "link", epochs=1)
    (tmp_path / "run").mkdir()
    config.output.symlink_to(tmp_path / "run")
    finetune(config)
    old = tmp_path / "run/measured/photometry-0.1-0.json"
    old.parent.mkdir()
    old.write_text("{}")
    finetune(replace(config, overwrite=True))
    assert config.output.is_symlink()
    assert not old.parent.exists()
    assert (tmp_path / "run/photoz.safetensors").exists()
