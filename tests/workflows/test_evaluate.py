"""Evaluating: numbers that can be checked by hand, what is left out, and the figures."""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray
from PIL import Image

from photoz_ssl.config import EvaluateConfig
from photoz_ssl.errors import CatalogError, MissingExtraError, OutputError, PhotozError
from photoz_ssl.redshift.grid import RedshiftGrid
from photoz_ssl.survey.tables.ensembles import spool_pdfs
from photoz_ssl.survey.tables.headers import TableColumn
from photoz_ssl.survey.tables.manifest import pdf_rows
from photoz_ssl.survey.tables.pdf_form import PdfForm
from photoz_ssl.survey.tables.writer import write_tables
from photoz_ssl.workflows.evaluate import evaluate
from photoz_ssl.workflows.pictures import figures as figures_module
from photoz_ssl.workflows.prediction import predictions as predictions_module
from photoz_ssl.workflows.prediction.column_names import NAMES

GRID = RedshiftGrid(0.4, 40)
EDGES = ("L68", "U68", "L95", "U95", "ODDS")


def redshifts(n: int, seed: int = 0) -> NDArray[np.void]:
    """Rows with Gaussian redshift errors of 0.01 (1 + z), and intervals that say so."""
    generator = np.random.default_rng(seed)
    names = [f"Z_PHOT_{name}" for name in EDGES]
    kinds = ["Z_PHOT_MEAN", *names, "Z_SPEC", "PETRO_MAG_r", "EBV"]
    rows = np.zeros(n, [(name, "f4") for name in kinds] + [("SPLIT", "S5"), ("FLAGS", "i4")])
    rows["Z_SPEC"] = generator.uniform(0.02, 0.3, n)
    sigma = 0.01 * (1 + rows["Z_SPEC"])
    rows["Z_PHOT_MEAN"] = rows["Z_SPEC"] + sigma * generator.normal(size=n)
    for name, factor in zip(EDGES, (-0.99446, 0.99446, -1.95996, 1.95996), strict=False):
        rows[f"Z_PHOT_{name}"] = rows["Z_PHOT_MEAN"] + factor * sigma
    rows["Z_PHOT_ODDS"] = 0.99
    rows["PETRO_MAG_r"] = generator.uniform(14, 17.8, n)
    rows["EBV"] = generator.uniform(0, 0.2, n)
    rows["SPLIT"] = np.array([b"train", b"test"])[np.arange(n) % 2]
    return rows


def gaussians(rows: NDArray[np.void]) -> NDArray[np.float64]:
    """PDFs about the point estimates."""
    z, sigma = rows["Z_PHOT_MEAN"][:, np.newaxis], 0.01 * (1 + rows["Z_SPEC"][:, np.newaxis])
    pdf = np.exp(-0.5 * ((GRID.centres - z) / sigma) ** 2) + 1e-9
    return np.asarray(pdf / pdf.sum(axis=1, keepdims=True), np.float64)


WriteTable = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> WriteTable:
    """A function that writes rows, and PDFs if there are any, as predict does."""

    def write_rows(
        rows: NDArray[np.void], pdf: NDArray[np.float64] | None = None, n_quantiles: int = 0
    ) -> str:
        path = str(tmp_path / "cat.photoz.fits")
        below = np.linspace(0, 1, n_quantiles)
        form = PdfForm("quant", tuple(below)) if n_quantiles else PdfForm("hist", tuple(GRID.edges))
        with write_tables(path, overwrite=True) as file, spool_pdfs(form, tmp_path) as pdfs:
            columns = [TableColumn(name) for name in rows.dtype.names or ()]
            file.table("PHOTOZ", columns, rows.dtype).append(rows)
            if pdf is not None:
                zero = np.zeros(len(pdf))
                cumulative = np.pad(np.cumsum(pdf, axis=1), ((0, 0), (1, 0)))
                values = (
                    np.array([np.interp(below, steps, GRID.edges) for steps in cumulative])
                    if n_quantiles
                    else pdf / np.diff(GRID.edges)
                )
                pdfs.append(pdf_rows(values, zero, zero.astype(np.int32)))
                pdfs.write(file)
        return path

    return write_rows


def config(path: str, **changes: Any) -> EvaluateConfig:
    return EvaluateConfig(predictions=path, **changes)


def without(rows: NDArray[np.void], *names: str) -> NDArray[np.void]:
    kept = [name for name in rows.dtype.names or () if name not in names]
    table = np.zeros(len(rows), [(name, rows.dtype[name]) for name in kept])
    for name in kept:
        table[name] = rows[name]
    return table


def with_column(rows: NDArray[np.void], name: str) -> NDArray[np.void]:
    """The rows with one more column, of zeros."""
    table = np.zeros(len(rows), [*rows.dtype.descr, (name, "f4")])
    for kept in rows.dtype.names or ():
        table[kept] = rows[kept]
    return table


def test_numbers_by_hand(write: WriteTable) -> None:
    rows = redshifts(4)
    rows["Z_SPEC"] = 0.0, 0.25, 0.0, np.nan
    rows["Z_PHOT_MEAN"] = 0.01, 0.25, 0.06, 0.1
    report = evaluate(config(write(rows)))
    point = report.quality.point
    assert report.n_rows == 4
    assert (point.n_galaxies, point.n_dropped) == (3, 1)
    assert point.bias == pytest.approx(0.07 / 3)
    assert point.sigma_mad == pytest.approx(1.4826 * 0.01, rel=1e-5)
    assert point.outlier_fraction == pytest.approx(1 / 3)


def test_a_calibrated_table_looks_calibrated(write: WriteTable) -> None:
    rows = redshifts(4000)
    report = evaluate(config(write(rows, gaussians(rows))))
    interval, pdf = report.quality.interval, report.quality.pdf
    assert report.quality.point.sigma_mad == pytest.approx(0.01, rel=0.1)
    assert interval is not None
    assert interval.coverage68 == pytest.approx(0.68, abs=0.03)
    assert interval.coverage95 == pytest.approx(0.95, abs=0.02)
    assert pdf is not None
    assert pdf.pit_ks < 0.05
    assert sum(report.pit_histogram) == 4000
    assert report.notices == ()


def test_pdfs_are_read_from_packed_files_and_from_standard_input(
    write: WriteTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = redshifts(60)
    path = write(rows, gaussians(rows))
    expected = evaluate(config(path)).quality
    assert expected.pdf is not None
    content = Path(path).read_bytes()
    Path(f"{path}.gz").write_bytes(gzip.compress(content))
    assert evaluate(config(f"{path}.gz")).quality == expected
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert evaluate(config("-")).quality == expected


def test_the_pit_is_counted_from_0_to_1(write: WriteTable) -> None:
    rows = redshifts(100)
    pdf = np.zeros((100, GRID.n_bins))
    pdf[np.arange(100), GRID.bin_of(rows["Z_SPEC"])] = 0.5
    pdf[:, -1] = 0.5
    counts = evaluate(config(write(rows, pdf))).pit_histogram
    assert sum(counts[: len(counts) // 2]) == 100


def test_quantiles_are_scored_like_the_pdfs_they_are_of(write: WriteTable) -> None:
    rows = redshifts(400)
    whole = evaluate(config(write(rows, gaussians(rows)))).quality.pdf
    report = evaluate(config(write(rows, gaussians(rows), 101)))
    few = evaluate(config(write(rows, gaussians(rows), 12))).quality.pdf
    assert whole is not None
    assert few is not None
    assert report.quality.pdf is not None
    assert report.notices == ()
    assert report.quality.pdf.pit_ks == pytest.approx(whole.pit_ks, abs=0.003)
    assert report.quality.pdf.crps == pytest.approx(whole.crps, rel=3e-3)
    assert report.quality.pdf.cde_loss == pytest.approx(whole.cde_loss, rel=0.02)
    assert whole.crps < few.crps < 1.2 * whole.crps  # its ends reach over all of the grid


@pytest.mark.parametrize("style", NAMES)
def test_every_style_of_column_names_is_read(write: WriteTable, style: str) -> None:
    rows = redshifts(60)
    expected = evaluate(config(write(rows))).quality
    ours = {name: field for field, name in NAMES["legacy"].items()}
    names = [NAMES[style][ours[name]] if name in ours else name for name in rows.dtype.names or ()]
    rows.dtype.names = tuple(names)
    estimates = [(NAMES[style][field], "f4") for field in ("median", "mode")]
    table = np.zeros(len(rows), [*rows.dtype.descr, *estimates])
    for name in names:
        table[name] = rows[name]
    assert evaluate(config(write(table))).quality == expected


def test_of_two_styles_the_one_predicted_last_is_read(write: WriteTable) -> None:
    rows = redshifts(60)
    fields = ("mean", "median", "mode")
    table = np.zeros(
        60,
        [("Z_SPEC", "f4"), *((NAMES[style][field], "f4") for style in NAMES for field in fields)],
    )
    table["Z_SPEC"] = rows["Z_SPEC"]
    for number, style in enumerate(NAMES):
        table[NAMES[style]["mean"]] = rows["Z_SPEC"] + 0.01 * number * (1 + rows["Z_SPEC"])
        until = [name for other in list(NAMES)[: number + 1] for name in NAMES[other].values()]
        kept = [name for name in table.dtype.names or () if name in ("Z_SPEC", *until)]
        bias = evaluate(config(write(table[kept]))).quality.point.bias
        assert bias == pytest.approx(0.01 * number, abs=1e-6)


def test_a_spectroscopic_z_is_not_taken_for_the_photometric_one_of_sdss(write: WriteTable) -> None:
    rows = redshifts(10)
    rows.dtype.names = tuple({"EBV": "z"}.get(name, name) for name in rows.dtype.names or ())
    assert evaluate(config(write(rows))).quality.point.n_galaxies == 10
    rows.dtype.names = tuple(
        {"Z_PHOT_MEAN": "GUESS"}.get(name, name) for name in rows.dtype.names or ()
    )
    with pytest.raises(CatalogError, match="Z_PHOT_MEAN of photometric"):
        evaluate(config(write(rows)))


def test_bins_hold_every_galaxy_once(write: WriteTable) -> None:
    report = evaluate(config(write(redshifts(300))))
    for quantity in ("Z_SPEC", "PETRO_MAG_r", "EBV"):
        bins = [entry for entry in report.in_bins if entry.quantity == quantity]
        assert len(bins) > 3
        assert sum(entry.quality.point.n_galaxies for entry in bins) == 300
        assert all(entry.quality.interval is not None for entry in bins)


def test_bins_by_quantile_are_of_the_galaxies_that_are_compared(write: WriteTable) -> None:
    rows = redshifts(300)
    rows["Z_SPEC"][np.argsort(rows["PETRO_MAG_r"])[25:]] = np.nan  # only the brightest have one
    report = evaluate(config(write(rows)))
    bins = [entry for entry in report.in_bins if entry.quantity == "PETRO_MAG_r"]
    assert [entry.quality.point.n_galaxies for entry in bins] == [5] * 5


def test_a_placeholder_is_in_no_bin(write: WriteTable) -> None:
    rows = redshifts(300)
    rows["PETRO_MAG_r"][:3] = -9999, 99, 0
    rows["EBV"][:2] = -9999, 99
    for name, known in (("PETRO_MAG_r", 297), ("EBV", 298)):
        bins = [entry for entry in evaluate(config(write(rows))).in_bins if entry.quantity == name]
        assert (bins[0].low, bins[-1].high) == (rows[name][3:].min(), rows[name][3:].max())
        assert sum(entry.quality.point.n_galaxies for entry in bins) == known


def test_a_hint_where_nothing_is_to_be_compared_is_about_what_is_missing(
    write: WriteTable,
) -> None:
    rows = redshifts(5)
    rows["Z_PHOT_MEAN"] = np.nan
    with pytest.raises(CatalogError, match="no photometric redshift") as raised:
        evaluate(config(write(rows)))
    assert "photoz-ssl predict" in raised.value.hint
    rows["Z_SPEC"] = np.nan
    with pytest.raises(CatalogError, match="no spectroscopic redshift") as raised:
        evaluate(config(write(rows)))
    assert "--redshift-column" in raised.value.hint


def test_rows_left_out_are_counted_by_reason(write: WriteTable) -> None:
    rows = redshifts(20)
    rows["Z_SPEC"][:3] = np.nan
    rows["Z_PHOT_MEAN"][2:7] = np.nan
    report = evaluate(config(write(rows)))
    assert report.quality.point.n_galaxies == 13
    assert "3 of 20 rows have no spectroscopic redshift and are left out" in report.notices
    assert "4 of 20 rows have no photometric redshift and are left out" in report.notices


def test_galaxies_without_a_pdf_are_counted(write: WriteTable) -> None:
    rows = redshifts(20)
    rows["Z_SPEC"][:3] = np.nan
    pdfs = gaussians(redshifts(20))
    assert evaluate(config(write(rows, pdfs))).notices[1:] == ()
    pdfs[:7] = np.nan
    report = evaluate(config(write(rows, pdfs)))
    assert report.quality.pdf is not None
    assert report.quality.pdf.n_galaxies == 13
    assert report.notices[1:] == (
        "4 of 17 galaxies have no PDF: PIT, CRPS and CDE loss are of the others",
    )


def test_a_placeholder_is_no_redshift_and_a_far_one_does_not_make_countless_bins(
    write: WriteTable,
) -> None:
    rows = redshifts(20)
    rows["Z_SPEC"][:4] = -9999, -1, 9999, 15
    report = evaluate(config(write(rows)))
    assert report.quality.point.n_galaxies == 17
    assert len(report.in_bins) <= 15


def test_what_stands_for_an_estimate_that_failed_is_left_out_and_told(write: WriteTable) -> None:
    rows = redshifts(20)
    rows["Z_PHOT_MEAN"][:4] = -99, -1, 99, -0.05
    report = evaluate(config(write(rows)))
    assert report.quality.point.n_galaxies == 17
    assert report.notices[0] == "3 of 20 rows have no photometric redshift and are left out"


def test_a_split_and_a_selection(write: WriteTable) -> None:
    rows = redshifts(40)
    path = write(rows, gaussians(rows))
    test = evaluate(config(path, split="test"))
    assert test.n_rows == 40
    assert test.quality.point.n_galaxies == 20
    assert test.quality.pdf is not None
    assert test.quality.pdf.n_galaxies == 20
    with pytest.raises(CatalogError, match="no row whose SPLIT is valid"):
        evaluate(config(path, split="valid"))


@pytest.mark.parametrize("brackets", ["[1][EBV < 0.1]", "[EBV < 0.1]", "[PHOTOZ][EBV<0.1]"])
@pytest.mark.parametrize("split", ["test", None])
def test_pdfs_of_selected_rows_are_those_of_a_file_of_them(
    write: WriteTable, brackets: str, split: str | None
) -> None:
    rows = redshifts(40)
    few = rows["EBV"] < np.float32(0.1)
    alone = evaluate(config(write(rows[few], gaussians(rows)[few]), split=split))
    path = write(rows, gaussians(rows))
    selected = evaluate(config(f"{path}{brackets}", split=split))
    assert 0 < selected.n_rows < 40
    assert selected.quality.pdf is not None
    assert (selected.quality, selected.pit_histogram) == (alone.quality, alone.pit_histogram)
    assert selected.notices == ()


@pytest.mark.parametrize("brackets", ["[1][col *][EBV < 0.1]", "[1][EBV < 0.1][#ROW < 4]"])
def test_pdfs_of_rows_that_cannot_be_told_are_left_out(write: WriteTable, brackets: str) -> None:
    rows = redshifts(40)
    path = write(rows, gaussians(rows))
    selected = evaluate(config(f"{path}{brackets}"))
    assert selected.quality.pdf is None
    assert any("not those of the rows" in notice for notice in selected.notices)


def test_pdfs_of_the_chosen_rows_are_scored_block_by_block(
    write: WriteTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = redshifts(50)
    path = write(rows, gaussians(rows))
    whole = evaluate(config(path, split="train"))
    monkeypatch.setattr(predictions_module, "ROWS_AT_ONCE", 7)
    assert evaluate(config(path, split="train")) == whole


@pytest.mark.parametrize(
    ("damage", "column"),
    [
        ("META", fits.Column("odd", "D", array=[1.0])),
        ("META", fits.Column("bins", "D", array=[1.0])),
        ("META", fits.Column("bins", "181A", array=["many"])),
        ("META", fits.Column("bins", "41D", array=[GRID.edges[::-1]])),
        (
            "META",
            fits.Column("bins", "41D", array=[np.where(GRID.edges > 0.3, np.nan, GRID.edges)]),
        ),
        ("DATA", fits.Column("odd", "D", array=[1.0])),
        ("DATA", fits.Column("pdfs", "180A", array=["many"] * 20)),
    ],
)
def test_pdfs_that_are_damaged_are_not_said_to_be_absent(
    write: WriteTable, damage: str, column: fits.Column
) -> None:
    rows = redshifts(20)
    path = write(rows, gaussians(rows))
    with fits.open(path) as hdus:
        tables = [hdu for hdu in hdus if hdu.name != damage]
        tables.append(fits.BinTableHDU.from_columns([column], name=damage))
        fits.HDUList(tables).writeto(path, overwrite=True)
    report = evaluate(config(path))
    assert report.quality.pdf is None
    assert not any("--pdf" in notice for notice in report.notices)
    assert any("PDFs in the file" in notice for notice in report.notices)


def test_a_table_without_pdfs_or_intervals_says_what_is_missing(write: WriteTable) -> None:
    report = evaluate(config(write(without(redshifts(30), "Z_PHOT_L68"))))
    assert report.quality.interval is None
    assert report.quality.pdf is None
    assert report.pit_histogram == ()
    assert any("--pdf" in notice for notice in report.notices)
    assert any("no columns of intervals" in notice for notice in report.notices)


def test_another_column_of_redshifts(write: WriteTable) -> None:
    rows = with_column(redshifts(30), "Z_OTHER")
    rows["Z_OTHER"] = rows["Z_PHOT_MEAN"]
    path = write(rows)
    assert evaluate(config(path, redshift_column="z_other")).quality.point.bias == 0
    with pytest.raises(CatalogError, match="has no column ZZ of spectroscopic redshifts"):
        evaluate(config(path, redshift_column="ZZ"))
    with pytest.raises(CatalogError, match="does not hold one number a row"):
        evaluate(config(path, redshift_column="SPLIT"))


@pytest.mark.parametrize(("low", "high"), [(0, 360), (-60, 5), (14, 17.8), (900, 90_000)])
def test_a_column_of_other_numbers_is_refused(write: WriteTable, low: float, high: float) -> None:
    rows = redshifts(30)
    rows["PETRO_MAG_r"] = np.linspace(low, high, 30)
    with pytest.raises(CatalogError, match=r"column PETRO_MAG_r of .+ no redshifts: of 30"):
        evaluate(config(write(rows), redshift_column="PETRO_MAG_r"))


def test_placeholders_of_most_rows_do_not_make_a_column_one_of_other_numbers(
    write: WriteTable,
) -> None:
    rows = redshifts(200)
    rows["Z_SPEC"][2:] = np.tile([-9999, -1, 99, -99], 50)[2:]
    assert evaluate(config(write(rows))).quality.point.n_galaxies == 2


def test_an_estimate_is_not_compared_with_itself(write: WriteTable) -> None:
    names = {"Z_PHOT_MEAN": "z", "Z_PHOT_MEDIAN": "zMedian", "Z_PHOT_MODE": "zMode"}
    rows = with_column(with_column(redshifts(30), "Z_PHOT_MEDIAN"), "Z_PHOT_MODE")
    with pytest.raises(CatalogError, match=r"MEDIAN of .+ holds what was predicted") as told:
        evaluate(config(write(rows), redshift_column="z_phot_median"))
    assert told.value.hint == "name another column with --redshift-column"
    own = rows.dtype.names or ()
    rows.dtype.names = tuple(names.get(name, name.replace("Z_SPEC", "z_INPUT")) for name in own)
    with pytest.raises(CatalogError, match=r"column z of .+ holds what was predicted") as told:
        evaluate(config(write(rows), redshift_column="z"))
    assert "name z_INPUT" in told.value.hint
    assert evaluate(config(write(rows), redshift_column="z_INPUT")).quality.point.sigma_mad > 0.005


def test_other_tables_are_refused(write: WriteTable, tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="no column Z_PHOT_MEAN of photometric redshifts"):
        evaluate(config(write(without(redshifts(3), "Z_PHOT_MEAN"))))
    rows = redshifts(3)
    rows["Z_SPEC"] = np.nan
    with pytest.raises(CatalogError, match="nothing to compare: 3 of 3 rows"):
        evaluate(config(write(rows)))
    text = tmp_path / "text.fits"
    text.write_text("z_phot z_spec\n0.1 0.1\n")
    for path in (str(text), str(tmp_path / "missing.fits")):
        with pytest.raises(PhotozError) as caught:
            evaluate(config(path))
        assert "\n" not in str(caught.value)


def test_json_is_plain_and_unknown_numbers_are_null(write: WriteTable, tmp_path: Path) -> None:
    rows = redshifts(1)
    target = tmp_path / "metrics.json"
    report = evaluate(config(write(rows, gaussians(rows)), json=target))
    content = json.loads(target.read_text())
    assert content == json.loads(report.to_json())
    assert content["n_galaxies"] == 1
    assert content["sigma_mad_error"] is None
    assert content["pit_ks"] > 0
    assert {"Z_SPEC", "PETRO_MAG_r", "EBV"} == set(content["bins"])
    assert content["bins"]["EBV"][0]["low"] == pytest.approx(float(rows["EBV"][0]))
    with pytest.raises(OutputError, match="exists already"):
        evaluate(config(write(rows), json=target))


def test_the_seed_decides_the_bootstrap(write: WriteTable) -> None:
    path = write(redshifts(60))
    first, again, other = (evaluate(config(path, seed=seed)).quality.point for seed in (1, 1, 2))
    assert first == again
    assert first.sigma_mad_error != other.sigma_mad_error
    assert first.sigma_mad == other.sigma_mad


@pytest.mark.parametrize("n_galaxies", [1, 40, 900])
def test_figures_are_drawn_and_repeat_bit_by_bit(
    write: WriteTable, tmp_path: Path, n_galaxies: int
) -> None:
    pytest.importorskip("matplotlib")
    rows = redshifts(n_galaxies)
    path = write(rows, gaussians(rows))
    first = evaluate(config(path, plot=tmp_path / "a" / "b"))
    names = [
        f"{name}.{kind}" for name in ("redshifts", "residuals", "pit") for kind in ("png", "pdf")
    ]
    assert [figure.name for figure in first.figures] == names
    again = evaluate(config(path, plot=tmp_path / "c"))
    for one, other in zip(first.figures, again.figures, strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert one.stat().st_size > 3000
    with pytest.raises(OutputError, match="exists already"):
        evaluate(config(path, plot=tmp_path / "c"))


@pytest.mark.parametrize("limit", [0.065, 0.072, 0.084, 0.09, 0.1, 0.2, 0.4])
def test_no_label_of_the_residuals_is_cut_off(
    write: WriteTable, tmp_path: Path, limit: float
) -> None:
    pytest.importorskip("matplotlib")
    rows = redshifts(60)
    residual = np.where(np.arange(60) % 2, 1, -1) * limit / 1.2
    rows["Z_PHOT_MEAN"] = rows["Z_SPEC"] + (1 + rows["Z_SPEC"]) * residual
    evaluate(config(write(rows), plot=tmp_path / "figures"))
    picture = np.asarray(Image.open(tmp_path / "figures" / "residuals.png").convert("L"))
    edges = np.concatenate([picture[:, :3].ravel(), picture[:, -3:].ravel()])
    assert (edges == 255).all()


def test_without_pdfs_there_is_no_pit_figure(write: WriteTable, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rows = redshifts(30)
    evaluate(config(write(rows, gaussians(rows)), plot=tmp_path / "figures"))
    report = evaluate(config(write(rows), plot=tmp_path / "figures", overwrite=True))
    assert {figure.stem for figure in report.figures} == {"redshifts", "residuals"}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == {
        figure.name for figure in report.figures
    }


def test_a_figure_folder_that_is_a_file(write: WriteTable, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        evaluate(config(write(redshifts(3)), plot=tmp_path / "file"))


def test_figures_without_matplotlib_are_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(module: str, *, extra: str, purpose: str) -> None:
        raise MissingExtraError(module, extra, purpose)

    monkeypatch.setattr(figures_module, "import_extra", missing)
    with pytest.raises(MissingExtraError, match=r"photoz-ssl\[plot\]"):
        evaluate(config(str(tmp_path / "missing.fits"), plot=tmp_path))


def test_a_table_by_astropy_with_other_cases_of_names(tmp_path: Path) -> None:
    path = tmp_path / "other.fits"
    columns = [
        fits.Column("z_phot_mean", "D", array=np.array([0.1, 0.2])),
        fits.Column("z_spec", "D", array=np.array([0.1, 0.2])),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(path)
    report = evaluate(config(str(path)))
    assert report.quality.point.bias == 0
    assert "2 galaxies" in report.summary()
