"""A recipe never changes: its values stand here a second time, and every one has a source."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from photoz_ssl.cli import main
from photoz_ssl.config import FinetuneConfig, PretrainConfig
from photoz_ssl.recipes import RECIPES, departures, recipe_values

PUBLISHED: dict[str, dict[str, Any]] = {
    "pretrain": {
        "encoder": "resnet50",
        "epochs": 100,
        "batch_size": 256,
        "optimizer": "sgd",
        "momentum": 0.9,
        "learning_rate": 0.03,
        "weight_decay": 0.0001,
        "warmup_epochs": 0.0,
        "queue_size": 65536,
        "temperature": 0.1,
        "key_momentum": 0.999,
        "projection_size": 128,
        "batchnorm_groups": 8,
        "max_reddening": 0.5,
        "max_shift": 7,
        "noise_range": (1.0, 3.0),
        "mirror": False,
    },
    "finetune": {
        "encoder": "resnet50",
        "epochs": 100,
        "batch_size": 256,
        "optimizer": "sgd",
        "momentum": 0.9,
        "learning_rate": 0.004,
        "encoder_rate": 0.1,
        "weight_decay": 0.0,
        "schedule": "steps",
        "label_blur": 0.0,
        "max_shift": 7,
        "mirror": False,
    },
}
CONFIGS = {"pretrain": PretrainConfig, "finetune": FinetuneConfig}
FREE = {"archive", "output", "recipe", "seed", "device", "precision", "resume", "overwrite"}
FREE |= {"calibrate"}  # what is made of the finished model besides


@pytest.mark.parametrize("command", CONFIGS)
def test_the_recipe_has_the_published_values(command: str) -> None:
    assert recipe_values("hayat2020", command) == PUBLISHED[command]


@pytest.mark.parametrize("command", CONFIGS)
def test_the_recipe_sets_every_field_that_is_not_free_to_choose(command: str) -> None:
    fields = {field.name for field in dataclasses.fields(CONFIGS[command])}
    assert set(RECIPES["hayat2020"][command]) == fields - FREE - {"label_fraction"}


@pytest.mark.parametrize("command", CONFIGS)
def test_every_constant_has_a_source(command: str) -> None:
    for name, constant in RECIPES["hayat2020"][command].items():
        assert constant.source.startswith(("[code]", "[paper]", "[field]")), name


@pytest.mark.parametrize("command", CONFIGS)
def test_a_config_takes_the_values_and_departs_where_it_is_told_to(command: str) -> None:
    values = recipe_values("hayat2020", command)
    config = CONFIGS[command](archive=Path("a"), output=Path("b"), **values)
    assert departures("hayat2020", command, vars(config)) == {}
    other = dataclasses.replace(config, epochs=7)
    assert list(departures("hayat2020", command, vars(other))) == ["epochs"]


def test_label_efficiency_takes_the_recipe_of_finetune(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = recipe_values("hayat2020", "label-efficiency")
    assert {**values, "encoder": "resnet50"} == PUBLISHED["finetune"]
    command = ("experiment", "label-efficiency", str(tmp_path / "none.h5"), "-o", str(tmp_path))
    with pytest.raises(SystemExit) as stop:
        main([*command, "--recipe", "hayat2020", "--encoder", "none.pth.tar"])
    assert stop.value.code == 1
    assert "there is no archive" in capsys.readouterr().err
