"""Schedules, label fractions, and runs that are interrupted and taken up again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load as load_safetensors

from photoz_ssl.config import FinetuneConfig, PretrainConfig
from photoz_ssl.datasets.galaxies import GalaxyBatch, gather
from photoz_ssl.errors import (
    ArchiveError,
    CheckpointError,
    ConfigError,
    OutputError,
    SpecMismatchError,
    TrainingError,
)
from photoz_ssl.later import Later
from photoz_ssl.networks.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from photoz_ssl.networks.encoder import PRESETS, build_encoder
from photoz_ssl.networks.ranks import ALONE
from photoz_ssl.networks.redshift_head import RedshiftNetwork
from photoz_ssl.progress import Stopped
from photoz_ssl.redshift.calibration import Calibration, fit_calibration
from photoz_ssl.redshift.grid import RedshiftGrid
from photoz_ssl.redshift.metrics import bias, normalised_residual, outlier_fraction, sigma_mad
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.archive import open_archive
from photoz_ssl.survey.bands import R_SF11
from photoz_ssl.training import loop, supervised
from photoz_ssl.training.loop import Plan, step_generator
from photoz_ssl.training.schedule import cosine_factor, steps_factor
from photoz_ssl.training.supervised import (
    Evaluation,
    evaluate_logits,
    finetuning_optimizer,
    label_distribution,
    some_labels,
    supervised_step,
    usual_encoder_rate,
)
from photoz_ssl.workflows.finetune import finetune, labelled_rows
from photoz_ssl.workflows.pretrain import pretrain
from photoz_ssl.workflows.trained import inference
from photoz_ssl.workflows.trained.encoders import load_encoder
from photoz_ssl.workflows.trained.inference import Predictor

pytestmark = pytest.mark.usefixtures("tiny_preset")


def pretraining(archive: Path, output: Path, **change: Any) -> PretrainConfig:
    settings = {"epochs": 3, "batch_size": 4, "batchnorm_groups": 2, "queue_size": 16, **change}
    return PretrainConfig(archive=archive, output=output, encoder="tiny", **settings)


def finetuning(archive: Path, output: Path, **change: Any) -> FinetuneConfig:
    settings = {"epochs": 2, "batch_size": 4, "encoder": "tiny", **change}
    return FinetuneConfig(archive=archive, output=output, **settings)


def test_the_cosine_goes_from_one_to_zero_after_a_warm_up() -> None:
    factors = [cosine_factor(step, 100, 10) for step in range(101)]
    assert np.all(np.diff(factors[:11]) > 0)
    assert factors[10] == 1
    assert factors[55] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0)
    assert cosine_factor(0, 100) == 1


def test_steps_at_60_and_90_percent() -> None:
    factors = [steps_factor(step, 100) for step in (0, 59, 60, 89, 90, 99)]
    np.testing.assert_allclose(factors, [1, 1, 0.1, 0.1, 0.01, 0.01])


def test_smaller_label_fractions_lie_inside_larger_ones() -> None:
    rows = np.arange(50, 150)
    few, many = (set(some_labels(rows, fraction, seed=1)) for fraction in (0.1, 0.4))
    assert (len(few), len(many)) == (10, 40)
    assert few < many
    np.testing.assert_array_equal(some_labels(rows, 1.0, seed=1), rows)
    assert len(some_labels(rows, 1e-6, seed=1)) == 1


def test_each_step_draws_for_itself_and_the_same_when_repeated() -> None:
    cpu = torch.device("cpu")
    draws = [
        torch.rand(3, generator=step_generator(seed, step, cpu)).tolist()
        for seed, step in ((0, 0), (0, 1), (0, 2), (1, 1), (0, 1))
    ]
    assert len({tuple(draw) for draw in draws}) == 4
    assert draws[4] == draws[1]


@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_step_is_as_long_as_its_rate_says_and_in_its_precision(
    tiny_archive: Path, bfloat16: bool
) -> None:
    weight = torch.nn.Parameter(torch.tensor(1.0))
    optimizer = torch.optim.SGD([{"params": [weight], "peak": 0.5}], lr=7.0)
    archive = open_archive(tiny_archive)
    plan = Plan(
        stage="images",
        archive=archive,
        rows=np.arange(4),
        epochs=1,
        batch_size=2,
        seed=0,
        rate_factor=lambda step: 0.1 * step,
        world=ALONE,
        bfloat16=bfloat16,
    )
    reduced = []

    def loss_of(
        batch: GalaxyBatch, generator: torch.Generator
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        reduced.append(torch.is_autocast_enabled("cpu"))
        return 3 * weight, {}

    loop._descend(loss_of, gather(archive, np.arange(2)), 2, optimizer, plan)
    assert weight.item() == pytest.approx(1 - 0.2 * 0.5 * 3)
    assert reduced == [bfloat16]


def test_the_state_is_saved_as_often_as_it_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])  # type: ignore[attr-defined]
    clock = loop._StateClock()
    assert clock.due(epoch_ends=True)
    with clock:
        now[0] += 10
    for age, epoch_ends, due in ((199, True, False), (200, True, True), (300, False, False)):
        now[0] = 10.0 + age
        assert clock.due(epoch_ends=epoch_ends) == due
    now[0] += 1
    assert clock.due(epoch_ends=False)


def test_an_evaluation_takes_the_dust_away(tiny_archive: Path) -> None:
    archive, rows = open_archive(tiny_archive), np.arange(6)
    network = RedshiftNetwork(build_encoder(PRESETS["tiny"]), RedshiftGrid().n_bins)
    images = np.array(archive.images)
    dust = 10 ** (-0.4 * 0.5 * R_SF11.astype(np.float32))[:, np.newaxis, np.newaxis]
    clear = replace(archive, images=images, ebv=np.zeros(len(archive), np.float32))
    dusty = replace(archive, images=dust * images, ebv=np.full(len(archive), 0.5, np.float32))
    seen, behind, ignored = (
        evaluate_logits(network, of, rows, 6).logits
        for of in (clear, dusty, replace(dusty, ebv=clear.ebv))
    )
    np.testing.assert_allclose(behind, seen, atol=1e-5)
    assert np.abs(ignored - seen).max() > 1e-3


def test_an_evaluation_is_the_same_in_any_batches_and_leaves_the_network_as_it_is(
    tiny_archive: Path,
) -> None:
    archive = open_archive(tiny_archive)
    network = RedshiftNetwork(build_encoder(PRESETS["tiny"]), RedshiftGrid().n_bins)
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    whole, in_parts = (
        evaluate_logits(network.train(), archive, np.arange(8), batch_size).logits
        for batch_size in (8, 2)
    )
    np.testing.assert_allclose(whole, in_parts, atol=1e-4)
    for name, buffer in network.named_buffers():
        torch.testing.assert_close(buffer, before[name])


def test_without_splits_no_galaxy_is_both_learnt_from_and_validated_on(
    tiny_archive: Path, tmp_path: Path
) -> None:
    archive = open_archive(tiny_archive)
    unsplit = replace(archive, split=np.full(len(archive), ""))
    learn, valid = labelled_rows(unsplit, finetuning(tiny_archive, tmp_path))
    assert len(valid) > 0
    np.testing.assert_array_equal(np.sort(np.concatenate([learn, valid])), unsplit.rows())
    _, others = labelled_rows(unsplit, finetuning(tiny_archive, tmp_path, seed=1))
    assert valid.tolist() != others.tolist()
    twice = replace(unsplit, object_id=np.arange(len(archive)) // 2)
    learn, valid = labelled_rows(twice, finetuning(tiny_archive, tmp_path))
    assert len(valid) > 0
    assert not {*(learn // 2).tolist()} & {*(valid // 2).tolist()}
    nameless = replace(unsplit, object_id=np.full(len(archive), -1))
    learn, valid = labelled_rows(nameless, finetuning(tiny_archive, tmp_path))
    assert 0 < len(valid) < len(learn)


@pytest.mark.parametrize("blur", [1.0, 5.0, 12.0])
def test_a_blurred_label_has_its_redshift_as_mean_and_the_blur_as_width(blur: float) -> None:
    grid = RedshiftGrid()
    redshift = torch.tensor([0.15, 0.2, 0.2468], dtype=torch.float32)
    label = label_distribution(redshift, grid, blur).double().numpy()
    np.testing.assert_allclose(label.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(label @ grid.centres, redshift, rtol=0, atol=1e-6)
    offset = (grid.centres - redshift.numpy()[:, np.newaxis]) / grid.width
    np.testing.assert_allclose(np.sqrt((label * offset**2).sum(axis=1)), blur, rtol=1e-3)


def test_a_label_of_next_to_no_blur_is_its_bin() -> None:
    grid = RedshiftGrid()
    redshift = torch.rand(500, generator=torch.Generator().manual_seed(0)) * grid.z_max
    label = label_distribution(redshift, grid, 1e-3)
    np.testing.assert_array_equal(label.argmax(dim=1), grid.bin_of(redshift.numpy()))
    np.testing.assert_allclose(label.amax(dim=1), 1)


def test_labels_at_the_ends_of_the_grid_stay_in_it() -> None:
    label = label_distribution(torch.tensor([0.0, 0.4, 0.7]), RedshiftGrid(), 5.0)
    np.testing.assert_allclose(label.sum(dim=1), 1, rtol=1e-6)
    assert label.argmax(dim=1).tolist() == [0, 179, 179]


@pytest.mark.parametrize("blur", [0.0, 5.0])
def test_the_loss_is_the_cross_entropy_with_the_labels(blur: float) -> None:
    grid = RedshiftGrid()
    config = FinetuneConfig(archive=Path("a"), output=Path("b"), label_blur=blur)
    logits = torch.randn(8, grid.n_bins, generator=torch.Generator().manual_seed(0))
    redshift = torch.linspace(0.051, 0.299, 8)
    batch = GalaxyBatch(torch.zeros(8, 5, 107, 107), torch.zeros(8), redshift)
    step = supervised_step(_Always(logits), grid, config)
    loss, _ = step(batch, torch.Generator().manual_seed(0))
    label = label_distribution(redshift, grid, blur or 1e-3)
    expected = -(label * torch.log_softmax(logits, dim=1)).sum(dim=1).mean()
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)


def test_views_for_fine_tuning_are_made_as_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def view(images: torch.Tensor, ebv: torch.Tensor, *_: Any, **options: Any) -> torch.Tensor:
        asked.extend((ebv.tolist(), options["max_shift"], options["mirror"]))
        return images

    monkeypatch.setattr(supervised, "finetuning_view", view)
    config = FinetuneConfig(archive=Path("a"), output=Path("b"), max_shift=3, mirror=False)
    step = supervised_step(_Always(torch.zeros(2, 180)), RedshiftGrid(), config)
    step(GalaxyBatch(torch.zeros(2, 5, 64, 64), torch.ones(2), torch.ones(2)), torch.Generator())
    assert asked == [[1.0, 1.0], 3, False]


class _Always(torch.nn.Module):
    """A network that gives the same logits whatever it sees."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = logits

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits[: len(images)]


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_an_optimizer_goes_by_the_device_that_it_is_resumed_on(
    optimizer: type[torch.optim.SGD | torch.optim.AdamW], fused: bool
) -> None:
    network = torch.nn.Linear(2, 1)
    before = optimizer(network.parameters(), lr=0.1, fused=not fused)
    network(torch.ones(1, 2)).sum().backward()
    before.step()
    state = loop._state(network, before, 1, {})
    folder: Any = SimpleNamespace(
        fingerprint="", load_state=lambda: state, forget_metrics_after=lambda step: None
    )
    after = optimizer(network.parameters(), lr=0.1, fused=fused)
    assert loop._resume(network, after, folder, ALONE) == (1, {})
    assert after.param_groups[0]["fused"] is fused
    after.step()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_pretrained_encoder_learns_at_its_own_rate(optimizer: str) -> None:
    network = RedshiftNetwork(build_encoder(PRESETS["tiny"]), 180)
    config = FinetuneConfig(
        archive=Path("a"), output=Path("b"), optimizer=optimizer, encoder_rate=0.3
    )
    groups = finetuning_optimizer(network, config, pretrained=True).param_groups
    assert groups[0]["peak"] == pytest.approx(0.3 * groups[1]["peak"])
    scratch = finetuning_optimizer(network, config, pretrained=False).param_groups
    assert scratch[0]["peak"] == scratch[1]["peak"]


def test_an_encoder_learns_faster_from_more_labels() -> None:
    rates = [usual_encoder_rate(n) for n in (1, 164, 820, 1641, 3282, 400_000)]
    assert rates == sorted(rates)
    assert rates[0] == 0.1  # the paper's, where labels are few
    assert rates[-1] == 1


class InterruptionError(Exception):
    pass


def interrupt_after(images: int) -> Any:
    def progress(stage: str, done: int, total: int | None, /, **figures: float) -> None:
        if done >= images and "images" in stage:
            raise InterruptionError

    return progress


@pytest.mark.parametrize("seconds", [300.0, 0.0])
def test_a_resumed_pretraining_equals_an_uninterrupted_one(
    tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_STATES", seconds)
    whole = pretrain(pretraining(tiny_archive, tmp_path / "whole"))
    config = pretraining(tiny_archive, tmp_path / "cut")
    with pytest.raises(InterruptionError):
        pretrain(config, progress=interrupt_after(20))
    resumed = pretrain(replace(config, resume=True))
    first, second = load_checkpoint(whole.encoder), load_checkpoint(resumed.encoder)
    for name, weights in first.state.items():
        assert torch.equal(weights, second.state[name]), name
    lines = [(tmp_path / run / "metrics.jsonl").read_text() for run in ("whole", "cut")]
    assert lines[0] == lines[1]
    assert [json.loads(line)["epoch"] for line in lines[0].splitlines()] == [1, 2, 3]


def test_a_training_that_is_asked_to_stop_goes_on_where_it_stopped(
    tiny_archive: Path, tmp_path: Path
) -> None:
    whole = finetune(finetuning(tiny_archive, tmp_path / "whole")).model
    config = finetuning(tiny_archive, tmp_path / "cut")
    for done in range(1, 6):
        with pytest.raises(Stopped, match=f"{done}, 6") as stopped:
            finetune(replace(config, resume=True), stop=lambda: True)
        assert f"stopped after step {done} of 6" in stopped.value.summary()
        assert "--resume" in stopped.value.summary()
    # Asked to stop at the last step, it has nothing left to stop.
    last = finetune(replace(config, resume=True), stop=lambda: True).model
    assert last.read_bytes() == whole.read_bytes()


def test_a_resumed_finetuning_equals_an_uninterrupted_one(
    tiny_archive: Path, tmp_path: Path
) -> None:
    for optimizer in ("sgd", "adamw"):
        runs = [tmp_path / optimizer / name for name in ("whole", "cut")]
        configs = [
            finetuning(tiny_archive, run, optimizer=optimizer, epochs=3, overwrite=True)
            for run in runs
        ]
        whole = finetune(configs[0])
        with pytest.raises(InterruptionError):
            finetune(configs[1], progress=interrupt_after(20))
        resumed = finetune(replace(configs[1], overwrite=False, resume=True))
        assert whole.model.read_bytes() == resumed.model.read_bytes()


def test_bands_whose_dust_is_not_known_are_refused() -> None:
    with pytest.raises(SpecMismatchError, match="has the bands g,r,i,z,y"):
        load_encoder("tiny", ImageSpec(bands=("g", "r", "i", "z", "y")), "survey.h5", seed=0)


def test_an_encoder_of_other_images_is_refused(tmp_path: Path) -> None:
    path, encoder = tmp_path / "encoder.safetensors", build_encoder(PRESETS["tiny"])
    spec = ImageSpec(pixel_scale=0.2)
    checkpoint = Checkpoint(
        kind="encoder", spec=spec, encoder=encoder.config, state=encoder.state_dict()
    )
    save_checkpoint(path, checkpoint)
    with pytest.raises(SpecMismatchError, match=r"encoder\.safetensors"):
        load_encoder(str(path), ImageSpec(), "survey.h5", seed=0)
    loaded = load_encoder(str(path), spec, "survey.h5", seed=0)
    assert loaded.training
    assert torch.equal(loaded.conv1.weight, encoder.conv1.weight)


@pytest.mark.parametrize("command", ["pretrain", "finetune"])
def test_pixels_by_which_no_model_could_be_kept_end_a_training(
    tiny_archive: Path, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRESETS, "tiny", replace(PRESETS["tiny"], softening=None))
    shutil.copy(tiny_archive, tmp_path / "bad.h5")
    row = open_archive(tmp_path / "bad.h5").rows(split="train")[3]
    with h5py.File(tmp_path / "bad.h5", "a") as file:
        file["images"][row, 2, 50:57, 50:57] = -1e22  # the loss stays finite
    config: Any = {"pretrain": pretraining, "finetune": finetuning}[command](
        tmp_path / "bad.h5", tmp_path / "run"
    )
    with pytest.raises(ArchiveError, match=rf"row {row + 1} of .*bad\.h5 has a pixel of -1e\+22"):
        (pretrain if command == "pretrain" else finetune)(config)
    assert not (config.output / "state.pt").exists()


@pytest.mark.parametrize("command", ["pretrain", "finetune"])
def test_a_loss_that_is_no_number_ends_a_training(
    tiny_archive: Path, tmp_path: Path, command: str
) -> None:
    config: Any = {"pretrain": pretraining, "finetune": finetuning}[command](
        tiny_archive, tmp_path / "run", learning_rate=1e30
    )
    with pytest.raises(TrainingError, match="no number any more after step") as caught:
        (pretrain if command == "pretrain" else finetune)(config)
    assert "--learning-rate" in caught.value.hint
    assert ("--temperature" in caught.value.hint) == (command == "pretrain")
    assert not (config.output / "state.pt").exists()


def test_a_network_without_a_redshift_is_not_kept(tiny_archive: Path, tmp_path: Path) -> None:
    config = finetuning(tiny_archive, tmp_path / "run", epochs=1, batch_size=12, learning_rate=1e10)
    for again in (config, replace(config, resume=True)):
        with pytest.raises(TrainingError, match="none of 6 validation galaxies") as caught:
            finetune(again)
        assert "lower --learning-rate, and start again with --overwrite" in caught.value.hint
    assert not (config.output / "photoz.safetensors").exists()


def test_galaxies_that_the_model_gives_no_redshift_are_counted(
    tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_an_overflow(*arguments: Any) -> Evaluation:
        found = evaluate_logits(*arguments)
        found.logits[0] = np.inf
        return found

    monkeypatch.setattr("photoz_ssl.workflows.finetune.evaluate_logits", with_an_overflow)
    report = finetune(finetuning(tiny_archive, tmp_path / "run", epochs=1))
    assert report.notices[0].startswith("the model gives 1 of 6 validation galaxies no redshift")
    assert np.isfinite(report.sigma_mad)


def test_pixels_that_are_no_numbers_end_a_training(tiny_archive: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_archive, tmp_path / "bad.h5")
    row = open_archive(tmp_path / "bad.h5").rows(split="train")[3]
    with h5py.File(tmp_path / "bad.h5", "a") as file:
        file["images"][row, 2, 50, 50] = np.nan
    with pytest.raises(ArchiveError, match=rf"row {row + 1} of .*bad\.h5 has pixels"):
        finetune(finetuning(tmp_path / "bad.h5", tmp_path / "run"))


def test_what_a_training_says_it_reached_is_what_its_model_reaches(
    tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fitted(*arguments: Any) -> Calibration:  # to which 6 galaxies alone do not lead
        return replace(fit_calibration(*arguments), blur=10.0, shift=5.0)

    monkeypatch.setattr("photoz_ssl.workflows.finetune.fit_calibration", fitted)
    losses: list[float] = []

    def progress(stage: str, done: int, total: int | None, /, **figures: float) -> None:
        losses.append(figures["loss"])

    report = finetune(finetuning(tiny_archive, tmp_path / "run"), progress=progress)
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    means = np.mean(np.reshape(losses, (2, 3)), axis=1)
    np.testing.assert_allclose([line["loss"] for line in lines], means, rtol=1e-6)
    assert ["valid_bias" in line for line in lines] == [False, True]  # it takes time

    model, archive = load_checkpoint(report.model), open_archive(tiny_archive)
    network = model.network()
    assert isinstance(network, RedshiftNetwork)
    valid = archive.rows(split="valid", labelled=True)
    found = evaluate_logits(network, archive, valid, 4)
    calibration = fitted(found.logits, found.redshift, RedshiftGrid())
    assert model.calibration == calibration
    mean = calibration.apply(found.logits) @ RedshiftGrid().centres
    dz = normalised_residual(mean, found.redshift)
    assert model.metrics == pytest.approx(
        {
            "valid_sigma_mad": sigma_mad(dz),
            "valid_outlier_fraction": outlier_fraction(dz),
            "valid_bias": bias(dz),
        }
    )
    assert report.sigma_mad == model.metrics["valid_sigma_mad"]
    assert report.outlier_fraction == model.metrics["valid_outlier_fraction"]


def test_a_finished_run_resumes_to_itself(tiny_archive: Path, tmp_path: Path) -> None:
    config = finetuning(tiny_archive, tmp_path / "run")
    before = finetune(config).model.read_bytes()
    assert finetune(replace(config, resume=True)).model.read_bytes() == before


def test_a_finished_run_without_its_metrics_resumes_to_itself(
    tiny_archive: Path, tmp_path: Path
) -> None:
    config = pretraining(tiny_archive, tmp_path / "run")
    done = pretrain(config)
    before = done.encoder.read_bytes()
    metrics = config.output / "metrics.jsonl"
    for rest in (b"", b"half a li", b"\xff\x00"):
        metrics.unlink(missing_ok=True)
        if rest:
            metrics.write_bytes(rest)
        report = pretrain(replace(config, resume=True))
        assert report.loss == done.loss
        assert report.encoder.read_bytes() == before
    for damaged in (b"", before[:-100], None):
        metrics.unlink(missing_ok=True)
        done.encoder.unlink() if damaged is None else done.encoder.write_bytes(damaged)
        assert " s → " in pretrain(replace(config, resume=True)).summary()
        whole, again = map(load_safetensors, (before, done.encoder.read_bytes()))
        assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_a_run_is_not_resumed_with_other_options(tiny_archive: Path, tmp_path: Path) -> None:
    config = finetuning(tiny_archive, tmp_path / "run")
    finetune(config)
    with pytest.raises(OutputError, match="--resume"):
        finetune(config)
    written = (config.output / "config.toml").read_text()
    with pytest.raises(CheckpointError, match="other options"):
        finetune(replace(config, resume=True, learning_rate=0.1))
    assert (config.output / "config.toml").read_text() == written
    finetune(replace(config, overwrite=True, learning_rate=0.1))


def test_a_damaged_state_is_told_in_a_sentence(tiny_archive: Path, tmp_path: Path) -> None:
    config = finetuning(tiny_archive, tmp_path / "run")
    finetune(config)
    state = config.output / "state.pt"
    whole = state.read_bytes()
    half = len(whole) // 2  # among the weights
    for damaged in (b"", whole[:1000], whole[:half] + bytes(512) + whole[half + 512 :]):
        state.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="is damaged"):
            finetune(replace(config, resume=True))


def test_only_a_run_folder_is_overwritten(tiny_archive: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="not a run folder"):
        finetune(finetuning(tiny_archive, tmp_path, overwrite=True))
    assert (tmp_path / "thesis.tex").exists()


def test_finetuning_starts_from_an_encoder_file(tiny_archive: Path, tmp_path: Path) -> None:
    encoder = pretrain(pretraining(tiny_archive, tmp_path / "pretrained", epochs=1)).encoder
    config = finetuning(
        tiny_archive, tmp_path / "run", encoder=str(encoder), encoder_rate=0.0, epochs=1
    )
    report = finetune(config)
    before, after = load_checkpoint(encoder), load_checkpoint(report.model)
    for name, weights in before.state.items():  # the statistics of BatchNorm are among them
        assert torch.equal(weights, after.state[f"encoder.{name}"]), name
    commands = [step["command"] for step in after.provenance["history"]]
    assert commands == ["pretrain", "finetune"]


def test_a_predictor_leaves_dereddened_stamps_as_they_are(
    tiny_archive: Path, tmp_path: Path
) -> None:
    predictor = Predictor.load(finetune(finetuning(tiny_archive, tmp_path / "run")).model, "cpu")
    checkpoint = replace(predictor.checkpoint, spec=replace(predictor.spec, dereddened=True))
    intrinsic = replace(predictor, checkpoint=checkpoint)
    images = np.random.default_rng(0).normal(size=(2, 5, 64, 64)).astype(np.float32)
    without = predictor.pdf(images, np.zeros(2))
    np.testing.assert_array_equal(intrinsic.pdf(images, np.array([0.2, 0.4])), without)
    assert not np.allclose(predictor.pdf(images, np.array([0.2, 0.4])), without)


def test_a_predictor_takes_raw_stamps_of_any_size(tiny_archive: Path, tmp_path: Path) -> None:
    predictor = Predictor.load(finetune(finetuning(tiny_archive, tmp_path / "run")).model, "cpu")
    images = np.random.default_rng(0).normal(size=(3, 5, 107, 107)).astype(np.float32)
    ebv = np.array([0.0, 0.1, 0.2])
    pdf = predictor.pdf(images, ebv)
    np.testing.assert_allclose(pdf.sum(axis=1), 1)
    np.testing.assert_allclose(predictor.pdf(images[..., 21:85, 21:85], ebv), pdf, atol=1e-6)
    assert predictor.pdf(images[:0], ebv[:0]).shape == (0, 180)
    assert predictor.represent(images, ebv).shape == (3, 64)


@pytest.mark.parametrize(("batch_size", "expected"), [(2, [2, 2, 1]), (5, [5]), (400, [5])])
def test_a_predictor_gives_the_network_batches_of_the_size_asked_for(
    batch_size: int, expected: list[int], tiny_archive: Path, tmp_path: Path
) -> None:
    model = finetune(finetuning(tiny_archive, tmp_path / "run", epochs=1)).model
    loaded = Predictor.load(model, "cpu", batch_size=batch_size)
    seen: list[int] = []

    def logits(batches: Iterable[torch.Tensor]) -> Later[NDArray[np.float32]]:
        seen.extend(len(images) for images in batches)
        return lambda: np.zeros((sum(seen), 180), np.float32)

    predictor = replace(loaded, runtime=replace(loaded.runtime, logits=logits))
    predictor.pdf(np.zeros((5, 5, 64, 64), np.float32), np.zeros(5))
    assert seen == expected


def test_what_would_be_faster_is_named_where_it_matters(
    tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = finetune(finetuning(tiny_archive, tmp_path / "run", epochs=1)).model
    predictor = Predictor.load(model, "cpu")
    monkeypatch.setattr(inference, "has_openvino", lambda: False)
    assert predictor.notices(999) == ()
    assert "photoz-ssl[cpu]" in " ".join(predictor.notices(1000))
    monkeypatch.setattr(inference, "has_openvino", lambda: True)
    monkeypatch.setattr(inference, "computes_in_bfloat16", lambda: False)
    assert predictor.notices(20_000) == ()
    monkeypatch.setattr(inference, "computes_in_bfloat16", lambda: True)
    assert predictor.notices(19_999) == ()
    assert "--precision bf16" in " ".join(predictor.notices(20_000))
    assert replace(predictor, precision="fp32").notices(20_000) == ()


def test_too_few_galaxies_and_no_labels_are_told(tiny_archive: Path, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="too few"):
        pretrain(pretraining(tiny_archive, tmp_path / "a", batch_size=32, batchnorm_groups=16))
    with pytest.raises(ConfigError, match="neither an encoder file nor a preset"):
        finetune(finetuning(tiny_archive, tmp_path / "b", encoder="resnet99"))
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()
