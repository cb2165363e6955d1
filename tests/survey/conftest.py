"""Images and frames of a made-up sky, for the tests of how they are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

BANDS = "ugriz"
FIELD = "001234-5-0067"
WIDTH, HEIGHT = 220, 180
GALAXY = (100.0, 90.0)
"""Column and row of the galaxy in the r frame, from 0."""

OFFSETS = {"u": (3.0, -5.0), "g": (-2.4, 1.3), "r": (0.0, 0.0), "i": (0.5, 0.5), "z": (7.0, 4.2)}
"""By how many pixels the sky lies further right and up in a frame than in r."""

FLUX = {"u": 20.0, "g": 60.0, "r": 100.0, "i": 130.0, "z": 150.0}


def frame_wcs(band: str = "r") -> WCS:
    """The WCS of a frame, at RA 150 and Dec 20, with the pixels of SDSS."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [150.0, 20.0]
    wcs.wcs.crpix = [111 + OFFSETS[band][0], 91 + OFFSETS[band][1]]
    wcs.wcs.cd = np.array([[-0.396, 0.0], [0.0, 0.396]]) / 3600
    return wcs


def frame_image(band: str, x: float = GALAXY[0], y: float = GALAXY[1]) -> NDArray[np.float32]:
    """A round galaxy, sigma 3 pixels, at a position of the r frame."""
    rows, columns = np.indices((HEIGHT, WIDTH))
    squared = (columns - x - OFFSETS[band][0]) ** 2 + (rows - y - OFFSETS[band][1]) ** 2
    profile = np.exp(-squared / 18)
    return (FLUX[band] * profile / (18 * np.pi)).astype(np.float32)


FrameWriter = Callable[..., Path]


@pytest.fixture
def write_frame(tmp_path: Path) -> FrameWriter:
    """Write a frame as SDSS does, under its name, and return its path."""

    def write(band: str, image: NDArray[np.float32] | None = None, **cards: object) -> Path:
        header = frame_wcs(band).to_header()
        header.update({"BUNIT": "nanomaggy", **cards})
        folder = tmp_path / "frames"
        folder.mkdir(exist_ok=True)
        path = folder / f"frame-{band}-{FIELD}.fits"
        data = frame_image(band) if image is None else image
        fits.writeto(path, data, header, overwrite=True)
        return path

    return write


@pytest.fixture
def frames_folder(write_frame: FrameWriter) -> Path:
    """A folder with one field in five bands."""
    folders = {write_frame(band).parent for band in BANDS}
    return folders.pop()


@pytest.fixture
def galaxy_position() -> tuple[float, float]:
    """RA and Dec of the galaxy in the frames, degrees."""
    ra, dec = frame_wcs().wcs_pix2world(*GALAXY, 0)
    return float(ra), float(dec)
