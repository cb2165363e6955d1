"""Neighbours in an atlas: ranks, similarities, and who is left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from photoz_ssl.errors import ArchiveError
from photoz_ssl.neighbours import lookup
from photoz_ssl.neighbours.atlas import Atlas, read_atlas
from photoz_ssl.neighbours.exact import NOBODY
from photoz_ssl.neighbours.expressions import parse_condition
from photoz_ssl.neighbours.lookup import nearest_on_sky, rows_of_ids
from photoz_ssl.neighbours.query import (
    Queries,
    Restriction,
    find_neighbours,
    queries_of_rows,
    rocchio,
)
from photoz_ssl.neighbours.unusual import chord, most_unusual
from photoz_ssl.neighbours.windows import Tolerance, rows_where, separation

MakeAtlas = Callable[..., Path]


@pytest.fixture
def atlas(make_atlas: MakeAtlas) -> Atlas:
    return read_atlas(make_atlas())


def all_of(atlas: Atlas) -> Queries:
    return queries_of_rows(atlas, np.arange(len(atlas)))


def strangers(queries: Queries) -> Queries:
    """The same galaxies from elsewhere, without ids."""
    nobody = np.full(len(queries), NOBODY)
    return dataclasses.replace(queries, has_ids=False, row=nobody)


def test_ranks_count_from_one_and_similarities_fall(atlas: Atlas) -> None:
    found = find_neighbours(all_of(atlas), atlas, 4)
    assert len(found) == 11 * 4
    for query in np.unique(found.query):
        own = found.query == query
        assert found.rank[own].tolist() == [1, 2, 3, 4]
        assert np.all(np.diff(found.similarity[own]) <= 0)
        assert query not in found.row[own]
    assert 2 not in found.query
    assert 2 not in found.row
    assert np.all(np.abs(found.similarity) <= 1)


def test_similarity_is_that_of_the_pair(atlas: Atlas) -> None:
    found = find_neighbours(all_of(atlas), atlas, 20)
    assert len(found) == 11 * 10
    seen = {
        (int(query), int(row)): float(cosine)
        for query, row, cosine in zip(found.query, found.row, found.similarity, strict=True)
    }
    for (query, row), cosine in seen.items():
        assert seen[row, query] == cosine
        pair = atlas.representations[[query, row]].astype(np.float64)
        np.testing.assert_allclose(cosine, pair[0] @ pair[1], atol=1e-6)


def test_a_galaxy_of_an_unknown_place_finds_itself(atlas: Atlas) -> None:
    placeless = dataclasses.replace(strangers(all_of(atlas)), dec=np.full(12, np.nan))
    found = find_neighbours(placeless, atlas, 1)
    np.testing.assert_array_equal(found.query, found.row)
    np.testing.assert_allclose(found.similarity, 1, rtol=1e-6)


@pytest.mark.parametrize("here", [True, False])
def test_without_ids_a_galaxy_is_known_by_its_place(atlas: Atlas, here: bool) -> None:
    """An arcsecond away, whatever side has no ids; further off it is another galaxy."""
    no_ids = dataclasses.replace(atlas.header, has_ids=False)
    among = atlas if here else dataclasses.replace(atlas, header=no_ids)
    nobody = np.full(12, NOBODY)
    asked = dataclasses.replace(all_of(atlas), row=nobody, has_ids=not here)
    beside = dataclasses.replace(asked, dec=atlas.dec + 0.9 / 3600)
    assert np.all(find_neighbours(beside, among, 1).query != find_neighbours(beside, among, 1).row)
    away = dataclasses.replace(asked, dec=atlas.dec + 1.1 / 3600)
    found = find_neighbours(away, among, 1)
    np.testing.assert_array_equal(found.query, found.row)


def test_other_ids_at_one_place_are_other_galaxies_unless_told(atlas: Atlas) -> None:
    renamed = dataclasses.replace(
        all_of(atlas), row=np.full(12, NOBODY), object_id=500 + np.arange(12)
    )
    found = find_neighbours(renamed, atlas, 1)
    np.testing.assert_array_equal(found.query, found.row)
    found = find_neighbours(renamed, atlas, 1, Restriction(elsewhere=True))
    assert np.all(found.query != found.row)


def test_one_id_in_two_places_is_two_galaxies(atlas: Atlas) -> None:
    elsewhere = dataclasses.replace(all_of(atlas), row=np.full(12, NOBODY))
    found = find_neighbours(elsewhere, atlas, 1)
    assert np.all(found.query != found.row)
    moved = dataclasses.replace(elsewhere, dec=-elsewhere.dec)
    np.testing.assert_array_equal(find_neighbours(moved, atlas, 1).row, np.delete(np.arange(12), 2))
    placeless = dataclasses.replace(elsewhere, ra=np.full(12, np.nan))
    assert np.all(find_neighbours(placeless, atlas, 1).row != found.query)


def test_an_id_that_stands_for_none_tells_nothing(atlas: Atlas) -> None:
    """A galaxy is itself where it stands, and so it is where nothing else tells."""
    none = np.tile([0, -9999], 6)
    nameless = dataclasses.replace(all_of(atlas), row=np.full(12, NOBODY), object_id=none)
    found = find_neighbours(nameless, atlas, 1)
    assert np.all(found.query != found.row)
    unknown = dataclasses.replace(atlas, object_id=none)
    beside = dataclasses.replace(nameless, dec=atlas.dec + 5 / 3600)
    found = find_neighbours(beside, unknown, 1)
    np.testing.assert_array_equal(found.query, found.row)
    placeless = dataclasses.replace(nameless, ra=np.full(12, np.nan))
    found = find_neighbours(placeless, unknown, 1)
    assert np.all(found.query != found.row)


def test_no_queries_give_no_rows(atlas: Atlas) -> None:
    assert len(find_neighbours(queries_of_rows(atlas, np.arange(0)), atlas, 3)) == 0
    assert len(find_neighbours(queries_of_rows(atlas, np.array([2])), atlas, 3)) == 0


def test_windows_leave_out_what_lies_outside(atlas: Atlas) -> None:
    everything = all_of(atlas)
    values = {"R_MAG": np.asarray(atlas.column("R_MAG"), float)}
    within = Restriction(within=[Tolerance("R_MAG", 0.7)])
    found = find_neighbours(dataclasses.replace(everything, values=values), atlas, 11, within)
    difference = values["R_MAG"][found.query] - values["R_MAG"][found.row]
    assert 0 < np.abs(difference).max() <= 0.7
    assert len(found) < 110
    apart = find_neighbours(everything, atlas, 11, Restriction(min_separation=60.0))
    angles = separation(
        atlas.ra[apart.query], atlas.dec[apart.query], atlas.ra[apart.row], atlas.dec[apart.row]
    )
    assert angles.min() >= 60
    assert len(apart) < 110
    among = rows_where(atlas, [parse_condition("Z_SPEC < 0.2"), parse_condition("KIND == 'E'")])
    chosen = find_neighbours(everything, atlas, 11, Restriction(among=among))
    assert {*chosen.row.tolist()} <= {*np.flatnonzero(among).tolist()}
    assert np.all(atlas.redshift[chosen.row] < 0.2)
    left = find_neighbours(everything, atlas, 11, Restriction(left_out=np.array([3, 5])))
    assert not np.isin(left.row, [3, 5]).any()


def test_an_empty_window_is_one_sentence(atlas: Atlas) -> None:
    with pytest.raises(ArchiveError, match=r"no galaxy of .* meets 'Z_SPEC > 9'"):
        rows_where(atlas, [parse_condition("Z_SPEC > 9")])
    with pytest.raises(ArchiveError, match="has no column U_MAG"):
        rows_where(atlas, [parse_condition("U_MAG > 9")])


def test_separations_worked_by_hand() -> None:
    ra, dec = np.array([0.0, 10, 0, 359.999]), np.array([0.0, 60, 90, 0])
    other_ra, other_dec = np.array([90.0, 12, 123, 0.001]), np.array([0.0, 60, 89, 0])
    expected = [90, 0.99996, 1, 0.002]
    np.testing.assert_allclose(separation(ra, dec, other_ra, other_dec), expected, rtol=1e-4)
    assert np.isnan(separation(np.array(np.nan), np.array(0.0), ra, dec)).all()


@pytest.mark.parametrize("rows_at_once", [3, 100])
def test_an_id_of_several_galaxies_is_none_wherever_they_stand(
    atlas: Atlas, rows_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "ROWS_AT_ONCE", rows_at_once)
    ids = atlas.object_id.copy()
    ids[10] = ids[1]
    doubled = dataclasses.replace(atlas, object_id=ids)
    assert rows_of_ids(doubled, ids[2:6]).tolist() == [2, 3, 4, 5]
    with pytest.raises(ArchiveError, match=f"the id {ids[1]} stands for several galaxies"):
        rows_of_ids(doubled, ids[:2])


def test_rows_are_found_by_id(atlas: Atlas) -> None:
    ids = np.array([105, 99, 100, 105, 111, 112])
    assert rows_of_ids(atlas, ids).tolist() == [5, NOBODY, 0, 5, 11, NOBODY]
    assert rows_of_ids(atlas, ids[:0]).shape == (0,)
    doubled = dataclasses.replace(atlas, object_id=np.where(atlas.object_id == 107, 105, 104))
    with pytest.raises(ArchiveError, match="the id 104 stands for several galaxies"):
        rows_of_ids(doubled, np.array([104]))


def test_the_nearest_galaxy_on_the_sky(atlas: Atlas) -> None:
    row, angle = nearest_on_sky(atlas, float(atlas.ra[4]) + 1e-3, float(atlas.dec[4]))
    assert row == 4
    assert angle == pytest.approx(1e-3 * np.cos(np.radians(atlas.dec[4])))
    with pytest.raises(ArchiveError, match="has no positions"):
        nearest_on_sky(dataclasses.replace(atlas, ra=np.full(12, np.nan)), 0, 0)


def unit(*numbers: float) -> NDArray[np.float32]:
    vector = np.array([numbers])
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def test_rocchio_by_hand() -> None:
    query, like, unlike = unit(1, 0, 0), unit(0, 1, 0), unit(0, 0, 1)
    np.testing.assert_allclose(rocchio(query, like, unlike), unit(1, 0.75, -0.15), rtol=1e-6)
    nothing = np.empty((0, 3), np.float32)
    np.testing.assert_array_equal(rocchio(None, like, nothing), like)
    np.testing.assert_array_equal(rocchio(query, nothing, nothing), query)
    both = np.concatenate([like, query])
    np.testing.assert_allclose(rocchio(None, both, nothing), unit(1, 1, 0), rtol=1e-6)


def test_unlike_galaxies_move_away(atlas: Atlas) -> None:
    vectors = np.asarray(atlas.representations[[0, 1, 3]], np.float32)
    nothing = np.empty((0, 8), np.float32)
    before = rocchio(None, vectors[:2], nothing) @ vectors[2]
    after = rocchio(None, vectors[:2], vectors[2:]) @ vectors[2]
    assert after[0] < before[0]


def test_the_unusual_are_farthest_from_their_neighbours(atlas: Atlas) -> None:
    found = most_unusual(atlas, 4, 3, Restriction())
    pairs = find_neighbours(all_of(atlas), atlas, 3)
    third = pairs.rank == 3
    distance = chord(pairs.similarity[third])
    order = np.argsort(-distance)[:4]
    np.testing.assert_array_equal(found.row, pairs.query[third][order])
    np.testing.assert_array_equal(found.distance, distance[order])
    first = np.isin(pairs.query, found.row) & (pairs.rank == 1)
    assert {*found.nearest.tolist()} == {*pairs.row[first].tolist()}
    assert len(most_unusual(atlas, 100, 3, Restriction()).row) == 11
    among = np.arange(12) < 6
    assert most_unusual(atlas, 100, 50, Restriction(among=among)).row.max() < 6


@pytest.mark.parametrize(("column", "near"), [("RA", True), ("ra", True), ("R_MAG", False)])
def test_right_ascensions_go_round(column: str, near: bool) -> None:
    assert Tolerance(column, 0.5).allows(np.array([0.1]), np.array([359.9])).item() is near
    assert not Tolerance(column, 0.5).allows(np.array([0.1]), np.array([1.0])).item()
