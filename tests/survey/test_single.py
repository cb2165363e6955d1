"""Catalogues of one galaxy: what an image file tells of itself."""

from __future__ import annotations

from pathlib import Path

import fitsio
import numpy as np
import pytest

from photoz_ssl.errors import CutoutError, SpecMismatchError
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.simulation.output import write_cutout
from photoz_ssl.survey.single import image_catalog, position_catalog

ROW = np.array([(7, 123.25, -5.5, 0.03)], [(name, "f8") for name in ("OBJID", "RA", "DEC", "EBV")])


def write(path: Path, size: int = 64) -> Path:
    write_cutout(path, np.zeros((5, size, size), np.float32), ROW[0])
    return path


@pytest.mark.parametrize("size", [64, 107])
def test_the_middle_of_the_image_is_the_galaxy(tmp_path: Path, size: int) -> None:
    catalog, notices = image_catalog(write(tmp_path / "my.fits", size), ImageSpec())
    row = catalog.read(0, 1)[0]
    np.testing.assert_allclose([row["RA"], row["DEC"], row["EBV"]], [123.25, -5.5, 0.03], atol=1e-9)
    assert Path(row["CUTOUT"].decode()) == tmp_path / "my.fits"
    assert notices == ()


def test_other_pixels_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "my.fits")
    with pytest.raises(SpecMismatchError, match=r"are 0\.396 arcsec, but .* made for 0\.2"):
        image_catalog(path, ImageSpec(pixel_scale=0.2))


def test_what_is_no_image_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "my.fits"
    with pytest.raises(CutoutError, match="there is no file"):
        image_catalog(path, ImageSpec())
    path.write_bytes(b"SIMPLE  = no")
    with pytest.raises(CutoutError, match="not a readable FITS image"):
        image_catalog(path, ImageSpec())
    fitsio.write(str(path), np.zeros(3, [("A", "f4")]), clobber=True)
    with pytest.raises(CutoutError, match="not a readable FITS image"):
        image_catalog(path, ImageSpec())


def test_a_position_is_a_catalogue_of_one_row() -> None:
    catalog = position_catalog(10.0, -20.0)
    assert catalog.read(0, 1).tolist() == [(10.0, -20.0)]
    assert catalog.path == "RA 10.000000, Dec -20.000000"
