"""What is said of a catalogue's rows: one sentence for what befell them all."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest

from photoz_ssl.errors import CatalogError, PartError
from photoz_ssl.survey.flags import RowFlag
from photoz_ssl.workflows.jobs.tally import Tally, counts_of


def notices(*flags: int) -> tuple[str, ...]:
    tally = Tally()
    for block in np.array_split(np.array(flags, np.int32), 2):
        tally.add(counts_of(block, len(block)))
    return tally.notices()


def test_a_flag_of_all_rows_is_told_and_one_of_some_is_not() -> None:
    nowhere = int(RowFlag.NO_POSITION)
    assert notices(nowhere, nowhere | RowFlag.AT_GRID_EDGE, nowhere) == (
        "all 3 rows are flagged: RA or Dec is missing or impossible",
    )
    assert notices(nowhere, 0, nowhere) == ()


@pytest.mark.parametrize("flag", [0, RowFlag.COARSE_DUST_MAP])
def test_what_is_no_problem_is_not_told(flag: int) -> None:
    assert notices(flag, flag, flag) == ()


def test_a_coarse_map_alone_does_not_flag_a_row() -> None:
    coarse, edge = RowFlag.COARSE_DUST_MAP, RowFlag.AT_GRID_EDGE
    counts = counts_of(np.array([0, coarse, coarse | edge, edge], np.int32), 4)
    assert counts["flagged"] == 2
    assert counts["by_flag"] == {str(int(coarse)): 2, str(int(edge)): 2}


def test_that_no_row_has_reddening_is_no_want_of_images() -> None:
    tally = Tally()
    tally.add(counts_of(np.full(3, RowFlag.NO_REDDENING, np.int32), 0))
    with pytest.raises(CatalogError, match=r"of no row of cat an E\(B-V\) is known"):
        tally.require_a_redshift("cat")


NOTED = {
    **counts_of(np.array([0, RowFlag.NO_REDDENING], np.int32), 1),
    "first": {str(int(RowFlag.NO_REDDENING)): (1, "no E(B-V)")},
    "dust": ["the column EBV"],
}


@pytest.mark.parametrize("name", NOTED)
@pytest.mark.parametrize("value", [None, -1, 1e308, 1 << 70, "x", [], [[]], {"a": 1}, float("nan")])
def test_what_a_part_notes_is_counted_or_refused(name: str, value: object) -> None:
    tally = Tally()
    with suppress(PartError):
        tally.add_noted({**NOTED, name: value})
    tally.notices()
    assert isinstance(tally.dust, str)


@pytest.mark.parametrize("name", NOTED)
def test_a_part_that_does_not_note_something_is_refused(name: str) -> None:
    noted = {other: fact for other, fact in NOTED.items() if other != name}
    with pytest.raises(PartError, match="what a part says of its rows is damaged"):
        Tally().add_noted(noted)
