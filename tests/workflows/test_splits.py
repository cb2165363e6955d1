"""An object is on one side of a split, whatever it is told by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from photoz_ssl.survey.blocks import GalaxyBlock
from photoz_ssl.workflows.splits import draw_split, object_keys

N = 50


def block(
    ids: NDArray[Any] | None, ra: NDArray[np.float64] | None = None, start: int = 0
) -> GalaxyBlock:
    """A block without images whose ids are in a column ID; numbers are its object ids as well."""
    n = len(ids) if ids is not None else len(ra) if ra is not None else N
    table = np.zeros(n, [("ID", ids.dtype)] if ids is not None else [("MAG", "f4")])
    rows = np.arange(start, start + n, dtype=np.int64)
    numbers = ids is not None and ids.dtype.kind in "iu"
    if ids is not None:
        table["ID"] = ids
    nowhere, nothing = np.full(n, np.nan), np.zeros(n, np.float32)
    return GalaxyBlock(
        start=start,
        object_id=ids.astype(np.int64) if ids is not None and numbers else rows,
        ra=nowhere if ra is None else ra,
        dec=nowhere if ra is None else ra / 4,
        images=np.zeros((n, 5, 1, 1), np.float32),
        ebv=nothing,
        flags=np.zeros(n, np.int32),
        redshift=nothing,
        redshift_error=nothing,
        split=np.full(n, "", "U5"),
        table=table,
    )


def test_an_object_is_in_one_split_wherever_it_stands() -> None:
    ids = np.arange(20000, dtype=np.int64)
    split = draw_split(ids, (0.8, 0.1, 0.1), 1)
    np.testing.assert_array_equal(draw_split(ids[::-1], (0.8, 0.1, 0.1), 1), split[::-1])
    assert np.mean(split == "train") == pytest.approx(0.8, abs=0.01)
    assert np.mean(split == "test") == pytest.approx(0.1, abs=0.01)
    assert (draw_split(ids, (0.8, 0.1, 0.1), 2) != split).any()


def test_the_same_text_is_the_same_object() -> None:
    names = np.array([f"J{number:05d}" for number in range(N)], "S8")
    once, again = object_keys(block(names), "ID"), object_keys(block(names[::-1], start=N), "ID")
    np.testing.assert_array_equal(again[::-1], once)
    assert len({*once.tolist()}) == N


def test_numbers_are_their_own_keys() -> None:
    np.testing.assert_array_equal(object_keys(block(np.arange(7, 7 + N)), "ID"), 7 + np.arange(N))


@pytest.mark.parametrize(
    "ids",
    [None, np.full(N, -1), np.full(N, 0), np.full(N, -9999), np.full(N, b"")],
    ids=["no", "null", "no match", "-9999", "text"],
)
def test_objects_without_an_id_are_told_by_their_place(ids: NDArray[Any] | None) -> None:
    ra = np.arange(0, 0.4 * N, 0.4)
    name = "ID" if ids is not None else None
    once = object_keys(block(ids, ra), name)
    np.testing.assert_array_equal(object_keys(block(ids, ra + 1e-4, start=N), name), once)
    assert len({*once.tolist()}) == N


@pytest.mark.parametrize("kind", ["i8", "S8"])
def test_two_spectra_of_a_galaxy_are_one_object(kind: str) -> None:
    ra = np.repeat(np.arange(0, 0.2 * N, 0.4), 2)
    spectra = block(np.arange(N).astype(kind), ra)
    spectra.table.dtype.names = ("specObjID",)
    keys = object_keys(spectra, "specObjID")
    np.testing.assert_array_equal(keys[::2], keys[1::2])
    assert len({*keys.tolist()}) == N // 2


def test_spectra_without_a_position_are_told_by_their_ids() -> None:
    spectra = block(np.arange(7, 7 + N))
    spectra.table.dtype.names = ("SPECOBJID",)
    np.testing.assert_array_equal(object_keys(spectra, "SPECOBJID"), 7 + np.arange(N))


@pytest.mark.parametrize("ids", [None, np.full(N, -1)], ids=["no", "null"])
def test_rows_of_which_nothing_is_known_are_objects_of_their_own(ids: NDArray[Any] | None) -> None:
    name = "ID" if ids is not None else None
    both = [object_keys(block(ids, start=start), name) for start in (0, N)]
    assert len({*np.concatenate(both).tolist()}) == 2 * N


def test_a_place_goes_on_where_right_ascension_begins_anew() -> None:
    before, behind = (
        replace(block(None, np.array([ra])), dec=np.zeros(1)) for ra in (359.9999, 0.0001)
    )
    assert object_keys(before, None) == object_keys(behind, None)
