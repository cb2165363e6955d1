"""Evidence beside redshifts: neighbours of known redshift, and what is unlike all of them."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import fitsio
import h5py
import numpy as np
import pytest
from astropy.units import Unit
from numpy.typing import NDArray

from photoz_ssl.config import EmbedConfig, PredictConfig
from photoz_ssl.errors import ArchiveError, PartError, PhotozError, SpecMismatchError
from photoz_ssl.neighbours.atlas import read_atlas
from photoz_ssl.progress import Stopped
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.archive_writer import create_archive
from photoz_ssl.survey.flags import RowFlag
from photoz_ssl.workflows.embed import embed
from photoz_ssl.workflows.predict import predict
from photoz_ssl.workflows.prediction.evidence import EVIDENCE_COLUMNS, N_NEIGHBOURS
from photoz_ssl.workflows.trained.inference import Predictor
from tests.conftest import toy_block
from tests.workflows.test_similar import save_model

NAMES = [column.name for column, _ in EVIDENCE_COLUMNS]


class Case:
    """A random model, an archive of 24 galaxies, and the atlas that the one makes of the other.

    With this seed no galaxy has its last neighbour as near as the next, but for rounding.
    """

    def __init__(self, folder: Path, archive: Path) -> None:
        self.folder, self.archive = folder, archive
        self.model = save_model(folder / "model.safetensors", 3)
        self.atlas = folder / "atlas.h5"
        embed(EmbedConfig(catalog=str(archive), output=self.atlas, model=self.model))

    def rows(self, **options: Any) -> NDArray[np.void]:
        self.notices(**options)
        return np.asarray(fitsio.read(self.folder / "redshifts.fits", ext="PHOTOZ"))

    def notices(self, **options: Any) -> tuple[str, ...]:
        output = self.folder / "redshifts.fits"
        settings: dict[str, Any] = {
            "catalog": str(self.archive),
            "output": str(output),
            "model": self.model,
            "neighbours": self.atlas,
            "overwrite": True,
        }
        return predict(PredictConfig(**(settings | options))).notices

    def copy(self) -> Path:
        return Path(shutil.copy(self.atlas, self.folder / "copy.h5"))


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory, tiny_archive: Path) -> Case:
    return Case(tmp_path_factory.mktemp("evidence"), tiny_archive)


@pytest.mark.parametrize("command", ["predict", "embed"])
def test_an_encoder_is_converted_before_images_are_read(
    command: str, case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, seen = Predictor.represent_later, []

    def noting(predictor: Predictor, images: NDArray[np.float32], ebv: Any) -> Any:
        seen.append(len(images))
        return begin(predictor, images, ebv)

    monkeypatch.setattr(Predictor, "represent_later", noting)
    if command == "predict":
        case.rows()
    else:
        output = tmp_path / "atlas.h5"
        embed(EmbedConfig(catalog=str(case.archive), output=output, model=case.model))
    assert seen == [1, 24]


def test_neighbours_are_those_of_a_plain_search_without_the_galaxy_itself(case: Case) -> None:
    rows, atlas = case.rows(), read_atlas(case.atlas)
    vectors = np.asarray(atlas.representations, np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)  # float16 leaves them not quite so
    block = toy_block()
    cosine = Predictor.load(case.model).represent(block.images, block.ebv) @ vectors.T
    np.fill_diagonal(cosine, -1)
    nearest = np.argsort(-cosine, axis=1)[:, :N_NEIGHBOURS]
    redshift = atlas.redshift[nearest].astype(float)
    assert (rows["NN_COUNT"] == N_NEIGHBOURS).all()
    np.testing.assert_allclose(rows["NN_Z_MEAN"], redshift.mean(axis=1), rtol=2e-3)
    np.testing.assert_allclose(rows["NN_Z_STD"], redshift.std(axis=1), rtol=2e-2)
    np.testing.assert_array_equal(rows["NN_ID"] == rows["OBJID"], False)
    by_id = dict(zip(atlas.object_id.tolist(), atlas.redshift.tolist(), strict=True))
    np.testing.assert_allclose(rows["NN_Z_SPEC"], [by_id[name] for name in rows["NN_ID"].tolist()])


def test_a_galaxy_of_another_id_is_known_by_its_place(case: Case) -> None:
    block = toy_block()
    block.object_id[:] += 5000
    path = case.folder / "renamed.h5"
    with create_archive(path, ImageSpec(), len(block)) as archive:
        archive.write(block)
    rows, full = case.rows(catalog=str(path)), case.rows()
    for name in NAMES:
        np.testing.assert_array_equal(rows[name], full[name])


def test_other_redshifts_in_the_atlas_are_not_gone_on_with(case: Case) -> None:
    path = case.copy()
    settings: dict[str, Any] = {
        "catalog": str(case.archive),
        "output": str(case.folder / "stopped.fits"),
        "model": case.model,
        "neighbours": path,
        "batch_size": 5,
    }
    with pytest.raises(Stopped):
        predict(PredictConfig(**settings), stop=lambda: True)
    with h5py.File(path, "r+") as file:
        file["specz_redshift"][7] += 0.001
    with pytest.raises(PartError, match="begun with another atlas of neighbours"):
        predict(PredictConfig(**settings, resume=True))


def test_without_ids_a_galaxy_s_own_redshift_does_not_stand_beside_it(case: Case) -> None:
    path = case.copy()
    with h5py.File(path, "r+") as file:
        file.attrs["has_ids"] = False
        file["ObjID"][:] = np.arange(24)
    rows, full = case.rows(neighbours=path), case.rows()
    np.testing.assert_array_equal(rows["NN_Z_SPEC"], full["NN_Z_SPEC"])
    np.testing.assert_array_equal(rows["NN_ID"], full["NN_ID"] - 1000)


def test_where_nothing_tells_a_galaxy_from_itself_one_notice_says_so(case: Case) -> None:
    path = case.copy()
    with h5py.File(path, "r+") as file:
        file.attrs["has_ids"] = False
    assert not any("its own neighbour" in notice for notice in case.notices(neighbours=path))
    with h5py.File(path, "r+") as file:
        file["ra"][:] = np.nan
    told = [notice for notice in case.notices(neighbours=path) if "its own neighbour" in notice]
    assert len(told) == 1


def test_percentiles_are_of_the_atlas_and_its_own_galaxies_are_usual(case: Case) -> None:
    rows = case.rows()
    for name in ("NOVELTY", "ODDITY"):
        assert rows[name].min() >= 0
        assert rows[name].max() <= 100
        assert 30 < np.median(rows[name]) < 70
    assert np.count_nonzero(rows["FLAGS"] & int(RowFlag.UNLIKE_ATLAS)) <= 1


def test_a_row_without_image_has_nulls_and_nonsense_is_flagged(case: Case) -> None:
    block = toy_block(4, seed=5)
    block.images[0, 3] = 1e-6  # no light, nor sky
    block.images[1] = 1e4 * np.random.default_rng(0).normal(size=block.images[1].shape)
    block.images[2] = np.nan
    block.flags[2] = int(RowFlag.NOT_FINITE)
    path = case.folder / "odd.h5"
    with create_archive(path, ImageSpec(), 4, overwrite=True) as archive:
        archive.write(block)
    rows = case.rows(catalog=str(path))
    unlike = rows["FLAGS"] & int(RowFlag.UNLIKE_ATLAS) != 0
    assert unlike[:2].all()
    assert not unlike[2]
    assert rows["NN_COUNT"][2] == 0
    assert rows["NN_ID"][2] == -1
    floats = [name for name in NAMES if rows.dtype[name].kind == "f"]
    assert all(np.isnan(rows[name][2]) for name in floats)


def test_columns_have_units_ucds_and_a_null(case: Case) -> None:
    case.rows()
    header = fitsio.read_header(case.folder / "redshifts.fits", ext="PHOTOZ")
    names = [header[f"TTYPE{number}"] for number in range(1, header["TFIELDS"] + 1)]
    assert names[-len(NAMES) :] == NAMES
    number = {name: 1 + names.index(name) for name in NAMES}
    assert all(header[f"TUCD{number[name]}"] and header[f"TCOMM{number[name]}"] for name in NAMES)
    assert header[f"TNULL{number['NN_ID']}"] == -1
    units = [header.get(f"TUNIT{column}", "") for column in range(1, len(names) + 1)]
    assert all(Unit(unit, format=form) is not None for unit in units for form in ("fits", "vounit"))
    assert header["NNATLAS"] == "atlas.h5"
    assert header["NNGALAX"] == 24


def test_only_galaxies_with_redshifts_are_neighbours(case: Case) -> None:
    path = case.copy()
    with h5py.File(path, "r+") as file:
        file["specz_redshift"][:20] = np.nan
    rows = case.rows(neighbours=path)
    assert set(rows["NN_ID"].tolist()) <= {1020, 1021, 1022, 1023}
    assert set(rows["NN_COUNT"].tolist()) == {3, 4}
    assert np.isfinite(rows["NN_Z_MEAN"]).all()


def test_an_atlas_without_descriptions_still_gives_the_neighbours(case: Case) -> None:
    path = case.copy()
    with h5py.File(path, "r+") as file:
        del file["looks"]
    rows, full = case.rows(neighbours=path), case.rows()
    np.testing.assert_array_equal(rows["NN_ID"], full["NN_ID"])
    np.testing.assert_array_equal(rows["NOVELTY"], full["NOVELTY"])


def test_the_same_rows_in_blocks_of_any_size(case: Case) -> None:
    one, other = case.rows(batch_size=24), case.rows(batch_size=5)
    one_galaxy = 100 / 24
    for name in NAMES:
        tolerance = 1.01 * one_galaxy if name in ("NOVELTY", "ODDITY") else 1e-4
        np.testing.assert_allclose(one[name], other[name], rtol=1e-3, atol=tolerance)


def test_without_neighbours_there_are_no_such_columns(case: Case) -> None:
    assert not set(NAMES) & set(case.rows(neighbours=None).dtype.names or ())


def spoil_redshifts(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["specz_redshift"][:] = np.nan


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def change_model(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["model_sha256"] = "ab" * 32


def change_bands(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        spec = dataclasses.replace(ImageSpec(), bands=("g", "r", "i"))
        file.attrs["spec"] = spec.to_json()


def change_scale(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["spec"] = dataclasses.replace(ImageSpec(), pixel_scale=0.2).to_json()


def change_looks(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file["looks"]
        file["looks"] = np.zeros((24, 3), "<f4")


@pytest.mark.parametrize(
    ("spoil", "kind", "sentence"),
    [
        (spoil_redshifts, ArchiveError, "no galaxy of the atlas .* has a spectroscopic redshift"),
        (truncate, ArchiveError, "not a readable atlas"),
        (change_model, SpecMismatchError, "not one of those that ship; make the atlas again"),
        (change_bands, SpecMismatchError, "bands"),
        (change_scale, SpecMismatchError, "pixel_scale"),
        (change_looks, ArchiveError, "describes images by 3 numbers"),
        (Path.unlink, ArchiveError, "there is no atlas"),
        (lambda path: path.write_bytes(b"no HDF5"), ArchiveError, "not a readable atlas"),
    ],
)
def test_an_atlas_that_does_not_fit_is_refused(
    case: Case, spoil: Any, kind: type[PhotozError], sentence: str
) -> None:
    path = case.copy()
    spoil(path)
    output = case.folder / "never.fits"
    with pytest.raises(kind, match=sentence):
        case.rows(neighbours=path, output=str(output))
    assert not output.exists()


def test_an_archive_is_no_atlas(case: Case) -> None:
    with pytest.raises(ArchiveError, match="representations"):
        case.rows(neighbours=case.archive)
