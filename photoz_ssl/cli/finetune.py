"""``photoz-ssl finetune``: learn redshift PDFs from a few labels."""

from __future__ import annotations

from typing import Any

from photoz_ssl.cli.console import say, show_progress
from photoz_ssl.cli.options import command, config_from
from photoz_ssl.config import FinetuneConfig

EXAMPLES = (
    "photoz-ssl finetune survey.h5 -o finetuned --encoder pretrained/encoder.safetensors\n"
    "photoz-ssl finetune survey.h5 -o few --encoder encoder.safetensors --label-fraction 0.1\n"
    "photoz-ssl finetune survey.h5 -o scratch --encoder resnet18-compact"
)


@command(FinetuneConfig, examples=EXAMPLES)
def finetune(quiet: bool, verbose: bool, **options: Any) -> None:
    """Learn redshift PDFs from labels, on a pretrained encoder or from scratch."""
    from photoz_ssl.workflows.finetune import finetune as run

    with show_progress(quiet=quiet) as progress:
        report = run(config_from(FinetuneConfig, options), progress=progress)
    say(report.summary(), quiet=quiet)
