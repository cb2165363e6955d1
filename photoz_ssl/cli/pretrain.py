"""``photoz-ssl pretrain``: learn representations without redshifts."""

from __future__ import annotations

from typing import Any

from photoz_ssl.cli.console import say, show_progress
from photoz_ssl.cli.options import command, config_from
from photoz_ssl.config import PretrainConfig

EXAMPLES = (
    "photoz-ssl pretrain survey.h5 -o pretrained\n"
    "photoz-ssl pretrain survey.h5 -o pretrained --encoder resnet18-compact --epochs 30\n"
    "photoz-ssl pretrain survey.h5 -o pretrained --resume"
)


@command(PretrainConfig, examples=EXAMPLES)
def pretrain(quiet: bool, verbose: bool, **options: Any) -> None:
    """Learn representations without redshifts, by momentum contrast (MoCo)."""
    from photoz_ssl.workflows.pretrain import pretrain as run

    with show_progress(quiet=quiet) as progress:
        report = run(config_from(PretrainConfig, options), progress=progress)
    say(report.summary(), quiet=quiet)
