"""PDFs as HDUs of qp: what is spooled is what qp reads."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import fitsio
import numpy as np
import pytest
from numpy.typing import NDArray

from photoz_ssl.errors import OutputError
from photoz_ssl.survey.tables import ensembles
from photoz_ssl.survey.tables.ensembles import spool_pdfs
from photoz_ssl.survey.tables.manifest import PdfRows, pdf_rows
from photoz_ssl.survey.tables.pdf_form import PdfForm
from photoz_ssl.survey.tables.writer import write_tables

EDGES = np.linspace(0, 0.4, 21)
CENTRES = (EDGES[1:] + EDGES[:-1]) / 2


def write(path: Path, pdf: NDArray[np.float64], *, block: int) -> None:
    mode = CENTRES[np.nan_to_num(pdf).argmax(axis=1)]
    rows = pdf_rows(pdf / np.diff(EDGES), mode, np.arange(len(pdf), dtype=np.int32))
    write_rows(path, PdfForm("hist", tuple(EDGES)), rows, block=block)


def write_rows(path: Path, form: PdfForm, rows: PdfRows, *, block: int) -> None:
    with write_tables(str(path)) as file, spool_pdfs(form, path.parent) as pdfs:
        for start in range(0, len(rows), block):
            pdfs.append(rows[start : start + block])
        pdfs.write(file)


def test_densities_integrate_to_1_and_keep_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ensembles, "ROWS_AT_A_TIME", 7)
    pdf = np.random.default_rng(0).dirichlet(np.ones(20), size=50)
    write(tmp_path / "q.fits", pdf, block=9)
    density = fitsio.read(tmp_path / "q.fits", ext="DATA")["pdfs"]
    np.testing.assert_allclose(density @ np.diff(EDGES), 1, atol=1e-6)
    np.testing.assert_allclose(density * np.diff(EDGES), pdf, atol=1e-7)
    ancil = fitsio.read(tmp_path / "q.fits", ext="ANCIL")
    np.testing.assert_array_equal(ancil["ROW"], np.arange(50))
    np.testing.assert_array_equal(ancil["FLAGS"], np.arange(50))
    assert [path.name for path in tmp_path.iterdir()] == ["q.fits"]


@pytest.mark.parametrize("name", ["q.fits", "q.fits.gz"])
def test_a_disk_that_is_full_of_pdfs_is_told_of_the_output(
    tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]], name: str
) -> None:
    pdf = np.random.default_rng(0).dirichlet(np.ones(20), size=1000)
    with full_disk(40_000), pytest.raises(OutputError) as caught:
        write(tmp_path / name, pdf, block=1000)
    assert caught.value.message == f"no space left on the disk while writing {tmp_path / name}"
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_qp_reads_the_means(tmp_path: Path) -> None:
    qp = pytest.importorskip("qp", exc_type=ImportError)
    pdf = np.random.default_rng(0).dirichlet(np.ones(20), size=50)
    write(tmp_path / "q.fits", pdf, block=50)
    ensemble = qp.read(str(tmp_path / "q.fits"))
    assert ensemble.npdf == 50
    assert ensemble.metadata["pdf_name"][0] == b"hist"
    np.testing.assert_allclose(ensemble.mean().ravel(), pdf @ CENTRES, atol=1e-6)
    np.testing.assert_array_equal(ensemble.ancil["FLAGS"], np.arange(50))


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_a_galaxy_without_a_pdf_is_nan_in_qp_and_leaves_the_others_alone(tmp_path: Path) -> None:
    qp = pytest.importorskip("qp", exc_type=ImportError)
    pdf = np.random.default_rng(0).dirichlet(np.ones(20), size=5)
    pdf[2] = np.nan
    write(tmp_path / "q.fits", pdf, block=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        means = qp.read(str(tmp_path / "q.fits")).mean().ravel()
    np.testing.assert_allclose(means, pdf @ CENTRES, atol=1e-6)


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_qp_reads_quantiles(tmp_path: Path) -> None:
    qp = pytest.importorskip("qp", exc_type=ImportError)
    form = PdfForm("quant", (0.0, 0.1, 0.5, 0.9, 1.0))
    redshift = np.sort(np.random.default_rng(0).uniform(0, 0.4, (7, 5)), axis=1)
    write_rows(tmp_path / "q.fits", form, pdf_rows(redshift, redshift[:, 2], np.arange(7)), block=3)
    ensemble = qp.read(str(tmp_path / "q.fits"))
    assert ensemble.metadata["pdf_name"][0] == b"quant"
    np.testing.assert_array_equal(np.ravel(ensemble.metadata["quants"]), form.points)
    for place, probability in enumerate(form.points[1:-1], start=1):
        found = ensemble.ppf(probability)
        np.testing.assert_allclose(found.ravel(), redshift[:, place], atol=1e-6)
        np.testing.assert_allclose(ensemble.cdf(found), probability, atol=1e-4)


def test_there_is_no_other_form() -> None:
    with pytest.raises(ValueError, match="no form of PDFs 'mixmod'"):
        PdfForm("mixmod", (0.0, 1.0))
    with pytest.raises(ValueError, match="no form of PDFs"):
        PdfForm("hist", (0.0,))
