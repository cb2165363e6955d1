"""``photoz-ssl predict``: write redshifts for a catalogue."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import click

from photoz_ssl.cli.console import say, show_progress
from photoz_ssl.cli.options import command, config_from
from photoz_ssl.config import PredictConfig

EXAMPLES = "\n".join(
    (
        "photoz-ssl predict catalog.fits",
        "photoz-ssl predict galaxies.fits --frames frames/ -o redshifts.fits",
        "photoz-ssl predict 'catalog.fits[1][R < 17.8]' --pdf -o bright.fits",
        "photoz-ssl predict catalog.fits -o - | stilts tpipe in=- ifmt=fits omode=stats",
    )
)


@command(PredictConfig, examples=EXAMPLES)
def predict(quiet: bool, verbose: bool, **options: Any) -> None:
    """Write redshifts for a catalogue.

    Each row of CATALOG, a FITS table or an archive, gets its row in the output: estimates of
    the redshift, its 68 % and 95 % intervals, and flags. Images are found by --cutouts, in
    --frames, in an image column, or by a column of file names, in this order.
    """
    from photoz_ssl.workflows.predict import predict as run

    config = config_from(PredictConfig, options)
    if config.catalog == "-" and config.output is None and sys.stdout.isatty():
        raise click.UsageError("a catalogue on stdin needs -o, or stdout redirected to a file")
    command_line = shlex.join(["photoz-ssl", *sys.argv[1:]])
    with show_progress(quiet=quiet) as progress:
        report = run(config, progress=progress, command_line=command_line)
    for notice in report.notices:
        say(f"Note: {notice}.", quiet=quiet)
    say(report.summary(), quiet=quiet)
