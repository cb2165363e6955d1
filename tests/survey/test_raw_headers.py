"""Headers as bytes: what CFITSIO would die of is found before it sees the file."""

from __future__ import annotations

import gzip
from pathlib import Path

import fitsio
import numpy as np
import pytest

from photoz_ssl.errors import CatalogError
from photoz_ssl.survey.catalog import open_catalog
from photoz_ssl.survey.images.image_files import open_images
from photoz_ssl.survey.raw_headers import data_bytes, refuse_absurd_tiles, repeated_structure


def tiled(path: Path, **changed: str) -> Path:
    """A compressed cube, some of whose cards say something else."""
    pixels = np.random.default_rng(0).normal(size=(5, 64, 64)).astype(np.float32)
    fitsio.write(str(path), pixels, compress="rice", tile_dims=(1, 64, 64))
    content = path.read_bytes()
    for keyword, value in changed.items():
        start = content.index(f"{keyword:<8}=".encode())
        card = f"{keyword:<8}= {value:>20}".ljust(80).encode()
        content = content[:start] + card + content[start + 80 :]
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("keyword", ["ZNAXIS", "ZNAXIS3", "ZTILE1"])
@pytest.mark.parametrize("value", ["0", "''", "", "-1", "1.5", "T"])
def test_a_side_by_which_cfitsio_would_divide_is_refused_by_all_that_open_files(
    tmp_path: Path, keyword: str, value: str
) -> None:
    path = tiled(tmp_path / "tiled.fits", **{keyword: value})
    with pytest.raises(ValueError, match="no positive number"):
        refuse_absurd_tiles(path)
    with pytest.raises(ValueError, match="no positive number"), open_images(path):
        pass
    packed = tmp_path / "tiled.fits.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    for catalog in (path, packed):
        with pytest.raises(CatalogError, match="is damaged"), open_catalog(str(catalog)):
            pass


def test_a_compressed_image_is_let_through(tmp_path: Path) -> None:
    refuse_absurd_tiles(tiled(tmp_path / "tiled.fits"))
    with open_images(tmp_path / "tiled.fits") as images:
        assert [image.shape for image in images] == [(5, 64, 64)]


def test_what_is_no_fits_file_is_for_cfitsio_to_refuse(tmp_path: Path) -> None:
    for content in (b"", b"SIMPLE  =", b"x" * 9000):
        (tmp_path / "other.fits").write_bytes(content)
        refuse_absurd_tiles(tmp_path / "other.fits")


def header(**cards: int) -> bytes:
    return b"".join(f"{key:<8}= {value:>20}".ljust(80).encode() for key, value in cards.items())


def test_the_length_of_data_is_padded_to_blocks_and_never_negative() -> None:
    assert data_bytes(header(BITPIX=-32, NAXIS=0)) == 0
    assert data_bytes(header(BITPIX=8, NAXIS=2, NAXIS1=10, NAXIS2=3, PCOUNT=2)) == 2880
    for wrong in ({"NAXIS1": -10_000}, {"NAXIS1": 3, "PCOUNT": -1}, {}):
        with pytest.raises(ValueError, match=r"negative|no number"):
            data_bytes(header(BITPIX=8, NAXIS=1, **wrong))


def test_only_what_says_where_bytes_are_may_not_be_there_twice() -> None:
    assert repeated_structure(["TFORM1", "TFORM2", "COMMENT", "COMMENT", None, None]) is None
    assert repeated_structure(["HISTORY", "TUNIT1", "TUNIT1", "TFORM2", "TFORM2"]) == "TFORM2"
