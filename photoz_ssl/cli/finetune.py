"""``photoz-ssl finetune``: learn redshift PDFs from a few labels."""

from __future__ import annotations

from typing import Any

from photoz_ssl.cli.dry_run import DRY_RUN, show_dry_run
from photoz_ssl.cli.options import command, config_from
from photoz_ssl.cli.training import run_training
from photoz_ssl.config import FinetuneConfig

EXAMPLES = (
    "photoz-ssl finetune survey.h5 -o finetuned --encoder pretrained/encoder.safetensors",
    "photoz-ssl finetune survey.h5 -o few --encoder encoder.safetensors --label-fraction 0.1",
    "photoz-ssl finetune survey.h5 -o scratch --encoder resnet18-photometric",
    "photoz-ssl finetune survey.h5 -o baseline --recipe hayat2020 --dry-run",
)


@command(FinetuneConfig, examples=EXAMPLES, extra=(DRY_RUN,))
def finetune(quiet: bool, verbose: bool, dry_run: bool, **options: Any) -> None:
    """Learn redshift PDFs from labels, from an encoder or scratch."""
    config = config_from(FinetuneConfig, options)
    if dry_run:
        from photoz_ssl.workflows.dry_run import dry_run_finetune

        show_dry_run(dry_run_finetune, config, quiet=quiet)
    else:
        run_training("finetune", config, quiet=quiet)
