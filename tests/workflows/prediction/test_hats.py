"""HATS catalogues: what LSDB reads back is what a plain table has, partition by partition."""

from __future__ import annotations

import io
import shutil
import warnings
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
import pytest
from astropy.io.votable import parse
from astropy.table import Table

from photoz_ssl.config import PredictConfig
from photoz_ssl.errors import CatalogError, ConfigError, CutoutError, OutputError
from photoz_ssl.progress import Stopped
from photoz_ssl.survey.frame_catalog import catalog_of_frame
from photoz_ssl.workflows.predict import predict
from photoz_ssl.workflows.prediction import hats, prediction_job
from tests.processes import forked_workers

lsdb: Any = pytest.importorskip("lsdb", reason="LSDB (extra [dask]) is not installed")
hats_import: Any = pytest.importorskip("hats_import", reason="hats-import is not installed")
distributed: Any = pytest.importorskip("distributed", reason="Dask is not installed")
pd: Any = pytest.importorskip("pandas", reason="pandas is not installed")
parquet: Any = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")

N = 240
MARGIN = 600
"""Arcseconds."""

pytestmark = pytest.mark.filterwarnings("ignore")  # of Dask, pandas and hats, about each other


@pytest.fixture(scope="module")
def folder(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A survey of small cutouts on a patch of sky, as a FITS table and as a HATS collection."""
    place = tmp_path_factory.mktemp("hats")
    shutil.copy(model, place / "model.safetensors")
    (place / "stamps").mkdir()
    generator = np.random.default_rng(0)
    for number in range(N):
        image = generator.normal(0.2, 0.05, (5, 64, 64)).astype(np.float32)
        fitsio.write(str(place / f"stamps/{number}.fits"), image, header={"BUNIT": "nanomaggy"})
    (place / "stamps/7.fits").unlink()
    table = Table(
        {
            "OBJID": np.arange(N),
            "RA": generator.uniform(150, 156, N),
            "DEC": generator.uniform(-3, 3, N),
            "EBV": generator.uniform(0.01, 0.1, N),
            "NAME": [f"galaxy {number}" for number in range(N)],
        }
    )
    table.write(place / "plain.fits")
    table.write(place / "plain.csv")
    arguments = (
        hats_import.CollectionArguments(
            output_artifact_name="sim",
            output_path=place,
            progress_bar=False,
        )
        .catalog(
            input_file_list=[place / "plain.csv"],
            file_reader="csv",
            ra_column="RA",
            dec_column="DEC",
            pixel_threshold=100,
            highest_healpix_order=4,
        )
        .add_margin(margin_threshold=MARGIN, is_default=True)
    )
    with (
        warnings.catch_warnings(),
        distributed.Client(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0"
        ) as client,
    ):
        warnings.simplefilter("ignore")
        hats_import.pipeline_with_client(arguments, client)
    return place


def config(folder: Path, catalog: str = "sim", **options: Any) -> PredictConfig:
    values = {"cutouts": f"{folder}/stamps/{{OBJID}}.fits", "device": "cpu", **options}
    model = folder / "model.safetensors"
    return PredictConfig(catalog=str(folder / catalog), model=model, **values)


@pytest.fixture(scope="module")
def plain(folder: Path) -> Any:
    """The rows of the FITS table, by id."""
    output = folder / "plain.photoz.fits"
    predict(config(folder, "plain.fits", output=str(output)))
    return np.sort(fitsio.read(output, ext=1), order="OBJID")


@pytest.fixture(scope="module")
def output(folder: Path) -> Path:
    report = predict(config(folder, output=str(folder / "z")))
    assert (report.n_rows, report.n_redshifts) == (N, N - 1)
    assert "column EBV" in report.dust
    return folder / "z"


def rows_of(catalog: Any) -> Any:
    return catalog.compute(progress_bar=False).sort_values("OBJID")


def test_the_redshifts_are_those_of_the_plain_table(output: Path, plain: Any) -> None:
    rows = rows_of(lsdb.open_catalog(output, columns="all"))
    assert list(rows.columns[:5]) == ["OBJID", "RA", "DEC", "NAME", "Z_PHOT_MEAN"]
    assert rows["Z_PHOT_MEAN"].isna().sum() == 1
    for name in ("OBJID", "RA", "Z_PHOT_MEAN", "Z_PHOT_L68", "FLAGS"):
        values = rows[name].to_numpy(dtype=float, na_value=np.nan)
        np.testing.assert_allclose(values, plain[name], rtol=0, atol=1e-5)


def test_partitions_and_margins_are_kept(folder: Path, output: Path) -> None:
    before, after = (lsdb.open_catalog(path) for path in (folder / "sim", output))
    assert len(before.get_healpix_pixels()) > 2
    assert after.get_healpix_pixels() == before.get_healpix_pixels()
    assert after.margin.hc_structure.catalog_info.margin_threshold == MARGIN
    margin, old = rows_of(after.margin), rows_of(before.margin)
    np.testing.assert_array_equal(margin["OBJID"], old["OBJID"])
    own = rows_of(after).set_index("OBJID")["Z_PHOT_MEAN"]
    found = margin["Z_PHOT_MEAN"].to_numpy(dtype=float, na_value=np.nan)
    expected = own.loc[margin["OBJID"]].to_numpy(dtype=float, na_value=np.nan)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_columns_are_described_as_in_a_votable(output: Path) -> None:
    metadata = parquet.read_schema(output / "z/dataset/_common_metadata").metadata
    inside = parse(io.BytesIO(metadata[b"IVOA.VOTable-Parquet.content"]))
    fields = {field.name: field for field in inside.get_first_table().fields}
    assert fields["Z_PHOT_MEAN"].ucd == "src.redshift.phot;stat.mean"
    assert str(fields["EBV"].unit) == "mag"
    assert fields["FLAGS"].description.startswith("Bit mask")
    properties = (output / "z/hats.properties").read_text()
    assert "photoz_ssl_model_sha256" in properties


def test_an_interrupted_one_goes_on(folder: Path, output: Path, tmp_path: Path) -> None:
    shutil.copytree(output, tmp_path / "z")
    part = sorted((tmp_path / "z/z/dataset").rglob("Npix*.parquet"))[0]
    part.unlink()
    (tmp_path / "z/collection.properties").unlink()
    with pytest.raises(OutputError, match="exists"):
        predict(config(folder, output=str(tmp_path / "z")))
    predict(config(folder, output=str(tmp_path / "z"), resume=True))
    one, two = (rows_of(lsdb.open_catalog(path)) for path in (output, tmp_path / "z"))
    pd.testing.assert_frame_equal(one, two)


def test_a_finished_one_is_not_made_again(folder: Path, output: Path) -> None:
    before = (output / "collection.properties").stat().st_mtime_ns
    with pytest.raises(OutputError, match="nothing of it is left to do"):
        predict(config(folder, output=str(output), resume=True))
    assert (output / "collection.properties").stat().st_mtime_ns == before


def test_it_stops_when_asked_to_and_goes_on(folder: Path, output: Path, tmp_path: Path) -> None:
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 4

    with pytest.raises(Stopped, match="partition"):
        predict(config(folder, output=str(tmp_path / "z")), stop=stop)
    predict(config(folder, output=str(tmp_path / "z"), resume=True, overwrite=True))
    one, two = (rows_of(lsdb.open_catalog(path)) for path in (output, tmp_path / "z"))
    pd.testing.assert_frame_equal(one, two)


def test_workers_stop_when_asked_to_go_on_and_give_the_same(
    folder: Path, output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hats, "SECONDS_BETWEEN_QUESTIONS", 0.01)

    def stop() -> bool:
        return any(tmp_path.glob("z/z/done/*"))

    options = {"output": str(tmp_path / "z"), "dask": "local:1"}
    with forked_workers():
        with pytest.raises(Stopped, match="partition"):
            predict(config(folder, **options), stop=stop)
        assert not (tmp_path / "z/collection.properties").exists()
        predict(config(folder, **options, resume=True))
    one, two = (rows_of(lsdb.open_catalog(path)) for path in (output, tmp_path / "z"))
    pd.testing.assert_frame_equal(one, two)


def test_chosen_columns_come_over(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_job, "MOST_COLUMNS", 1)  # which is for FITS alone
    predict(config(folder, output=str(tmp_path / "z"), keep_columns="none"))
    names = list(lsdb.open_catalog(tmp_path / "z").columns)
    assert names[:4] == ["OBJID", "RA", "DEC", "Z_PHOT_MEAN"]


def test_without_an_image_nothing_is_written(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CutoutError, match="no row of"):
        predict(config(folder, output=str(tmp_path / "z"), cutouts=f"{folder}/none/{{OBJID}}.fits"))
    assert not (tmp_path / "z").exists()


@pytest.mark.parametrize(
    "options", [{"pdf": "hist"}, {"shard": "1/2"}, {"samp": True}, {"format": "parquet"}]
)
def test_what_hats_cannot_have_is_refused(folder: Path, tmp_path: Path, options: Any) -> None:
    with pytest.raises(ConfigError, match="HATS"):
        predict(config(folder, output=str(tmp_path / "z"), **options))


@pytest.mark.parametrize("name", ["z.fits", "z.fits.gz", "z.parquet", "z.VOT"])
def test_a_folder_is_not_named_like_a_file(folder: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="comes a folder"):
        predict(config(folder, output=str(tmp_path / name)))


@pytest.mark.parametrize("options", [{"overwrite": True}, {"resume": True}])
def test_a_folder_of_other_files_is_left_alone(
    folder: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    (tmp_path / "thesis.tex").write_text("years")
    with pytest.raises(OutputError, match="holds other files"):
        predict(config(folder, output=str(tmp_path), **options))
    assert (tmp_path / "thesis.tex").read_text() == "years"


@pytest.mark.parametrize("place", [".", "..", "papers", "papers/../papers"])
def test_files_are_not_taken_for_its_own_by_the_start_of_their_names(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    kept = [tmp_path / name for name in ("papers/papers.tex", "papers/papers_10arcs/a.tex")]
    for path in kept:
        path.parent.mkdir(exist_ok=True)
        path.write_text("years")
    monkeypatch.chdir(tmp_path / "papers" if place == ".." else tmp_path)
    asked: tuple[dict[str, Any], ...] = ({"overwrite": True}, {"resume": True})
    for options in asked:
        with pytest.raises(OutputError, match=r"holds other files|working directory"):
            predict(config(folder, output=place, **options))
    assert all(path.read_text() == "years" for path in kept)


def test_an_older_output_is_replaced(folder: Path, output: Path, tmp_path: Path) -> None:
    shutil.copytree(output, tmp_path / "z")
    predict(config(folder, output=str(tmp_path / "z"), overwrite=True))
    one, two = (rows_of(lsdb.open_catalog(path)) for path in (output, tmp_path / "z"))
    pd.testing.assert_frame_equal(one, two)


def test_a_folder_that_only_looks_like_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat/hats.properties").write_text("nonsense")
    with pytest.raises(CatalogError, match="no HATS catalogue that LSDB can open"):
        predict(PredictConfig(catalog=str(tmp_path / "cat"), output=str(tmp_path / "z")))


def test_a_first_partition_without_rows_is_passed_over(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "sim", tmp_path / "sim")
    shutil.copy(folder / "model.safetensors", tmp_path)
    first, *others = sorted((tmp_path / "sim/sim/dataset").rglob("Npix*.parquet"))
    n_rows = parquet.read_metadata(first).num_rows
    parquet.write_table(parquet.read_table(first, partitioning=None).slice(0, 0), first)
    options = {"cutouts": f"{folder}/stamps/{{OBJID}}.fits", "output": str(tmp_path / "z")}
    assert predict(config(tmp_path, **options)).n_rows == N - n_rows
    for part in others:
        parquet.write_table(parquet.read_table(part, partitioning=None).slice(0, 0), part)
    with pytest.raises(CatalogError, match="sim has no rows"):
        predict(config(tmp_path, **options, overwrite=True))


def test_missing_values_become_what_fits_has_for_them() -> None:
    frame = pd.DataFrame(
        {
            "ID": pd.array([1, None], "int64[pyarrow]"),
            "K": pd.array([2**60, 3], "int64[pyarrow]"),
            "RA": pd.array([1.5, None], "double[pyarrow]"),
            "NAME": pd.array(["a", None], "string[pyarrow]"),
            "OK": pd.array([True, None], "bool[pyarrow]"),
            "LIST": [[1, 2], [3]],
        }
    )
    catalog = catalog_of_frame(frame, "cat", Path())
    assert catalog.names == ("ID", "K", "RA", "NAME", "OK")
    rows = catalog.read(0, 2)
    np.testing.assert_array_equal(rows["ID"], [1, np.nan])
    np.testing.assert_array_equal(rows["K"], [2**60, 3])
    np.testing.assert_array_equal(rows["RA"], [1.5, np.nan])
    assert rows["NAME"].tolist() == [b"a", b""]
    assert rows["OK"].tolist() == [True, False]
    with pytest.raises(CatalogError, match="no columns"):
        catalog_of_frame(frame[:0], "cat", Path())
