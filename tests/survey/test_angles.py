"""Positions as astronomers write them."""

from __future__ import annotations

import pytest

from photoz_ssl.errors import ConfigError
from photoz_ssl.survey.angles import looks_like_position, position_of


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("10.5,-0.25", (10.5, -0.25)),
        (" 360 , 90", (0.0, 90.0)),
        ("-10.5,41", (349.5, 41.0)),
        ("01:30:00,-00:30:00", (22.5, -0.5)),
        ("1h30m,-0d30m", (22.5, -0.5)),
        ("22d30m,-0.5", (22.5, -0.5)),
        ("1.5e1,+2", (15.0, 2.0)),
    ],
)
def test_a_position_is_read_in_degrees_or_sexagesimal(
    text: str, position: tuple[float, float]
) -> None:
    assert looks_like_position(text)
    assert position_of(text) == pytest.approx(position, abs=1e-12)


@pytest.mark.parametrize(
    "text",
    ["15:18:07.2 +42:44:51", "15 18 07.2 +42 44 51", "15h18m07.2s+42d44m51s", "229.53d 42.7475d"],
)
def test_the_comma_of_a_position_may_be_a_blank_or_a_sign(text: str) -> None:
    assert position_of(text) == pytest.approx((229.53, 42.7475), abs=1e-9)


@pytest.mark.parametrize(
    "text", ["", "1", "1,2,3", "1 2 3", "a,b", "nan,0", "10:70:00,0", "25:00:00,0"]
)
def test_what_is_no_position_is_told_how_to_write_one(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is not a position; write RA,DEC, such as"):
        position_of(text)


@pytest.mark.parametrize("text", ["0,90.1", "400,0", "1e400,0", "-361,0"])
def test_a_position_lies_on_the_sky(text: str) -> None:
    with pytest.raises(ConfigError, match="is no place on the sky"):
        position_of(text)


@pytest.mark.parametrize("text", ["1001", "m31.fits", "m31,v2.fits", "J1030+20", ""])
def test_other_examples_are_no_positions(text: str) -> None:
    assert not looks_like_position(text)
