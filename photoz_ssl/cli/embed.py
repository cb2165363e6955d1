"""``photoz-ssl embed``: compute representations once, for searching."""

from __future__ import annotations

from typing import Any

from photoz_ssl.cli.console import note, say
from photoz_ssl.cli.options import command, config_from
from photoz_ssl.cli.resumable import resumable
from photoz_ssl.config import EmbedConfig

EXAMPLES = (
    "photoz-ssl embed survey.h5 -o atlas.h5",
    "photoz-ssl embed galaxies.fits --frames frames/ -o atlas.h5",
    "photoz-ssl embed survey.h5 --model run/encoder.safetensors -o atlas.h5",
    "photoz-ssl embed survey.h5 --dim 64 --whiten -o small.h5",
    "photoz-ssl embed survey.h5 -o atlas.h5 --shard 2/8",
    "photoz-ssl embed survey.h5 -o atlas.h5 --dask local:4",
    "photoz-ssl embed atlas.h5 --index ivf --recall",
    "photoz-ssl embed atlas.h5 --map",
)


@command(EmbedConfig, examples=EXAMPLES)
def embed(quiet: bool, verbose: bool, **options: Any) -> None:
    """Compute representations once, for searching.

    The output is an atlas: for each row of CATALOG, in its order, the vector that the model
    makes of the galaxy's image, and a small picture of it. Of atlases, which may be parts of a
    survey embedded on several machines, it makes one.
    """
    from photoz_ssl.workflows.embed import embed as run
    from photoz_ssl.workflows.jobs.part_work import unfinished_part

    config = config_from(EmbedConfig, options)
    output = str(config.output)
    with resumable(lambda: unfinished_part(output, config), quiet=quiet) as (progress, stop):
        report = run(config, progress=progress, stop=stop)
    note(report.notices, quiet=quiet)
    say(report.summary(), quiet=quiet)
