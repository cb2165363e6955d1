"""``photoz-ssl predict``: write redshifts for a catalogue."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import Any

import click

from photoz_ssl.cli.console import note, say
from photoz_ssl.cli.options import command, config_from
from photoz_ssl.cli.resumable import resumable
from photoz_ssl.config import PredictConfig

EXAMPLES = (
    "photoz-ssl predict catalog.fits",
    "photoz-ssl predict galaxies.fits --frames frames/ -o redshifts.fits",
    "photoz-ssl predict 'catalog.fits[1][R < 17.8]' --pdf -o bright.fits",
    "photoz-ssl predict survey.h5 -o z.fits --shard 2/8",
    "photoz-ssl predict catalog.fits --neighbours atlas.h5",
    "photoz-ssl predict hats/ --frames frames/ -o redshifts_hats --dask local:4",
    "photoz-ssl predict catalog.fits -o - | stilts tpipe in=- ifmt=fits omode=stats",
)


DRY_RUN = click.Option(
    ["--dry-run"],
    is_flag=True,
    help="Look at input, model, device and disk, try the first rows, and stop.",
)


@command(PredictConfig, examples=EXAMPLES, extra=[DRY_RUN])
def predict(quiet: bool, verbose: bool, dry_run: bool, **options: Any) -> None:
    """Write redshifts for a catalogue.

    Each row of CATALOG, a FITS table (or VOTable, Parquet, ECSV) or an archive, gets its
    row in the output: estimates of the redshift, its 68 % and 95 % intervals, and flags.
    Images are found by --cutouts, in --frames, in an image column, or by a column of file
    names, in this order.
    """
    from photoz_ssl.workflows.jobs.part_work import unfinished_part
    from photoz_ssl.workflows.predict import default_output
    from photoz_ssl.workflows.predict import predict as run

    config = config_from(PredictConfig, options)
    if config.catalog == "-" and config.output is None and sys.stdout.isatty():
        raise click.UsageError("a catalogue on stdin needs -o, or stdout redirected to a file")
    if dry_run:
        _show_check(config, quiet=quiet)
        return
    output = config.output or default_output(config.catalog)
    with resumable(lambda: unfinished_part(output, config), quiet=quiet) as (progress, stop):
        report = run(
            config, progress=progress, stop=stop, command_line=_recorded_command(sys.argv[1:])
        )
    note(report.notices, quiet=quiet)
    say(report.summary(), quiet=quiet)


def _show_check(config: PredictConfig, *, quiet: bool) -> None:
    """Say on stderr what a run would be, one screen."""
    from photoz_ssl.workflows.predict_check import check_prediction

    check = check_prediction(config)
    width = max((len(finding.what) for finding in check.findings), default=0)
    for finding in check.findings:
        say(f"{finding.what:<{width}}  {finding.found}", quiet=quiet)
    note(check.notices, quiet=quiet)
    say(check.summary(), quiet=quiet)


def _recorded_command(arguments: Sequence[str]) -> str:
    """The command line without what only says which part of the work was done when."""
    kept, skip = ["photoz-ssl"], False
    for word in arguments:
        if not skip and word not in ("--resume", "--overwrite", "--shard", "--dask"):
            kept += [] if word.startswith(("--shard=", "--dask=")) else [word]
        skip = word in ("--shard", "--dask") and not skip
    return shlex.join(kept)
