"""``--dry-run`` of ``pretrain`` and ``finetune``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from photoz_ssl.cli.console import note, say
from photoz_ssl.cli.defaults import given_values
from photoz_ssl.cli.training import leads

if TYPE_CHECKING:
    from photoz_ssl.config import FinetuneConfig, PretrainConfig
    from photoz_ssl.workflows.dry_run import DryRunReport

__all__ = ["DRY_RUN", "show_dry_run"]

DRY_RUN = click.Option(
    ["--dry-run"],
    is_flag=True,
    help="Print every constant with its source, check archive and run folder, and stop.",
)

WIDTH_OF_A_FILE = 160


def show_dry_run(
    check: Callable[..., DryRunReport], config: PretrainConfig | FinetuneConfig, *, quiet: bool
) -> None:
    """Print the constants on stdout, and what else there is to say on stderr, or nothing.

    Of several processes one checks.
    """
    if not leads():
        return
    report = check(config, given=given_values())
    if not quiet:
        _print_constants(report)
    note((*report.departures, *report.notices), quiet=quiet)
    say(report.summary(), quiet=quiet)


def _print_constants(report: DryRunReport) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH_OF_A_FILE)
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("constant", "value", "source"):
        table.add_column(heading, overflow="fold")
    for constant in report.constants:
        table.add_row(constant.name, escape(constant.value), escape(constant.source))
    console.print(table)
