"""Exact search: the same as sorting everything, whoever multiplies, whatever the block."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from photoz_ssl.errors import MissingExtraError
from photoz_ssl.neighbours import pruning
from photoz_ssl.neighbours.exact import NOBODY, Found, cosines, lengths_of, nearest, rank
from photoz_ssl.neighbours.projection import normalised, principal_axes

Array = NDArray[Any]

try:
    import faiss  # noqa: F401

    ENGINES = ["numpy", "faiss"]
except ModuleNotFoundError:  # the extra [search]
    ENGINES = ["numpy"]


def unit_vectors(n: int, n_features: int = 16, seed: int = 0) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).normal(size=(n, n_features))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors, np.float32)


def by_sorting(queries: Array, vectors: Array, n_neighbours: int, ids: Array) -> Found:
    """All cosines in double precision, sorted by size, id and row."""
    products = (queries.astype(float)[:, np.newaxis] * vectors.astype(float)).sum(axis=2)
    lengths = [np.sqrt((some.astype(float) ** 2).sum(axis=1)) for some in (queries, vectors)]
    with np.errstate(invalid="ignore"):
        cosine = products / np.outer(*lengths)
    cosine[~np.isfinite(cosine)] = -np.inf
    rows = np.arange(len(vectors))
    order = np.array([np.lexsort((rows, ids, -line))[:n_neighbours] for line in cosine])
    similarity = np.take_along_axis(cosine, order, axis=1)
    return Found(np.where(np.isfinite(similarity), order, NOBODY), similarity)


def assert_same(found: Found, expected: Found) -> None:
    n_found = expected.row.shape[1]
    np.testing.assert_array_equal(found.row[:, :n_found], expected.row)
    np.testing.assert_array_equal(found.similarity[:, :n_found], expected.similarity)
    assert np.all(found.row[:, n_found:] == NOBODY)


@settings(deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(1, 300),
    st.integers(1, 12),
    st.integers(1, 400),
    st.sampled_from(["float16", "float32"]),
    st.booleans(),
)
def test_search_equals_sorting_everything(
    seed: int, n_vectors: int, n_neighbours: int, block_rows: int, kind: str, coarse: bool
) -> None:
    generator = np.random.default_rng(seed)
    vectors = unit_vectors(n_vectors, 6, seed)
    if coarse:  # of few directions: many exact ties, and a vector of length 0 here and there
        vectors = normalised(np.round(2 * vectors))
    vectors = vectors.astype(kind)
    vectors[generator.random(n_vectors) < 0.1] = np.nan
    ids = generator.integers(0, 20, n_vectors)
    for n_queries in (3, 20):
        queries = unit_vectors(n_queries, 6, seed + 1)
        expected = by_sorting(queries, vectors, n_neighbours, ids)
        for engine in ENGINES:
            found = nearest(
                queries,
                vectors,
                n_neighbours,
                vector_id=ids,
                block_rows=block_rows,
                engine=engine,
            )
            assert_same(found, expected)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("n_queries", [4, 40])
def test_thousands_of_equals_come_in_the_order_of_their_ids(engine: str, n_queries: int) -> None:
    vectors = np.repeat(unit_vectors(2), 3000, axis=0).astype(np.float16)
    ids = np.random.default_rng(1).permutation(len(vectors))
    queries = np.repeat(unit_vectors(1), n_queries, axis=0)
    found = nearest(queries, vectors, 5, vector_id=ids, block_rows=900, engine=engine)
    assert_same(found, by_sorting(queries, vectors, 5, ids))


@pytest.mark.parametrize("engine", ENGINES)
def test_vectors_that_get_closer_and_closer(engine: str) -> None:
    angle = np.linspace(1, 1e-3, 5000)
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float16)
    queries = np.array([[1, 0], [0, 1]], np.float32)
    found = nearest(queries, vectors, 9, block_rows=512, engine=engine)
    assert_same(found, by_sorting(queries, vectors, 9, np.arange(5000)))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_window_is_that_of_searching_what_it_lets_through(engine: str) -> None:
    vectors, queries = unit_vectors(3000).astype(np.float16), unit_vectors(30, seed=1)

    def window(query: Array, row: Array) -> Array:
        return np.asarray((query + row) % 7 == 0)

    found = nearest(queries, vectors, 4, window=window, block_rows=700, engine=engine)
    for query in range(len(queries)):
        allowed = (query + np.arange(3000)) % 7 == 0
        alone = nearest(queries[query : query + 1], vectors, 4, among=allowed, engine=engine)
        np.testing.assert_array_equal(found.row[query], alone.row[0])
        kept = np.flatnonzero(allowed)
        expected = by_sorting(queries[query : query + 1], vectors[kept], 4, kept)
        np.testing.assert_array_equal(found.row[query], kept[expected.row[0]])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_narrow_window_leaves_fewer_than_asked_for(engine: str) -> None:
    vectors, queries = unit_vectors(2000).astype(np.float16), unit_vectors(20, seed=1)
    found = nearest(
        queries, vectors, 3, window=lambda query, row: row == 1999 - query, engine=engine
    )
    np.testing.assert_array_equal(found.row[:, 0], 1999 - np.arange(20))
    assert np.all(found.row[:, 1:] == NOBODY)
    nobody = nearest(queries, vectors, 3, among=np.zeros(2000, bool), engine=engine)
    assert np.all(nobody.row == NOBODY)


@pytest.fixture
def eager_pruning(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Prune whatever there is; the function tells for how many pairs that was worth it."""
    checked = []
    check = pruning.Pruned._checked

    def counted(self: pruning.Pruned, query: Array, row: Array, *rest: Any) -> Any:
        checked.append(len(query))
        return check(self, query, row, *rest)

    monkeypatch.setattr(pruning, "FEWEST_ROWS", 1)
    monkeypatch.setattr(pruning, "QUERIES_AN_AXIS", 0)
    monkeypatch.setattr(pruning, "MOST_ENERGY_LEFT", 1.0)
    monkeypatch.setattr(pruning.Pruned, "_checked", counted)
    return lambda: sum(checked)


def near_a_plane(n: int, n_features: int, noise: float, seed: int) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    vectors = noise * generator.normal(size=(n, n_features))
    vectors[:, :3] += generator.normal([2, 0, 0], 1, (n, 3))
    turn, _ = np.linalg.qr(np.random.default_rng(9).normal(size=(n_features, n_features)))
    vectors = vectors @ turn
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("noise", [1e-3, 0.03, 1.0])
@pytest.mark.parametrize("kind", ["float16", "float32"])
def test_pruning_changes_nothing(
    eager_pruning: Callable[[], int], engine: str, noise: float, kind: str
) -> None:
    vectors = near_a_plane(6000, 24, noise, seed=2).astype(kind)
    vectors[[7, 5000]] = np.nan
    queries = near_a_plane(40, 24, noise, seed=3)
    found = nearest(queries, vectors, 5, block_rows=1500, engine=engine)
    assert_same(found, by_sorting(queries, vectors, 5, np.arange(6000)))
    if noise < 0.1:
        assert 0 < eager_pruning() < 0.02 * 40 * 6000


def test_axes_are_orthonormal_and_hold_what_lies_in_them() -> None:
    vectors = near_a_plane(500, 24, 0.0, seed=0)
    axes = principal_axes(vectors, 4)
    np.testing.assert_allclose(axes.T @ axes, np.eye(4), atol=1e-6)
    held = np.sum((vectors @ axes[:, :3]) ** 2, axis=1)
    np.testing.assert_allclose(held, 1, atol=1e-5)


def test_a_vector_is_its_own_nearest_neighbour() -> None:
    vectors = unit_vectors(300)
    found = nearest(vectors, vectors, 1, block_rows=64)
    np.testing.assert_array_equal(found.row[:, 0], np.arange(300))
    np.testing.assert_allclose(found.similarity, 1, atol=1e-6)


def test_a_vector_with_a_nan_neither_asks_nor_answers() -> None:
    vectors = unit_vectors(10)
    vectors[4, 3] = np.nan
    found = nearest(vectors, vectors, 10)
    assert np.all(found.row[4] == NOBODY)
    assert 4 not in found.row
    assert np.all(found.row[:4, 9] == NOBODY)


def test_infinite_numbers_in_a_damaged_file_are_nobody() -> None:
    vectors = unit_vectors(2000).astype(np.float16)
    vectors[100], vectors[200, 0] = np.inf, -np.inf
    for engine in ENGINES:
        for n_queries in (2, 30):
            found = nearest(unit_vectors(n_queries, seed=1), vectors, 3, engine=engine)
            assert not np.isin(found.row, [100, 200]).any()
            assert np.isfinite(found.similarity).all()


def test_nothing_to_ask_or_to_search() -> None:
    vectors = unit_vectors(3)
    for engine in ENGINES:
        assert nearest(vectors[:0], vectors, 2, engine=engine).row.shape == (0, 2)
        assert nearest(vectors, vectors[:0], 2, engine=engine).row.tolist() == [[NOBODY] * 2] * 3


def test_a_memory_map_is_searched_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "vectors.npy"
    np.save(path, unit_vectors(500).astype(np.float16))
    mapped = np.load(path, mmap_mode="r")
    assert_same(
        nearest(unit_vectors(3, seed=1), mapped, 4),
        nearest(unit_vectors(3, seed=1), np.array(mapped), 4),
    )


def test_a_pair_s_cosine_does_not_depend_on_the_pairs_beside_it() -> None:
    queries, vectors = unit_vectors(50, 37), unit_vectors(60, 37, 1).astype(np.float16)
    query, row = (grid.ravel() for grid in np.indices((50, 60)))
    lengths = lengths_of(queries)
    together = cosines(queries, lengths, query, vectors, row)
    alone = [cosines(queries, lengths, query[[n]], vectors, row[[n]])[0] for n in range(0, 3000, 7)]
    np.testing.assert_array_equal(together[::7], alone)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("n_queries", [8, 400])
def test_lengths_of_float16_neither_hide_nor_favour_a_vector(engine: str, n_queries: int) -> None:
    middle, generator = unit_vectors(1, 64), np.random.default_rng(1)
    crowd = normalised(middle + 1e-3 * generator.normal(size=(5000, 64)))  # cosines from 0.99995
    crowd = crowd.astype(np.float16)
    lengths = np.linalg.norm(crowd.astype(float), axis=1)
    assert np.ptp(lengths) > 1e-4
    queries = crowd[np.argsort(lengths)[:n_queries]].astype(np.float32)  # the shortest
    found = nearest(queries, crowd, 3, block_rows=1000, engine=engine)
    np.testing.assert_array_equal(found.row[:, 0], np.argsort(lengths)[:n_queries])
    np.testing.assert_allclose(found.similarity[:, 0], 1, atol=1e-15)
    assert_same(found, by_sorting(queries, crowd, 3, np.arange(5000)))


def test_candidates_are_ranked_as_the_search_ranks_them() -> None:
    queries, vectors = unit_vectors(5), unit_vectors(40, seed=1).astype(np.float16)
    candidates = np.argsort(np.random.default_rng(0).random((5, 40)), axis=1)
    candidates[0, 30:] = NOBODY
    ranked = rank(queries, vectors, candidates, 6)
    expected = nearest(queries, vectors, 6)
    np.testing.assert_array_equal(ranked.row[1:], expected.row[1:])
    np.testing.assert_array_equal(ranked.similarity[1:], expected.similarity[1:])
    assert np.isin(ranked.row[0], candidates[0, :30]).all()


def test_faiss_is_only_demanded_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    vectors = unit_vectors(20)
    assert nearest(vectors, vectors, 1).row[:, 0].tolist() == list(range(20))
    with pytest.raises(MissingExtraError, match="photoz-ssl\\[search\\]"):
        nearest(vectors, vectors, 1, engine="faiss")
