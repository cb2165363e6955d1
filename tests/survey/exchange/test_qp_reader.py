"""qp files as catalogues: what we and qp write is read, and what is no such file is refused."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from photoz_ssl.errors import CatalogError
from photoz_ssl.survey.archive import open_archive
from photoz_ssl.survey.catalog import open_beside, open_catalog
from photoz_ssl.survey.exchange.formats import TableLayout, exchange_file
from photoz_ssl.survey.exchange.reading import format_of_file
from photoz_ssl.survey.tables.headers import TableColumn
from photoz_ssl.survey.tables.manifest import pdf_rows
from photoz_ssl.survey.tables.pdf_form import PdfForm
from tests.conftest import damaged

N = 7
EDGES = np.linspace(0, 0.4, 9)
PDFS = np.random.default_rng(0).dirichlet(np.ones(8), N) / np.diff(EDGES)


def written(path: Path, form: PdfForm, values: NDArray[np.float64]) -> Path:
    table = np.zeros(N, [("OBJID", "i8"), ("NAME", "S5"), ("OK", "?"), ("Z_PHOT_MEAN", "f4")])
    table["OBJID"], table["NAME"], table["OK"] = 2**60 + np.arange(N), b"ab", np.arange(N) % 2
    columns = [TableColumn(name) for name in table.dtype.names or ()]
    columns[-1] = TableColumn("Z_PHOT_MEAN", "", "src.redshift.phot", "Mean")
    layout = TableLayout(
        name="T", n_rows=N, columns=columns, dtype=table.dtype, cards=(), pdf_form=form
    )
    with exchange_file(path, "qp", layout) as writer:
        writer.append(table, pdf_rows(values, np.zeros(N), np.zeros(N, np.int32)))
    return path


@pytest.fixture
def histograms(tmp_path: Path) -> Path:
    return written(tmp_path / "z.hdf5", PdfForm("hist", tuple(EDGES)), PDFS)


def refusal_of(path: Path) -> str:
    with pytest.raises(CatalogError) as caught, open_catalog(str(path)):
        pass
    assert "\n" not in caught.value.message
    return caught.value.message


def pdfs_of(path: Path, common: str, own: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """What the PDFs of a file have in common, and what each has."""
    with open_catalog(str(path)) as catalog:
        with open_beside(catalog, "META") as meta:
            points = meta.read(0, 1)[common][0]
        with open_beside(catalog, "DATA") as data:
            return points, data.read(0, data.n_rows)[own]


def test_what_we_write_is_read_back(histograms: Path) -> None:
    with open_catalog(str(histograms)) as catalog:
        rows = catalog.read(0, catalog.n_rows)
        assert catalog.cards["Z_PHOT_MEAN"]["TUCD"] == "src.redshift.phot"
    assert rows.dtype.names == ("OBJID", "NAME", "OK", "Z_PHOT_MEAN", "zmode")
    assert rows["OBJID"].tolist() == [2**60 + row for row in range(N)]
    assert set(rows["NAME"]) == {b"ab"}
    assert rows["OK"].tolist() == [row % 2 == 1 for row in range(N)]
    edges, densities = pdfs_of(histograms, "bins", "pdfs")
    np.testing.assert_array_equal(edges, EDGES)
    np.testing.assert_array_equal(densities, PDFS.astype("f4"))
    with open_catalog(f"{histograms}[#ROW < 3]") as catalog:
        assert catalog.n_rows == 2


def test_quantiles_are_read_back(tmp_path: Path) -> None:
    below = np.linspace(0, 1, 5)
    values = np.sort(np.random.default_rng(1).uniform(0, 0.4, (N, 5)), axis=1)
    path = written(tmp_path / "q.hdf5", PdfForm("quant", tuple(below)), values)
    points, locs = pdfs_of(path, "quants", "locs")
    np.testing.assert_array_equal(points, below)
    np.testing.assert_array_equal(locs, values.astype("f4"))


@pytest.mark.filterwarnings("ignore")  # of qp, about NumPy
def test_what_qp_writes_is_read(tmp_path: Path) -> None:
    qp = pytest.importorskip("qp", reason="qp is not installed")
    at = np.abs(np.random.default_rng(2).normal(size=(N, 9)))
    ancil = {"zmode": np.linspace(0, 1, N), "id": np.arange(N), "shape": np.zeros((N, 2))}
    grid = qp.Ensemble(qp.interp, data={"xvals": EDGES, "yvals": at}, ancil=ancil)
    grid.write_to(str(tmp_path / "grid.hdf5"))
    with open_catalog(str(tmp_path / "grid.hdf5")) as catalog:
        assert set(catalog.names) == {"zmode", "id"}
    edges, densities = pdfs_of(tmp_path / "grid.hdf5", "bins", "pdfs")
    cumulative = np.cumsum(densities * np.diff(edges), axis=1)
    np.testing.assert_allclose(cumulative, grid.cdf(EDGES[1:]), atol=1e-6)
    hist = qp.Ensemble(qp.hist, data={"bins": EDGES, "pdfs": PDFS}, ancil=ancil)
    hist.write_to(str(tmp_path / "hist.hdf5"))
    np.testing.assert_allclose(pdfs_of(tmp_path / "hist.hdf5", "bins", "pdfs")[1], PDFS)
    mixture = qp.Ensemble(qp.mixmod, data={"means": at, "stds": at + 1, "weights": at}, ancil=ancil)
    mixture.write_to(str(tmp_path / "mixture.hdf5"))
    assert "mixmod" in refusal_of(tmp_path / "mixture.hdf5")


def test_other_hdf5_is_no_table(tiny_archive: Path) -> None:
    assert len(open_archive(tiny_archive)) > 0
    assert format_of_file(tiny_archive) is None
    assert "is an HDF5 file, but none of qp's" in refusal_of(tiny_archive)


@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_a_file_that_was_cut_is_told_without_the_words_of_hdf5(
    histograms: Path, kept: float
) -> None:
    whole = histograms.read_bytes()
    histograms.write_bytes(whole[: int(kept * len(whole))])
    assert refusal_of(histograms) == f"{histograms} is truncated or damaged"


def link_elsewhere(file: h5py.File) -> None:
    del file["ancil"]
    file["ancil"] = h5py.ExternalLink("other.hdf5", "ancil")


def link_to_itself(file: h5py.File) -> None:
    file["ancil/loop"] = h5py.SoftLink("/ancil/loop")


def lie_about_rows(file: h5py.File) -> None:
    del file["data/pdfs"]
    file.create_dataset("data/pdfs", (10**12, 8), "f4", chunks=(1000, 8))


def lie_about_a_column(file: h5py.File) -> None:
    file.create_dataset("ancil/huge", (N,), "S4000", maxshape=(None,), chunks=(10**6,))


def keep_numbers_elsewhere(file: h5py.File) -> None:
    del file["data/pdfs"]
    places = [("/dev/zero", 0, N * 32)]
    file.create_dataset("data/pdfs", (N, 8), "f4", external=places)


def drop_the_table(file: h5py.File) -> None:
    del file["ancil"]


def turn_the_bins(file: h5py.File) -> None:
    file["meta/bins"][...] = EDGES[::-1]


def shorten_the_bins(file: h5py.File) -> None:
    del file["meta/bins"]
    file["meta/bins"] = EDGES[:5]


def inflate_the_bins(file: h5py.File) -> None:
    del file["meta/bins"]
    file.create_dataset("meta/bins", (10**6,), "f8", compression="gzip", data=np.zeros(10**6))


def rename_the_class(file: h5py.File) -> None:
    del file["meta/pdf_name"]
    file["meta/pdf_name"] = np.array([b"spline\n"])


def write_words(file: h5py.File) -> None:
    del file["meta/bins"]
    file["meta/bins"] = np.array([b"a", b"b"])


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (link_elsewhere, "it has no ancil"),
        (link_to_itself, "it has no ancil/loop"),
        (lie_about_rows, "promises more than"),
        (lie_about_a_column, "promises more than"),
        (keep_numbers_elsewhere, "in another file"),
        (drop_the_table, "it has no ancil"),
        (turn_the_bins, "its bins do not rise"),
        (shorten_the_bins, "do not fit its 5 points"),
        (inflate_the_bins, "its meta/bins has 1000000 values"),
        (rename_the_class, "spline"),
        (write_words, "cannot be read as qp"),
    ],
)
def test_traps_are_refused(histograms: Path, harm: Callable[[h5py.File], None], words: str) -> None:
    with h5py.File(histograms, "r+") as file:
        harm(file)
    assert words in refusal_of(histograms)


def test_damage_is_told_in_a_sentence(histograms: Path) -> None:
    refused = 0
    for content in damaged(histograms.read_bytes(), 60):
        histograms.write_bytes(content)
        with suppress(CatalogError), open_catalog(str(histograms)) as catalog:
            catalog.read(0, catalog.n_rows)
            refused -= 1
        refused += 1
    assert refused > 10
