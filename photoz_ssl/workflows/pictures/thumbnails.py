"""Colour pictures of galaxies."""

from __future__ import annotations

import numpy as np
from astropy.visualization import make_lupton_rgb
from numpy.typing import NDArray

from photoz_ssl.spec import NETWORK_SIZE, network_pixels
from photoz_ssl.survey.bands import BANDS, R_SF11

__all__ = ["PICTURE_SHAPE", "thumbnails"]

PICTURE_SHAPE = (NETWORK_SIZE, NETWORK_SIZE, 3)
"""Height, width and colours of a picture."""

RED_GREEN_BLUE = ("i", "r", "g")
BAND_WEIGHTS = (1.0, 1.15, 1.6)
"""Relative scale of i, r and g, so that a galaxy like the Sun looks white."""

STRETCH, SOFTENING = 0.3, 8.0
"""Of Lupton et al. (2004): nanomaggies that are shown linearly, and Q."""

MOST_REDDENING = 0.5
"""E(B-V) up to which a picture is dereddened; beyond it only the noise would be seen."""


def thumbnails(images: NDArray[np.float32], ebv: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Colour pictures of stamps, dereddened, in the way of Lupton et al. (2004).

    Parameters
    ----------
    images : ndarray, shape (n, 5, S, S), S >= 64
        Nanomaggies in ugriz, not dereddened.
    ebv : ndarray, shape (n,)
        E(B-V) of SFD, magnitudes; a NaN counts as 0, more than 0.5 as 0.5.

    Returns
    -------
    ndarray, shape (n, 64, 64, 3), uint8
        Red, green, blue of the central pixels; black for a stamp without light.
    """
    centre = network_pixels(images.shape[-1])
    bands = [BANDS.index(band) for band in RED_GREEN_BLUE]
    reddening = np.clip(np.nan_to_num(np.asarray(ebv, np.float64)), 0, MOST_REDDENING)
    extinction = reddening[:, np.newaxis] * R_SF11[bands]
    scale = np.array(BAND_WEIGHTS) * 10 ** (0.4 * extinction)
    light = np.nan_to_num(images[:, bands, centre, centre]) * scale[:, :, np.newaxis, np.newaxis]
    pictures = np.zeros((len(images), *PICTURE_SHAPE), np.uint8)
    for picture, (red, green, blue) in zip(pictures, light, strict=True):
        with np.errstate(invalid="ignore", divide="ignore"):  # where there is no light
            picture[:] = make_lupton_rgb(red, green, blue, minimum=0, stretch=STRETCH, Q=SOFTENING)
    return pictures
