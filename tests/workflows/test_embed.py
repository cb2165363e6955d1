"""Embedding: a row for each row, unit vectors, NaN where there is no image."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any, Protocol

import h5py
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from photoz_ssl.config import EmbedConfig, MergeConfig, SimilarConfig
from photoz_ssl.errors import (
    ArchiveError,
    ConfigError,
    CutoutError,
    OutputError,
    PartError,
    SpecMismatchError,
)
from photoz_ssl.neighbours.atlas import read_atlas
from photoz_ssl.neighbours.atlas_writer import create_atlas
from photoz_ssl.neighbours.map import map_path
from photoz_ssl.networks.checkpoint import Checkpoint, save_checkpoint
from photoz_ssl.networks.encoder import PRESETS, build_encoder
from photoz_ssl.networks.redshift_head import RedshiftNetwork
from photoz_ssl.progress import Stopped
from photoz_ssl.redshift.calibration import Calibration
from photoz_ssl.redshift.grid import RedshiftGrid
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.archive import open_archive
from photoz_ssl.survey.archive_writer import create_archive
from photoz_ssl.survey.flags import RowFlag
from photoz_ssl.survey.tables.json_lines import fields_of, line_of
from photoz_ssl.workflows.embed import embed
from photoz_ssl.workflows.jobs.part_work import unfinished_part
from photoz_ssl.workflows.jobs.shards import EMPTY_SHARD
from photoz_ssl.workflows.merge import merge
from photoz_ssl.workflows.pictures.thumbnails import thumbnails
from photoz_ssl.workflows.similar import similar
from photoz_ssl.workflows.trained.inference import Predictor
from tests.processes import forked_workers


class MakeModel(Protocol):
    def __call__(self, seed: int = 0, spec: ImageSpec = ...) -> Path: ...


@pytest.fixture
def make_model(tmp_path: Path) -> MakeModel:
    """Small random redshift models, by seed."""

    def make(seed: int = 0, spec: ImageSpec = ImageSpec()) -> Path:  # noqa: B008
        torch.manual_seed(seed)
        config = dataclasses.replace(PRESETS["resnet18-compact"], width=0.125)
        grid = RedshiftGrid()
        network = RedshiftNetwork(build_encoder(config), grid.n_bins)
        path = tmp_path / f"model{seed}.safetensors"
        model = Checkpoint(
            kind="photoz",
            spec=spec,
            encoder=config,
            state=network.state_dict(),
            grid=grid,
            calibration=Calibration(),
            provenance={"name": f"random {seed}"},
        )
        save_checkpoint(path, model, overwrite=True)
        return path

    return make


def flagged_copy(archive_path: Path, path: Path, rows: list[int]) -> Path:
    """The archive with some rows flagged as damaged."""
    archive = open_archive(archive_path)
    block = archive.block(slice(0, len(archive)))
    flags = block.flags.copy()
    flags[rows] |= int(RowFlag.IMAGE_DAMAGED)
    with create_archive(path, archive.spec, len(archive)) as writer:
        writer.write(dataclasses.replace(block, flags=flags))
    return path


def test_a_row_for_each_row_in_order(
    tiny_archive: Path, tmp_path: Path, make_model: MakeModel
) -> None:
    output = tmp_path / "atlas.h5"
    report = embed(EmbedConfig(catalog=str(tiny_archive), output=output, model=make_model()))
    atlas, archive = read_atlas(output), open_archive(tiny_archive)
    assert (report.n_rows, report.n_represented) == (24, 24)
    np.testing.assert_array_equal(atlas.object_id, archive.object_id)
    np.testing.assert_array_equal(atlas.ra, archive.ra)
    np.testing.assert_array_equal(atlas.redshift, archive.redshift)
    lengths = np.linalg.norm(atlas.representations.astype(np.float64), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=2e-4)  # vectors of float16
    assert atlas.header.has_ids
    assert not any("left out" in notice for notice in report.notices)
    assert "24 of 24 galaxies" in report.summary()


def test_an_integer_that_stands_for_no_value_is_nan(
    tiny_archive: Path, tmp_path: Path, make_model: MakeModel
) -> None:
    path, output = tmp_path / "nulls.h5", tmp_path / "atlas.h5"
    shutil.copy(tiny_archive, path)
    with h5py.File(path, "a") as file:
        for name, kind in (("COUNT", "i4"), ("LARGE", "i8"), ("WHOLE", "i2")):
            column = file.create_dataset(f"columns/{name}", data=np.arange(24, dtype=kind))
            if name != "WHOLE":
                column.attrs["null"] = 3
    embed(EmbedConfig(catalog=str(path), output=output, model=make_model()))
    atlas = read_atlas(output)
    expected = np.where(np.arange(24) == 3, np.nan, np.arange(24))
    np.testing.assert_array_equal(atlas.column("COUNT"), expected)
    for name, kind in (("LARGE", "i8"), ("WHOLE", "i2")):
        assert atlas.column(name).dtype == kind
        np.testing.assert_array_equal(atlas.column(name), np.arange(24))


def test_the_same_input_gives_the_same_bytes(
    tiny_archive: Path, tmp_path: Path, make_model: MakeModel
) -> None:
    model = make_model()
    first, second = tmp_path / "a.h5", tmp_path / "b.h5"
    for output in (first, second):
        embed(EmbedConfig(catalog=str(tiny_archive), output=output, model=model))
    assert first.read_bytes() == second.read_bytes()


def test_the_batch_size_does_not_matter(
    tiny_archive: Path, tmp_path: Path, make_model: MakeModel
) -> None:
    model = make_model()
    vectors = []
    for size in (7, 256):
        output = tmp_path / f"{size}.h5"
        embed(EmbedConfig(catalog=str(tiny_archive), output=output, model=model, batch_size=size))
        vectors.append(read_atlas(output).representations)
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)


def test_a_row_without_image_is_nan_and_counted(
    tiny_archive: Path, tmp_path: Path, make_model: MakeModel
) -> None:
    catalog = flagged_copy(tiny_archive, tmp_path / "damaged.h5", [0, 5])
    output = tmp_path / "atlas.h5"
    report = embed(EmbedConfig(catalog=str(catalog), output=output, model=make_model()))
    missing = np.isnan(read_atlas(output).representations).all(axis=1)
    assert np.flatnonzero(missing).tolist() == [0, 5]
    assert any("2 of 24 rows have no usable image" in notice for notice in report.notices)


def test_pixels_too_bright_for_the_network_are_no_image(
    tiny_archive: Path, tmp_path: Path, make_model: MakeModel
) -> None:
    catalog = Path(shutil.copy(tiny_archive, tmp_path / "bright.h5"))
    with h5py.File(catalog, "r+") as file:
        file["images"][3, 2] = 3e38  # sums of these are infinite, and a warning is an error here
    output = tmp_path / "atlas.h5"
    embed(EmbedConfig(catalog=str(catalog), output=output, model=make_model()))
    assert np.flatnonzero(np.isnan(read_atlas(output).representations[:, 0])).tolist() == [3]


def test_without_any_image_nothing_is_written(
    tiny_archive: Path, tmp_path: Path, make_model: MakeModel
) -> None:
    catalog = flagged_copy(tiny_archive, tmp_path / "damaged.h5", list(range(24)))
    output = tmp_path / "atlas.h5"
    with pytest.raises(CutoutError, match="no row of"):
        embed(EmbedConfig(catalog=str(catalog), output=output, model=make_model()))
    assert not output.exists()


def test_an_existing_atlas_is_refused(
    tiny_archive: Path, tmp_path: Path, make_model: MakeModel
) -> None:
    output = tmp_path / "atlas.h5"
    output.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        embed(EmbedConfig(catalog=str(tiny_archive), output=output, model=make_model()))
    assert output.read_bytes() == b"mine"


def test_a_model_for_other_images_is_refused(
    tiny_archive: Path, tmp_path: Path, make_model: MakeModel
) -> None:
    model = make_model(spec=ImageSpec(pixel_scale=0.2))
    with pytest.raises(SpecMismatchError, match="pixel_scale"):
        embed(EmbedConfig(catalog=str(tiny_archive), output=tmp_path / "a.h5", model=model))


def test_a_projection_is_stored_and_is_that_of_the_representations(
    tiny_archive: Path, tmp_path: Path, make_model: MakeModel
) -> None:
    options = EmbedConfig(
        catalog=str(tiny_archive), output=tmp_path / "a.h5", model=make_model(), vectors="float32"
    )
    embed(options)
    report = embed(dataclasses.replace(options, output=tmp_path / "b.h5", dim=5, whiten=True))
    again = dataclasses.replace(
        options, catalog=str(tmp_path / "a.h5"), output=tmp_path / "c.h5", dim=5, whiten=True
    )
    embed(again)
    whole, small, of_atlas = (read_atlas(tmp_path / name) for name in ("a.h5", "b.h5", "c.h5"))
    assert (report.n_rows, report.n_features) == (24, 5)
    assert small.projection is not None
    expected = small.projection.apply(whole.representations)
    np.testing.assert_array_equal(small.representations, expected)
    assert small.fingerprint == of_atlas.fingerprint
    np.testing.assert_array_equal(small.thumbnails(np.arange(3)), whole.thumbnails(np.arange(3)))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("a.h5", "b.h5", "c.h5", "model0.safetensors")
    ]
    with pytest.raises(ConfigError, match="is projected already"):
        embed(dataclasses.replace(again, catalog=str(tmp_path / "b.h5"), output=tmp_path / "d.h5"))
    with pytest.raises(ConfigError, match="--dim 500 is more than the 64 numbers"):
        embed(dataclasses.replace(options, output=tmp_path / "d.h5", dim=500))
    assert not (tmp_path / "d.h5").exists()


def test_parts_are_joined_to_what_was_embedded_at_once(
    tiny_archive: Path, tmp_path: Path, make_model: MakeModel
) -> None:
    model, archive = make_model(), open_archive(tiny_archive)
    for number, rows in enumerate((slice(0, 10), slice(10, 24))):
        block = dataclasses.replace(archive.block(rows), start=0)
        with create_archive(tmp_path / "part.h5", archive.spec, len(block), overwrite=True) as part:
            part.write(block)
        options = EmbedConfig(
            catalog=str(tmp_path / "part.h5"), output=tmp_path / f"atlas-{number}.h5", model=model
        )
        embed(options)
        for kind in ("index", "map"):
            (tmp_path / f"atlas-{number}.{kind}.h5").write_text("lies beside the atlas")
    report = embed(EmbedConfig(catalog=str(tmp_path / "atlas-*.h5"), output=tmp_path / "joined.h5"))
    embed(EmbedConfig(catalog=str(tiny_archive), output=tmp_path / "whole.h5", model=model))
    joined, whole = read_atlas(tmp_path / "joined.h5"), read_atlas(tmp_path / "whole.h5")
    np.testing.assert_array_equal(joined.object_id, whole.object_id)
    np.testing.assert_allclose(joined.representations, whole.representations, atol=2e-3)
    np.testing.assert_array_equal(joined.thumbnails(np.arange(24)), whole.thumbnails(np.arange(24)))
    assert "24 of 24 galaxies" in report.summary()


def test_joined_atlases_have_the_columns_that_all_have(
    tiny_archive: Path, tmp_path: Path, make_model: MakeModel
) -> None:
    model, paths = make_model(), [tmp_path / "one.h5", tmp_path / "two.h5"]
    kinds = [
        {"N": "i4", "Z": "f4", "NAME": "S3", "ONE": "f4", "MIXED": "f4"},
        {"NAME": "S5", "N": "f8", "Z": "f4", "TWO": "i2", "MIXED": "S2"},
    ]
    for path, columns in zip(paths, kinds, strict=True):
        shutil.copy(tiny_archive, path)
        with h5py.File(path, "a") as file:
            for name, kind in columns.items():
                file[f"columns/{name}"] = np.arange(24).astype(kind)
        embed(EmbedConfig(catalog=str(path), output=path.with_suffix(".atlas"), model=model))
    report = embed(EmbedConfig(catalog=str(tmp_path / "*.atlas"), output=tmp_path / "joined.h5"))
    (notice,) = report.notices
    assert notice.endswith("that not all of these atlases have: MIXED, ONE, TWO")
    atlas = read_atlas(tmp_path / "joined.h5")
    own = read_atlas(paths[0].with_suffix(".atlas")).columns.keys() - kinds[0].keys()
    assert atlas.columns.keys() == own | {"N", "Z", "NAME"}
    np.testing.assert_array_equal(atlas.column("N"), np.tile(np.arange(24), 2))
    assert atlas.column("NAME").dtype == "S5"
    assert atlas.column("NAME")[[3, 47]].tolist() == [b"3", b"23"]


def test_parts_by_different_models_are_not_joined(
    tiny_archive: Path, tmp_path: Path, make_model: MakeModel
) -> None:
    for seed in (0, 1):
        output = tmp_path / f"atlas-{seed}.h5"
        embed(EmbedConfig(catalog=str(tiny_archive), output=output, model=make_model(seed)))
    joined = EmbedConfig(catalog=str(tmp_path / "atlas-*.h5"), output=tmp_path / "joined.h5")
    with pytest.raises(SpecMismatchError, match="differ in their model"):
        embed(joined)
    assert not (tmp_path / "joined.h5").exists()


def test_an_index_is_built_with_the_atlas_or_later(
    tiny_archive: Path, tmp_path: Path, make_model: MakeModel
) -> None:
    pytest.importorskip("faiss", reason="the extra [search] is not installed")
    path = tmp_path / "atlas.h5"
    options = EmbedConfig(catalog=str(tiny_archive), output=path, model=make_model(), index="ivf")
    first = embed(options)
    assert first.index is not None
    assert first.index.recall is None
    assert len(first.summary().splitlines()) == 2
    with pytest.raises(OutputError, match=r"atlas\.index\.h5 exists already"):
        embed(dataclasses.replace(options, output=None, catalog=str(path)))
    later = EmbedConfig(catalog=str(path), index="ivf", recall=True, overwrite=True)
    report = embed(later)
    assert "of the ten nearest of 24 galaxies found" in report.summary()
    assert len(report.summary().splitlines()) == 1
    measured = embed(EmbedConfig(catalog=str(path), recall=True))
    assert measured.index is not None
    assert measured.index.n_lists == report.index.n_lists if report.index else None
    with pytest.raises(ConfigError, match="makes another atlas"):
        embed(dataclasses.replace(later, dim=3))
    (tmp_path / "atlas.index.h5").unlink()
    with pytest.raises(ArchiveError, match="has no index"):
        embed(EmbedConfig(catalog=str(path), recall=True))


def test_an_atlas_needs_a_name(tiny_archive: Path) -> None:
    with pytest.raises(ConfigError, match="nothing to write to"):
        embed(EmbedConfig(catalog=str(tiny_archive)))


def test_thumbnails_can_be_left_out(
    tiny_archive: Path, tmp_path: Path, make_model: MakeModel
) -> None:
    output = tmp_path / "atlas.h5"
    options = EmbedConfig(
        catalog=str(tiny_archive), output=output, model=make_model(), thumbnails=False
    )
    embed(options)
    with h5py.File(output) as file:
        assert "thumbnails" not in file


def test_a_map_is_made_with_an_atlas_or_for_one(
    tiny_archive: Path, tmp_path: Path, make_model: MakeModel
) -> None:
    output = tmp_path / "atlas.h5"
    config = EmbedConfig(catalog=str(tiny_archive), output=output, model=make_model(), map=True)
    report = embed(config)
    assert report.mapped == map_path(output)
    assert report.summary().endswith(f"photoz-ssl: map of 24 galaxies → {map_path(output)}")
    before = output.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        embed(EmbedConfig(catalog=str(output), map=True))
    report = embed(EmbedConfig(catalog=str(output), map=True, overwrite=True))
    assert not report.written
    assert output.read_bytes() == before
    with pytest.raises(ConfigError, match="nothing to write"):
        embed(EmbedConfig(catalog=str(output)))


def flat(values: tuple[float, ...], size: int = 64) -> NDArray[np.float32]:
    image = np.array(values, np.float32)[:, np.newaxis, np.newaxis]
    return np.broadcast_to(image, (5, size, size))[np.newaxis].copy()


def test_a_picture_is_red_where_i_is_brightest() -> None:
    picture = thumbnails(flat((0.0, 0.1, 0.5, 2.0, 2.0)), np.zeros(1))[0]
    red, green, blue = picture[32, 32]
    assert red > green > blue > 0


def test_dust_is_taken_out_of_pictures() -> None:
    image = flat((0.3, 0.3, 0.3, 0.3, 0.3))
    clear, dusty = (thumbnails(image, np.array([ebv]))[0, 0, 0] for ebv in (0.0, 0.5))
    assert dusty[2] > clear[2]
    assert int(dusty[2]) - int(dusty[0]) > int(clear[2]) - int(clear[0])


def test_heavy_dust_does_not_make_a_picture_of_noise() -> None:
    image = flat((0.3, 0.3, 0.3, 0.3, 0.3))
    half, four = (thumbnails(image, np.array([ebv])) for ebv in (0.5, 4.0))
    np.testing.assert_array_equal(half, four)


def test_a_picture_shows_the_central_pixels() -> None:
    stamp = flat((0.0, 0.0, 0.0, 0.0, 0.0), size=107)
    stamp[:, :, 107 // 2, 107 // 2] = 5.0
    picture = thumbnails(stamp, np.zeros(1))[0]
    assert np.argwhere(picture.any(axis=-1)).tolist() == [[32, 32]]


def test_an_empty_stamp_is_black() -> None:
    assert not thumbnails(flat((0.0, 0.0, 0.0, 0.0, 0.0)), np.array([np.nan])).any()


def embedding(archive: Path, model: Path, output: Path, **options: Any) -> EmbedConfig:
    values = {"batch_size": 5, "model": model, "device": "cpu", **options}
    return EmbedConfig(catalog=str(archive), output=output, **values)


@pytest.fixture
def whole(tiny_archive: Path, tmp_path: Path, make_model: MakeModel) -> bytes:
    """The atlas of an uninterrupted run."""
    embed(embedding(tiny_archive, make_model(), tmp_path / "whole.h5"))
    assert not list(tmp_path.glob("*.part"))
    return (tmp_path / "whole.h5").read_bytes()


@pytest.mark.parametrize("n_blocks", [1, 3])
def test_a_run_that_was_stopped_goes_on(
    n_blocks: int, tiny_archive: Path, tmp_path: Path, make_model: MakeModel, whole: bytes
) -> None:
    done: list[int] = []

    def stop() -> bool:
        done.append(1)
        return len(done) == n_blocks

    output, model = tmp_path / "a.h5", make_model()
    with pytest.raises(Stopped):
        embed(embedding(tiny_archive, model, output), stop=stop)
    assert not output.exists()
    kept = unfinished_part(str(output), embedding(tiny_archive, model, output))
    assert kept == tmp_path / "a.h5.part"
    embed(embedding(tiny_archive, model, output, resume=True))
    assert output.read_bytes() == whole
    assert not (tmp_path / "a.h5.part").exists()


def test_merged_shards_are_the_single_run(
    tiny_archive: Path, tmp_path: Path, make_model: MakeModel, whole: bytes
) -> None:
    output, model = tmp_path / "a.h5", make_model()
    parts = [
        str(embed(embedding(tiny_archive, model, output, shard=f"{number}/3")).output)
        for number in (2, 1, 3)
    ]
    report = merge(MergeConfig(parts=tuple(parts), output=str(output)))
    assert "24 representations of 24 rows in 3 parts" in report.summary()
    assert output.read_bytes() == whole
    with pytest.raises(PartError, match="in none of the parts"):
        merge(MergeConfig(parts=tuple(parts[:2]), output=str(tmp_path / "b.h5")))
    with pytest.raises(ConfigError, match="no table for standard output"):
        merge(MergeConfig(parts=tuple(parts), output="-"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"--vectors": "float16"', '"--vectors": "S"'),
        ('"name of the model"', '"nobody"'),
        ('["looks", ', '["books", '),
        ('"kind of images": "{', '"kind of images": "'),
    ],
)
def test_a_forged_part_of_an_atlas_is_refused(
    old: str, new: str, tiny_archive: Path, tmp_path: Path, make_model: MakeModel
) -> None:
    config = embedding(tiny_archive, make_model(), tmp_path / "a.h5", shard="1/1")
    part = Path(embed(config).output)
    magic, manifest, blocks = part.read_bytes().split(b"\n", 2)
    text = json.dumps(fields_of(manifest + b"\n"))
    assert old in text
    forged = line_of(json.loads(text.replace(old, new)))
    part.write_bytes(magic + b"\n" + forged + blocks)
    with pytest.raises(PartError, match="is no part of an atlas"):
        merge(MergeConfig(parts=(str(part),), output=str(tmp_path / "b.h5")))


def test_representations_of_different_hardware_are_joined_and_told(
    tiny_archive: Path, tmp_path: Path, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, model = tmp_path / "a.h5", make_model()
    parts = []
    for number in (1, 2):
        monkeypatch.setattr(Predictor, "hardware", f"GPU {number}")
        report = embed(embedding(tiny_archive, model, output, shard=f"{number}/2"))
        assert not any("GPU" in notice for notice in report.notices)
        parts.append(str(report.output))
    (notice,) = merge(MergeConfig(parts=tuple(parts), output=str(output))).notices
    assert notice.startswith("the rows were computed on GPU 1 and GPU 2")
    with pytest.raises(Stopped):
        embed(embedding(tiny_archive, model, tmp_path / "c.h5"), stop=lambda: True)
    monkeypatch.setattr(Predictor, "hardware", "GPU 3")
    report = embed(embedding(tiny_archive, model, tmp_path / "c.h5", resume=True))
    assert report.notices[-1].startswith("the rows were computed on GPU 2 and GPU 3")


def test_a_shard_without_rows_names_no_file(
    tiny_archive: Path, tmp_path: Path, make_model: MakeModel
) -> None:
    report = embed(embedding(tiny_archive, make_model(), tmp_path / "a.h5", shard="1/500"))
    assert report.summary() == EMPTY_SHARD
    assert not report.output.exists()


def test_dask_workers_give_the_single_run(
    tiny_archive: Path, tmp_path: Path, make_model: MakeModel, whole: bytes
) -> None:
    pytest.importorskip("distributed", reason="Dask (extra [dask]) is not installed")
    with forked_workers():
        embed(embedding(tiny_archive, make_model(), tmp_path / "a.h5", dask="local:1"))
    assert (tmp_path / "a.h5").read_bytes() == whole


def test_too_many_components_are_told_before_the_first_block(
    tiny_archive: Path, tmp_path: Path, make_model: MakeModel
) -> None:
    def stop() -> bool:
        raise AssertionError("a block was computed")

    with pytest.raises(ConfigError, match="--dim 25 is more than the 24 galaxies"):
        embed(embedding(tiny_archive, make_model(), tmp_path / "a.h5", dim=25), stop=stop)
    assert not list(tmp_path.glob("a.h5*"))


def test_what_is_of_all_rows_does_not_go_with_a_shard(tiny_archive: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="of all rows"):
        EmbedConfig(catalog=str(tiny_archive), output=tmp_path / "a.h5", shard="1/2", dim=4)


@pytest.mark.parametrize("n_galaxies", [0, 3])
def test_an_atlas_without_representations_is_refused(
    n_galaxies: int, tiny_archive: Path, tmp_path: Path, make_model: MakeModel
) -> None:
    embed(embedding(tiny_archive, make_model(), tmp_path / "a.h5"))
    header, path = read_atlas(tmp_path / "a.h5").header, tmp_path / "empty.h5"
    with create_atlas(path, header, n_galaxies) as writer:
        nothing = np.full(n_galaxies, np.nan, np.float32)
        writer.append(
            object_id=np.zeros(n_galaxies, np.int64),
            ra=nothing.astype(np.float64),
            dec=nothing.astype(np.float64),
            redshift=nothing,
            representations=np.full((n_galaxies, 4), np.nan, np.float32),
        )
    query = SimilarConfig(among=path, most_unusual=1, output=str(tmp_path / "out.fits"))
    for ask in (
        lambda: embed(EmbedConfig(catalog=str(path), index="ivf")),
        lambda: embed(EmbedConfig(catalog=str(path), map=True)),
        lambda: similar(query),
    ):
        with pytest.raises(ArchiveError, match="is empty"):
            ask()


def test_a_projected_run_that_was_stopped_goes_on_too(
    tiny_archive: Path, tmp_path: Path, make_model: MakeModel
) -> None:
    options: dict[str, Any] = {"model": make_model(), "dim": 4, "whiten": True}
    embed(embedding(tiny_archive, output=tmp_path / "whole.h5", **options))
    cut = embedding(tiny_archive, output=tmp_path / "cut.h5", **options)
    with pytest.raises(Stopped):
        embed(cut, stop=lambda: True)
    assert not (tmp_path / "cut.h5").exists()
    assert unfinished_part(str(tmp_path / "cut.h5"), cut) is not None
    embed(dataclasses.replace(cut, resume=True))
    assert (tmp_path / "cut.h5").read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert not list(tmp_path.glob("*.part"))


def test_work_without_parts_ends_as_by_ctrl_c_when_asked_to_stop(
    tiny_archive: Path, tmp_path: Path, make_model: MakeModel
) -> None:
    embed(embedding(tiny_archive, make_model(), tmp_path / "a.h5"))
    with pytest.raises(KeyboardInterrupt):
        embed(EmbedConfig(catalog=str(tmp_path / "a.h5"), index="ivf"), stop=lambda: True)
    again = EmbedConfig(catalog=str(tmp_path / "a.h5"), output=tmp_path / "b.h5", dim=4)
    with pytest.raises(KeyboardInterrupt):
        embed(again, stop=lambda: True)
    assert sorted(path.name for path in tmp_path.glob("*.h5")) == ["a.h5"]


def test_atlases_have_no_shards(tiny_archive: Path, tmp_path: Path, make_model: MakeModel) -> None:
    embed(embedding(tiny_archive, make_model(), tmp_path / "a.h5"))
    with pytest.raises(ConfigError, match="not for atlases"):
        embed(EmbedConfig(catalog=str(tmp_path / "a.h5"), output=tmp_path / "b.h5", shard="1/2"))
