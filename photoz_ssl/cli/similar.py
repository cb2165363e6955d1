"""``photoz-ssl similar``: find the galaxies that look alike."""

from __future__ import annotations

import shlex
import sys
from typing import Any

from photoz_ssl.cli.console import say, show_progress
from photoz_ssl.cli.options import command, config_from
from photoz_ssl.config import SimilarConfig

EXAMPLES = "\n".join(
    (
        "photoz-ssl similar odd.fits --among atlas.h5 -o neighbours.fits",
        "photoz-ssl similar odd.fits --among survey.h5 -k 5 --mosaic alike.png -o neighbours.fits",
        "photoz-ssl similar odd.fits --among atlas.h5 -o - | stilts tpipe in=- ifmt=fits",
    )
)


@command(SimilarConfig, examples=EXAMPLES)
def similar(quiet: bool, verbose: bool, **options: Any) -> None:
    """Find the galaxies that look alike.

    The output has a row for each galaxy of QUERIES and each of its neighbours, the closest
    first. A galaxy with the id of the query is not its own neighbour.
    """
    from photoz_ssl.workflows.similar import similar as run

    command_line = shlex.join(["photoz-ssl", *sys.argv[1:]])
    with show_progress(quiet=quiet) as progress:
        report = run(
            config_from(SimilarConfig, options), progress=progress, command_line=command_line
        )
    for notice in report.notices:
        say(f"Note: {notice}.", quiet=quiet)
    say(report.summary(), quiet=quiet)
