"""Turn what train_shipped_model.sh made into the two files that ship, and write their card.

python examples/ship_model.py FOLDER --pretraining-hours 0.8 --fine-tuning-hours 0.3
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from photoz_ssl.networks.checkpoint import (
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
    shipped_model_path,
)
from photoz_ssl.networks.encoder import EncoderConfig
from photoz_ssl.survey.archive import open_archive
from photoz_ssl.workflows.trained.quantisation import calibrated

CARD = Path(__file__).parents[1] / "docs" / "model_card.md"
NAMES = {"encoder": "compact-5-encoder", "photoz": "compact-6"}
METRICS = {
    "sigma_mad": "σ_MAD",
    "outlier_fraction": "η, share of outliers",
    "bias": "bias, mean Δz",
    "coverage68": "68 % intervals hold",
    "coverage95": "95 % intervals hold",
    "odds": "mean odds",
    "pit_ks": "KS distance of the PIT from uniform",
    "crps": "CRPS",
    "cde_loss": "CDE loss",
}
FILES = {"encoder": "joined.safetensors", "photoz": "finetuned/photoz.safetensors"}


def described(
    model: Checkpoint, name: str, metrics: Mapping[str, Any], training: Mapping[str, Any]
) -> Checkpoint:
    """Add what a user of a model has to know."""
    provenance = {
        **model.provenance,
        "name": name,
        "trained_on": f"simulations: {model.provenance['trained_on']}",
        **training,
    }
    return replace(model, provenance=provenance, metrics={**model.metrics, **metrics})


def card(encoder: Checkpoint, photoz: Checkpoint) -> str:
    """The card of both files as a page of the documentation."""
    network, training = photoz.encoder, photoz.provenance
    found, reached = encoder.metrics["retrieval"], photoz.metrics["test"]
    lines = [
        "# The models that ship",
        "**Both are trained on simulations** ([the science](science.md#the-simulated-survey)), not"
        " on a real survey. The redshifts of real galaxies have not been validated. Before you use"
        " redshifts for science, [train your own model](tutorial.md#a-model-of-your-own), or"
        " calibrate this one's PDFs on some redshifts of your own"
        " (`photoz-ssl convert shipped --labels real.h5 -o real.safetensors`) and validate it on"
        " others.",
        "Two files ship, weights stored as float16:",
        f"- the encoder `{NAMES['encoder']}`, as pretraining without redshifts left it, which"
        " `embed` and `similar` use. Light profiles go beside its representations"
        f" ({encoder.provenance['light_profiles']}; `examples/add_profile.py`);\n"
        f"- the redshift model `{NAMES['photoz']}`, fine-tuned from it, which `predict` uses.",
        f"The network is a {network.architecture} with {network.width:g} times the channels, stem"
        f" stride {network.stem_stride} and arcsinh input{photometry(network)}.",
        "## What they reach on the simulated test split",
        f"{reached['n_galaxies']:,} galaxies; no galaxy's spectrum is both among them and in what"
        " the models were trained and validated on. By `photoz-ssl evaluate`"
        " ([what each metric is](science.md#metrics)):",
        _metrics(reached),
        f"The encoder finds {found['retrieved']:.0%} of {found['n_galaxies']:,} galaxies by a"
        " mirrored, turned, shifted and noisier copy (`examples/retrieval.py`).",
        "## How they were trained",
        f"On {training['hardware']}, {training['pretraining_hours']:g} hours of pretraining"
        f" ({encoder.provenance['trained_on']}) and {training['finetuning_hours']:g} hours of"
        f" fine-tuning ({training['trained_on']}). `examples/train_shipped_model.sh` repeats it.",
        _options(training["history"]),
    ]
    return "\n\n".join(lines) + "\n"


def _metrics(reached: Mapping[str, Any]) -> str:
    """A table of what was measured, each with its error where there is one."""
    rows = [
        f"| {words} | {reached[name]:.4g} | {_error(reached.get(f'{name}_error'))} |"
        for name, words in METRICS.items()
    ]
    return "\n".join(["| metric | value | error |", "|---|---|---|", *rows])


def _error(error: float | None) -> str:
    return "" if error is None else f"{error:.2g}"


def _options(history: Sequence[Mapping[str, Any]]) -> str:
    """A table of the options of each training, one column a training."""
    names = sorted({name for training in history for name in training} - {"command"})
    titles = [training["command"] for training in history]
    rows = [[f"`{name}`", *(_cell(each.get(name)) for each in history)] for name in names]
    table = [["option", *titles], ["---"] * (1 + len(titles)), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in table)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def photometry(network: EncoderConfig) -> str:
    """What it has beside its convolutions, as words; none where it has nothing."""
    if network.apertures is None:
        return ""
    *radii, last = (f"{radius:g}" for radius in network.apertures)
    return f", beside it the fluxes within {', '.join(radii)} and {last} pixels of the galaxy"


def main() -> None:
    """Write the shipped files and their card."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where train_shipped_model.sh ran")
    parser.add_argument("--pretraining-hours", type=float, required=True)
    parser.add_argument("--fine-tuning-hours", type=float, required=True)
    parser.add_argument("--hardware", default="2 CPU cores")
    parser.add_argument(
        "--kind",
        action="append",
        choices=NAMES,
        help="the file to write, where the other is to stay as it ships (atlases know the encoder's"
        " bytes); given twice or not at all: both",
    )
    options = parser.parse_args()

    training = {
        "pretraining_hours": options.pretraining_hours,
        "finetuning_hours": options.fine_tuning_hours,
        "hardware": options.hardware,
    }
    reached = {
        "encoder": {"retrieval": json.loads((options.folder / "retrieval.json").read_text())},
        "photoz": {"test": json.loads((options.folder / "metrics.json").read_text())},
    }
    archive = open_archive(options.folder / "survey.h5")
    for kind in options.kind or NAMES:
        trained = load_checkpoint(options.folder / FILES[kind])
        model = described(trained, NAMES[kind], reached[kind], training)
        with_integers, _ = calibrated(model, archive)
        save_checkpoint(shipped_model_path(kind), with_integers, overwrite=True, half=True)
    models = {kind: load_checkpoint(shipped_model_path(kind)) for kind in NAMES}
    CARD.write_text(card(models["encoder"], models["photoz"]), encoding="utf-8")


if __name__ == "__main__":
    main()
