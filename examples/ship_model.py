"""Turn a fine-tuned model into the one that ships, and write its card.

    python examples/ship_model.py finetuned/photoz.safetensors metrics.json \
        --pretraining-hours 0.2 --fine-tuning-hours 0.2

``metrics.json`` is what ``photoz-ssl evaluate --split test --json`` wrote.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from photoz_ssl.networks.checkpoint import (
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
    shipped_model_path,
)

CARD = Path(__file__).parents[1] / "docs" / "model_card.md"
NAME = "compact-1"


def describe(model: Checkpoint, metrics: dict[str, Any], options: argparse.Namespace) -> Checkpoint:
    """Add what a user of the model has to know."""
    provenance = {
        **model.provenance,
        "name": NAME,
        "trained_on": f"simulations: {model.provenance['trained_on']}",
        "pretraining_hours": options.pretraining_hours,
        "finetuning_hours": options.fine_tuning_hours,
        "hardware": options.hardware,
    }
    return replace(model, provenance=provenance, metrics={**model.metrics, "test": metrics})


def card(model: Checkpoint) -> str:
    """The model's card as a page of the documentation."""
    lines = [
        "# The model that ships",
        f"`{NAME}`: {model.encoder.architecture} with {model.encoder.width:g} times the channels,"
        f" stem stride {model.encoder.stem_stride}, arcsinh input; weights stored as float16.",
        "**It is trained on simulations** (see [the science](science.md)), not on a real survey."
        " Its redshifts of real galaxies have not been validated: train your own model before you"
        " use redshifts for science.",
        "## How it was trained",
        f"{model.provenance['trained_on']}, on {model.provenance['hardware']}:"
        f" {model.provenance['pretraining_hours']:g} hours of pretraining,"
        f" {model.provenance['finetuning_hours']:g} hours of fine-tuning."
        " `examples/train_shipped_model.sh` repeats it.",
        "```json\n" + json.dumps(model.provenance["history"], indent=1) + "\n```",
        "## What it reaches on the simulated test split",
        "No galaxy's spectrum is both in this split and in those it was trained and validated on.",
        "```json\n" + json.dumps(model.metrics["test"], indent=1) + "\n```",
    ]
    return "\n\n".join(lines) + "\n"


def main() -> None:
    """Write the shipped model and its card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("metrics", type=Path)
    parser.add_argument("--pretraining-hours", type=float, required=True)
    parser.add_argument("--fine-tuning-hours", type=float, required=True)
    parser.add_argument("--hardware", default="2 CPU cores")
    options = parser.parse_args()
    metrics = json.loads(options.metrics.read_text())
    model = describe(load_checkpoint(options.model), metrics, options)
    shipped_model_path("photoz").parent.mkdir(exist_ok=True)
    save_checkpoint(shipped_model_path("photoz"), model, overwrite=True, half=True)
    CARD.write_text(card(model), encoding="utf-8")


if __name__ == "__main__":
    main()
