"""``photoz-ssl evaluate``: compare predictions with spectroscopic redshifts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from photoz_ssl.cli.console import note, say
from photoz_ssl.cli.options import command, config_from
from photoz_ssl.config import EvaluateConfig
from photoz_ssl.workflows.counting import counted

if TYPE_CHECKING:
    from rich.table import Table

    from photoz_ssl.workflows.evaluate import EvaluateReport, Quality, QualityInBin

EXAMPLES = (
    "photoz-ssl evaluate catalog.photoz.fits",
    "photoz-ssl evaluate catalog.photoz.fits --split test --plot figures/",
    "photoz-ssl evaluate catalog.photoz.fits --json - | jq .sigma_mad",
    "photoz-ssl evaluate 'catalog.photoz.fits[1][FLAGS == 0]' --redshift-column Z",
)

WIDTH = 120
"""Of what is printed: a narrow terminal breaks its lines, where rich would cut off digits."""

UNKNOWN = "–"


@command(EvaluateConfig, examples=EXAMPLES)
def evaluate(quiet: bool, verbose: bool, **options: Any) -> None:
    """Compare predictions with spectroscopic redshifts.

    Prints bias, scatter, outliers, coverage and, where the file has PDFs (predict --pdf),
    PIT, CRPS and CDE loss: of all galaxies of PREDICTIONS, and in bins of true redshift,
    r magnitude and E(B-V).
    """
    from photoz_ssl.workflows.evaluate import evaluate as run

    config = config_from(EvaluateConfig, options)
    report = run(config)
    note(report.notices, quiet=quiet)
    if config.json == Path("-"):
        click.echo(report.to_json(), nl=False)
    elif not quiet:
        _print_tables(report)
    if report.figures:
        n_figures = len({path.stem for path in report.figures})
        say(f"photoz-ssl: {counted(n_figures, 'figure')} → {config.plot}", quiet=quiet)


def _print_tables(report: EvaluateReport) -> None:
    from rich.console import Console

    console = Console(highlight=False, width=WIDTH, soft_wrap=True)
    n_galaxies = report.quality.point.n_galaxies
    with console.capture() as tables:  # rich has ways of its own with a closed pipe
        console.print(f"{report.predictions}: {counted(n_galaxies, 'galaxy')}", markup=False)
        console.print(_table_of_all(report))
        if report.in_bins:
            console.print(_table_of_bins(report))
    click.echo(tables.get(), nl=False, color=console.is_terminal)


def _table_of_all(report: EvaluateReport) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("metric")
    table.add_column("value", justify="right")
    table.add_column("error", justify="right")
    for row in _metrics(report.quality):
        table.add_row(*row)
    return table


def _metrics(quality: Quality) -> Iterator[tuple[str, str, str]]:
    """Name, value and error of each metric, as a person reads them."""
    point, interval, pdf = quality.point, quality.interval, quality.pdf
    yield "bias, mean Δz", _number(point.bias, "+.5f"), _number(point.bias_error, ".5f")
    yield "scatter σ_MAD", _number(point.sigma_mad, ".5f"), _number(point.sigma_mad_error, ".5f")
    yield "outliers |Δz| > 0.05", *_percent(point.outlier_fraction, point.outlier_fraction_error)
    if interval is not None:
        yield "inside the 68 % interval", *_percent(interval.coverage68, interval.coverage68_error)
        yield "inside the 95 % interval", *_percent(interval.coverage95, interval.coverage95_error)
        yield "odds, mean", _number(interval.odds, ".4f"), ""
    if pdf is not None:
        yield "PIT, KS distance", _number(pdf.pit_ks, ".4f"), ""
        yield "CRPS, mean", _number(pdf.crps, ".5f"), _number(pdf.crps_error, ".5f")
        yield "CDE loss, mean", _number(pdf.cde_loss, ".3f"), _number(pdf.cde_loss_error, ".3f")


def _percent(fraction: float, error: float) -> tuple[str, str]:
    return _number(100 * fraction, ".2f", " %"), _number(100 * error, ".2f", " %")


def _number(value: float, form: str, unit: str = "") -> str:
    return f"{value:{form}}{unit}" if math.isfinite(value) else UNKNOWN


def _table_of_bins(report: EvaluateReport) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=0)
    table.add_column("bin", no_wrap=True)
    for heading in ("galaxies", "bias", "σ_MAD", "η, %", "in 68 %", "PIT KS", "CRPS"):
        table.add_column(heading, justify="right")
    previous = ""
    for entry in report.in_bins:
        if previous and entry.quantity != previous:
            table.add_section()
        previous = entry.quantity
        table.add_row(*_bin_row(entry))
    return table


def _bin_row(entry: QualityInBin) -> tuple[str, ...]:
    point, interval, pdf = entry.quality.point, entry.quality.interval, entry.quality.pdf
    return (
        f"{entry.quantity} {entry.low:.3g} to {entry.high:.3g}",
        f"{point.n_galaxies}",
        _number(point.bias, "+.4f"),
        _number(point.sigma_mad, ".4f"),
        _number(100 * point.outlier_fraction, ".2f"),
        "" if interval is None else _number(100 * interval.coverage68, ".1f"),
        "" if pdf is None else _number(pdf.pit_ks, ".3f"),
        "" if pdf is None else _number(pdf.crps, ".4f"),
    )
