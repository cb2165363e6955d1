"""``photoz-ssl experiment``: measurements that train many networks."""

from __future__ import annotations

from typing import Any

import click

from photoz_ssl.cli.options import command, config_from
from photoz_ssl.cli.training import run_training
from photoz_ssl.config import LabelEfficiencyConfig

EXAMPLES = (
    "photoz-ssl experiment label-efficiency survey.h5 -o efficiency --encoder encoder.safetensors",
    "photoz-ssl experiment label-efficiency survey.h5 -o efficiency --encoder encoder.safetensors"
    " --fractions 0.01,0.1,1 --seeds 5 --resume",
)


@click.group(
    epilog="\b\nExamples:\n  photoz-ssl experiment label-efficiency survey.h5 -o efficiency"
    " --encoder encoder.safetensors"
)
def experiment() -> None:
    """Measure the method itself, by training many networks."""


@command(LabelEfficiencyConfig, examples=EXAMPLES)
def label_efficiency(quiet: bool, verbose: bool, **options: Any) -> None:
    """Draw accuracy against the number of labels, pretrained and from scratch.

    Trains networks from scratch and from a pretrained encoder on the same fractions of the
    labels, measures them on the test split, beside trees on the catalogue's magnitudes where
    the archive has them, and states the factor of labels saved at equal scatter. With --resume
    it goes on where it stopped, and adds other fractions and more seeds to those that it has.
    """
    config = config_from(LabelEfficiencyConfig, options)
    run_training("label-efficiency", config, quiet=quiet)


experiment.add_command(label_efficiency, "label-efficiency")
