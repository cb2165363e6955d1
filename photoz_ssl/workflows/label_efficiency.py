"""Accuracy against the number of labels, pretrained and from scratch: the paper's main figure."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.config import FinetuneConfig, LabelEfficiencyConfig, SupervisedConfig
from photoz_ssl.datasets.galaxies import Rows, consecutive_rows
from photoz_ssl.errors import ArchiveError, ConfigError, TrainingError
from photoz_ssl.extras import require_extra
from photoz_ssl.files import atomic_output
from photoz_ssl.networks.encoder import PRESETS
from photoz_ssl.networks.published import read_model
from photoz_ssl.progress import Progress, Stop, Stopped, never, silent
from photoz_ssl.redshift.grid import RedshiftGrid
from photoz_ssl.redshift.label_efficiency import labels_saved
from photoz_ssl.redshift.metrics import normalised_residual, outlier_fraction, sigma_mad
from photoz_ssl.survey.archive import Archive, open_archive
from photoz_ssl.training.distributed import launched
from photoz_ssl.training.run_folder import (
    RunFolder,
    check_run_folder,
    identity_of,
    training_in,
)
from photoz_ssl.workflows.counting import counted
from photoz_ssl.workflows.experiments.label_figure import draw_label_efficiency
from photoz_ssl.workflows.experiments.measurements import (
    METHODS,
    Measurement,
    measured_in,
    read_measurements,
)
from photoz_ssl.workflows.experiments.photometry import (
    magnitude_systems,
    photometric_features,
    photometric_redshifts,
)
from photoz_ssl.workflows.finetune import finetune, labelled_rows, notices_of_labels
from photoz_ssl.workflows.trained.inference import Predictor

__all__ = ["Curve", "LabelEfficiencyReport", "label_efficiency"]

BATCH = 256


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A method's accuracy against labels: means over seeds and their standard deviations.

    Parameters
    ----------
    method : str
        One of `METHODS`.
    n_labels : tuple of float
        Ascending.
    sigma_mad, sigma_mad_error, outlier_fraction, outlier_fraction_error : tuple of float
        One a number of labels; the errors are NaN for a single seed.
    """

    method: str
    n_labels: tuple[float, ...]
    sigma_mad: tuple[float, ...]
    sigma_mad_error: tuple[float, ...]
    outlier_fraction: tuple[float, ...]
    outlier_fraction_error: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class LabelEfficiencyReport:
    """What the experiment found.

    Parameters
    ----------
    output : Path
        Folder with ``label_efficiency.json``, ``.png`` and ``.pdf``, and the trainings.
    curves : tuple of Curve
        One a method.
    saved : tuple of float
        Factor of labels saved at each point of the fine-tuned curve, at equal sigma_MAD; NaN
        where training from scratch never reached it.
    n_test : int
        Galaxies that all were measured on.
    notices : tuple of str
        What a user should know.
    """

    output: Path
    curves: tuple[Curve, ...]
    saved: tuple[float, ...]
    n_test: int
    notices: tuple[str, ...] = ()

    def summary(self) -> str:
        """One line: the factor of labels saved, or that there is none to state."""
        known = [factor for factor in self.saved if math.isfinite(factor)]
        found = (
            f"fine-tuning saves a factor of {min(known):.1f} to {max(known):.1f} of labels at"
            f" equal sigma_MAD ({len(known)} of {len(self.saved)} points can be compared)"
            if known
            else "no point of the two curves has the same sigma_MAD"
        )
        return f"photoz-ssl: {found}, {self.n_test} test galaxies → {self.output}"


def label_efficiency(
    config: LabelEfficiencyConfig, *, progress: Progress = silent, stop: Stop = never
) -> LabelEfficiencyReport:
    """Train fine-tuned and supervised networks on fractions of the labels, and compare.

    Parameters
    ----------
    config : LabelEfficiencyConfig
        Archive, encoder, fractions, seeds, and how each network is trained.
    progress : callable
        Told after every step.
    stop : callable
        Asked after every step whether to save the state and stop.

    Raises
    ------
    photoz_ssl.errors.PhotozError
        If the archive, the encoder or the folder cannot be used.
    photoz_ssl.progress.Stopped
        If ``stop`` said so before all was measured.
    """
    _require_one_process()
    for package in ("matplotlib", "sklearn"):
        require_extra(package, extra="experiment", purpose="the experiment")
    archive = open_archive(config.archive)
    test = archive.rows(split="test", labelled=True)
    if not len(test):
        raise ArchiveError(
            f"{config.archive} has no labelled galaxies in a test split",
            "prepare it with --split or --split-column",
        )
    preset = _preset_of(Path(config.encoder))
    inputs = {
        **identity_of(archive, test, Path(config.encoder)),
        "photometry_sha256": _photometry_sha256(archive),
    }
    before = check_run_folder(config, "label-efficiency", inputs)
    known = () if config.overwrite else read_measurements(before)
    _refuse_equal_fractions(config, archive, known)
    with training_in(config, "label-efficiency", inputs) as folder:
        experiment = _Experiment(config, archive, test, preset, folder)
        measurements = experiment.measurements(progress, stop)
        curves = tuple(_curve(method, measurements) for method in METHODS)
        curves = tuple(curve for curve in curves if curve.n_labels)
        report = LabelEfficiencyReport(
            output=config.output,
            curves=curves,
            saved=_saved(curves),
            n_test=len(test),
            notices=_notices(archive),
        )
        _write(report, measurements)
    return report


def _notices(archive: Archive) -> tuple[str, ...]:
    labelled = archive.redshift[archive.rows(labelled=True)]
    without = () if magnitude_systems(archive) else ("the archive has no magnitudes",)
    return (*without, *notices_of_labels(labelled, RedshiftGrid()))


def _require_one_process() -> None:
    n_processes = launched().size
    if n_processes > 1:
        raise ConfigError(
            f"the experiment was started as {n_processes} processes, and runs as one",
            "start it without torchrun, or with srun --ntasks=1",
        )


def _photometry_sha256(archive: Archive) -> str:
    """Of what the trees learn from, none of which is in an archive's own fingerprint."""
    if not magnitude_systems(archive):
        return ""
    return hashlib.sha256(photometric_features(archive).tobytes()).hexdigest()


def _preset_of(encoder: Path) -> str:
    """The preset that builds the same network as an encoder file, from scratch."""
    description = read_model(encoder).encoder
    for name, preset in PRESETS.items():
        if preset == description:
            return name
    raise ConfigError(
        f"the encoder in {encoder} is of no preset, so there is none to train from scratch",
        "pretrain one of the presets",
    )


@dataclass(frozen=True)
class _Experiment:
    """All trainings of one experiment, each measured once."""

    config: LabelEfficiencyConfig
    archive: Archive
    test: Rows
    preset: str
    folder: RunFolder

    def measurements(self, progress: Progress, stop: Stop) -> tuple[Measurement, ...]:
        """Measure what was asked for, and take from the folder what was measured before."""
        methods = METHODS if magnitude_systems(self.archive) else METHODS[:2]
        wanted = list(product(sorted(self.config.fractions), range(self.config.n_seeds), methods))
        for done, (fraction, seed, method) in enumerate(wanted):
            if not self._path(method, fraction, seed).exists():
                if stop():
                    raise Stopped(done, len(wanted), unit="measurement")
                self._measure(method, fraction, seed, progress, stop)
        return read_measurements(self.folder)

    def _path(self, method: str, fraction: float, seed: int) -> Path:
        return measured_in(self.config.output) / f"{_name(method, fraction, seed)}.json"

    def _measure(
        self, method: str, fraction: float, seed: int, progress: Progress, stop: Stop
    ) -> None:
        n_labels, redshift = (
            self._by_photometry(fraction, seed)
            if method == "photometry"
            else self._by_images(method, fraction, seed, progress, stop)
        )
        dz = normalised_residual(redshift, self.archive.redshift[self.test])
        dz = dz[np.isfinite(dz)]
        if len(dz) == 0:
            raise TrainingError(
                f"the network {_name(method, fraction, seed)} gives no test galaxy a redshift",
                "lower --learning-rate, and start again with --overwrite",
            )
        measurement = Measurement(
            method=method,
            fraction=fraction,
            seed=seed,
            n_labels=n_labels,
            sigma_mad=sigma_mad(dz),
            outlier_fraction=outlier_fraction(dz),
        )
        path = self._path(method, fraction, seed)
        path.parent.mkdir(exist_ok=True)
        _write_json(path, {"fingerprint": self.folder.fingerprint, **asdict(measurement)})

    def _by_images(
        self, method: str, fraction: float, seed: int, progress: Progress, stop: Stop
    ) -> tuple[int, NDArray[np.float64]]:
        """Train a network; return its number of labels and the test galaxies' redshifts."""
        report = finetune(
            dataclasses.replace(
                self._finetuning(fraction),
                output=self.config.output / _name(method, fraction, seed),
                encoder=self.config.encoder if method == "fine-tuned" else self.preset,
                label_fraction=fraction,
                seed=self.config.seed + seed,
                resume=True,
                overwrite=False,
            ),
            progress=progress,
            stop=stop,
        )
        predictor = Predictor.load(report.model, self.config.device)
        pdf = [
            predictor.pdf(np.array(self.archive.images[rows]), self.archive.ebv[rows])
            for rows in consecutive_rows(self.test, BATCH)
        ]
        return report.n_labels, np.concatenate(pdf) @ predictor.grid.centres

    def _finetuning(self, fraction: float) -> FinetuneConfig:
        """The options that finetune shares, with epochs enough for the least number of steps."""
        names = [field.name for field in dataclasses.fields(SupervisedConfig)]
        options = {name: getattr(self.config, name) for name in names}
        shared = FinetuneConfig(encoder=self.config.encoder, **options)
        n_labels = max(2, round(fraction * len(labelled_rows(self.archive, shared)[0])))
        steps = n_labels // min(shared.batch_size, n_labels)
        epochs = max(shared.epochs, math.ceil(self.config.min_steps / steps))
        return dataclasses.replace(shared, epochs=epochs)

    def _by_photometry(self, fraction: float, seed: int) -> tuple[int, NDArray[np.float64]]:
        drawn = self.config.seed + seed
        learn = _labels(self.config, self.archive, fraction, drawn)
        redshift = photometric_redshifts(
            photometric_features(self.archive), self.archive.redshift, learn, self.test, seed=drawn
        )
        return len(learn), redshift


def _name(method: str, fraction: float, seed: int) -> str:
    """Of a training's folder, and of what was measured."""
    return f"{method.replace(' ', '-')}-{fraction:.12g}-{seed}"


def _labels(config: LabelEfficiencyConfig, archive: Archive, fraction: float, seed: int) -> Rows:
    """The rows that every method learns from."""
    as_networks = FinetuneConfig(
        archive=config.archive, output=config.output, label_fraction=fraction, seed=seed
    )
    return labelled_rows(archive, as_networks)[0]


def _refuse_equal_fractions(
    config: LabelEfficiencyConfig, archive: Archive, known: tuple[Measurement, ...]
) -> None:
    """Refuse fractions that are the same labels: their scatter would pass for an error."""
    by_number: dict[int, float] = {}
    measured_before = {one.fraction for one in known} - {*config.fractions}
    for fraction in (*sorted(measured_before), *config.fractions):
        n_labels = len(_labels(config, archive, fraction, config.seed))
        if n_labels in by_number:
            raise ConfigError(
                f"--fractions {by_number[n_labels]:g} and {fraction:g} are the same"
                f" {counted(n_labels, 'label')}",
                "leave one of them out",
            )
        by_number[n_labels] = fraction


def _curve(method: str, measurements: tuple[Measurement, ...]) -> Curve:
    own = [measurement for measurement in measurements if measurement.method == method]
    n_labels = sorted({measurement.n_labels for measurement in own})

    def over_seeds(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
        groups = [[getattr(one, name) for one in own if one.n_labels == n] for n in n_labels]
        errors = [float(np.std(g, ddof=1)) if len(g) > 1 else math.nan for g in groups]
        return tuple(float(np.mean(group)) for group in groups), tuple(errors)

    scatter, scatter_error = over_seeds("sigma_mad")
    outliers, outliers_error = over_seeds("outlier_fraction")
    return Curve(
        method=method,
        n_labels=tuple(float(n) for n in n_labels),
        sigma_mad=scatter,
        sigma_mad_error=scatter_error,
        outlier_fraction=outliers,
        outlier_fraction_error=outliers_error,
    )


def _saved(curves: tuple[Curve, ...]) -> tuple[float, ...]:
    finetuned, scratch = curves[:2]
    factors = labels_saved(
        finetuned.n_labels, finetuned.sigma_mad, scratch.n_labels, scratch.sigma_mad
    )
    return tuple(float(factor) for factor in factors)


def _write(report: LabelEfficiencyReport, measurements: tuple[Measurement, ...]) -> None:
    found = {
        "n_test": report.n_test,
        "labels_saved": [factor if math.isfinite(factor) else None for factor in report.saved],
        "measurements": [asdict(measurement) for measurement in measurements],
    }
    _write_json(report.output / "label_efficiency.json", found)
    draw_label_efficiency(report.output, report.curves)


def _write_json(path: Path, value: object) -> None:
    with atomic_output(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
