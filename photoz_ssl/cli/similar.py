"""``photoz-ssl similar``: find the galaxies that look alike."""

from __future__ import annotations

import shlex
import sys
from typing import Any

from photoz_ssl.cli.console import note, say, show_progress
from photoz_ssl.cli.options import command, config_from
from photoz_ssl.config import SimilarConfig

EXAMPLES = (
    "photoz-ssl similar odd.fits --among atlas.h5 -o neighbours.fits",
    "photoz-ssl similar odd.fits --among survey.h5 -k 5 --mosaic alike.png -o neighbours.fits",
    "photoz-ssl similar --near 229.5,42.7 --among atlas.h5 --where 'Z_SPEC < 0.1' -o out.fits",
    "photoz-ssl similar --image my.fits --among atlas.h5 --min-separation 10arcsec -o out.fits",
    "photoz-ssl similar --like 1001 --like 1007 --unlike 1002 --among atlas.h5 -o alike.fits",
    "photoz-ssl similar --most-unusual 100 --among atlas.h5 -o odd.fits --html odd.html",
    "photoz-ssl similar odd.fits --among atlas.h5 -o - | stilts tpipe in=- ifmt=fits",
)


@command(SimilarConfig, examples=EXAMPLES)
def similar(quiet: bool, verbose: bool, **options: Any) -> None:
    """Find the galaxies that look alike.

    The output has a row for each galaxy that is asked about and each of its neighbours, the
    closest first. Queries are a table (with images, or with ids of the atlas), one --image, a
    position --near which to look, or galaxies that are --like and --unlike what is wanted. A
    galaxy is not its own neighbour.
    """
    from photoz_ssl.workflows.similar import similar as run

    command_line = shlex.join(["photoz-ssl", *sys.argv[1:]])
    with show_progress(quiet=quiet) as progress:
        report = run(
            config_from(SimilarConfig, options), progress=progress, command_line=command_line
        )
    note(report.notices, quiet=quiet)
    say(report.summary(), quiet=quiet)
