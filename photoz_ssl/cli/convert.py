"""``photoz-ssl convert``: take in published checkpoints, calibrate models."""

from __future__ import annotations

from typing import Any

from photoz_ssl.cli.console import note, say
from photoz_ssl.cli.options import command, config_from
from photoz_ssl.config import ConvertConfig

EXAMPLES = (
    "photoz-ssl convert photoz.pth.tar -o photoz.safetensors",
    "photoz-ssl predict catalog.fits --model photoz.safetensors",
    "photoz-ssl convert moco.pth.tar -o encoder.safetensors",
    "photoz-ssl finetune survey.h5 --encoder encoder.safetensors -o finetuned",
    "photoz-ssl convert shipped --labels real.h5 -o real.safetensors",
)


@command(ConvertConfig, examples=EXAMPLES)
def convert(quiet: bool, verbose: bool, **options: Any) -> None:
    """Take in a published checkpoint, or calibrate a model.

    CHECKPOINT is a redshift model or an encoder pretrained by momentum contrast, as the authors
    of the method publish them. Nothing in it is run, and each of its tensors is checked.

    A model that was trained on other galaxies than yours, as the one that ships was, gives PDFs
    that are off by a little and too sure or too wide. With --labels they are calibrated by some
    of yours: a hundred redshifts do, and no weight is touched.
    """
    from photoz_ssl.workflows.convert import convert as run

    report = run(config_from(ConvertConfig, options))
    note(report.notices, quiet=quiet)
    say(report.summary(), quiet=quiet)
