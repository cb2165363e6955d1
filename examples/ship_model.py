"""Turn what train_shipped_model.sh made into the two files that ship, and write their card.

python examples/ship_model.py FOLDER --pretraining-hours 0.8 --fine-tuning-hours 0.3
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
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
from photoz_ssl.workflows.quantisation import calibrated

CARD = Path(__file__).parents[1] / "docs" / "model_card.md"
NAME = "compact-5"


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
    lines = [
        "# The models that ship",
        f"`{NAME}` is a {network.architecture} with {network.width:g} times the channels, stem"
        f" stride {network.stem_stride} and arcsinh input{photometry(network)}. It comes as two"
        " files, weights stored as float16: the **encoder** as pretraining without redshifts left"
        " it, which `embed` and `similar` use, and the **redshift model** fine-tuned from it, which"
        " `predict` uses.",
        "**Both are trained on simulations** (see [the science](science.md)), not on a real"
        " survey. The redshifts of real galaxies have not been validated: train your own model"
        " before you use redshifts for science, or calibrate this one's PDFs on some redshifts of"
        " your own (`photoz-ssl convert shipped --labels real.h5 -o real.safetensors`) and"
        " validate it on others.",
        "## How they were trained",
        f"On {training['hardware']}, {training['pretraining_hours']:g} hours of pretraining"
        f" ({encoder.provenance['trained_on']}) and {training['finetuning_hours']:g} hours of"
        f" fine-tuning ({training['trained_on']}). `examples/train_shipped_model.sh` repeats it."
        f" Beside the encoder's representations go light profiles"
        f" ({encoder.provenance['light_profiles']}; `examples/add_profile.py`).",
        _json(training["history"]),
        "## What they reach on the simulated test split",
        "No galaxy's spectrum is both in this split and in those they were trained and validated"
        " on. How often the encoder finds a galaxy by a mirrored, turned, shifted and noisier"
        " copy (`examples/retrieval.py`):",
        _json(encoder.metrics["retrieval"]),
        "The redshifts (`photoz-ssl evaluate`, the metrics of [the science](science.md)):",
        _json({name: value for name, value in photoz.metrics["test"].items() if name != "bins"}),
    ]
    return "\n\n".join(lines) + "\n"


def photometry(network: EncoderConfig) -> str:
    """What it has beside its convolutions, as words; none where it has nothing."""
    if network.apertures is None:
        return ""
    *radii, last = (f"{radius:g}" for radius in network.apertures)
    return f", beside it the fluxes within {', '.join(radii)} and {last} pixels of the galaxy"


def _json(value: object) -> str:
    return f"```json\n{json.dumps(value, indent=1)}\n```"


def main() -> None:
    """Write the shipped files and their card."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="where train_shipped_model.sh ran")
    parser.add_argument("--pretraining-hours", type=float, required=True)
    parser.add_argument("--fine-tuning-hours", type=float, required=True)
    parser.add_argument("--hardware", default="2 CPU cores")
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
    names = {"encoder": f"{NAME}-encoder", "photoz": NAME}
    files = {"encoder": "joined.safetensors", "photoz": "finetuned/photoz.safetensors"}
    models = {
        kind: described(
            load_checkpoint(options.folder / file), names[kind], reached[kind], training
        )
        for kind, file in files.items()
    }
    archive = open_archive(options.folder / "survey.h5")
    for kind, model in models.items():
        with_integers, _ = calibrated(model, archive)
        save_checkpoint(shipped_model_path(kind), with_integers, overwrite=True, half=True)
    CARD.write_text(card(models["encoder"], models["photoz"]), encoding="utf-8")


if __name__ == "__main__":
    main()
