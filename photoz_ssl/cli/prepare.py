"""``photoz-ssl prepare``: gather cutouts and a catalogue into one archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from photoz_ssl.cli.console import note, say, show_progress
from photoz_ssl.cli.options import command, config_from
from photoz_ssl.config import PrepareConfig

if TYPE_CHECKING:
    from photoz_ssl.workflows.prepare import PrepareReport

EXAMPLES = (
    "photoz-ssl prepare survey/catalog.fits -o survey.h5",
    "photoz-ssl prepare galaxies.fits --frames frames/ -o survey.h5",
    "photoz-ssl prepare cat.fits --cutouts 'stamps/{OBJID}.fits' --split 0.8,0.1,0.1 -o s.h5",
    "photoz-ssl prepare sdss.npz --mgs-cut --split 0.8,0.1,0.1 -o sdss.h5",
)

MOST_LINES = 20


@command(PrepareConfig, examples=EXAMPLES)
def prepare(quiet: bool, verbose: bool, **options: Any) -> None:
    """Gather cutouts and a catalogue into one archive.

    Each row of CATALOG has its row in the archive; one without a usable image is flagged.
    CFITSIO's file-name syntax works. CATALOG may be the published sdss.npz of Pasquet et al.
    (2019), which is read in bounded memory and keeps its 64-pixel stamps.
    """
    from photoz_ssl.workflows.prepare import prepare as run

    with show_progress(quiet=quiet) as progress:
        report = run(config_from(PrepareConfig, options), progress=progress)
    note(report.notices, quiet=quiet)
    if report.problems and not quiet:
        _show_problems(report)
    say(report.summary(), quiet=quiet)


def _show_problems(report: PrepareReport) -> None:
    """A table of the first rows that cannot be used, on stderr."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    failed = report.n_rows - report.n_usable
    table = Table(title=f"{failed} of {report.n_rows} rows cannot be used")
    for title in ("row", "id", "flag", "problem"):
        table.add_column(title, overflow="fold")
    for problem in report.problems[:MOST_LINES]:
        flag = problem.flag.name or str(int(problem.flag))
        table.add_row(str(problem.row + 1), str(problem.object_id), flag, escape(problem.message))
    if failed > MOST_LINES:
        table.caption = f"and {failed - MOST_LINES} more; FLAGS in the archive says which"
    Console(stderr=True).print(table)
