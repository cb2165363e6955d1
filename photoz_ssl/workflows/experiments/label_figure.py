"""The figure of accuracy against the number of labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from photoz_ssl.extras import import_extra
from photoz_ssl.files import atomic_output
from photoz_ssl.workflows.pictures.figures import (
    BLUE,
    COLUMN_WIDTH,
    DARK,
    ORANGE,
    STYLE,
    require_matplotlib,
    save_figure,
)

if TYPE_CHECKING:
    from photoz_ssl.workflows.label_efficiency import Curve

__all__ = ["draw_label_efficiency"]

MARKS = {
    "fine-tuned": (BLUE, "o", "-"),
    "from scratch": (ORANGE, "s", "-"),
    "photometry": (DARK, "^", "--"),
}
"""Colour, marker and line of each method."""

NARROW, WIDE = 5, 50
"""Factors between the ends of an axis: below and above, 1, 2, 5 and 10 are too few or many."""


def draw_label_efficiency(folder: Path, curves: Sequence[Curve]) -> None:
    """Draw σ_MAD and outliers against labels into ``label_efficiency.png`` and ``.pdf``.

    Parameters
    ----------
    folder : Path
        Where they go; those that are there are replaced.
    curves : sequence of Curve
        One a method.
    """
    figures = import_extra("matplotlib.figure", extra="plot", purpose="drawing figures")
    with require_matplotlib().rc_context(STYLE):
        figure = figures.Figure(figsize=(COLUMN_WIDTH, 4.4), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True)
        for curve in curves:
            _draw(above, curve, curve.sigma_mad, curve.sigma_mad_error, 1)
            _draw(below, curve, curve.outlier_fraction, curve.outlier_fraction_error, 100)
        above.set(xscale="log", yscale="log", ylabel=r"scatter $\sigma_\mathrm{MAD}$")
        below.set(xlabel="spectroscopic labels", ylabel=r"outliers $\eta$, %", ylim=(0, None))
        _write_numbers(below.xaxis, "{x:,.8g}")
        _write_numbers(above.yaxis, "{x:g}")
        lines, names = above.get_legend_handles_labels()
        figure.legend(lines, names, loc="outside upper center", ncols=len(names))
        for suffix in ("png", "pdf"):
            path = folder / f"label_efficiency.{suffix}"
            with atomic_output(path, overwrite=True) as temporary:
                save_figure(figure, temporary, shown=path)


def _write_numbers(axis: Any, spelled: str) -> None:
    """Have a logarithmic axis say numbers in full, and so few that they do not touch."""
    ticks = import_extra("matplotlib.ticker", extra="plot", purpose="drawing figures")
    low, high = axis.get_view_interval()
    if high < NARROW * low:
        axis.set_major_locator(ticks.MaxNLocator(4))
        axis.set_minor_locator(ticks.NullLocator())
    else:
        subs = (1, 2, 5) if high < WIDE * low else (1,)
        axis.set_major_locator(ticks.LogLocator(subs=subs))
    axis.set_major_formatter(spelled)
    axis.set_minor_formatter(ticks.NullFormatter())


def _draw(
    axes: Any, curve: Curve, values: Sequence[float], errors: Sequence[float], scale: float
) -> None:
    color, marker, line = MARKS[curve.method]
    axes.errorbar(
        curve.n_labels,
        scale * np.array(values),
        yerr=scale * np.nan_to_num(errors),
        color=color,
        marker=marker,
        linestyle=line,
        markersize=4,
        capsize=2,
        label=curve.method,
    )
