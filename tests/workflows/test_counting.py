"""Counts: one of a thing, and several."""

from __future__ import annotations

import pytest

from photoz_ssl.workflows.counting import counted, share_with


@pytest.mark.parametrize(
    ("number", "noun", "expected"),
    [
        (1, "redshift", "1 redshift"),
        (2, "galaxy", "2 galaxies"),
        (1, "validation galaxy", "1 validation galaxy"),
        (0, "validation galaxy", "0 validation galaxies"),
    ],
)
def test_one_of_a_thing_and_several(number: int, noun: str, expected: str) -> None:
    assert counted(number, noun) == expected


def test_one_of_several_has_something() -> None:
    assert share_with(1, 60, "row") == "1 of 60 rows has"
    assert share_with(2, 60, "galaxy") == "2 of 60 galaxies have"
