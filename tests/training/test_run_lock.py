"""Two trainings that are to write into one folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from photoz_ssl.config import FinetuneConfig, LabelEfficiencyConfig
from photoz_ssl.errors import OutputError
from photoz_ssl.training.run_folder import training_in
from photoz_ssl.training.run_lock import LOCK, sole_training
from photoz_ssl.workflows.finetune import finetune

pytest.importorskip("fcntl")

HOLDER = """
import os, sys, time
from pathlib import Path
from photoz_ssl.training.run_lock import sole_training

heard, told = os.pipe()
with sole_training(Path(sys.argv[1])):
    child = os.fork()
    if child:
        os.read(heard, 1)  # once the copy has begun, it has closed its handle
        print(child, flush=True)
    else:
        os.write(told, b".")
    time.sleep(60)
"""


@contextmanager
def held_elsewhere(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds a folder's lock, and has a copy of itself that outlives it."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    try:
        yield holder
    finally:
        holder.kill()
        os.kill(child, signal.SIGKILL)
        holder.communicate()


pytestmark = pytest.mark.usefixtures("tiny_preset")


@pytest.fixture
def config(tiny_archive: Path, tmp_path: Path) -> FinetuneConfig:
    return FinetuneConfig(
        archive=tiny_archive, output=tmp_path / "run", encoder="tiny", epochs=2, batch_size=4
    )


@pytest.mark.parametrize("choice", ["resume", "overwrite"])
def test_a_second_training_in_a_folder_is_refused(choice: str, config: FinetuneConfig) -> None:
    options: dict[str, Any] = {choice: True}
    second, refused = replace(config, **options), []

    def start_another(stage: str, done: int, total: int | None, /, **figures: float) -> None:
        before = {path: path.read_bytes() for path in config.output.iterdir()}
        with pytest.raises(OutputError, match="another training is at work in") as refusal:
            finetune(second)
        assert {path: path.read_bytes() for path in config.output.iterdir()} == before
        refused.append(refusal.value.hint)

    finetune(config, progress=start_another)
    assert "--output" in refused[0]
    with held_elsewhere(config.output), pytest.raises(OutputError, match="another training"):
        finetune(second)
    finetune(second)
    assert not (config.output / LOCK).exists()


def test_a_lock_ends_with_the_process_that_holds_it(tmp_path: Path) -> None:
    with held_elsewhere(tmp_path) as holder:
        with pytest.raises(OutputError, match="another training"), sole_training(tmp_path):
            pass
        holder.kill()
        holder.wait()
        with sole_training(tmp_path):
            pass
    assert not (tmp_path / LOCK).exists()


@pytest.mark.parametrize("choice", ["resume", "overwrite"])
def test_a_killed_training_s_lock_is_in_nobody_s_way(choice: str, config: FinetuneConfig) -> None:
    options: dict[str, Any] = {choice: True}
    finetune(config)
    (config.output / LOCK).touch()
    assert finetune(replace(config, **options)).model.exists()
    for path in config.output.iterdir():
        path.unlink()
    (config.output / LOCK).touch()  # killed before anything else was written
    assert finetune(config).model.exists()


def test_an_experiment_is_not_overwritten_while_one_of_its_trainings_goes_on(
    config: FinetuneConfig,
) -> None:
    part = config.output / "from-scratch-0.1-0"
    experiment = LabelEfficiencyConfig(
        archive=config.archive, output=config.output, encoder="e", overwrite=True
    )

    def begin() -> None:
        with training_in(experiment, "label-efficiency", {}):
            pass

    begin()
    finetune(replace(config, output=part))
    with sole_training(part), pytest.raises(OutputError, match=r"another training .*scratch"):
        begin()
    assert (part / "photoz.safetensors").exists()
    (part / LOCK).touch()
    begin()
    assert not part.exists()


def test_a_disk_without_locks_keeps_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def none(file: object, how: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", none)
    with sole_training(tmp_path), sole_training(tmp_path):
        pass
