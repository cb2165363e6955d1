"""The figure of accuracy against labels: nothing in it lies over something else."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from photoz_ssl.workflows.experiments import label_figure
from photoz_ssl.workflows.experiments.measurements import METHODS
from photoz_ssl.workflows.label_efficiency import Curve

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


def drawn(curves: list[Curve], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The figure of curves, before it is a file."""
    figures: list[Any] = []

    def keep(figure: Any, path: Path, shown: Path) -> None:
        figures.append(figure)
        path.touch()

    monkeypatch.setattr(label_figure, "save_figure", keep)
    label_figure.draw_label_efficiency(folder, curves)
    return figures[0]


def test_scatter_is_above_and_outliers_in_per_cent_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    curve = Curve(
        method="fine-tuned",
        n_labels=(100.0, 1000.0),
        sigma_mad=(0.04, 0.02),
        sigma_mad_error=(0.002, float("nan")),
        outlier_fraction=(0.03, 0.01),
        outlier_fraction_error=(0.005, float("nan")),
    )
    figure = drawn([curve], tmp_path, monkeypatch)
    for axes, values, first in zip(figure.axes, ((0.04, 0.02), (3, 1)), (0.002, 0.5), strict=True):
        ((line, _, (bars,)),) = axes.containers
        np.testing.assert_allclose(line.get_xydata(), np.transpose([(100, 1000), values]))
        lengths = [np.ptp(segment[:, 1]) / 2 for segment in bars.get_segments()]
        np.testing.assert_allclose(lengths, [first, 0], atol=1e-12)  # one seed has no error
    above, below = figure.axes
    assert (above.get_xscale(), above.get_yscale(), below.get_yscale()) == ("log", "log", "linear")
    assert below.get_ylim()[0] == 0


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
    curves = [falling_curve(method, n_labels) for method in METHODS]
    figure = drawn(curves, tmp_path, monkeypatch)
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
