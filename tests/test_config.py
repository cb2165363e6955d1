"""Configs are frozen, refuse what cannot be used, and touch no disk."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from photoz_ssl import config
from photoz_ssl.config import (
    EmbedConfig,
    LabelEfficiencyConfig,
    PredictConfig,
    PrepareConfig,
    PretrainConfig,
    SimilarConfig,
    SimulateConfig,
)
from photoz_ssl.errors import ConfigError
from photoz_ssl.fields import options_of_job

CONFIGS = [getattr(config, name) for name in config.__all__ if name.endswith("Config")]


@pytest.mark.parametrize("config_class", CONFIGS)
def test_every_field_says_what_it_is(config_class: type) -> None:
    for field in dataclasses.fields(config_class):
        assert (
            field.metadata["help"].endswith((".", "]", ","))
            or "to write" in (field.metadata["help"])
        ), field.name


@pytest.mark.parametrize("config_class", CONFIGS)
def test_configs_are_frozen(config_class: type) -> None:
    assert config_class.__dataclass_params__.frozen  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0},
        {"batch_size": 1},
        {"batch_size": 100, "batchnorm_groups": 8},
        {"temperature": 0.0},
        {"key_momentum": 1.5},
        {"noise_range": (3.0, 1.0)},
        {"resume": True, "overwrite": True},
    ],
)
def test_pretrain_refuses_what_cannot_be_used(change: dict[str, Any]) -> None:
    PretrainConfig(archive=Path("a.h5"), output=Path("run"))
    with pytest.raises(ConfigError):
        PretrainConfig(archive=Path("a.h5"), output=Path("run"), **change)


@pytest.mark.parametrize("change", [{"min_steps": -5}, {"n_seeds": 0}, {"fractions": (0.0,)}])
def test_an_experiment_refuses_what_cannot_be_used(change: dict[str, Any]) -> None:
    usable = LabelEfficiencyConfig(archive=Path("a.h5"), output=Path("run"), encoder="e")
    with pytest.raises(ConfigError):
        dataclasses.replace(usable, **change)


def test_a_simulated_survey_is_no_fits_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a folder, or an archive NAME.h5, not \.fits"):
        SimulateConfig(output=tmp_path / "survey.fits")
    assert SimulateConfig(output=tmp_path / "survey.v2").size == 107


@pytest.mark.parametrize("near", [(500.0, 10.0), (10.0, 100.0), (-1.0, 0.0), (10.0, -90.1)])
def test_a_place_that_is_none_on_the_sky_is_refused(near: tuple[float, float]) -> None:
    SimilarConfig(among=Path("a.h5"), output="n.fits", near=(360.0, -90.0))
    with pytest.raises(ConfigError, match=r"RA in \[0, 360\]"):
        SimilarConfig(among=Path("a.h5"), output="n.fits", near=near)


@pytest.mark.parametrize("option", ["like", "unlike"])
def test_nothing_is_no_example(option: str) -> None:
    examples: dict[str, Any] = {"like": ("1",), option: (" ",)}
    with pytest.raises(ConfigError, match="an id of the atlas, RA,DEC or a cutout"):
        SimilarConfig(among=Path("a.h5"), output="n.fits", **examples)


def test_splits_are_drawn_or_read() -> None:
    options: dict[str, Any] = {"catalog": "c.fits", "output": Path("a.h5")}
    with pytest.raises(ConfigError, match="name one of them"):
        PrepareConfig(**options, split=(0.8, 0.1, 0.1), split_column="PART")


@pytest.mark.parametrize("split", [(0.5, 0.5), (0.8, 0.1, 0.2), (1.2, -0.1, -0.1)])
def test_split_fractions_must_sum_to_one(split: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="sum to 1"):
        PrepareConfig(catalog="c.fits", output=Path("a.h5"), split=split)


@pytest.mark.parametrize("seed", [-1, 1 << 63])
@pytest.mark.parametrize(
    "config_class", [each for each in CONFIGS if "seed" in each.__dataclass_fields__]
)
def test_a_seed_that_not_every_generator_takes_is_refused(config_class: type, seed: int) -> None:
    required = {
        field.name: Path("a") if field.name in ("archive", "output") else "a"
        for field in dataclasses.fields(config_class)
        if field.default is dataclasses.MISSING
    }
    config_class(**required, seed=0)
    with pytest.raises(ConfigError, match="--seed must lie between 0"):
        config_class(**required, seed=seed)


@pytest.mark.parametrize("shard", ["", "0/3", "4/3", "1", "-1/3", "1/3/5", "1/0", "SLURM"])
@pytest.mark.parametrize("config_class", [PredictConfig, EmbedConfig])
def test_a_shard_is_a_share_of_the_rows_or_slurms(config_class: type, shard: str) -> None:
    for fine in (None, "1/3", "3/3", "slurm"):
        config_class(catalog="a.fits", output=Path("b.h5"), shard=fine)
    with pytest.raises(ConfigError, match="is no share of the rows"):
        config_class(catalog="a.fits", output=Path("b.h5"), shard=shard)


def test_parts_of_other_numbers_are_of_another_job() -> None:
    of_all = {"--cutouts", "--frames", "--dust-dir", "--id-column", "--precision"}
    of_redshifts = options_of_job(PredictConfig(catalog="a.fits", views=8, workers=3))
    assert of_redshifts.keys() == of_all | {"--pdf", "--views", "--columns", "--keep-columns"}
    assert of_redshifts["--views"] == "8"
    of_atlas = options_of_job(EmbedConfig(catalog="a.fits", dim=8, precision="fp32"))
    assert of_atlas.keys() == of_all | {"--thumbnails", "--vectors"}
    assert of_atlas["--precision"] == "fp32"


@pytest.mark.parametrize("name", ["atlas.fits", "atlas.csv", "atlas.FITS", "atlas.parquet"])
def test_an_atlas_is_not_named_as_a_table(name: str) -> None:
    with pytest.raises(ConfigError, match=r"NAME\.h5"):
        EmbedConfig(catalog="a.fits", output=Path(name))
