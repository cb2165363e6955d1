"""The experiment: every method on the same labels, measured once, taken up again."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from photoz_ssl.config import FinetuneConfig, LabelEfficiencyConfig, PretrainConfig
from photoz_ssl.errors import (
    ArchiveError,
    CheckpointError,
    ConfigError,
    OutputError,
    TrainingError,
)
from photoz_ssl.networks.checkpoint import Checkpoint, save_checkpoint
from photoz_ssl.networks.encoder import PRESETS, build_encoder
from photoz_ssl.progress import Stopped, never, silent
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.archive import open_archive
from photoz_ssl.survey.archive_writer import create_archive
from photoz_ssl.survey.bands import BANDS
from photoz_ssl.training.run_folder import RunFolder
from photoz_ssl.training.run_lock import LOCK, sole_training
from photoz_ssl.workflows import label_efficiency as module
from photoz_ssl.workflows.experiments.measurements import METHODS, Measurement
from photoz_ssl.workflows.experiments.photometry import photometric_features
from photoz_ssl.workflows.finetune import labelled_rows
from photoz_ssl.workflows.label_efficiency import LabelEfficiencyReport, label_efficiency
from photoz_ssl.workflows.pretrain import pretrain


@dataclass(frozen=True)
class Experiment:
    """One that was made: how, and what it found."""

    config: LabelEfficiencyConfig
    report: LabelEfficiencyReport

    def copied_to(self, other: LabelEfficiencyConfig) -> LabelEfficiencyReport:
        """Lay a copy of its folder where another one would begin."""
        shutil.copytree(self.config.output, other.output)
        return self.report


@pytest.fixture(scope="module")
def made(tiny_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Experiment]:
    """An experiment with all methods, two fractions and two seeds, of a preset ``tiny``."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", replace(PRESETS["resnet18-compact"], width=0.125))
        archive = write_survey(tiny_archive, folder / "survey.h5")
        config = LabelEfficiencyConfig(
            archive=archive,
            output=folder / "efficiency",
            encoder=str(pretrained(archive, folder / "pretrained")),
            fractions=(0.5, 1.0),
            n_seeds=2,
            epochs=1,
            batch_size=4,
        )
        yield Experiment(config, label_efficiency(config))


@pytest.fixture(scope="module")
def made_short(made: Experiment) -> Experiment:
    """One training a method, and no figure."""
    config = shortened(replace(made.config, output=made.config.output.with_name("short")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "draw_label_efficiency", draw_nothing)
        return Experiment(config, label_efficiency(config))


def write_survey(toy: Path, path: Path) -> Path:
    """The toy galaxies with magnitudes that tell their redshift."""
    archive = open_archive(toy)
    block = archive.block(slice(0, len(archive)))
    names = [f"MODEL_MAG_{band}" for band in BANDS]
    table = np.zeros(len(block), [(name, "f4") for name in names])
    for place, name in enumerate(names):
        table[name] = 15 + place * block.redshift + block.ebv
    with create_archive(path, ImageSpec(), len(block)) as writer:
        writer.write(replace(block, table=table), columns=tuple(names))
    return path


def pretrained(survey: Path, output: Path) -> Path:
    pretraining = PretrainConfig(
        archive=survey,
        output=output,
        encoder="tiny",
        epochs=1,
        batch_size=4,
        batchnorm_groups=2,
        queue_size=16,
    )
    return pretrain(pretraining).encoder


def shortened(config: LabelEfficiencyConfig) -> LabelEfficiencyConfig:
    return replace(config, fractions=(1.0,), n_seeds=1)


def draw_nothing(*_: object) -> None:
    pass


@pytest.fixture
def survey(made: Experiment, tmp_path: Path) -> Path:
    """The archive, for a test to do with it what it likes."""
    return Path(shutil.copy(made.config.archive, tmp_path))


@pytest.fixture
def config(made: Experiment, survey: Path, tmp_path: Path) -> LabelEfficiencyConfig:
    """What the experiment was made with, in a new folder."""
    encoder = str(shutil.copy(made.config.encoder, tmp_path))
    return replace(made.config, archive=survey, output=tmp_path / "efficiency", encoder=encoder)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No figures, which take longer than what they show."""
    monkeypatch.setattr(module, "draw_label_efficiency", draw_nothing)


@pytest.fixture
def short(config: LabelEfficiencyConfig, undrawn: None) -> LabelEfficiencyConfig:
    """One training a method."""
    return shortened(config)


def test_every_method_learns_from_the_same_labels(made: Experiment) -> None:
    config, report = made.config, made.report
    assert [curve.method for curve in report.curves] == list(METHODS)
    assert {curve.n_labels for curve in report.curves} == {(6.0, 12.0)}
    found = json.loads((config.output / "label_efficiency.json").read_text())
    assert len(found["measurements"]) == 2 * 2 * 3
    assert found["n_test"] == report.n_test == 6
    scatter = [one["sigma_mad"] for one in found["measurements"] if one["method"] == "fine-tuned"]
    assert report.curves[0].sigma_mad[0] == pytest.approx(np.mean(scatter[:2]))
    assert (config.output / "label_efficiency.png").read_bytes()[:4] == b"\x89PNG"
    assert (config.output / "label_efficiency.pdf").stat().st_size > 1000


def test_fractions_that_are_the_same_labels_are_refused(config: LabelEfficiencyConfig) -> None:
    for fractions in ((0.5, 0.5), (0.01, 0.02, 1.0)):
        with pytest.raises(ConfigError, match=r"are the same (6 labels|1 label);"):
            label_efficiency(replace(config, fractions=fractions))
    assert not config.output.exists()


def test_a_fraction_that_is_the_labels_of_one_measured_before_is_refused(
    config: LabelEfficiencyConfig, made: Experiment
) -> None:
    made.copied_to(config)
    with pytest.raises(ConfigError, match=r"0\.5 and 0\.51 are the same 6 labels"):
        label_efficiency(replace(config, fractions=(0.51, 1.0), resume=True))


def test_a_galaxy_whose_pixels_are_no_numbers_is_left_out(
    short: LabelEfficiencyConfig, made_short: Experiment
) -> None:
    whole = made_short.report
    row = open_archive(short.archive).rows(split="test")[0]
    with h5py.File(short.archive, "a") as file:
        file["images"][row, 2, 50, 50] = np.nan
    report = label_efficiency(short)
    assert np.isfinite(report.curves[0].sigma_mad).all()
    assert report.curves[2].sigma_mad == whole.curves[2].sigma_mad  # which has seen no images


@pytest.mark.usefixtures("undrawn")
def test_it_goes_on_where_it_stopped(
    config: LabelEfficiencyConfig, made: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = made.copied_to(config)
    before = (config.output / "label_efficiency.json").read_bytes()
    for measured in sorted((config.output / "measured").iterdir())[:2]:
        measured.unlink()
    trained = []
    finetune = module.finetune  # type: ignore[attr-defined]

    def counted(*arguments: Any, **options: Any) -> Any:
        trained.append(arguments)
        return finetune(*arguments, **options)

    monkeypatch.setattr(module, "finetune", counted)
    again = label_efficiency(replace(config, resume=True))
    assert len(trained) == 2
    assert (config.output / "label_efficiency.json").read_bytes() == before
    assert again.curves == first.curves


def test_other_options_are_not_mixed_in(
    short: LabelEfficiencyConfig, made_short: Experiment
) -> None:
    first = made_short.copied_to(short)
    options = (short.output / "config.toml").read_bytes()
    for fractions in (short.fractions, (0.5, 1.0)):
        other = replace(short, resume=True, learning_rate=0.1, fractions=fractions)
        with pytest.raises(CheckpointError, match="other options"):
            label_efficiency(other)
    assert (short.output / "config.toml").read_bytes() == options  # nothing was begun
    assert label_efficiency(replace(short, resume=True)).curves == first.curves
    stranger = build_encoder(PRESETS["tiny"], seed=9)
    checkpoint = Checkpoint(
        kind="encoder", spec=ImageSpec(), encoder=stranger.config, state=stranger.state_dict()
    )
    save_checkpoint(Path(short.encoder), checkpoint, overwrite=True)
    with pytest.raises(CheckpointError, match="another encoder"):
        label_efficiency(replace(short, resume=True))


class AskedError(Exception):
    """Somebody was asked to learn."""


def test_each_method_learns_as_the_options_say(
    survey: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def learn(*arguments: Any, **options: Any) -> None:
        asked.append((arguments, options))
        raise AskedError

    monkeypatch.setattr(module, "finetune", learn)
    monkeypatch.setattr(module, "photometric_redshifts", learn)
    config = LabelEfficiencyConfig(
        archive=survey,
        output=tmp_path / "efficiency",
        encoder="pretrained.safetensors",
        seed=7,
        epochs=3,
        learning_rate=0.02,
        schedule="cosine",
        device="cpu",
    )
    archive = open_archive(survey)
    folder, test_rows = RunFolder(config.output, "{}"), archive.rows(split="test")
    experiment = module._Experiment(config, archive, test_rows, "tiny", folder)
    for method in METHODS:
        with pytest.raises(AskedError):
            experiment._measure(method, 0.5, 1, silent, never)
    ((tuned,), _), ((scratch,), _), ((_, _, rows, test), trees) = asked
    assert (tuned.encoder, scratch.encoder) == ("pretrained.safetensors", "tiny")
    for options in (tuned, scratch):
        for name in ("archive", "epochs", "learning_rate", "schedule", "device"):
            assert getattr(options, name) == getattr(config, name), name
        assert (options.seed, options.label_fraction, options.resume) == (8, 0.5, True)
        assert labelled_rows(archive, options)[0].tolist() == rows.tolist()
    assert tuned.output != scratch.output
    assert test.tolist() == archive.rows(split="test").tolist()
    assert trees == {"seed": 8}


def test_a_measurement_is_of_the_galaxies_that_have_a_redshift(
    survey: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = open_archive(survey)
    test = archive.rows(split="test")
    dz = np.array([0.01, -0.01, 0.02, np.nan, 0.2, 0.0])
    truth = archive.redshift[test]
    found = truth + dz * (1 + truth)
    monkeypatch.setattr(module._Experiment, "_by_photometry", lambda *_: (7, found))
    config = LabelEfficiencyConfig(archive=survey, output=tmp_path, encoder="a.safetensors")
    folder = RunFolder(tmp_path, "print")
    experiment = module._Experiment(config, archive, test, "tiny", folder)
    experiment._measure("photometry", 0.5, 1, silent, never)
    (written,) = [json.loads(path.read_text()) for path in tmp_path.glob("measured/*.json")]
    assert written == {
        "fingerprint": "print",
        "method": "photometry",
        "fraction": 0.5,
        "seed": 1,
        "n_labels": 7,
        "sigma_mad": pytest.approx(1.4826 * 0.01, rel=1e-4),  # about a median of 0.01
        "outlier_fraction": pytest.approx(0.2),
    }


def measured(method: str, n_labels: int, *sigmas: float) -> list[Measurement]:
    """Of some seeds; a tenth of the scatter is outliers."""
    return [
        Measurement(
            method=method,
            fraction=n_labels / 1000,
            seed=seed,
            n_labels=n_labels,
            sigma_mad=sigma,
            outlier_fraction=sigma / 10,
        )
        for seed, sigma in enumerate(sigmas)
    ]


def test_curves_are_means_over_seeds_and_labels_are_saved_at_equal_scatter(
    config: LabelEfficiencyConfig, tiny_archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = (
        *measured("fine-tuned", 100, 0.03, 0.05),
        *measured("fine-tuned", 400, 0.01),
        *measured("from scratch", 100, 0.08),
        *measured("from scratch", 300, 0.04),
        *measured("from scratch", 1000, 0.02),
    )
    monkeypatch.setattr(module._Experiment, "measurements", lambda *_: found)
    report = label_efficiency(replace(config, archive=tiny_archive))
    assert report.notices == ("the archive has no magnitudes",)
    tuned, scratch = report.curves
    assert (tuned.method, scratch.method) == METHODS[:2]
    assert tuned.n_labels == (100, 400)
    np.testing.assert_allclose(tuned.sigma_mad, [0.04, 0.01])
    np.testing.assert_allclose(tuned.outlier_fraction, [0.004, 0.001])
    np.testing.assert_allclose(tuned.sigma_mad_error, [0.02 / np.sqrt(2), np.nan])
    np.testing.assert_allclose(tuned.outlier_fraction_error, [0.002 / np.sqrt(2), np.nan])
    np.testing.assert_allclose(report.saved, [3, np.nan])
    assert "a factor of 3.0 to 3.0 of labels" in report.summary()
    assert "(1 of 2 points" in report.summary()
    written = json.loads((config.output / "label_efficiency.json").read_text())
    assert written["labels_saved"] == [pytest.approx(3), None]


@pytest.mark.usefixtures("undrawn")
def test_fractions_and_seeds_are_added(
    config: LabelEfficiencyConfig,
    made: Experiment,
    made_short: Experiment,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    together, apart = made.report, config
    made_short.copied_to(apart)
    trained = []
    finetune = module.finetune  # type: ignore[attr-defined]

    def counted(options: Any, **others: Any) -> Any:
        trained.append(options.output.name)
        return finetune(options, **others)

    monkeypatch.setattr(module, "finetune", counted)
    assert label_efficiency(replace(apart, resume=True)).curves == together.curves
    assert len(trained) == 6
    assert "fine-tuned-1-0" not in trained
    assert "n_seeds = 2" in (apart.output / "config.toml").read_text()
    fewer = label_efficiency(replace(apart, resume=True, fractions=(1.0,)))
    assert fewer.curves == together.curves  # nothing that was measured is lost


def test_one_experiment_at_a_time_works_in_a_folder(short: LabelEfficiencyConfig) -> None:
    short.output.mkdir()
    with sole_training(short.output):
        with pytest.raises(OutputError, match="another training is at work in"):
            label_efficiency(short)
        assert [path.name for path in short.output.iterdir()] == [LOCK]
    label_efficiency(short)
    assert not (short.output / LOCK).exists()


def test_an_encoder_that_was_moved_is_the_same_one(
    short: LabelEfficiencyConfig, made_short: Experiment
) -> None:
    first = made_short.copied_to(short)
    moved = Path(short.encoder).rename(short.output.with_name("moved.safetensors"))
    again = replace(short, encoder=str(moved), resume=True)
    assert label_efficiency(again).curves == first.curves


def test_labels_that_no_network_can_give_are_told(short: LabelEfficiencyConfig) -> None:
    with h5py.File(short.archive, "a") as file:
        file["specz_redshift"][3] = 0.7
    notices = label_efficiency(short).notices
    assert any("count as its last bin: 1 of 24" in notice for notice in notices)


def test_it_stops_when_asked_to_and_goes_on(
    short: LabelEfficiencyConfig, made_short: Experiment
) -> None:
    asked = iter(range(1000))
    with pytest.raises(Stopped) as stopped:
        label_efficiency(short, stop=lambda: next(asked) >= 4)
    assert "--resume" in stopped.value.summary()
    assert not (short.output / "label_efficiency.json").exists()
    assert label_efficiency(replace(short, resume=True)).curves == made_short.report.curves


def test_several_processes_are_refused_before_they_write(
    config: LabelEfficiencyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "here", "MASTER_PORT": "1"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match="as 2 processes, and runs as one"):
        label_efficiency(config)
    assert not config.output.exists()


def test_a_measurement_by_an_unknown_method_or_of_no_galaxy_is_damaged(
    short: LabelEfficiencyConfig, made_short: Experiment
) -> None:
    made_short.copied_to(short)
    measured = next((short.output / "measured").glob("photometry-*.json"))
    whole = measured.read_text()
    for before, after in (
        ('"photometry"', '"guesses"'),
        (r'"sigma_mad": [\d.e-]+', '"sigma_mad": NaN'),
    ):
        measured.write_text(re.sub(before, after, whole))
        assert measured.read_text() != whole
        with pytest.raises(CheckpointError, match="is damaged"):
            label_efficiency(replace(short, resume=True))


@pytest.mark.usefixtures("undrawn")
def test_without_a_validation_split_the_trees_have_the_networks_labels(
    config: LabelEfficiencyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = open_archive(config.archive)
    block = archive.block(slice(0, len(archive)))
    split = np.where(np.arange(len(block)) < 6, "test", "train")
    table = np.zeros(len(block), [(name, values.dtype) for name, values in archive.columns.items()])
    for name, values in archive.columns.items():
        table[name] = values
    path = tmp_path / "two.h5"
    with create_archive(path, ImageSpec(), len(block)) as writer:
        writer.write(replace(block, split=split, table=table), columns=tuple(archive.columns))
    labels: dict[str, list[tuple[int, ...]]] = {"networks": [], "trees": []}
    finetune = module.finetune  # type: ignore[attr-defined]
    photometric_redshifts = module.photometric_redshifts  # type: ignore[attr-defined]

    def by_network(of: FinetuneConfig, **options: Any) -> Any:
        labels["networks"].append(tuple(labelled_rows(open_archive(path), of)[0]))
        return finetune(of, **options)

    def by_trees(*arguments: Any, **options: Any) -> Any:
        labels["trees"].append(tuple(arguments[2]))
        return photometric_redshifts(*arguments, **options)

    monkeypatch.setattr(module, "finetune", by_network)
    monkeypatch.setattr(module, "photometric_redshifts", by_trees)
    label_efficiency(replace(config, archive=path, fractions=(0.5,)))
    assert set(labels["networks"]) == set(labels["trees"])
    assert len(set(labels["trees"])) == 2


def test_other_magnitudes_are_not_mixed_in(
    short: LabelEfficiencyConfig, made_short: Experiment
) -> None:
    made_short.copied_to(short)
    with h5py.File(short.archive, "r+") as file:
        file["columns/MODEL_MAG_r"][...] += 1
    with pytest.raises(CheckpointError, match="archive"):
        label_efficiency(replace(short, resume=True))


def test_few_labels_are_seen_more_often(config: LabelEfficiencyConfig) -> None:
    archive = open_archive(config.archive)
    folder = RunFolder(config.output, "{}")
    experiment = module._Experiment(
        replace(config, min_steps=9), archive, archive.rows(split="test"), "tiny", folder
    )
    assert [experiment._finetuning(fraction).epochs for fraction in (0.5, 1.0)] == [9, 3]


def test_features_are_dereddened_magnitudes_and_colours(survey: Path) -> None:
    archive = open_archive(survey)
    features = photometric_features(archive)
    assert features.shape == (24, 9)
    by_hand = archive.columns["MODEL_MAG_g"].astype(np.float64) - 3.303 * archive.ebv
    np.testing.assert_allclose(features[:, 1], by_hand, atol=1e-6)
    np.testing.assert_allclose(features[:, 5:], np.diff(features[:, :5], axis=1), atol=1e-5)


def test_what_cannot_be_compared_is_told(
    config: LabelEfficiencyConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = open_archive(config.archive)
    block = archive.block(slice(0, len(archive)))
    unsplit = tmp_path / "unsplit.h5"
    with create_archive(unsplit, archive.spec, len(block)) as writer:
        writer.write(replace(block, split=np.full(len(block), "")))
    with pytest.raises(ArchiveError, match="test split"):
        label_efficiency(replace(config, archive=unsplit))
    monkeypatch.delitem(PRESETS, "tiny")
    with pytest.raises(ConfigError, match="of no preset"):
        label_efficiency(config)
    assert not config.output.exists()


def test_the_summary_states_the_factor_or_that_there_is_none() -> None:
    report = LabelEfficiencyReport(output=Path("out"), curves=(), saved=(2.0, 3.0), n_test=9)
    assert "a factor of 2.0 to 3.0 of labels" in report.summary()
    assert "no point" in replace(report, saved=(float("nan"),)).summary()


def test_a_network_that_gives_no_test_galaxy_a_redshift_is_no_measurement(
    short: LabelEfficiencyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = np.full(6, np.nan)
    monkeypatch.setattr(module, "normalised_residual", lambda *_: nowhere)
    with pytest.raises(TrainingError, match="gives no test galaxy a redshift"):
        label_efficiency(short)
    assert not list((short.output / "measured").glob("*"))
