"""Units of flux: those that convert do so exactly and silently, the others are refused."""

from __future__ import annotations

import astropy.units as u
import pytest

from photoz_ssl.survey.units import nanomaggies_in


@pytest.mark.parametrize(
    "name",
    ["", "  ", "nanomaggy", "nanomaggies", "NanoMaggies", "nmgy", "nMgy/pixel", "nmgy pix-1"],
)
def test_names_of_the_nanomaggy_are_one(name: str) -> None:
    assert nanomaggies_in(name) == 1


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("maggies", 1e9),
        ("mgy", 1e9),
        ("Jy", 1e6 / 3.631),
        ("mJy", 1e3 / 3.631),
        ("uJy", 1 / 3.631),
        ("microJansky", 1 / 3.631),
        ("nJy/pix", 1e-3 / 3.631),
        ("1e-6 Jy", 1 / 3.631),
    ],
)
def test_flux_densities_are_converted(name: str, expected: float) -> None:
    assert nanomaggies_in(name) == pytest.approx(expected, rel=1e-9)


def test_a_unit_with_two_slashes_is_read_as_fits_means_it() -> None:
    cgs = u.erg / u.s / u.cm**2 / u.Hz
    expected = cgs.to(u.Jy) * 1e6 / 3.631
    for name in ("erg/s/cm2/Hz", "erg/s/cm**2/Hz", "erg s-1 cm-2 Hz-1"):
        assert nanomaggies_in(name) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "name",
    [
        "adu",
        "counts",
        "DN",
        "electron/s",
        "MJy/sr",
        "Jy/beam",
        "m/s",
        "1",
        "a word",
        "nanomaggies^",
    ],
)
def test_what_is_no_flux_density_is_refused(name: str) -> None:
    assert nanomaggies_in(name) is None


@pytest.mark.parametrize("name", ["mag", "mag(AB)", "dex(Jy)", "dB(Jy)"])
def test_logarithms_of_a_flux_are_refused(name: str) -> None:
    assert nanomaggies_in(name) is None
