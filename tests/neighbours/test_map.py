"""Maps of atlases: alike lies near, the same each time, and refused beside another atlas."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from photoz_ssl.errors import ArchiveError, OutputError
from photoz_ssl.neighbours import map as atlas_map
from photoz_ssl.neighbours.atlas import Atlas, read_atlas
from photoz_ssl.neighbours.map import build_map, has_map, map_path, principal_map, read_map

pytest.importorskip("sklearn", reason="a map is made by scikit-learn")


@pytest.fixture
def atlas(make_atlas: Callable[..., Path]) -> Atlas:
    return read_atlas(make_atlas())


def clusters(atlas: Atlas, n: int = 60) -> Atlas:
    """An atlas of three groups of look-alikes, in turn."""
    generator = np.random.default_rng(0)
    vectors = np.eye(8, dtype=np.float32)[np.arange(n) % 3]
    vectors = vectors + generator.normal(0, 0.05, vectors.shape).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return dataclasses.replace(atlas, representations=vectors, object_id=np.arange(n))


def spread(positions: np.ndarray) -> float:
    """Mean distance within groups, in units of that between galaxies of any two groups."""
    distance = np.linalg.norm(positions[:, None] - positions[None], axis=2)
    group = np.arange(len(positions)) % 3
    same = group[:, None] == group[None]
    return float(distance[same].mean() / distance[~same].mean())


def test_what_looks_alike_lies_together(atlas: Atlas, monkeypatch: pytest.MonkeyPatch) -> None:
    many = clusters(atlas)
    assert spread(principal_map(many).positions) < 0.3
    assert spread(build_map(many).positions) < 0.3
    monkeypatch.setattr(atlas_map, "SAMPLE_ROWS", 31)  # the others are placed between these
    assert spread(build_map(many, overwrite=True).positions) < 0.3


def test_a_map_is_read_as_it_was_made_and_made_the_same_again(atlas: Atlas) -> None:
    assert not has_map(atlas)
    made = build_map(atlas)
    read = read_map(atlas)
    np.testing.assert_array_equal(read.positions, made.positions)
    assert np.isnan(read.positions[2]).all()
    assert np.isfinite(np.delete(read.positions, 2, axis=0)).all()
    again = build_map(atlas, overwrite=True)
    np.testing.assert_array_equal(again.positions, made.positions)
    with pytest.raises(OutputError, match="exists already"):
        build_map(atlas)


@pytest.mark.parametrize("n", [1, 2, 3, 11])
def test_an_atlas_of_few_galaxies_has_a_map(atlas: Atlas, n: int) -> None:
    few = clusters(atlas, n)
    for made in (principal_map(few), build_map(few, overwrite=True)):
        assert made.positions.shape == (n, 2)
        assert np.isfinite(made.positions).all()


def test_one_feature_makes_a_line(atlas: Atlas) -> None:
    line = dataclasses.replace(atlas, representations=np.array([[1], [-1], [1]], np.float32))
    line = dataclasses.replace(line, object_id=np.arange(3))
    assert (principal_map(line).positions[:, 1] == 0).all()


def test_an_atlas_without_representations_has_an_empty_map(atlas: Atlas) -> None:
    blank = dataclasses.replace(atlas, representations=np.full((12, 8), np.nan, np.float32))
    assert np.isnan(principal_map(blank).positions).all()
    assert np.isnan(build_map(blank).positions).all()


def test_a_map_of_another_atlas_or_a_damaged_one_is_refused(atlas: Atlas) -> None:
    with pytest.raises(ArchiveError, match="has no map"):
        read_map(atlas)
    build_map(atlas)
    with pytest.raises(ArchiveError, match="the map of another atlas"):
        read_map(dataclasses.replace(atlas, fingerprint="another"))
    with h5py.File(map_path(atlas.path), "a") as file:
        del file["positions"]
        file["positions"] = np.zeros((3, 2), np.float32)
    with pytest.raises(ArchiveError, match="not a readable map"):
        read_map(atlas)
    map_path(atlas.path).write_bytes(b"\x89HDF\r\n\x1a\n but no more")
    with pytest.raises(ArchiveError, match="not a readable map"):
        read_map(atlas)
