"""``photoz-ssl browse``: look around in an atlas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from photoz_ssl.cli.console import note, say
from photoz_ssl.cli.options import command, config_from
from photoz_ssl.config import BrowseConfig

if TYPE_CHECKING:
    from photoz_ssl.workflows.browse import BrowseReport

EXAMPLES = (
    "photoz-ssl embed survey.h5 -o atlas.h5 --map",
    "photoz-ssl browse atlas.h5",
    "photoz-ssl browse atlas.h5 --port 8000 --no-open",
)


@command(BrowseConfig, examples=EXAMPLES)
def browse(quiet: bool, verbose: bool, **options: Any) -> None:
    """Look around in an atlas, on a page in the browser.

    A map of all galaxies; the look-alikes of any of them, of what is liked and unliked, or of a
    cutout that is dropped onto the page. Only this computer reaches the page, and only by the
    address that is printed. Nothing is fetched from elsewhere.
    """
    from photoz_ssl.workflows.browse import browse as run

    def announce(report: BrowseReport) -> None:
        note(report.notices, quiet=quiet)
        say(report.summary())

    run(config_from(BrowseConfig, options), announce=announce)
