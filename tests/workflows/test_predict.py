"""Predicting: a row for each row, in order; NaN and a flag where there is no image."""

from __future__ import annotations

import dataclasses
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fitsio
import h5py
import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from photoz_ssl.config import EmbedConfig, MergeConfig, PredictConfig
from photoz_ssl.errors import CatalogError, CutoutError, OutputError, SpecMismatchError
from photoz_ssl.fields import COLUMN_STYLES
from photoz_ssl.later import Later
from photoz_ssl.redshift.estimates import PointEstimates
from photoz_ssl.redshift.grid import RedshiftGrid
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.blocks import GalaxyBlock, RowProblem
from photoz_ssl.survey.flags import FLAG_MEANINGS, RowFlag
from photoz_ssl.workflows.merge import merge
from photoz_ssl.workflows.predict import default_output, predict
from photoz_ssl.workflows.prediction import prediction_job
from photoz_ssl.workflows.prediction.column_names import NAMES
from photoz_ssl.workflows.prediction.redshift_table import lay_out
from photoz_ssl.workflows.searching import atlas_encoder
from photoz_ssl.workflows.trained import inference

GRID = RedshiftGrid()
DTYPE = np.dtype([("NAME", "S6"), ("OBJID", "i8"), ("RA", "f8"), ("DEC", "f8"), ("FLAGS", "i2")])


class StubSource:
    """A catalogue of n galaxies whose first pixel says which row they are."""

    def __init__(self, n_rows: int, broken: dict[int, RowFlag]) -> None:
        self.n_rows = n_rows
        self.broken = broken
        self.spec = ImageSpec()
        self.table_dtype = DTYPE
        self.column_cards = {"NAME": {"TUCD": "meta.id", "TCOMM": "A name"}}
        self.id_column, self.ra_column, self.dec_column = "OBJID", "RA", "DEC"
        self.notices = ("the sky is high",)
        self.dust: tuple[str, ...] = ()
        self.largest_block = 0

    def blocks(self, size: int, first: int = 0, stop: int | None = None) -> Iterator[GalaxyBlock]:
        self.dust = ("E(B-V) from column EBV",)
        end = self.n_rows if stop is None else stop
        for start in range(first, end, size):
            n = min(size, end - start)
            self.largest_block = max(self.largest_block, n)
            yield self._block(start, n)

    def _block(self, start: int, n: int) -> GalaxyBlock:
        row = start + np.arange(n)
        images = np.zeros((n, 5, 2, 2), np.float32)
        images[:, 0, 0, 0] = row
        table = np.zeros(n, DTYPE)
        table["OBJID"], table["RA"], table["FLAGS"] = 100 + row, row, -7
        flags = np.array([int(self.broken.get(int(number), 0)) for number in row], np.int32)
        unknown = np.full(n, np.nan, np.float32)
        return GalaxyBlock(
            start=start,
            object_id=table["OBJID"],
            ra=table["RA"],
            dec=table["DEC"],
            images=images,
            ebv=np.full(n, 0.03, np.float32),
            flags=flags,
            redshift=unknown,
            redshift_error=unknown,
            split=np.full(n, ""),
            table=table,
            problems=tuple(
                RowProblem(int(number), int(number), flag, f"stamp{number}.fits is bad")
                for number, flag in self.broken.items()
                if start <= number < start + n
            ),
        )


class StubPredictor:
    """Puts all of the probability of row k into bin k."""

    def __init__(self, spec: ImageSpec | None = None) -> None:
        self.name, self.sha256, self.device_name = "stub 1", "ab" * 32, "cpu"
        self.hardware = "a CPU"
        self.grid, self.spec = GRID, spec or ImageSpec()
        self.checkpoint = SimpleNamespace(provenance={"trained_on": "simulations: 12 galaxies"})
        self.seen, self.batch_size = 0, 256

    def notices(self, n_galaxies: int) -> tuple[str, ...]:
        return ()

    def pdf_later(
        self, images: NDArray[np.float32], ebv: NDArray[np.float32]
    ) -> Later[NDArray[np.float64]]:
        self.seen += len(images)
        row = images[:, 0, 0, 0]
        pdf = np.zeros((len(images), GRID.n_bins))
        pdf[np.arange(len(images)), np.nan_to_num(row).astype(int) % GRID.n_bins] = 1.0
        pdf[~np.isfinite(row)] = np.nan
        return lambda: pdf


class Stage:
    """Stubs in place of the sky and the network."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.monkeypatch, self.folder = monkeypatch, folder
        self.predictor = StubPredictor()
        self.source = StubSource(50, {})
        monkeypatch.setattr(prediction_job, "open_source", self._open)
        monkeypatch.setattr(prediction_job, "load_predictor", lambda config, n_rows: self.predictor)

    @contextmanager
    def _open(self, path: str, images: object, **options: Any) -> Iterator[StubSource]:
        yield self.source

    def run(self, *, read: bool = True, **options: Any) -> NDArray[np.void]:
        self.predictor.batch_size = options.get("batch_size", 256)
        self.report = predict(
            PredictConfig(catalog=str(self.folder / "cat.fits"), **options),
            command_line="photoz-ssl predict cat.fits",
        )
        rows = None if read else [0]
        return np.asarray(fitsio.read(self.report.output, ext="PHOTOZ", rows=rows))


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stage:
    return Stage(monkeypatch, tmp_path)


def test_the_network_is_given_the_batches_that_were_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: dict[str, object] = {}

    def load(*given: object, **options: object) -> SimpleNamespace:
        asked.update(options)
        return SimpleNamespace(warm_up=lambda: None)

    monkeypatch.setattr(inference.Predictor, "load", load)
    prediction_job.load_predictor(PredictConfig(catalog="cat.fits", batch_size=1000), 70)
    usual = {"precision": "auto", "n_views": 1}
    assert asked == {"batch_size": 1000, "n_galaxies": 70, **usual}
    atlas_encoder.load_encoder_model(
        None, EmbedConfig(catalog="cat.fits", output=tmp_path / "a.h5", batch_size=999), 0
    )
    assert asked == {"batch_size": 999, "kind": "encoder", "n_galaxies": 0, **usual}


@pytest.mark.parametrize("batch_size", [1, 7, 50, 1000])
def test_each_row_has_its_redshift_whatever_the_batch(stage: Stage, batch_size: int) -> None:
    table = stage.run(batch_size=batch_size)
    np.testing.assert_array_equal(table["OBJID"], 100 + np.arange(50))
    np.testing.assert_allclose(table["Z_PHOT_MEAN"], GRID.centres[:50], rtol=1e-6)
    np.testing.assert_allclose(table["EBV"], 0.03, rtol=1e-6)
    assert stage.source.largest_block == min(batch_size, 50)


def test_rows_without_an_image_are_nan_with_their_flag_and_in_place(stage: Stage) -> None:
    stage.source.broken = {3: RowFlag.WRONG_SHAPE, 20: RowFlag.IMAGE_MISSING}
    table = stage.run(batch_size=8)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(table["Z_PHOT_MEAN"])), [3, 20])
    assert table["FLAGS"][3] == RowFlag.WRONG_SHAPE
    assert table["FLAGS"][20] == RowFlag.IMAGE_MISSING
    assert stage.predictor.seen == 48
    assert (stage.report.n_rows, stage.report.n_redshifts) == (50, 48)
    assert any("row 4, stamp3.fits is bad" in notice for notice in stage.report.notices)


def test_harmless_flags_keep_their_redshift(stage: Stage) -> None:
    stage.source.broken = {3: RowFlag.COARSE_DUST_MAP, 4: RowFlag.NO_POSITION}
    table = stage.run()
    assert np.isfinite(table["Z_PHOT_MEAN"]).all()
    assert table["FLAGS"][3] == RowFlag.COARSE_DUST_MAP


def test_a_peak_at_an_end_of_the_grid_is_flagged(stage: Stage) -> None:
    stage.source.n_rows = GRID.n_bins
    edges = stage.run()["FLAGS"] & int(RowFlag.AT_GRID_EDGE) != 0
    np.testing.assert_array_equal(np.flatnonzero(edges), [0, GRID.n_bins - 1])


def test_more_dust_than_models_are_shown_is_flagged(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = stage.source._block

    def dusty(start: int, n: int) -> GalaxyBlock:
        block = plain(start, n)
        return dataclasses.replace(block, ebv=(block.table["OBJID"] / 200).astype(np.float32))

    monkeypatch.setattr(stage.source, "_block", dusty)
    stage.source.n_rows = 20
    flagged = stage.run()["FLAGS"] & int(RowFlag.HIGH_REDDENING) != 0
    np.testing.assert_array_equal(flagged, 100 + np.arange(20) > 100)
    assert stage.report.n_flagged == 20


def test_a_network_that_gives_nan_is_flagged(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = stage.predictor.pdf_later
    monkeypatch.setattr(
        stage.predictor,
        "pdf_later",
        lambda images, ebv: plain(np.where(images == 9, np.nan, images), ebv),
    )
    table = stage.run()
    assert np.isnan(table["Z_PHOT_MEAN"][9])
    assert table["FLAGS"][9] == RowFlag.NOT_FINITE


def test_without_a_single_image_there_is_no_table(stage: Stage, tmp_path: Path) -> None:
    stage.source.n_rows = 5
    stage.source.broken = dict.fromkeys(range(5), RowFlag.WRONG_SHAPE)
    with pytest.raises(CutoutError, match=r"first problem: stamp0\.fits is bad"):
        stage.run()
    assert not list(tmp_path.iterdir())


def test_without_a_single_image_nothing_is_sent(
    stage: Stage, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    stage.source.n_rows = 5
    stage.source.broken = dict.fromkeys(range(5), RowFlag.WRONG_SHAPE)
    with pytest.raises(CutoutError, match=r"first problem: stamp0\.fits is bad"):
        stage.run(output="-", batch_size=2)
    assert capsysbinary.readouterr().out == b""


def test_a_catalogue_without_rows_gives_a_table_without(
    stage: Stage, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    full = stage.run(pdf="hist", output=str(tmp_path / "full.fits"))
    stage.source.n_rows = 0
    table = stage.run(pdf="hist", output=str(tmp_path / "none.fits"))
    assert (len(table), table.dtype) == (0, full.dtype)
    assert stage.report.summary().startswith("photoz-ssl: 0 galaxies, so that the table has no")
    predict(PredictConfig(catalog=str(tmp_path / "cat.fits"), pdf="hist", output="-"))
    (tmp_path / "sent.fits").write_bytes(capsysbinary.readouterr().out)
    for name in ("none.fits", "sent.fits"):
        with fits.open(tmp_path / name, checksum=True) as hdus:
            assert [hdu.name for hdu in hdus[1:]] == ["PHOTOZ", "META", "DATA", "ANCIL"]
            assert [len(hdu.data) for hdu in hdus[1:]] == [0, 1, 0, 0]
    assert not list(tmp_path.glob("*.part"))


def test_shards_of_nothing_are_merged_into_nothing(stage: Stage, tmp_path: Path) -> None:
    stage.source.n_rows = 0
    for number in (1, 2):
        report = predict(PredictConfig(catalog=str(tmp_path / "cat.fits"), shard=f"{number}/2"))
        assert report.output.endswith(f".{number}-of-2.part")
    parts = tuple(str(path) for path in tmp_path.glob("*.part"))
    merge(MergeConfig(parts=parts, output=str(tmp_path / "z.fits")))
    assert len(fitsio.read(tmp_path / "z.fits", ext="PHOTOZ")) == 0


def test_images_of_another_kind_are_refused(stage: Stage, tmp_path: Path) -> None:
    stage.predictor = StubPredictor(ImageSpec(pixel_scale=0.2))
    with pytest.raises(SpecMismatchError, match="pixel_scale"):
        stage.run()
    assert not list(tmp_path.iterdir())


def test_an_existing_table_is_refused_before_anything_is_read(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cat.photoz.fits").write_text("precious")
    monkeypatch.delattr(prediction_job, "open_source")
    with pytest.raises(OutputError, match="--overwrite"):
        stage.run()


def test_carried_columns_come_first_and_ours_win(stage: Stage) -> None:
    names = stage.run().dtype.names or ()
    assert names[:5] == ("OBJID", "RA", "DEC", "NAME", "FLAGS_INPUT")
    assert names[-2:] == ("EBV", "FLAGS")
    assert any("FLAGS_INPUT" in notice for notice in stage.report.notices)


@pytest.mark.parametrize("style", NAMES)
def test_columns_have_the_names_of_a_community_and_mean_the_same(
    stage: Stage, tmp_path: Path, style: str
) -> None:
    ours = stage.run(keep_columns="none")
    theirs = stage.run(keep_columns="none", columns=style, overwrite=True)
    assert theirs.dtype.names == ("OBJID", "RA", "DEC", *NAMES[style].values(), "EBV", "FLAGS")
    for field, name in NAMES[style].items():
        np.testing.assert_array_equal(theirs[name], ours[NAMES["legacy"][field]])
    header = fits.getheader(tmp_path / "cat.photoz.fits", "PHOTOZ")
    assert header["ZPOINT"].startswith(f"{NAMES[style]['mean']},")
    assert header["TUCD4"] == "src.redshift.phot;stat.mean"
    assert NAMES[style]["u95"].removeprefix("Z_PHOT_") in header["ZINTERVL"]


@pytest.mark.parametrize("style", NAMES)
def test_rail_finds_the_mode_in_a_qp_file_of_any_style(
    stage: Stage, tmp_path: Path, style: str
) -> None:
    table = stage.run(columns=style)
    options: dict[str, Any] = {"columns": style, "output": str(tmp_path / "z.hdf5")}
    predict(PredictConfig(catalog=str(tmp_path / "cat.fits"), **options))
    with h5py.File(tmp_path / "z.hdf5") as file:
        for name in ("zmode", NAMES[style]["mode"]):
            np.testing.assert_allclose(file["ancil"][name], table[NAMES[style]["mode"]], rtol=1e-6)
    before = np.dtype([("zmode", "f4")])
    layout = lay_out(
        before, {}, keep="all", id_column=None, ra_column=None, dec_column=None, style=style
    )
    assert [column.column.name for column in layout.carried] == ["zmode_INPUT"]


def test_the_styles_are_those_the_command_offers_and_name_every_estimate() -> None:
    fields = {field.name for field in dataclasses.fields(PointEstimates)}
    assert tuple(NAMES) == COLUMN_STYLES
    for names in NAMES.values():
        assert set(names) == fields
        assert len({name.upper() for name in names.values()} | {"EBV", "FLAGS"}) == len(fields) + 2


def test_the_header_tells_the_whole_story(stage: Stage, tmp_path: Path) -> None:
    stage.run(keep_columns="none")
    header = fits.getheader(tmp_path / "cat.photoz.fits", "PHOTOZ")
    assert header["MODEL"] == "stub 1"
    assert header["MODELSHA"] == "ab" * 32
    assert header["MODELTRN"] == "simulations: 12 galaxies"
    assert header["DUSTMAP"] == "E(B-V) from column EBV"
    assert (header["ZGRIDMIN"], header["ZGRIDMAX"], header["ZGRIDN"]) == (0, 0.4, 180)
    assert header["COMMAND"] == "photoz-ssl predict cat.fits"
    assert header["INPUT"] == "cat.fits"
    for flag, meaning in FLAG_MEANINGS.items():
        card = f"FLAGB{int(flag).bit_length() - 1}"
        assert header[card] == meaning
        assert str(int(flag)) in header.comments[card]


def test_every_column_of_ours_has_a_ucd_and_a_description(stage: Stage, tmp_path: Path) -> None:
    stage.run(keep_columns="none")
    header = fits.getheader(tmp_path / "cat.photoz.fits", "PHOTOZ")
    for number in range(1, header["TFIELDS"] + 1):
        assert header[f"TUCD{number}"]
        assert header[f"TCOMM{number}"]
    assert header["TUNIT2"] == "deg"


def test_the_summary_is_one_line_that_names_model_and_training(stage: Stage) -> None:
    stage.source.broken = {3: RowFlag.WRONG_SHAPE}
    stage.run()
    summary = stage.report.summary()
    assert "\n" not in summary
    assert "49 redshifts of 50 rows (2 flagged)" in summary
    assert "model stub 1 (trained on simulations: 12 galaxies)" in summary
    assert "E(B-V) from column EBV" in summary
    assert "the sky is high" in stage.report.notices


def test_the_same_input_gives_the_same_bytes(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    stage.run(pdf="hist", batch_size=50)
    first = (tmp_path / "cat.photoz.fits").read_bytes()
    stage.run(pdf="hist", batch_size=6, overwrite=True)
    assert (tmp_path / "cat.photoz.fits").read_bytes() == first


def test_pdfs_follow_in_the_order_of_the_rows(stage: Stage, tmp_path: Path) -> None:
    stage.source.broken = {3: RowFlag.WRONG_SHAPE}
    stage.run(pdf="hist", batch_size=8)
    with fits.open(tmp_path / "cat.photoz.fits", checksum=True) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "PHOTOZ", "META", "DATA", "ANCIL"]
        density = hdus["DATA"].data["pdfs"]
        means = density @ (GRID.centres * GRID.width)
        np.testing.assert_allclose(means, hdus["PHOTOZ"].data["Z_PHOT_MEAN"], atol=1e-6)
        np.testing.assert_array_equal(hdus["ANCIL"].data["FLAGS"], hdus["PHOTOZ"].data["FLAGS"])


def test_quantiles_are_those_of_each_row_in_order(stage: Stage) -> None:
    stage.run(pdf="quantiles:4", batch_size=7)
    shares = np.array([0, 0.125, 0.375, 0.625, 0.875, 1])
    np.testing.assert_allclose(fitsio.read(stage.report.output, ext="META")["quants"][0], shares)
    found = fitsio.read(stage.report.output, ext="DATA")["locs"]
    expected = GRID.edges[:50, np.newaxis] + GRID.width * shares
    expected[:, 0] = 0  # below it lies nothing, as below all further ones up to the bin
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_memory_does_not_grow_with_the_catalogue(stage: Stage) -> None:
    def peak(n_rows: int) -> int:
        stage.source.n_rows = n_rows
        tracemalloc.start()
        stage.run(pdf="hist", batch_size=100, overwrite=True, read=False)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(200)
    assert peak(20_000) < 1.3 * peak(10_000)


def test_progress_counts_the_rows(stage: Stage, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []

    def listen(stage: str, done: int, total: int | None, /, **figures: float) -> None:
        told.append((done, total))

    config = PredictConfig(catalog=str(tmp_path / "cat.fits"), batch_size=20)
    stage.predictor.batch_size = 20
    predict(config, progress=listen)
    assert told == [(20, 50), (40, 50), (50, 50)]


@pytest.mark.parametrize(
    ("catalog", "expected"),
    [
        ("cat.fits", "cat.photoz.fits"),
        ("a/cat.fits.gz", "a/cat.photoz.fits"),
        ("a/b.c/cat.fit[1][R < 17.8 && NAME == 'x/y']", "a/b.c/cat.photoz.fits"),
        ("survey.h5", "survey.photoz.fits"),
        ("cat", "cat.photoz.fits"),
        ("cat.v2.fits.bz2", "cat.v2.photoz.fits"),
        ("https://example.org/data/cat.fits", "cat.photoz.fits"),
        ("-", "-"),
    ],
)
def test_the_table_goes_beside_the_catalogue(catalog: str, expected: str) -> None:
    assert default_output(catalog) == expected


@pytest.mark.parametrize("catalog", ["", "[1]", ".", "..", "/"])
def test_a_catalogue_without_a_name_is_told(catalog: str) -> None:
    with pytest.raises(CatalogError, match=r"no catalogue is named|no name of a cat"):
        default_output(catalog)


def test_the_report_is_frozen(stage: Stage) -> None:
    stage.run()
    with pytest.raises(dataclasses.FrozenInstanceError):
        stage.report.n_rows = 0  # type: ignore[misc]


def test_a_table_of_more_columns_than_fits_allows_is_refused_before_the_work(
    tiny_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_job, "MOST_COLUMNS", 5)
    settings: dict[str, Any] = {"catalog": str(tiny_archive), "device": "cpu"}
    with pytest.raises(OutputError, match=r"columns, and FITS allows 5; .*--keep-columns"):
        predict(PredictConfig(**settings, output=str(tmp_path / "z.fits")))
    assert list(tmp_path.iterdir()) == []
    predict(PredictConfig(**settings, output=str(tmp_path / "z.vot"), format="votable"))
    assert (tmp_path / "z.vot").exists()
