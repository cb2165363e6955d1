"""The index: nearly the exact answer, from a file that is trusted in nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from photoz_ssl.errors import ArchiveError, ConfigError, OutputError
from photoz_ssl.neighbours import index_builder
from photoz_ssl.neighbours.atlas import Atlas, read_atlas
from photoz_ssl.neighbours.atlas_writer import create_atlas
from photoz_ssl.neighbours.exact import NOBODY, nearest
from photoz_ssl.neighbours.expressions import parse_condition
from photoz_ssl.neighbours.index import KINDS, Index, index_path, read_index
from photoz_ssl.neighbours.index_builder import build_index, plan_index
from photoz_ssl.neighbours.index_tuning import measure_recall
from photoz_ssl.neighbours.query import Restriction, find_neighbours, queries_of_rows
from photoz_ssl.neighbours.windows import rows_where
from tests.neighbours.conftest import HEADER

pytest.importorskip("faiss", reason="the extra [search] is not installed")

N_GALAXIES, N_FEATURES = 3000, 32


def clustered(n: int, n_features: int = N_FEATURES) -> NDArray[np.float32]:
    generator = np.random.default_rng(3)
    centres = generator.normal(size=(40, n_features))
    vectors = centres[generator.integers(0, 40, n)] + 0.3 * generator.normal(size=(n, n_features))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors, np.float32)


def write_atlas(path: Path, vectors: NDArray[np.float32]) -> Atlas:
    n = len(vectors)
    table = np.zeros(n, [("R_MAG", "f4")])
    table["R_MAG"] = np.linspace(14, 18, n)
    with create_atlas(path, HEADER, n, overwrite=True) as writer:
        writer.append(
            object_id=np.arange(n) + 7,
            ra=np.linspace(0, 359, n),
            dec=np.linspace(-60, 60, n),
            redshift=np.full(n, 0.1, np.float32),
            representations=vectors,
            table=table,
        )
    return read_atlas(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an atlas and its index; one galaxy has no representation."""
    folder = tmp_path_factory.mktemp("index")
    vectors = clustered(N_GALAXIES)
    vectors[11] = np.nan
    atlas = write_atlas(folder / "atlas.h5", vectors)
    build_index(atlas, plan_index(atlas))
    return folder


@pytest.fixture
def atlas(made: Path, tmp_path: Path) -> Atlas:
    """A copy of the atlas and its index that may be damaged."""
    for name in ("atlas.h5", "atlas.index.h5"):
        shutil.copy(made / name, tmp_path / name)
    return read_atlas(tmp_path / "atlas.h5")


def some_queries(atlas: Atlas, n: int = 60) -> Any:
    return queries_of_rows(atlas, np.arange(0, n * 40, 40))


def test_most_of_the_nearest_are_found_and_ranked_exactly(atlas: Atlas) -> None:
    index, queries = read_index(atlas), some_queries(atlas)
    assert index.n_probe < len(index.codec.centres)
    exact = find_neighbours(queries, atlas, 10)
    found = find_neighbours(queries, atlas, 10, index=index)
    pairs = {
        (int(q), int(r)): s
        for q, r, s in zip(exact.query, exact.row, exact.similarity, strict=True)
    }
    hits = [
        (pairs[int(q), int(r)], s)
        for q, r, s in zip(found.query, found.row, found.similarity, strict=True)
        if (int(q), int(r)) in pairs
    ]
    assert len(hits) >= 0.95 * len(pairs)
    assert all(one == other for one, other in hits)
    assert 11 not in found.row
    assert 0.95 <= measure_recall(index, atlas, 200).share <= 1


def test_all_lists_with_much_to_rank_are_the_exact_answer(atlas: Atlas) -> None:
    index, queries = read_index(atlas), some_queries(atlas)
    thorough = index.probing(len(index.codec.centres), 300)
    exact = nearest(queries.vectors, atlas.representations, 8, vector_id=atlas.object_id)
    found = thorough.search(queries.vectors, atlas, 8)
    np.testing.assert_array_equal(found.row, exact.row)
    np.testing.assert_array_equal(found.similarity, exact.similarity)


def test_windows_hold_and_what_the_lists_lack_is_found_exactly(atlas: Atlas) -> None:
    index, queries = read_index(atlas), some_queries(atlas)
    among = rows_where(atlas, [parse_condition("R_MAG < 14.02")])
    narrow = Restriction(among=among)
    exact = find_neighbours(queries, atlas, 5, narrow)
    found = find_neighbours(queries, atlas, 5, narrow, index.probing(1, 2))
    np.testing.assert_array_equal(found.row, exact.row)
    assert among[found.row].all()
    wide = Restriction(min_separation=40.0, left_out=np.array([3]))
    for one in (
        find_neighbours(queries, atlas, 5, wide, index),
        find_neighbours(queries, atlas, 5, wide),
    ):
        assert 3 not in one.row
        assert len(one) == 5 * len(queries)


def test_a_query_with_a_nan_finds_nobody(atlas: Atlas) -> None:
    queries = queries_of_rows(atlas, np.array([11, 12]))
    found = read_index(atlas).search(queries.vectors, atlas, 3)
    assert np.all(found.row[0] == NOBODY)
    assert np.all(found.row[1] != NOBODY)


def test_product_quantisation_is_ranked_by_the_vectors_too(tmp_path: Path) -> None:
    atlas = write_atlas(tmp_path / "atlas.h5", clustered(N_GALAXIES))
    index = build_index(atlas, plan_index(atlas, KINDS[1]))
    assert read_index(atlas).codec.kind == "ivf-pq"
    assert measure_recall(index, atlas, 100).share >= 0.9
    few = write_atlas(tmp_path / "few.h5", clustered(100))
    with pytest.raises(ConfigError, match="from 256 galaxies at least"):
        build_index(few, plan_index(few, KINDS[1]))


def test_the_kind_and_the_lists_follow_the_number_of_galaxies(
    atlas: Atlas, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert plan_index(atlas).n_lists == 64
    assert plan_index(atlas).kind == "ivf-sq8"
    monkeypatch.setattr(index_builder, "MOST_SCALAR", N_GALAXIES - 1)
    assert plan_index(atlas).kind == "ivf-pq"


@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_handful_of_galaxies(tmp_path: Path, n: int) -> None:
    atlas = write_atlas(tmp_path / "atlas.h5", clustered(n))
    build_index(atlas, plan_index(atlas))
    found = find_neighbours(queries_of_rows(atlas, np.arange(n)), atlas, 3, index=read_index(atlas))
    assert len(found) == n * min(3, n - 1)


class Killed(BaseException):
    """As if the process had been killed."""


@pytest.mark.parametrize("stage", ["training the index", "indexing galaxies", "tuning the index"])
def test_an_interrupted_build_goes_on_to_the_same_index(
    atlas: Atlas, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    monkeypatch.setattr(index_builder, "ROWS_AT_ONCE", 700)
    path = index_path(atlas.path)
    plan = plan_index(atlas)
    build_index(atlas, plan, overwrite=True)
    whole = contents(path)
    path.unlink()
    told: list[tuple[str, int]] = []

    def kill(name: str, done: int, total: int | None, /, **figures: float) -> None:
        told.append((name, done))
        if name == stage and (done > 700 or name != "indexing galaxies"):
            raise Killed

    with pytest.raises(Killed):
        build_index(atlas, plan, progress=kill)
    assert not path.exists()
    folder = path.with_name(".atlas.index.building")
    with (folder / "codes.bin").open("ab") as stream:
        stream.write(b"half a record")
    told.clear()
    build_index(
        atlas, plan, progress=lambda name, done, total, /, **more: told.append((name, done))
    )
    again = contents(path)
    assert whole.keys() == again.keys()
    for name, values in whole.items():
        np.testing.assert_array_equal(values, again[name])
    assert not folder.exists()
    if stage != "training the index":
        assert "training the index" not in {name for name, _ in told}
        first = min(
            (done for name, done in told if name == "indexing galaxies"), default=N_GALAXIES
        )
        assert first > 1400


def contents(path: Path) -> dict[str, Any]:
    with h5py.File(path) as file:
        arrays = {name: np.asarray(values[()]) for name, values in file.items()}
        return arrays | {name: file.attrs[name] for name in ("n_probe", "depth", "recall")}


def test_an_index_is_not_replaced_unasked(atlas: Atlas) -> None:
    before = index_path(atlas.path).read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        build_index(atlas, plan_index(atlas))
    assert index_path(atlas.path).read_bytes() == before


def test_an_index_of_an_older_or_another_atlas_is_refused(atlas: Atlas, tmp_path: Path) -> None:
    newer = write_atlas(atlas.path, clustered(N_GALAXIES)[::-1].copy())
    with pytest.raises(ArchiveError, match=r"is the index of another atlas, or of an older .*h5"):
        read_index(newer)
    alone = write_atlas(tmp_path / "alone.h5", clustered(20))
    with pytest.raises(ArchiveError, match="has no index"):
        read_index(alone)


Damage = Callable[[h5py.File], object]


def changed(name: str, change: Callable[[Any], Any]) -> Damage:
    def damage(file: h5py.File) -> None:
        values = change(file[name][()])
        del file[name]
        file[name] = values

    return damage


def enlarge(file: h5py.File, name: str) -> None:
    """A dataset that would take a thousand gigabytes, of which the file stores none."""
    del file[name]
    file.create_dataset(name, shape=(10**9, 1000), dtype="u1", chunks=(1000, 1000))


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.attrs.__delitem__("fingerprint"),
        lambda file: file.attrs.__setitem__("kind", "ivf-what"),
        lambda file: file.attrs.__setitem__("n_probe", 0),
        lambda file: file.attrs.__setitem__("depth", 10**9),
        lambda file: file.__delitem__("codes"),
        changed("rows", lambda rows: rows + 1),
        changed("rows", lambda rows: -rows),
        changed("rows", lambda rows: rows[:-1]),
        changed("rows", lambda rows: rows.astype("f8")),
        changed("sizes", lambda sizes: sizes + 1),
        changed("sizes", lambda sizes: np.where(np.arange(len(sizes)) < 1, -sizes, sizes)),
        changed("sizes", lambda sizes: sizes[:-1]),
        changed("codes", lambda codes: codes[:, :-1]),
        changed("codes", lambda codes: codes.astype("u2")),
        changed("axes", lambda axes: axes[:-1]),
        changed("axes", lambda axes: axes[0]),
        changed("centres", lambda centres: centres[:, :-1]),
        changed("levels", lambda levels: levels[:-1]),
        lambda file: enlarge(file, "codes"),
        lambda file: enlarge(file, "levels"),
    ],
)
def test_a_damaged_index_is_one_sentence(atlas: Atlas, damage: Damage) -> None:
    with h5py.File(index_path(atlas.path), "r+") as file:
        damage(file)
    with pytest.raises(ArchiveError, match="is not a readable index") as caught:
        read_index(atlas)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", [0, 100, 3000, 0.5, 0.95])
def test_a_truncated_index_is_one_sentence(atlas: Atlas, kept: float) -> None:
    path = index_path(atlas.path)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(ArchiveError, match="is not a readable index"):
        read_index(atlas)


def test_numbers_that_make_no_sense_do_no_harm(atlas: Atlas) -> None:
    with h5py.File(index_path(atlas.path), "r+") as file:
        changed("centres", lambda centres: np.full_like(centres, np.nan))(file)
        changed("levels", lambda levels: np.full_like(levels, np.inf))(file)
    index: Index = read_index(atlas)
    found = find_neighbours(some_queries(atlas), atlas, 5, index=index)
    assert np.all((found.row >= 0) & (found.row < N_GALAXIES))
