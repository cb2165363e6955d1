"""Where on a stamp a position of the sky lies, by the WCS in the stamp's header."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from astropy.coordinates import (
    ICRS,
    BarycentricMeanEcliptic,
    BaseCoordinateFrame,
    SkyCoord,
    Supergalactic,
)
from astropy.io import fits
from astropy.wcs import WCS, NoConvergence, Wcsprm
from astropy.wcs.utils import proj_plane_pixel_scales, wcs_to_celestial_frame
from numpy.typing import NDArray

from photoz_ssl.survey.angles import degrees_in
from photoz_ssl.survey.images.image_files import Header
from photoz_ssl.survey.raw_headers import CARD

__all__ = ["SkyGrid", "celestial_wcs", "frame_of", "sky_grid", "to_pixels", "to_sky"]

WCS_CARD = re.compile(
    r"(CTYPE|CRPIX|CRVAL|CDELT|CUNIT|CROTA)[12]$|(CD|PC)[12]_[12]$"
    r"|(EQUINOX|RADESYS|RADECSYS|LONPOLE|LATPOLE)$|PV[12]_\d+$"
)
SIP_CARD = re.compile(r"[AB]P?_(ORDER|\d_\d)$")

PLAIN_CARD = re.compile(
    r"(?=[^=]{8}= )(?:(?:CTYPE[12]|RADESYS) *= +'[^']*'|CUNIT[12] *= +'deg *'"
    r"|(?:(?:CRPIX|CRVAL|CDELT|CROTA)[12]|(?:CD|PC)[12]_[12]|EQUINOX|LONPOLE|LATPOLE) *= +"
    r"[+-]?(?:\d+\.?\d*|\.\d+)(?:E[+-]?\d{1,3})?) *(?:/[ -~]*)?"
)
"""Of degrees, without distortion, and written as the standard has it: nothing is to be mended."""

PLACE = ("CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2")
"""Cards that differ from cutout to cutout of a survey."""

ZENITHAL = re.compile(r".{4}-(TAN|SIN|STG|ARC|ZEA)$")
"""CTYPE of projections about the reference value."""

CELESTIAL = re.compile(r"RA--|DEC-|.(LON|LAT)|..(LN|LT)")
"""What the CTYPE of an axis of the sky begins with."""

UNITS = {1.0: "deg", degrees_in("arcmin"): "arcmin", degrees_in("arcsec"): "arcsec"}
"""The standard's names of what CUNIT may be spelled as, by their degrees."""

OTHER_FRAMES = {"ELON": BarycentricMeanEcliptic(), "SLON": Supergalactic()}
"""Of the coordinates that astropy does not know from a WCS, by the longitude's CTYPE."""

FAR_OFF = (-1e9, -1e9)
"""The pixel of what the WCS does not show."""

Pixels = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True)
class SkyGrid:
    """The celestial WCS of an image.

    Parameters
    ----------
    wcs : WCS
        It may be distorted, and its axes in any order.
    frame : astropy frame, optional
        Of its coordinates; None where those are ICRS to a few hundredths of an arcsecond.
    pixel_scale : float
        Arcseconds a pixel, at the reference point.
    """

    wcs: WCS
    frame: BaseCoordinateFrame | None
    pixel_scale: float

    def pixel_of(self, ra: float, dec: float) -> tuple[float, float]:
        """Column and row, from 0, of a position in ICRS, degrees; far off where not shown."""
        position = (ra, dec)
        if self.frame is not None:
            there = SkyCoord(ra, dec, unit="deg").transform_to(self.frame).spherical
            position = there.lon.deg, there.lat.deg
        x, y = to_pixels(self.wcs, *(position if self.wcs.wcs.lng == 0 else position[::-1]))
        if not (math.isfinite(x) and math.isfinite(y)):
            return FAR_OFF
        return min(max(float(x), -1e9), 1e9), min(max(float(y), -1e9), 1e9)

    def position_of(self, x: float, y: float) -> tuple[float, float]:
        """RA and Dec in ICRS, degrees, of a pixel, from 0."""
        first, second = (float(angle) for angle in to_sky(self.wcs, x, y))
        position = (first, second) if self.wcs.wcs.lng == 0 else (second, first)
        if self.frame is None or not np.isfinite(position).all():
            return position
        there = SkyCoord(*position, unit="deg", frame=self.frame).transform_to(ICRS())
        return float(there.ra.deg), float(there.dec.deg)


def to_pixels(wcs: WCS, first: Any, second: Any) -> Pixels:
    """Pixels, from 0, of positions in the WCS's own terms; by way of its distortion if it has one.

    NaN where there is none.
    """
    if wcs.sip is None and np.ndim(first) == 0:  # in a tenth of the time of what follows
        x, y = wcs.wcs.s2p([[first, second]], 0)["pixcrd"][0]
        return x, y
    x, y = wcs.wcs_world2pix(first, second, 0)
    if wcs.sip is None:
        return x, y
    x, y, positions = np.ravel(x), np.ravel(y), np.stack([np.ravel(first), np.ravel(second)], 1)
    seen = np.isfinite(x) & np.isfinite(y)
    if seen.any():
        x[seen], y[seen] = _undistorted(wcs, positions[seen]).T
    return x.reshape(np.shape(first)), y.reshape(np.shape(first))


def _undistorted(wcs: WCS, positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pixels of positions, shape (n, 2), for which the distortion is turned round step by step."""
    try:
        return np.asarray(wcs.all_world2pix(positions, 0))
    except NoConvergence as error:
        pixels = np.array(error.best_solution)
        for failed in (error.divergent, error.slow_conv):
            if failed is not None:
                pixels[failed] = np.nan
        return pixels


def to_sky(wcs: WCS, x: Any, y: Any) -> Pixels:
    """The other way round."""
    first, second = (wcs.wcs_pix2world if wcs.sip is None else wcs.all_pix2world)(x, y, 0)
    return first, second


def sky_grid(header: Header) -> SkyGrid | None:
    """The celestial WCS of an image, or None.

    Raises
    ------
    ValueError
        If its coordinates are of a frame that cannot be told, or make no sense.
    """
    if "CTYPE1" not in header:
        return None
    distorted = str(header["CTYPE1"]["value"]).strip().upper().endswith("-SIP")
    cards = {
        name: card["card_string"].ljust(CARD)
        for name, card in header.items()
        if WCS_CARD.match(name) or (distorted and SIP_CARD.match(name))
    }
    if "RADECSYS" in cards:  # the old name, as in SDSS's frames
        cards.setdefault("RADESYS", f"{'RADESYS':8}{cards['RADECSYS'][8:]}")
        del cards["RADECSYS"]
    if all(PLAIN_CARD.fullmatch(cards.get(name, "")) for name in PLACE):
        others = "".join(card for name, card in cards.items() if name not in PLACE)
        grid = _plain_grid(others, *(header[name]["value"] for name in PLACE))
        if grid is not None:
            return grid
    return _grid_of("".join(cards.values()))


@lru_cache(maxsize=16)
def _plain_grid(others: str, x: float, y: float, first: float, second: float) -> SkyGrid | None:
    """Of a reference pixel, from 1, and value, and other cards; None where these are not plain."""
    kind = _plain_kind(others)
    if kind is None:
        return None
    told, example = kind
    wcs = _celestial(lambda: _of_wcslib(told, (x, y), (first, second)))
    return None if wcs is None else replace(example, wcs=wcs)


@lru_cache(maxsize=16)
def _grid_of(cards: str) -> SkyGrid | None:
    wcs = celestial_wcs(fits.Header.fromstring(cards))
    return None if wcs is None else SkyGrid(wcs, frame_of(wcs), _pixel_scale(wcs))


def _pixel_scale(wcs: WCS) -> float:
    return 3600 * float(np.mean(proj_plane_pixel_scales(wcs)))


def _of_wcslib(cards: Wcsprm, pixel: tuple[float, float], value: tuple[float, float]) -> WCS:
    """The WCS of cards with such a reference pixel, from 1, and reference value."""
    wcs, told = WCS(naxis=2, fix=False), copy.copy(cards)
    told.crpix, told.crval = pixel, value
    told.lonpole, told.latpole = cards.lonpole, cards.latpole  # the copy has those of another value
    wcs.wcs = told
    return wcs


@lru_cache(maxsize=16)
def _plain_kind(cards: str) -> tuple[Wcsprm, SkyGrid] | None:
    """What WCSLIB reads in cards without `PLACE`, and the grid of one place.

    WCSLIB gets them as they are, which takes a tenth of the time: astropy's header would mend them,
    and look for distortions. None where there is something to mend, where they tell of no sky that
    is known, and where what is made of them goes by the reference value, as in other projections.
    """
    each = (cards[start : start + CARD] for start in range(0, len(cards), CARD))
    if "-SIP" in cards.upper() or not all(map(PLAIN_CARD.fullmatch, each)):
        return None
    try:
        told = Wcsprm(cards.encode(), relax=True)
        if not all(map(ZENITHAL.match, told.ctype)):
            return None
        wcs = _celestial(lambda: _of_wcslib(told, (0, 0), (0, 0)))
        return None if wcs is None else (told, SkyGrid(wcs, frame_of(wcs), _pixel_scale(wcs)))
    except (ValueError, MemoryError):
        return None


def celestial_wcs(header: fits.Header) -> WCS | None:
    """The WCS of a header; None where its axes are of something else than the sky.

    Raises
    ------
    ValueError
        If they are of the sky and it makes no sense: what would be cut there is not known.
    """
    plain = not any(name == "RADECSYS" or name.startswith("PV2_") for name in header)
    wcs = _celestial(lambda: WCS(header, naxis=2, fix=False)) if plain else None
    if wcs is None:
        wcs = _celestial(lambda: WCS(_modern(header.copy()), naxis=2, fix=False))
    if wcs is None and any(CELESTIAL.match(_ctype(header, axis)) for axis in (1, 2)):
        raise ValueError("its WCS makes no sense")
    return wcs


def _celestial(make: Callable[[], WCS]) -> WCS | None:
    """A WCS of the sky; None where it is of something else, or makes no sense."""
    try:
        wcs = make()
        wcs.wcs.s2p([wcs.wcs.crval], 0)
    except (ValueError, KeyError, TypeError, MemoryError):
        return None
    return wcs if wcs.has_celestial else None


def _ctype(header: fits.Header, axis: int) -> str:
    return str(header.get(f"CTYPE{axis}", "")).strip().upper()


def _modern(header: fits.Header) -> fits.Header:
    """The header with what is deprecated, or only somebody's, in the words of the standard.

    TAN with coefficients of the second axis, as SCAMP wrote it, is what has become TPV.
    """
    if "RADECSYS" in header:
        header.setdefault("RADESYS", header["RADECSYS"])
        header.remove("RADECSYS")
    for axis in (1, 2):
        unit = header.get(f"CUNIT{axis}")
        if isinstance(unit, str) and unit.strip() and (degrees := degrees_in(unit)) in UNITS:
            header[f"CUNIT{axis}"] = UNITS[degrees]
        if isinstance(header.get(f"CTYPE{axis}"), str):
            header[f"CTYPE{axis}"] = _ctype(header, axis)
    ctypes = [_ctype(header, axis) for axis in (1, 2)]
    lengths = [sum(name.startswith(f"PV{axis}_") for name in header) for axis in (1, 2)]
    if all(lengths) and all(ctype.endswith("-TAN") for ctype in ctypes):
        for axis, ctype in enumerate(ctypes, start=1):
            header[f"CTYPE{axis}"] = ctype[:-3] + "TPV"
    return header


def frame_of(wcs: WCS) -> BaseCoordinateFrame | None:
    """The frame of a WCS; None for ICRS, and for FK5 of J2000, which differs by 0.02 arcsec.

    A ValueError where it cannot be told.
    """
    system, equinox = wcs.wcs.radesys.strip(), wcs.wcs.equinox
    modern = system == "ICRS" or (system in ("", "FK5") and (np.isnan(equinox) or equinox == 2000))
    longitude = wcs.wcs.ctype[wcs.wcs.lng][:4]
    if longitude == "RA--" and modern:
        return None
    known = longitude in OTHER_FRAMES
    return OTHER_FRAMES[longitude] if known else wcs_to_celestial_frame(wcs)
