"""The contract between the commands."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from photoz_ssl.errors import SpecMismatchError
from photoz_ssl.spec import ImageSpec


def test_json_round_trip() -> None:
    spec = ImageSpec(bands=("g", "r"), size=80, pixel_scale=0.2)
    assert ImageSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "3",
        '{"bands": 3}',
        '{"bands": "ugriz"}',
        '{"bands": [1, 2]}',
        '{"bands": ["u"], "x": 1}',
        '{"bands": ["u"], "network_size": "x"}',
        '{"bands": ["u"], "size": 64.0}',
        '{"bands": ["u"], "pixel_scale": NaN}',
        '{"bands": ["u"], "dereddened": 1}',
        "[" * 10_000,
    ],
)
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an image specification"):
        ImageSpec.from_json(text)


def test_stored_sizes_may_differ() -> None:
    ImageSpec(size=64).require_usable_by(ImageSpec(size=107), here="a", there="b")


@pytest.mark.parametrize(
    "change",
    [{"bands": ("g", "r", "i")}, {"pixel_scale": 0.2}, {"unit": "adu"}, {"dereddened": True}],
)
def test_a_difference_that_matters_is_named(change: dict[str, Any]) -> None:
    other = replace(ImageSpec(), **change)
    with pytest.raises(SpecMismatchError, match=next(iter(change))):
        other.require_usable_by(ImageSpec(), here="a.h5", there="b.safetensors")


def test_dereddened_pixels_are_not_reddened() -> None:
    ebv = np.array([0.1, 0.3], np.float32)
    np.testing.assert_array_equal(ImageSpec().reddening(ebv), ebv)
    np.testing.assert_array_equal(ImageSpec(dereddened=True).reddening(ebv), [0, 0])


def test_stamps_smaller_than_the_network_are_refused() -> None:
    with pytest.raises(SpecMismatchError, match="at least 64"):
        ImageSpec(size=63).require_usable_by(ImageSpec(), here="a", there="b")
