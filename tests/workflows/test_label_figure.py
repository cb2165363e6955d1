"""The figure of accuracy against labels: nothing in it lies over something else."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from photoz_ssl.workflows import label_figure
from photoz_ssl.workflows.label_efficiency import METHODS, Curve

pytest.importorskip("matplotlib")


def falling_curve(method: str, n_labels: list[float]) -> Curve:
    scatter = (METHODS.index(method) + 2) / 50 * (np.array(n_labels) / n_labels[0]) ** -0.35
    values, errors = tuple(scatter.tolist()), tuple((scatter / 20).tolist())
    return Curve(
        method=method,
        n_labels=tuple(n_labels),
        sigma_mad=values,
        sigma_mad_error=errors,
        outlier_fraction=values,
        outlier_fraction_error=errors,
    )


@pytest.mark.parametrize(
    ("n_labels", "ticks"),
    [
        ([15, 30, 75, 150], ["20", "50", "100"]),
        ([100, 1000, 20_000], ["100", "1,000", "10,000"]),
        ([110, 150, 190], ["125", "150", "175"]),
        ([120], ["100", "200", "500", "1,000"]),
    ],
)
def test_numbers_are_whole_and_apart_and_the_legend_beside_the_data(
    n_labels: list[float], ticks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Any] = []

    def keep(figure: Any, path: Path, shown: Path) -> None:
        drawn.append(figure)
        path.touch()

    monkeypatch.setattr(label_figure, "save_figure", keep)
    curves = [falling_curve(method, n_labels) for method in METHODS]
    label_figure.draw_label_efficiency(tmp_path, curves)
    figure = drawn[0]
    figure.draw_without_rendering()
    above, below = figure.axes
    for axis in (below.xaxis, above.yaxis):
        shown = [
            label.get_window_extent() for label in axis.get_ticklabels() if within(label, axis)
        ]
        assert len(shown) > 1
        assert not any(one.overlaps(other) for one, other in itertools.combinations(shown, 2))
    found = [
        label.get_text() for label in below.xaxis.get_ticklabels() if within(label, below.xaxis)
    ]
    assert found == ticks
    (legend,) = figure.legends
    assert legend.get_window_extent().y0 >= above.get_window_extent().y1
    assert [text.get_text() for text in legend.get_texts()] == list(METHODS)


def within(label: Any, axis: Any) -> bool:
    """Whether a tick's label is at a place that the axis shows."""
    place = label.get_position()[axis.axis_name == "y"]
    low, high = axis.get_view_interval()
    return bool(low <= place <= high)
