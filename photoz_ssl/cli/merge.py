"""``photoz-ssl merge``: one table of the parts that several processes have made."""

from __future__ import annotations

from typing import Any

from photoz_ssl.cli.console import note, say
from photoz_ssl.cli.options import command, config_from
from photoz_ssl.config import MergeConfig

EXAMPLES = (
    "photoz-ssl merge catalog.photoz.fits.*.part -o catalog.photoz.fits",
    "photoz-ssl merge atlas.h5.*.part -o atlas.h5",
    "photoz-ssl merge z.fits.1-of-2.part z.fits.2-of-2.part -o z.fits --overwrite",
)


@command(MergeConfig, examples=EXAMPLES)
def merge(quiet: bool, verbose: bool, **options: Any) -> None:
    """Join the parts that predict --shard or embed --shard has made.

    The parts are checked: each row of the catalogue once, one catalogue, one model, one set of
    options. The table, or atlas, is, byte for byte, that of a single run.
    """
    from photoz_ssl.workflows.merge import merge as run

    report = run(config_from(MergeConfig, options))
    note(report.notices, quiet=quiet)
    say(report.summary(), quiet=quiet)
