"""``photoz-ssl pretrain``: learn representations without redshifts."""

from __future__ import annotations

from typing import Any

from photoz_ssl.cli.dry_run import DRY_RUN, show_dry_run
from photoz_ssl.cli.options import command, config_from
from photoz_ssl.cli.training import run_training
from photoz_ssl.config import PretrainConfig

EXAMPLES = (
    "photoz-ssl pretrain survey.h5 -o pretrained",
    "photoz-ssl pretrain survey.h5 -o pretrained --recipe hayat2020 --dry-run",
    "photoz-ssl pretrain survey.h5 -o pretrained --encoder resnet18-photometric --epochs 30",
    "photoz-ssl pretrain survey.h5 -o pretrained --resume",
)


@command(PretrainConfig, examples=EXAMPLES, extra=(DRY_RUN,))
def pretrain(quiet: bool, verbose: bool, dry_run: bool, **options: Any) -> None:
    """Learn representations without redshifts, by MoCo."""
    config = config_from(PretrainConfig, options)
    if dry_run:
        from photoz_ssl.workflows.dry_run import dry_run_pretrain

        show_dry_run(dry_run_pretrain, config, quiet=quiet)
    else:
        run_training("pretrain", config, quiet=quiet)
