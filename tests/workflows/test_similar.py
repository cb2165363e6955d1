"""Looking for look-alikes: nobody is its own neighbour, and other models are refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from photoz_ssl.config import EmbedConfig, SimilarConfig
from photoz_ssl.errors import ArchiveError, ConfigError, CutoutError, OutputError, SpecMismatchError
from photoz_ssl.networks.checkpoint import Checkpoint, save_checkpoint
from photoz_ssl.networks.encoder import PRESETS, build_encoder
from photoz_ssl.networks.redshift_head import RedshiftNetwork
from photoz_ssl.redshift.calibration import Calibration
from photoz_ssl.redshift.grid import RedshiftGrid
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.archive import create_archive, open_archive
from photoz_ssl.survey.flags import RowFlag
from photoz_ssl.workflows.embed import embed
from photoz_ssl.workflows.similar import EXTNAME, SimilarReport, similar

PNG = b"\x89PNG\r\n"


def save_model(path: Path, seed: int) -> Path:
    """A small random redshift model."""
    torch.manual_seed(seed)
    config = dataclasses.replace(PRESETS["resnet18-compact"], width=0.125)
    grid = RedshiftGrid()
    network = RedshiftNetwork(build_encoder(config), grid.n_bins)
    model = Checkpoint(
        kind="photoz",
        spec=ImageSpec(),
        encoder=config,
        state=network.state_dict(),
        grid=grid,
        calibration=Calibration(),
        provenance={"name": f"random {seed}"},
    )
    save_checkpoint(path, model, overwrite=False)
    return path


class Search:
    """A model, an archive, and the atlas that the one makes of the other."""

    def __init__(self, folder: Path, archive: Path) -> None:
        self.folder, self.archive = folder, archive
        self.model = save_model(folder / "model.safetensors", 0)
        self.atlas = folder / "atlas.h5"
        embed(EmbedConfig(catalog=str(archive), output=self.atlas, model=self.model))
        self.output = folder / "neighbours.fits"

    def report(self, **options: Any) -> SimilarReport:
        settings: dict[str, Any] = {
            "queries": str(self.archive),
            "among": self.atlas,
            "output": str(self.output),
            "model": self.model,
        }
        return similar(SimilarConfig(**(settings | options)))

    def rows(self, **options: Any) -> NDArray[np.void]:
        self.report(overwrite=True, **options)
        return np.asarray(fitsio.read(self.output, ext=EXTNAME))


@pytest.fixture
def search(tmp_path: Path, tiny_archive: Path) -> Search:
    return Search(tmp_path, tiny_archive)


def changed(archive_path: Path, path: Path, **fields: Any) -> Path:
    """The archive with other values in some fields of its galaxies."""
    archive = open_archive(archive_path)
    block = dataclasses.replace(archive.block(slice(0, len(archive))), **fields)
    with create_archive(path, archive.spec, len(archive)) as writer:
        writer.write(block)
    return path


def test_k_neighbours_a_query_closest_first(search: Search) -> None:
    rows = search.rows(n_neighbours=3)
    assert len(rows) == 24 * 3
    np.testing.assert_array_equal(rows["QUERY_ROW"], np.repeat(np.arange(24), 3))
    np.testing.assert_array_equal(rows["RANK"], np.tile([1, 2, 3], 24))
    by_query = rows["SIMILARITY"].reshape(24, 3)
    assert (np.diff(by_query, axis=1) <= 0).all()
    assert (np.abs(by_query) <= 1).all()


def test_a_galaxy_is_not_its_own_neighbour(search: Search) -> None:
    rows = search.rows(n_neighbours=100)
    assert len(rows) == 24 * 23
    assert (rows["QUERY_ID"] != rows["NEIGHBOUR_ID"]).all()


def test_the_same_image_by_another_name_is_found_first(search: Search) -> None:
    renamed = changed(
        search.archive, search.folder / "renamed.h5", object_id=np.arange(24, dtype=np.int64)
    )
    rows = search.rows(queries=str(renamed), n_neighbours=1)
    np.testing.assert_array_equal(rows["NEIGHBOUR_ID"], 1000 + rows["QUERY_ID"])
    np.testing.assert_allclose(rows["SIMILARITY"], 1, atol=2e-4)  # vectors of float16


def test_a_neighbour_has_its_own_position_and_redshift(search: Search) -> None:
    rows, archive = search.rows(n_neighbours=2), open_archive(search.archive)
    place = np.searchsorted(archive.object_id, rows["NEIGHBOUR_ID"])
    np.testing.assert_array_equal(rows["RA"], archive.ra[place])
    np.testing.assert_array_equal(rows["DEC"], archive.dec[place])
    np.testing.assert_array_equal(rows["Z_SPEC"], archive.redshift[place])


def test_an_archive_is_searched_like_its_atlas(search: Search) -> None:
    of_atlas = search.rows(n_neighbours=4)
    of_archive = search.rows(n_neighbours=4, among=search.archive)
    for name in of_atlas.dtype.names or ():
        np.testing.assert_array_equal(of_atlas[name], of_archive[name])


def test_the_batch_size_does_not_change_who_is_found(search: Search) -> None:
    small, large = (search.rows(n_neighbours=4, batch_size=size) for size in (5, 256))
    np.testing.assert_allclose(small["SIMILARITY"], large["SIMILARITY"], atol=1e-5)
    np.testing.assert_array_equal(small["QUERY_ID"], large["QUERY_ID"])


def test_a_query_without_image_has_no_neighbours(search: Search) -> None:
    flags = np.zeros(24, np.int32)
    flags[3] = int(RowFlag.IMAGE_DAMAGED)
    queries = changed(search.archive, search.folder / "damaged.h5", flags=flags)
    report = search.report(queries=str(queries), n_neighbours=2)
    rows = fitsio.read(search.output, ext=EXTNAME)
    assert set(range(24)) - set(rows["QUERY_ROW"].tolist()) == {3}
    assert report.n_without == 1
    assert "1 of 24 queries have no usable image" in " ".join(report.notices)


def test_without_any_query_nothing_is_written(search: Search) -> None:
    flags = np.full(24, int(RowFlag.IMAGE_DAMAGED), np.int32)
    queries = changed(search.archive, search.folder / "damaged.h5", flags=flags)
    with pytest.raises(CutoutError, match="no row of"):
        search.report(queries=str(queries))
    assert not search.output.exists()


def test_an_atlas_of_another_model_is_refused(search: Search) -> None:
    other = save_model(search.folder / "other.safetensors", 1)
    with pytest.raises(SpecMismatchError, match="was made by the model random 0"):
        search.report(model=other)


def test_a_missing_atlas_is_one_sentence(search: Search) -> None:
    with pytest.raises(ArchiveError, match="there is no atlas"):
        search.report(among=search.folder / "nowhere.h5")


def test_an_existing_table_is_refused(search: Search) -> None:
    search.output.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        search.report()
    assert search.output.read_bytes() == b"mine"


def test_the_mosaic_is_a_picture(search: Search) -> None:
    pytest.importorskip("matplotlib")
    mosaic = search.folder / "alike.png"
    report = search.report(mosaic=mosaic, n_neighbours=2)
    assert mosaic.read_bytes().startswith(PNG)
    assert "the mosaic shows the first 20 queries" in report.notices


def test_a_mosaic_of_another_kind_is_refused(search: Search) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(ConfigError, match="not named"):
        search.report(mosaic=search.folder / "alike.txt")
    assert not search.output.exists()
