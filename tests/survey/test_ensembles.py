"""PDFs as HDUs of qp: what is spooled is what qp reads."""

from __future__ import annotations

import warnings
from pathlib import Path

import fitsio
import numpy as np
import pytest
from numpy.typing import NDArray

from photoz_ssl.survey import ensembles
from photoz_ssl.survey.ensembles import spool_pdfs
from photoz_ssl.survey.tables import write_tables

EDGES = np.linspace(0, 0.4, 21)
CENTRES = (EDGES[1:] + EDGES[:-1]) / 2


def write(path: Path, pdf: NDArray[np.float64], *, block: int) -> None:
    mode = CENTRES[np.nan_to_num(pdf).argmax(axis=1)]
    flags = np.arange(len(pdf), dtype=np.int32)
    with write_tables(str(path)) as file, spool_pdfs(EDGES, path.parent) as pdfs:
        for start in range(0, len(pdf), block):
            part = slice(start, start + block)
            pdfs.append(pdf[part], mode[part], flags[part])
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
