"""Figures for a paper: estimated against true redshifts, residuals, and the PIT histogram.

Each is one column of a journal wide, and is written as PNG and as PDF with the same bytes for
the same redshifts. Matplotlib is an extra, imported when a figure is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import OutputError
from photoz_ssl.extras import import_extra
from photoz_ssl.files import atomic_output, claim_output, output_errors
from photoz_ssl.redshift.metrics import OUTLIER_THRESHOLD, PointMetrics, normalised_residual

__all__ = ["draw_figures", "require_matplotlib", "save_figure"]

KINDS = ("png", "pdf")
COLUMN_WIDTH = 3.4
"""Width of a journal's column, inches."""

DOTS_PER_INCH = 200

STYLE = {
    "font.size": 8,
    "axes.labelsize": 9,
    "axes.linewidth": 0.7,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "xtick.top": True,
    "ytick.right": True,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "lines.linewidth": 1.2,
    "mathtext.fontset": "dejavusans",
    "pdf.fonttype": 42,
}

MARGINS = (0.62, 0.42, 0.22)
"""Room for labels at the left and at the bottom, and at the top and right; inches."""

BAR_MARGIN = 0.62
"""Room for a colour bar, inches."""

ROWS_A_POINT = 100
"""Galaxies, at least, behind a point of a running quantile."""

FEW_GALAXIES = 500
"""Below it galaxies are drawn as points."""

DENSITY_MAP = "magma_r"
DARK, ORANGE, BLUE = "#222222", "#d55e00", "#0072b2"
"""Black, and two colours of Okabe and Ito that every eye can tell apart."""

NO_DATES = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Producer": None}}

Array = NDArray[np.float64]


def require_matplotlib() -> Any:
    """Import matplotlib.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    return import_extra("matplotlib", extra="plot", purpose="drawing figures")


def draw_figures(
    folder: Path,
    z_phot: Array,
    z_spec: Array,
    metrics: PointMetrics,
    *,
    pit: Array | None,
    overwrite: bool,
) -> tuple[Path, ...]:
    """Draw the figures of an evaluation into a folder, which is made if need be.

    Parameters
    ----------
    folder : Path
        Where they go: ``redshifts``, ``residuals`` and ``pit``, each ``.png`` and ``.pdf``.
    z_phot, z_spec : ndarray, shape (n_galaxies,)
        Estimated and true redshifts; galaxies with a NaN are left out.
    metrics : PointMetrics
        Written into the first figure.
    pit : ndarray, shape (n_galaxies,), optional
        PIT values; without them there is no PIT figure.
    overwrite : bool
        Whether existing figures may be replaced.

    Raises
    ------
    OutputError
        If a figure exists already or cannot be written.
    MissingExtraError
        If matplotlib is not installed.
    """
    require_matplotlib()
    known = np.isfinite(z_phot) & np.isfinite(z_spec)
    estimated, true = z_phot[known], z_spec[known]
    drawings: dict[str, Callable[[], Any]] = {
        "redshifts": lambda: _redshifts(estimated, true, metrics),
        "residuals": lambda: _residuals(estimated, true),
    }
    if pit is not None and np.isfinite(pit).any():
        drawings["pit"] = lambda: _pit(pit[np.isfinite(pit)])
    targets = {name: [folder / f"{name}.{kind}" for kind in KINDS] for name in drawings}
    with _made(folder), ExitStack() as files, require_matplotlib().rc_context(STYLE):
        for path in (path for paths in targets.values() for path in paths):
            claim_output(path, overwrite=overwrite)
        for name, draw in drawings.items():
            figure = draw()
            for path in targets[name]:
                temporary = files.enter_context(atomic_output(path, overwrite=overwrite))
                save_figure(figure, temporary, shown=path)
    if overwrite and "pit" not in drawings:
        for kind in KINDS:  # of an earlier table, which had PDFs
            (folder / f"pit.{kind}").unlink(missing_ok=True)
    return tuple(path for paths in targets.values() for path in paths)


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Make a folder if need be, and take it away again if nothing comes into it."""
    was_there = folder.is_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the folder {folder} cannot be made: {error.strerror}", "name another with --plot"
        ) from error
    try:
        yield
    finally:
        if not was_there:
            with suppress(OSError):
                folder.rmdir()


def save_figure(figure: Any, path: Path, *, shown: Path) -> None:
    """Write a figure, in the format of its suffix, without a date inside.

    Parameters
    ----------
    figure : matplotlib Figure
        The figure.
    path : Path
        File to write; its suffix is that of a format of figures.
    shown : Path
        Its name in an error, as ``path`` may be a passing one.

    Raises
    ------
    OutputError
        If it cannot be written.
    """
    suffix = path.suffix.lower().lstrip(".")
    with output_errors(shown):
        figure.savefig(path, dpi=DOTS_PER_INCH, metadata=NO_DATES.get(suffix))


def _new_figure(height: float, *, bar: bool) -> tuple[Any, Any]:
    """A figure with one frame, and room at its right for a colour bar where it has one."""
    module = import_extra("matplotlib.figure", extra="plot", purpose="drawing figures")
    figure = module.Figure(figsize=(COLUMN_WIDTH, height))
    left, bottom, top = MARGINS
    right = BAR_MARGIN if bar else top
    width = COLUMN_WIDTH - left - right
    frame = (
        left / COLUMN_WIDTH,
        bottom / height,
        width / COLUMN_WIDTH,
        (height - bottom - top) / height,
    )
    return figure, figure.add_axes(frame)


def _draw_galaxies(figure: Any, axes: Any, x: Array, y: Array, extent: list[list[float]]) -> None:
    """Points, or, where they are many, counts on a logarithmic scale; empty cells stay white."""
    if len(x) < FEW_GALAXIES:
        axes.plot(x, y, ".", color=DARK, markersize=5, markeredgewidth=0, alpha=0.6)
        return
    colors = import_extra("matplotlib.colors", extra="plot", purpose="drawing figures")
    n_cells = int(np.clip(np.sqrt(len(x)), 40, 120))
    counts, x_edges, y_edges = np.histogram2d(x, y, bins=n_cells, range=extent)
    shown = np.ma.masked_equal(counts.T, 0)
    scale = colors.LogNorm(vmin=0.7, vmax=max(float(counts.max()), 2.0))
    mesh = axes.pcolormesh(
        x_edges, y_edges, shown, norm=scale, cmap=DENSITY_MAP, rasterized=True, linewidth=0
    )
    bar = figure.colorbar(
        mesh, cax=axes.inset_axes((1.02, 0, 0.035, 1)), format="{x:g}", label="galaxies per cell"
    )
    bar.ax.set_ylim(bottom=1)
    bar.ax.tick_params(which="both", direction="out")


def _redshifts(z_phot: Array, z_spec: Array, metrics: PointMetrics) -> Any:
    figure, axes = _new_figure(_square_height(len(z_spec)), bar=len(z_spec) >= FEW_GALAXIES)
    end = 1.05 * float(np.max(np.concatenate([z_phot, z_spec, [0.05]])))
    _draw_galaxies(figure, axes, z_spec, z_phot, [[0, end], [0, end]])
    line = np.array([0, end])
    axes.plot(line, line, color=DARK, linewidth=0.9)
    for sign in (-1, 1):
        axes.plot(
            line,
            line + sign * OUTLIER_THRESHOLD * (1 + line),
            color=DARK,
            linewidth=0.8,
            linestyle=(0, (4, 3)),
        )
    axes.set(
        xlim=(0, end),
        ylim=(0, end),
        xlabel=r"spectroscopic redshift $z_\mathrm{spec}$",
        ylabel=r"photometric redshift $z_\mathrm{phot}$",
    )
    axes.text(
        0.04, 0.96, _figures_of_merit(metrics), transform=axes.transAxes, va="top", linespacing=1.5
    )
    return figure


def _square_height(n_galaxies: int) -> float:
    """Height of a figure whose frame is square."""
    left, bottom, top = MARGINS
    right = BAR_MARGIN if n_galaxies >= FEW_GALAXIES else top
    return COLUMN_WIDTH - left - right + bottom + top


def _figures_of_merit(metrics: PointMetrics) -> str:
    return "\n".join(
        (
            rf"$N = {metrics.n_galaxies}$",
            rf"$\sigma_\mathrm{{MAD}} = {metrics.sigma_mad:.4f} \pm {metrics.sigma_mad_error:.4f}$",
            rf"$\eta = {100 * metrics.outlier_fraction:.2f}"
            rf" \pm {100 * metrics.outlier_fraction_error:.2f}\,\%$",
        )
    )


def _residuals(z_phot: Array, z_spec: Array) -> Any:
    figure, axes = _new_figure(2.5, bar=len(z_spec) >= FEW_GALAXIES)
    dz = normalised_residual(z_phot, z_spec)
    limit = float(np.clip(1.2 * np.quantile(np.abs(dz), 0.99), 1.3 * OUTLIER_THRESHOLD, 0.5))
    end = 1.05 * float(max(z_spec.max(), 0.05))
    _draw_galaxies(figure, axes, z_spec, dz, [[0, end], [-limit, limit]])
    _tell_of_those_beyond(axes, dz, limit)
    axes.locator_params(axis="y", steps=[1, 2, 5, 10])  # a third decimal would have no room
    axes.axhline(0, color=DARK, linewidth=0.7)
    for sign in (-1, 1):
        axes.axhline(sign * OUTLIER_THRESHOLD, color=DARK, linewidth=0.8, linestyle=(0, (4, 3)))
    if len(dz) >= 2 * ROWS_A_POINT:
        _draw_running_quantiles(axes, z_spec, dz)
    axes.set(
        xlim=(0, end),
        ylim=(-limit, limit),
        xlabel=r"spectroscopic redshift $z_\mathrm{spec}$",
        ylabel=r"$\Delta z = (z_\mathrm{phot} - z_\mathrm{spec}) / (1 + z_\mathrm{spec})$",
    )
    return figure


def _tell_of_those_beyond(axes: Any, dz: Array, limit: float) -> None:
    """Say how many galaxies lie above and below the frame."""
    for number, height, anchor in (
        (int(np.sum(dz > limit)), 0.97, "top"),
        (int(np.sum(dz < -limit)), 0.03, "bottom"),
    ):
        if number:
            place, text = (0.985, height), f"{number} beyond"
            axes.text(
                *place, text, transform=axes.transAxes, ha="right", va=anchor, fontsize="x-small"
            )


def _draw_running_quantiles(axes: Any, z_spec: Array, dz: Array) -> None:
    centre, low, median, high = _running_quantiles(z_spec, dz)
    for values, color, label in (
        (median, BLUE, "running median"),
        (low, ORANGE, "16th and 84th percentile"),
        (high, ORANGE, None),
    ):
        axes.plot(centre, values, color="white", linewidth=2.6)
        axes.plot(centre, values, color=color, label=label)
    _legend_on_top(axes)


def _running_quantiles(z_spec: Array, dz: Array) -> tuple[Array, Array, Array, Array]:
    """Median redshift, and 16th, 50th and 84th percentile of dz, of equally many galaxies."""
    order = np.argsort(z_spec, kind="stable")
    groups = np.array_split(order, int(np.clip(len(order) // ROWS_A_POINT, 1, 25)))
    centre = np.array([np.median(z_spec[group]) for group in groups])
    low, median, high = np.array([np.quantile(dz[group], (0.16, 0.5, 0.84)) for group in groups]).T
    return centre, low, median, high


def _pit(pit: Array) -> Any:
    """Histogram of PIT values, and the band that 95 % of the bins of a perfect one lie in."""
    figure, axes = _new_figure(2.4, bar=False)
    n_bins = int(np.clip(len(pit) // 25, 5, 20))
    counts, edges = np.histogram(pit, bins=n_bins, range=(0, 1))
    density = counts / len(pit) * n_bins
    spread = 1.96 * np.sqrt((n_bins - 1) / len(pit))
    axes.fill_between(
        [0, 1],
        1 - spread,
        1 + spread,
        color=ORANGE,
        alpha=0.25,
        linewidth=0,
        label="uniform, 95 % of bins",
    )
    axes.axhline(1, color=ORANGE, linewidth=1.0)
    axes.stairs(density, edges, color=BLUE, linewidth=1.2, label=f"{len(pit)} galaxies")
    top = 1.1 * max(float(density.max()), 1 + spread)
    axes.set(
        xlim=(0, 1),
        ylim=(0, top),
        xlabel="probability integral transform (PIT)",
        ylabel="density of galaxies",
    )
    _legend_on_top(axes)
    return figure


def _legend_on_top(axes: Any) -> None:
    """A legend of one line above the frame, where it hides no galaxy."""
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        borderaxespad=0.2,
        ncols=2,
        columnspacing=1.2,
        handlelength=1.5,
    )
