"""What becomes of the options of trainings, looked at where they would begin."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from photoz_ssl.config import FinetuneConfig, PretrainConfig
from photoz_ssl.networks.checkpoint import Checkpoint, save_checkpoint
from photoz_ssl.networks.encoder import PRESETS, build_encoder
from photoz_ssl.networks.redshift_head import RedshiftNetwork
from photoz_ssl.redshift.grid import RedshiftGrid
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.archive import open_archive
from photoz_ssl.training.loop import Plan
from photoz_ssl.training.schedule import cosine_factor, steps_factor
from photoz_ssl.workflows import finetune as finetuning
from photoz_ssl.workflows import pretrain as pretraining

pytestmark = pytest.mark.usefixtures("tiny_preset")


class BegunError(Exception):
    """A training would begin now."""


@dataclass(frozen=True)
class Begun:
    """What a training has when it begins."""

    network: Any
    optimizer: torch.optim.Optimizer
    plan: Plan


def begun(config: FinetuneConfig | PretrainConfig, monkeypatch: pytest.MonkeyPatch) -> Begun:
    """Set up a training, and leave it at that."""
    found: list[Begun] = []

    def train(
        network: nn.Module, optimizer: torch.optim.Optimizer, step: object, plan: Plan, *_: object,
        **options: object,
    ) -> NoReturn:  # fmt: skip
        found.append(Begun(network, optimizer, plan))
        raise BegunError

    for module in (pretraining, finetuning):
        monkeypatch.setattr(module, "train", train)
    with pytest.raises(BegunError):
        if isinstance(config, FinetuneConfig):
            finetuning.finetune(config)
        else:
            pretraining.pretrain(config)
    return found[0]


def tiny(kind: Any, archive: Path, output: Path, **options: Any) -> Any:
    return kind(archive=archive, output=output, encoder="tiny", batch_size=4, **options)


def weights(network: nn.Module) -> Tensor:
    return torch.cat([values.flatten() for values in network.parameters()])


def test_the_seed_is_of_weights_order_and_labels(
    tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, again, other = (
        begun(
            tiny(FinetuneConfig, tiny_archive, tmp_path / name, seed=seed, label_fraction=0.7),
            monkeypatch,
        )
        for name, seed in (("first", 3), ("again", 3), ("other", 4))
    )
    for part in ("encoder", "head"):
        one, same, different = (
            weights(getattr(run.network, part)) for run in (first, again, other)
        )
        assert torch.equal(one, same), part
        assert not torch.equal(one, different), part
    assert first.plan.rows.tolist() == again.plan.rows.tolist() != other.plan.rows.tolist()
    places = [np.searchsorted(run.plan.rows, run.plan.own_rows(0)) for run in (first, again, other)]
    assert places[0].tolist() == places[1].tolist() != places[2].tolist()


def test_the_seed_is_of_the_projector_and_the_queue(
    tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = {"queue_size": 8, "batchnorm_groups": 2}
    first, again, other = (
        begun(
            tiny(PretrainConfig, tiny_archive, tmp_path / name, seed=seed, **short), monkeypatch
        ).network
        for name, seed in (("first", 3), ("again", 3), ("other", 4))
    )
    for values in (
        lambda network: weights(network.query_network[1]),
        lambda network: network.queue,
    ):
        assert torch.equal(values(first), values(again))
        assert not torch.equal(values(first), values(other))


def test_a_head_is_drawn_without_touching_other_draws() -> None:
    state = torch.get_rng_state()
    RedshiftNetwork(build_encoder(PRESETS["tiny"]), 180, seed=5)
    assert torch.equal(torch.get_rng_state(), state)


def test_all_that_momentum_contrast_is_told_arrives(
    tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(
        PretrainConfig,
        tiny_archive,
        tmp_path / "run",
        epochs=5,
        momentum=0.7,
        weight_decay=0.02,
        learning_rate=0.3,
        precision="bf16",
        queue_size=48,
        temperature=0.35,
        key_momentum=0.6,
        projection_size=24,
        batchnorm_groups=1,
    )
    measured: list[Any] = []

    def mad_of(archive: object, rows: Any) -> Tensor:
        measured.append(rows.tolist())
        return torch.ones(5)

    monkeypatch.setattr(pretraining, "measure_band_mad", mad_of)
    run = begun(config, monkeypatch)
    assert run.network.queue.shape == (48, 24)
    assert run.network.temperature == 0.35
    assert run.network.key_momentum == 0.6
    assert run.network.batchnorm_groups == 1
    (group,) = run.optimizer.param_groups
    assert (group["peak"], group["momentum"], group["weight_decay"]) == (0.3, 0.7, 0.02)
    assert (run.plan.n_steps, run.plan.bfloat16) == (5 * 3, True)
    train = open_archive(tiny_archive).rows(split="train").tolist()
    assert run.plan.rows.tolist() == train
    assert measured == [train]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_all_that_fine_tuning_is_told_arrives(
    optimizer: str, tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny(
        FinetuneConfig,
        tiny_archive,
        tmp_path / "run",
        epochs=5,
        optimizer=optimizer,
        momentum=0.7,
        weight_decay=0.02,
        learning_rate=0.3,
        precision="bf16",
    )
    run = begun(config, monkeypatch)
    assert type(run.optimizer).__name__.lower() == optimizer
    for group in run.optimizer.param_groups:
        assert (group["peak"], group["weight_decay"]) == (0.3, 0.02)
        assert group.get("momentum", 0.7) == 0.7
    assert (run.plan.n_steps, run.plan.bfloat16) == (5 * 3, True)


def test_the_rate_follows_the_schedule_that_was_asked_for(
    tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for schedule, factor in (("steps", steps_factor), ("cosine", cosine_factor)):
        config = tiny(
            FinetuneConfig, tiny_archive, tmp_path / schedule, epochs=5, schedule=schedule
        )
        plan = begun(config, monkeypatch).plan
        assert [plan.rate_factor(step) for step in range(15)] == [
            factor(step, 15) for step in range(15)
        ]
    config = tiny(
        PretrainConfig, tiny_archive, tmp_path / "warm", epochs=5, warmup_epochs=2, queue_size=8,
        batchnorm_groups=2,
    )  # fmt: skip
    plan = begun(config, monkeypatch).plan
    assert np.argmax([plan.rate_factor(step) for step in range(15)]) == 2 * plan.steps_an_epoch


def test_fine_tuning_goes_on_from_the_encoder_of_a_redshift_model(
    tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = RedshiftNetwork(build_encoder(PRESETS["tiny"], seed=9), 180)
    model = Checkpoint(
        kind="photoz",
        spec=ImageSpec(),
        encoder=PRESETS["tiny"],
        state=network.state_dict(),
        grid=RedshiftGrid(),
    )
    save_checkpoint(tmp_path / "model.safetensors", model)
    config = tiny(FinetuneConfig, tiny_archive, tmp_path / "run")
    config = replace(config, encoder=str(tmp_path / "model.safetensors"))
    run = begun(config, monkeypatch)
    assert torch.equal(weights(run.network.encoder), weights(network.encoder))
    assert run.network.encoder.training
