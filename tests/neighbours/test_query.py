"""Neighbours in an atlas: ranks, similarities, and who is left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np

from photoz_ssl.neighbours.atlas import read_atlas
from photoz_ssl.neighbours.query import find_neighbours

MakeAtlas = Callable[..., Path]


def test_ranks_count_from_one_and_similarities_fall(make_atlas: MakeAtlas) -> None:
    atlas = read_atlas(make_atlas())
    found = find_neighbours(atlas.representations, atlas.object_id, atlas, 4)
    assert len(found) == 11 * 4
    for query in np.unique(found.query):
        own = found.query == query
        assert found.rank[own].tolist() == [1, 2, 3, 4]
        assert np.all(np.diff(found.similarity[own]) <= 0)
        assert query not in found.row[own]
    assert 2 not in found.query
    assert 2 not in found.row
    assert np.all(np.abs(found.similarity) <= 1)


def test_similarity_is_that_of_the_pair(make_atlas: MakeAtlas) -> None:
    atlas = read_atlas(make_atlas())
    found = find_neighbours(atlas.representations, atlas.object_id, atlas, 20)
    assert len(found) == 11 * 10
    seen = {
        (int(query), int(row)): float(cosine)
        for query, row, cosine in zip(found.query, found.row, found.similarity, strict=True)
    }
    for (query, row), cosine in seen.items():
        assert seen[row, query] == cosine
        pair = atlas.representations[[query, row]].astype(np.float64)
        np.testing.assert_allclose(cosine, pair[0] @ pair[1], atol=1e-6)


def test_without_ids_a_galaxy_finds_itself(make_atlas: MakeAtlas) -> None:
    atlas = read_atlas(make_atlas())
    nameless = dataclasses.replace(atlas, header=dataclasses.replace(atlas.header, has_ids=False))
    for found in (
        find_neighbours(atlas.representations, None, atlas, 1),
        find_neighbours(atlas.representations, atlas.object_id, nameless, 1),
    ):
        np.testing.assert_array_equal(found.query, found.row)
        np.testing.assert_allclose(found.similarity, 1, rtol=1e-6)


def test_no_queries_give_no_rows(make_atlas: MakeAtlas) -> None:
    atlas = read_atlas(make_atlas())
    assert len(find_neighbours(atlas.representations[:0], atlas.object_id[:0], atlas, 3)) == 0
    assert len(find_neighbours(atlas.representations[2:3], None, atlas, 3)) == 0
