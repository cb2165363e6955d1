"""``photoz-ssl simulate``: render a realistic SDSS-like survey."""

from __future__ import annotations

from typing import Any

from photoz_ssl.cli.console import say, show_progress
from photoz_ssl.cli.options import command, config_from
from photoz_ssl.config import SimulateConfig

EXAMPLES = (
    "photoz-ssl simulate -n 2000 --seed 1 -o survey/",
    "photoz-ssl simulate -n 30000 --seed 1 -o survey.h5",
)


@command(SimulateConfig, examples=EXAMPLES)
def simulate(quiet: bool, verbose: bool, **options: Any) -> None:
    """Render a realistic SDSS-like survey, with true redshifts."""
    from photoz_ssl.workflows.simulate import simulate as run

    with show_progress(quiet=quiet) as progress:
        report = run(config_from(SimulateConfig, options), progress=progress)
    say(report.summary(), quiet=quiet)
