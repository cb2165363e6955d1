"""Carried columns: what comes first, what gives way, what is said of them."""

from __future__ import annotations

import numpy as np
import pytest

from photoz_ssl.errors import CatalogError
from photoz_ssl.survey.tables.carried import CarriedColumn, carry_columns

DTYPE = np.dtype(
    [
        ("MAG", "f4"),
        ("EBV", "f4"),
        ("dec", "f8"),
        ("OBJID", "i8"),
        ("Flags", "i4"),
        ("ra", "f8"),
        ("NAME", "S8"),
    ]
)
CARDS = {
    "MAG": {"TUNIT": "mag", "TUCD": "phot.mag;em.opt.R", "TCOMM": "r magnitude", "TDISP": "F7.3"},
    "OBJID": {"TUCD": "meta.id", "TNULL": "-9"},
    "NAME": {"TNULL": "none"},
}


def carry(keep: str = "all") -> tuple[tuple[CarriedColumn, ...], tuple[str, ...]]:
    return carry_columns(
        DTYPE,
        CARDS,
        keep=keep,
        own=("Z_PHOT_MEAN", "EBV", "FLAGS"),
        id_column="OBJID",
        ra_column="ra",
        dec_column="dec",
    )


def names(keep: str) -> list[str]:
    return [carried.column.name for carried in carry(keep)[0]]


def test_ids_and_positions_come_first_and_always() -> None:
    assert names("none") == ["OBJID", "ra", "dec"]
    assert names("all") == ["OBJID", "ra", "dec", "MAG", "Flags_INPUT", "NAME"]


def test_asked_for_columns_are_found_whatever_their_case_and_once() -> None:
    assert names("name, mag,NAME,RA") == ["OBJID", "ra", "dec", "NAME", "MAG"]


def test_an_unknown_column_is_refused_with_those_there_are() -> None:
    with pytest.raises(CatalogError, match="no column COLOUR") as caught:
        carry("MAG,COLOUR")
    assert "OBJID" in caught.value.hint


def test_a_clash_is_renamed_and_said_but_ebv_is_the_same() -> None:
    carried, notices = carry()
    assert notices == ("the input's column Flags is carried over as Flags_INPUT",)
    assert "Flags" in {column.source for column in carried}
    assert "EBV" not in {column.source for column in carried}


def test_a_renamed_column_does_not_hide_another() -> None:
    dtype = np.dtype([("FLAGS", "i4"), ("FLAGS_INPUT", "i4"), ("Flags", "i4")])
    carried, _ = carry_columns(
        dtype, {}, keep="all", own=["FLAGS"], id_column=None, ra_column=None, dec_column=None
    )
    found = [column.column.name.upper() for column in carried]
    assert len(set(found)) == 3
    assert "FLAGS" not in found


def test_a_position_in_words_is_not_said_to_be_degrees() -> None:
    dtype = np.dtype([("RA", "S11"), ("DEC", "f8")])
    carried, _ = carry_columns(
        dtype, {}, keep="none", own=(), id_column=None, ra_column="RA", dec_column="DEC"
    )
    assert [column.column.unit for column in carried] == ["", "deg"]


def test_redshifts_in_words_are_not_said_to_be_shown_as_numbers() -> None:
    dtype = np.dtype([("Z_SPEC", "S8"), ("Z_SPEC_ERR", "f4")])
    carried, _ = carry_columns(
        dtype, {}, keep="all", own=(), id_column=None, ra_column=None, dec_column=None
    )
    assert [column.column.display for column in carried] == ["", "F8.5"]


def test_columns_keep_what_they_say_of_themselves() -> None:
    by_name = {carried.source: carried.column for carried in carry()[0]}
    mag = by_name["MAG"]
    assert (mag.unit, mag.ucd) == ("mag", "phot.mag;em.opt.R")
    assert (mag.description, mag.display) == ("r magnitude", "F7.3")
    assert by_name["OBJID"].null == -9
    assert by_name["NAME"].null is None


def test_the_roles_have_their_ucds_and_silent_columns_a_description() -> None:
    by_name = {carried.source: carried.column for carried in carry()[0]}
    assert by_name["OBJID"].ucd == "meta.id;meta.main"
    assert (by_name["ra"].ucd, by_name["ra"].unit) == ("pos.eq.ra;meta.main", "deg")
    assert by_name["dec"].ucd == "pos.eq.dec;meta.main"
    assert all(column.description for column in by_name.values())


def test_columns_of_variable_length_are_left_out_with_a_notice() -> None:
    dtype = np.dtype([("ID", "i8"), ("LIST", "O")])
    carried, notices = carry_columns(
        dtype, {}, keep="all", own=[], id_column="ID", ra_column=None, dec_column=None
    )
    assert [column.source for column in carried] == ["ID"]
    assert "LIST" in notices[0]


def test_padded_arrays_of_variable_length_are_left_out_as_well() -> None:
    dtype = np.dtype([("ID", "i8"), ("LIST", "i4", (5,))])
    carried, notices = carry_columns(
        dtype,
        {"LIST": {"TFORM": "1PJ(5)"}, "ID": {"TFORM": "K"}},
        keep="all",
        own=[],
        id_column="ID",
        ra_column=None,
        dec_column=None,
    )
    assert [column.source for column in carried] == ["ID"]
    assert notices == ("the column LIST has variable length and is left out",)


def test_names_and_types_that_fits_lacks_are_replaced() -> None:
    dtype = np.dtype([("a\nb", "f2"), ("it's", "f4"), ("C", "c8")])
    carried, notices = carry_columns(
        dtype, {}, keep="all", own=[], id_column=None, ra_column=None, dec_column=None
    )
    found = [(column.column.name, column.dtype.str[1:]) for column in carried]
    assert found == [("a_b", "f4"), ("it_s", "f4"), ("C", "c8")]
    assert notices[0] == r"the input's column 'a\nb' is carried over as a_b"
