"""Trainings that are killed outright, at any moment, and resumed."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from photoz_ssl.config import PretrainConfig
from photoz_ssl.files import is_leftover
from photoz_ssl.workflows.pretrain import pretrain
from tests.processes import Fork

PROGRAM = """
import sys
from dataclasses import replace
from photoz_ssl.cli import main
from photoz_ssl.networks.encoder import PRESETS
from photoz_ssl.training import loop

PRESETS["tiny"] = replace(PRESETS["resnet18-compact"], width=0.125)
loop.SECONDS_BETWEEN_STATES = 0.0  # a state a step: many kills fall into writing one
main(sys.argv[1:])
"""


def kill_after(seconds: float, config: PretrainConfig, *, while_writing: bool) -> None:
    """Train in a process of its own; kill it some seconds after it has made its run folder.

    While writing: at the next moment from then on when a file is half-written.
    """
    options = [config.archive, "-o", config.output, "--encoder", config.encoder, "--resume"]
    options += ["--epochs", config.epochs, "--batch-size", config.batch_size, "--quiet"]
    options += ["--queue-size", config.queue_size, "--batchnorm-groups", config.batchnorm_groups]
    process = Fork(PROGRAM, "pretrain", *options, n_threads=torch.get_num_threads())
    while process.runs and not (config.output / "config.toml").exists():
        time.sleep(0.005)
    time.sleep(seconds)
    while while_writing and process.runs and not leftovers(config):
        time.sleep(0.001)
    process.kill()
    process.ended()


def leftovers(config: PretrainConfig) -> list[Path]:
    return [path for path in config.output.iterdir() if is_leftover(path)]


@pytest.mark.usefixtures("tiny_preset")
def test_a_killed_training_resumes_to_the_same_bytes(tiny_archive: Path, tmp_path: Path) -> None:
    config = PretrainConfig(
        archive=tiny_archive,
        output=tmp_path / "whole",
        encoder="tiny",
        epochs=6,
        batch_size=4,
        batchnorm_groups=2,
        queue_size=16,
    )
    whole = pretrain(config).encoder
    cut = replace(config, output=tmp_path / "cut", resume=True)
    for number, seconds in enumerate(np.random.default_rng(3).uniform(0, 1, 3)):
        kill_after(float(seconds), cut, while_writing=number == 1)
    resumed = pretrain(cut).encoder
    assert resumed.read_bytes() == whole.read_bytes()
    assert (cut.output / "metrics.jsonl").read_text() == (
        config.output / "metrics.jsonl"
    ).read_text()
    assert not leftovers(cut)
