"""What a training would be: every constant and its source, and whether it could run at all."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from photoz_ssl.config import (
    FinetuneConfig,
    LabelEfficiencyConfig,
    PretrainConfig,
    TrainingConfig,
)
from photoz_ssl.errors import PhotozError
from photoz_ssl.fields import flag_of
from photoz_ssl.networks.encoder import Encoder, EncoderConfig, encoder_config
from photoz_ssl.networks.published import read_model
from photoz_ssl.networks.ranks import World
from photoz_ssl.networks.runtimes import choose_device, multiplies_bfloat16
from photoz_ssl.recipes import RECIPES, departures
from photoz_ssl.redshift.grid import RedshiftGrid
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.archive import open_archive
from photoz_ssl.survey.bands import R_SF11
from photoz_ssl.training.contrastive import measure_band_mad
from photoz_ssl.training.distributed import launched
from photoz_ssl.training.run_folder import check_run_folder
from photoz_ssl.training.schedule import STEP_FACTOR, STEP_FRACTIONS
from photoz_ssl.workflows.counting import counted
from photoz_ssl.workflows.finetune import notices_of_labels, start_of_finetuning
from photoz_ssl.workflows.pretrain import start_of_pretraining
from photoz_ssl.workflows.trained.encoders import TrainingStart, is_file

__all__ = [
    "DryRunReport",
    "RunConstant",
    "dry_run_finetune",
    "dry_run_pretrain",
    "precision_notices",
    "recipe_departures",
]

MANY_IMAGES = 100_000
"""That are learnt from in all: minutes of training, on a CPU."""

Start = TrainingStart[PretrainConfig] | TrainingStart[FinetuneConfig]

NOT_CONSTANTS = ("archive", "output", "recipe", "resume", "overwrite")
"""Fields that say what is read and written, and change nothing of the method."""


@dataclass(frozen=True)
class RunConstant:
    """A line of the table.

    Parameters
    ----------
    name, value, source : str
        The config's field or what it is, its value in this run, and where that is from.
    """

    name: str
    value: str
    source: str


@dataclass(frozen=True, kw_only=True)
class DryRunReport:
    """What a run would be.

    Parameters
    ----------
    command : str
        ``pretrain`` or ``finetune``.
    output : Path
        The run folder, which was not touched.
    recipe : str, optional
        The recipe that the run is by, or departs from.
    constants : tuple of RunConstant
        All of them.
    n_galaxies, n_steps : int
        Galaxies that it would learn from, and steps in all.
    departures : tuple of str
        What the run has otherwise than its recipe.
    notices : tuple of str
        What else a user should know.
    """

    command: str
    output: Path
    recipe: str | None
    constants: tuple[RunConstant, ...]
    n_galaxies: int
    n_steps: int
    departures: tuple[str, ...]
    notices: tuple[str, ...] = ()

    def summary(self) -> str:
        """One line for a person."""
        return (
            f"dry run: {self.command} would take {counted(self.n_steps, 'step')} on"
            f" {counted(self.n_galaxies, 'galaxy')} → {self.output}; nothing was written"
        )


def dry_run_pretrain(
    config: PretrainConfig, *, given: Mapping[str, str] | None = None
) -> DryRunReport:
    """Check what `photoz_ssl.workflows.pretrain.pretrain` needs, and list its constants.

    Parameters
    ----------
    config : PretrainConfig
        Of the run.
    given : mapping of str to str, optional
        Where the values of some fields are from, such as ``flag``.

    Raises
    ------
    photoz_ssl.errors.PhotozError
        That the run itself would raise.
    """
    departs = recipe_departures(config, "pretrain")  # first, as the command does
    start = start_of_pretraining(config, _foreseen_world(config))
    check_run_folder(start.config, start.command, start.identity)
    archive, feature_size = start.plan.archive, start.encoder.feature_size
    constants = (
        *_fields(config, start, given or {}),
        RunConstant("schedule", "cosine to 0", "[field] Chen et al. 2020 (MoCo v2)"),
        *_network(start.encoder, config.encoder),
        RunConstant(
            "projector",
            f"linear {feature_size}, ReLU, linear {config.projection_size}",
            "[field] Chen et al. 2020 (MoCo v2)",
        ),
        RunConstant("loss", "InfoNCE", "[paper] van den Oord et al. 2018, He et al. 2020"),
        *_views(archive.spec),
        _noise(measure_band_mad(archive, start.plan.rows), archive.path.name),
    )
    return _report(start, constants, departs, precision_notices(config))


def dry_run_finetune(
    config: FinetuneConfig, *, given: Mapping[str, str] | None = None
) -> DryRunReport:
    """Check what `photoz_ssl.workflows.finetune.finetune` needs, and list its constants.

    As `dry_run_pretrain`.
    """
    departs = recipe_departures(config, "finetune")  # first, as the command does
    start, valid = start_of_finetuning(config, _foreseen_world(config))
    check_run_folder(start.config, start.command, start.identity)
    archive, grid = start.plan.archive, RedshiftGrid()
    constants = (
        *_fields(config, start, given or {}),
        *_network(start.encoder, config.encoder),
        _rate_steps(config),
        RunConstant("head", f"linear {start.encoder.feature_size} to {grid.n_bins}", "[code]"),
        RunConstant("redshift_bins", f"{grid.n_bins} over 0 to {grid.z_max:g}", "[code]"),
        RunConstant("loss", "cross-entropy", "[code]"),
        RunConstant("point_estimate", "mean over bin centres", "[code]"),
        *_views(archive.spec),
        RunConstant(
            "calibration",
            f"temperature, blur, shift; {counted(len(valid), 'galaxy')}",
            "Guo et al. 2017",
        ),
    )
    beyond = notices_of_labels(archive.redshift[np.union1d(start.plan.rows, valid)], grid)
    return _report(start, constants, departs, (*precision_notices(config), *beyond))


def _foreseen_world(config: TrainingConfig) -> World:
    """The processes that the run will have, of which this one need not meet the others."""
    return World(size=launched().size, device=choose_device(config.device))


def _report(
    start: Start,
    constants: tuple[RunConstant, ...],
    departs: tuple[str, ...],
    notices: tuple[str, ...],
) -> DryRunReport:
    return DryRunReport(
        command=start.command,
        output=start.config.output,
        recipe=start.config.recipe,
        constants=constants,
        n_galaxies=len(start.plan.rows),
        n_steps=start.plan.n_steps,
        departures=departs,
        notices=notices,
    )


def precision_notices(
    config: PretrainConfig | FinetuneConfig | LabelEfficiencyConfig,
) -> tuple[str, ...]:
    """What would make a long new training faster; a recipe, and a resumed run, stay as they are.

    Nothing is an error here: the training itself will say so, when all its processes have met.
    """
    if config.precision != "auto" or config.recipe is not None or config.resume:
        return ()
    with suppress(PhotozError):
        on_cpu = choose_device(config.device).type == "cpu" and multiplies_bfloat16()
        if on_cpu and config.epochs * len(open_archive(config.archive)) >= MANY_IMAGES:
            return ("--precision bf16 would make training faster on this CPU",)
    return ()


def recipe_departures(
    config: PretrainConfig | FinetuneConfig | LabelEfficiencyConfig, command: str
) -> tuple[str, ...]:
    """What a run has otherwise than its recipe, a sentence each; nothing without a recipe.

    An encoder file does not depart from a recipe if its network is the recipe's.

    Raises
    ------
    photoz_ssl.errors.PhotozError
        If the encoder cannot be read.
    """
    if config.recipe is None:
        return ()
    changed = departures(config.recipe, command, vars(config))
    if "encoder" in changed and _network_of(config.encoder) == encoder_config(
        changed["encoder"].value
    ):
        del changed["encoder"]
    return tuple(
        f"{flag_of(name)} is {_text(getattr(config, name))}, not {_text(wanted.value)} as in"
        f" {config.recipe} {wanted.source}"
        for name, wanted in changed.items()
    )


def _network_of(encoder: str) -> EncoderConfig:
    return read_model(Path(encoder)).encoder if is_file(encoder) else encoder_config(encoder)


def _fields(
    config: PretrainConfig | FinetuneConfig, start: Start, given: Mapping[str, str]
) -> list[RunConstant]:
    """The config's own constants, as they will be in effect."""
    in_effect = _in_effect(start)
    found = []
    for field in dataclasses.fields(config):
        if field.name in NOT_CONSTANTS:
            continue
        value, source = getattr(config, field.name), _source(config, start.command, field, given)
        effective, reason = in_effect.get(field.name, (value, ""))
        if effective != value:
            before = source if value is None else f"{_text(value)} ({source})"
            source = f"{before}; {reason}"
        found.append(RunConstant(field.name, _text(effective), source))
    return found


def _in_effect(start: Start) -> dict[str, tuple[Any, str]]:
    """What becomes of some fields in this run, and why."""
    config, plan = start.config, start.plan
    found: dict[str, tuple[Any, str]] = {
        "batch_size": (plan.batch_size, "the archive has no more galaxies for it"),
        "device": (plan.world.device.type, "of this machine"),
        "precision": ("bf16" if plan.bfloat16 else "fp32", "on this device"),
    }
    if isinstance(config, FinetuneConfig):
        found["label_blur"] = (config.label_blur, "by the number of labels")
        found["encoder_rate"] = (config.encoder_rate, "by the number of labels")
        if not is_file(config.encoder):
            found["encoder_rate"] = (1.0, "an encoder from scratch learns at the head's rate")
    return found


def _source(
    config: TrainingConfig, command: str, field: dataclasses.Field[Any], given: Mapping[str, str]
) -> str:
    value = getattr(config, field.name)
    if config.recipe is not None:
        constant = RECIPES[config.recipe][command].get(field.name)
        if constant is not None and constant.value == value:
            return f"{config.recipe} {constant.source}"
    return given.get(field.name, "default" if value == field.default else "given")


def _network(encoder: Encoder, name: str) -> list[RunConstant]:
    config, source = encoder.config, f"encoder {name}"
    pooling = "max-pool" if config.max_pool else "no max-pool"
    shape = f"{config.architecture}, width {config.width:g}, stem stride {config.stem_stride}"
    flux = "raw flux" if config.softening is None else f"arcsinh(flux / {config.softening})"
    n_parameters = sum(weights.numel() for weights in encoder.parameters())
    return [
        RunConstant("network", f"{shape}, {pooling}", source),
        RunConstant("network_input", f"{config.in_channels} bands, {flux}", source),
        RunConstant("network_parameters", f"{n_parameters:,}", source),
    ]


def _rate_steps(config: FinetuneConfig) -> RunConstant:
    if config.schedule == "cosine":
        return RunConstant("rate_steps", "cosine to 0", "Loshchilov & Hutter 2017")
    epochs = " and ".join(f"{fraction * config.epochs:g}" for fraction in STEP_FRACTIONS)
    return RunConstant(
        "rate_steps", f"x{STEP_FACTOR:g} at epochs {epochs}", "[code] at 60 and 90 of 100"
    )


def _views(spec: ImageSpec) -> list[RunConstant]:
    dust = "already dereddened" if spec.dereddened else _text(tuple(R_SF11.tolist()))
    crop = f"{spec.network_size} of {spec.size} pixels"
    return [
        RunConstant("dust_coefficients", dust, "[code] Schlafly & Finkbeiner 2011, R_V = 3.1"),
        RunConstant("rotation", "0 to 360 degrees, bilinear, zeros outside", "[code]"),
        RunConstant("crop", crop, "[code]; the archive's stamps"),
    ]


def _noise(mad: Tensor, archive: str) -> RunConstant:
    values = ", ".join(f"{value:.4g}" for value in mad.tolist())
    return RunConstant("band_mad", values, f"measured on {archive}, nanomaggies")


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(_text(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
