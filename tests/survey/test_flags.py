"""Flags: the bits are those that the documentation promises."""

from __future__ import annotations

import re
from pathlib import Path

from photoz_ssl.survey.flags import FLAG_MEANINGS, UNUSABLE, RowFlag

FORMATS = Path(__file__).parents[2] / "docs" / "formats.md"


def test_the_bits_are_those_of_the_table_in_the_documentation() -> None:
    _, _, table = FORMATS.read_text("utf-8").partition("| bit | meaning |\n|---|---|\n")
    rows = re.findall(r"\| (\d+) \| (.*) \|\n", table.partition("\n\n")[0] + "\n")
    assert [int(bit) for bit, _ in rows] == [int(flag) for flag in RowFlag]
    for bit, words in rows:
        first, *_ = FLAG_MEANINGS[RowFlag(int(bit))].split(",")
        assert first in words.replace("\N{MINUS SIGN}", "-")


def test_a_network_is_given_no_image_that_is_bad_or_behind_unknown_dust() -> None:
    harmless = {"COARSE_DUST_MAP", "NO_POSITION", "AT_GRID_EDGE", "HIGH_REDDENING", "UNLIKE_ATLAS"}
    assert {flag.name for flag in RowFlag if not flag & UNUSABLE} == harmless
