"""Image files: what is read without CFITSIO is what CFITSIO reads."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import fitsio
import numpy as np
import pytest
from astropy.io import fits
from numpy.typing import NDArray

from photoz_ssl.survey.images import image_files
from photoz_ssl.survey.images.image_files import open_images

SIDE = 9
WINDOW = slice(2, 7), slice(1, 8)
Facts = list[tuple[tuple[int, ...], NDArray[Any], dict[str, Any]]]

CARDS = {
    "BUNIT": "nanomaggy",
    "BANDS": "ugriz",
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 150.25,
    "CRVAL2": -2.5e-3,
    "CRPIX1": 5,
    "CRPIX2": 5.0,
    "CD1_1": -1.1e-4,
    "CD2_2": 1.1e-4,
    "OBSERVER": "O'Neill / none",
    "EBV": 0.03,
}


def noise(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def image_hdu(data: NDArray[Any], **cards: Any) -> Any:
    return fits.ImageHDU(data, fits.Header({**CARDS, **cards}))


def cube(path: Path, data: NDArray[Any] | None = None, **cards: Any) -> Path:
    chosen = noise(5, SIDE, SIDE) if data is None else data
    fits.PrimaryHDU(chosen, fits.Header({**CARDS, **cards})).writeto(path)
    return path


def hdu_a_band(path: Path) -> Path:
    planes = [image_hdu(noise(SIDE, SIDE + 2), EXTNAME=f"SDSS-{band}") for band in "ugriz"]
    fits.HDUList([fits.PrimaryHDU(), *planes]).writeto(path)
    return path


def unit_of_the_primary(path: Path, unit: str = "uJy") -> Path:
    planes = [fits.ImageHDU(noise(SIDE, SIDE), fits.Header({"FILTER": band})) for band in "ugriz"]
    planes[0].header["BUNIT"] = "nanomaggy"
    fits.HDUList([fits.PrimaryHDU(header=fits.Header({"BUNIT": unit})), *planes]).writeto(path)
    return path


def packed(path: Path) -> Path:
    path.write_bytes(gzip.compress(cube(path).read_bytes()))
    return path


PLAIN: dict[str, Callable[[Path], Path]] = {
    "cube": cube,
    "HDU a band": hdu_a_band,
    "gzip": packed,
    "unit of the primary": unit_of_the_primary,
    "float64": lambda path: cube(path, noise(5, SIDE, SIDE).astype(np.float64)),
    "no numbers": lambda path: cube(path, np.full((5, SIDE, SIDE), np.nan, np.float32)),
    "four axes": lambda path: cube(path, noise(1, 5, SIDE, SIDE)),
    "quotes in text": lambda path: cube(path, FILTER="it's r", EXTNAME=" r / g"),
    "exponents": lambda path: cube(path, CRVAL1=1.5e2, CD1_2=1e-20),
}


def by_cfitsio(path: Path, monkeypatch: pytest.MonkeyPatch) -> Facts:
    with monkeypatch.context() as patch:
        patch.setattr(image_files, "SMALL_BYTES", 0)
        return facts(path)


def facts(path: Path) -> Facts:
    with open_images(path) as images:
        return [(image.shape, image.part(*WINDOW), used(image.header)) for image in images]


def used(header: image_files.Header) -> dict[str, Any]:
    """What the readers use of a header."""
    return {
        name: card["value"].strip() if isinstance(card["value"], str) else card["value"]
        for name, card in header.items()
        if name in image_files.USED
    }


def no_cfitsio(*_: Any) -> None:
    raise AssertionError("CFITSIO was asked")


def assert_alike(found: Facts, expected: Facts) -> None:
    assert [shape for shape, _, _ in found] == [shape for shape, _, _ in expected]
    for (_, pixels, header), (_, other, others) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(pixels, other)
        assert header == others


@pytest.mark.parametrize("kind", PLAIN)
def test_plain_files_are_read_without_cfitsio_as_cfitsio_does(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = PLAIN[kind](tmp_path / "image.fits")
    expected = by_cfitsio(path, monkeypatch)
    monkeypatch.setattr(fitsio, "FITS", no_cfitsio)
    assert_alike(facts(path), expected)


def scaled(path: Path) -> Path:
    data = np.arange(5 * SIDE * SIDE, dtype=np.float32).reshape(5, SIDE, SIDE)
    hdu = fits.PrimaryHDU(data, fits.Header(CARDS))
    hdu.scale("int16", bzero=200, bscale=0.5)
    hdu.writeto(path)
    return path


def with_table(path: Path) -> Path:
    table = fits.BinTableHDU(np.zeros(3, [("A", "f4")]))
    fits.HDUList([fits.PrimaryHDU(noise(5, SIDE, SIDE)), table]).writeto(path)
    return path


def tiled(path: Path) -> Path:
    with fitsio.FITS(str(path), "rw") as file:
        file.write(noise(SIDE, SIDE), compress="gzip")
    return path


def cut(path: Path) -> Path:
    cube(path)
    path.write_bytes(path.read_bytes()[:-2880])
    return path


def twice_in_header(path: Path) -> Path:
    content = cube(path, FILTER="r").read_bytes()
    path.write_bytes(content.replace(b"OBSERVER", b"FILTER  "))
    return path


OTHERS: dict[str, Callable[[Path], Path]] = {
    "integers": lambda path: cube(path, np.zeros((5, SIDE, SIDE), np.int16)),
    "scaled": scaled,
    "a table": with_table,
    "compressed": tiled,
    "cut": cut,
    "a card twice": twice_in_header,
    "long text": lambda path: cube(path, FILTER="r" * 100),
    "empty": lambda path: path.with_name("empty.fits"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_all_other_files_are_left_to_cfitsio(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = OTHERS[kind](tmp_path / "image.fits")
    if not path.exists():
        path.touch()
    monkeypatch.setattr(fitsio, "FITS", no_cfitsio)
    with pytest.raises(AssertionError, match="CFITSIO was asked"):
        facts(path)


def test_a_large_file_is_left_to_cfitsio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(tmp_path / "image.fits")
    monkeypatch.setattr(image_files, "SMALL_BYTES", 4000)
    monkeypatch.setattr(fitsio, "FITS", no_cfitsio)
    with pytest.raises(AssertionError, match="CFITSIO was asked"):
        facts(path)


def test_a_damaged_header_is_left_to_cfitsio_or_read_as_cfitsio_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 1,500 with a wrong byte; a card that we do not use may be beyond CFITSIO."""
    generator = np.random.default_rng(7)
    whole = bytearray(cube(tmp_path / "whole.fits").read_bytes())
    path, n_plain = tmp_path / "damaged.fits", 0
    for _ in range(1500):
        damaged = bytearray(whole)
        damaged[generator.integers(80 * 20)] = generator.integers(32, 127)
        path.write_bytes(damaged)
        plain = image_files._plain_images(bytes(damaged))
        if plain is None:
            continue
        with suppress(OSError):
            expected = by_cfitsio(path, monkeypatch)
            found = [(image.shape, image.part(*WINDOW), used(image.header)) for image in plain]
            assert_alike(found, expected)
            n_plain += 1
    assert 300 < n_plain < 1500
