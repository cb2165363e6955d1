"""Exact search: the same as sorting everything, whatever the block."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from photoz_ssl.neighbours.index import NOBODY, cosine, nearest


def unit_vectors(n: int, n_features: int = 16, seed: int = 0) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).normal(size=(n, n_features))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors, np.float32)


@given(
    st.integers(0, 10_000),
    st.integers(1, 40),
    st.integers(1, 12),
    st.integers(1, 50),
    st.booleans(),
)
def test_search_equals_sorting_everything(
    seed: int, n_vectors: int, n_neighbours: int, block_rows: int, coarse: bool
) -> None:
    queries, vectors = unit_vectors(5, 4, seed), unit_vectors(n_vectors, 4, seed + 1)
    if coarse:  # whole numbers: many exact ties, and products without rounding
        queries, vectors = np.round(2 * queries), np.round(2 * vectors)
    expected = np.argsort(-(queries @ vectors.T), axis=1, kind="stable")[:, :n_neighbours]
    found = nearest(queries, vectors, n_neighbours, block_rows=block_rows)
    kept = min(n_neighbours, n_vectors)
    if coarse:
        np.testing.assert_array_equal(found[:, :kept], expected)
    else:  # rounding may swap neighbours that are equally close
        rows = np.arange(5)[:, np.newaxis]
        cosines = queries @ vectors.T
        np.testing.assert_allclose(
            cosines[rows, found[:, :kept]], cosines[rows, expected], rtol=1e-5
        )
    assert np.all(found[:, kept:] == NOBODY)


def test_a_vector_is_its_own_nearest_neighbour() -> None:
    vectors = unit_vectors(300)
    np.testing.assert_array_equal(nearest(vectors, vectors, 1, block_rows=64)[:, 0], np.arange(300))


def test_equals_come_in_the_order_of_their_rows() -> None:
    vectors = np.repeat(np.eye(2, dtype=np.float32), 3, axis=0)
    found = nearest(np.eye(2, dtype=np.float32)[:1], vectors, 5, block_rows=2)
    assert found.tolist() == [[0, 1, 2, 3, 4]]


def test_the_same_id_is_left_out_wherever_and_however_often_it_is() -> None:
    vectors = unit_vectors(20)
    vectors[13] = vectors[2]
    ids = np.arange(20, dtype=np.int64)
    ids[13] = 2
    found = nearest(vectors, vectors, 19, query_id=ids, vector_id=ids, block_rows=6)
    for query, rows in enumerate(found):
        assert not np.any(ids[rows[rows != NOBODY]] == ids[query])
    assert np.sum(found[2] != NOBODY) == 18
    assert np.sum(found[3] != NOBODY) == 19


def test_a_vector_with_a_nan_neither_asks_nor_answers() -> None:
    vectors = unit_vectors(10)
    vectors[4] = np.nan
    found = nearest(vectors, vectors, 10)
    assert np.all(found[4] == NOBODY)
    assert 4 not in found
    assert np.all(found[:4, 9] == NOBODY)


def test_nothing_to_ask_or_to_search() -> None:
    vectors = unit_vectors(3)
    assert nearest(vectors[:0], vectors, 2).shape == (0, 2)
    assert nearest(vectors, vectors[:0], 2).tolist() == [[NOBODY] * 2] * 3


def test_cosine_is_symmetric_and_at_most_one() -> None:
    first, second = unit_vectors(200), unit_vectors(200, seed=1)
    np.testing.assert_array_equal(cosine(first, second), cosine(second, first))
    assert np.all(np.abs(cosine(first, second)) <= 1)
    np.testing.assert_allclose(cosine(first, 3 * first), 1, rtol=1e-15)
    np.testing.assert_allclose(cosine(first, -first), -1, rtol=1e-15)


def test_cosine_by_hand() -> None:
    assert cosine(np.array([1.0, 0.0]), np.array([1.0, 1.0])) == pytest.approx(np.sqrt(0.5))
    assert np.isnan(cosine(np.zeros(2), np.ones(2)))
