"""One galaxy's stamp out of its FITS file or files; nothing is ever padded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.flags import RowFlag
from photoz_ssl.survey.images.band_names import band_of, bands_of_planes, is_named, science_images
from photoz_ssl.survey.images.image_files import IMAGE_ERRORS, Header, Image, open_images
from photoz_ssl.survey.images.stamp_pixels import (
    StampProblem,
    finite,
    flux_factor,
    require_bands,
    window,
)
from photoz_ssl.survey.images.stamp_wcs import SkyGrid, sky_grid
from photoz_ssl.survey.units import NANOMAGGY_ZERO_POINT, ZERO_POINTS

__all__ = [
    "Assumptions",
    "ImageFacts",
    "image_facts",
    "read_stamp",
]

SUFFIXES = ("", ".gz", ".bz2", ".fz")

INTEGER_CARDS = ("BITPIX", "ZBITPIX", "BLANK", "BSCALE", "BZERO")


@dataclass
class Assumptions:
    """What has been taken for granted of images, by the first file of which it was.

    Parameters
    ----------
    unit_of : str
        A file without BUNIT, taken to be in nanomaggies.
    order_of : str
        A file whose images or planes have names that tell no band, taken in their order.
    """

    unit_of: str = ""
    order_of: str = ""


def read_stamp(
    paths: Sequence[Path],
    spec: ImageSpec,
    ra: float,
    dec: float,
    assumed: Assumptions | None = None,
) -> NDArray[np.float32]:
    """Read a galaxy's stamp.

    Parameters
    ----------
    paths : sequence of Path
        One file with a cube (band, y, x) or an HDU a band; or a file a band. Where a file is
        not there, its name with .gz, .bz2 or .fz is tried.
    spec : ImageSpec
        What the stamp is to be. Images that are larger are cropped about the position if they
        have a WCS, else about their centre; those with a WCS must have pixels of its scale. The
        bands of a file are known by ``BANDS``, ``BAND1`` or ``BAND0`` ..., ``FILTER1`` or
        ``FILTER0`` ..., or ``FILTER`` in a cube and by ``BAND``, ``FILTER`` or ``EXTNAME`` in an
        HDU of their own, else by their order; a file of one band must not say that it is of
        another. HDUs whose ``EXTNAME`` is that of weights, masks and the like are passed over.
    ra, dec : float
        Degrees; NaN where unknown.
    assumed : Assumptions, optional
        Told of what the files leave open.

    Returns
    -------
    ndarray, shape (n_bands, size, size), float32
        Nanomaggies, all finite.

    Raises
    ------
    StampProblem
        If there is no such image.
    """
    wanted = [(band,) for band in spec.bands] if len(paths) > 1 else [spec.bands]
    assumed = assumed or Assumptions()
    planes = []
    for path, these in zip(paths, wanted, strict=True):
        planes += _read_planes(_existing(path), these, spec, ra, dec, assumed)
    return finite(planes[0] if len(planes) == 1 else np.concatenate(planes), str(paths[0]))


@dataclass(frozen=True)
class ImageFacts:
    """What an image's header tells; NaN where it does not.

    Parameters
    ----------
    ra, dec : float
        Of its middle, degrees.
    pixel_scale : float
        Arcseconds a pixel.
    ebv : float
        E(B-V), magnitudes.
    """

    ra: float
    dec: float
    pixel_scale: float
    ebv: float


def image_facts(path: Path) -> ImageFacts:
    """Read what the header of a file's first image tells.

    Raises
    ------
    StampProblem
        If the file is missing or has no image.
    """
    found = _existing(path)
    try:
        with open_images(found) as images:
            image = next(iter(images))
            header, (height, width) = image.header, image.shape[-2:]
        grid = _grid_or_none(header)
        position = (np.nan, np.nan) if grid is None else grid.position_of(width // 2, height // 2)
    except (*IMAGE_ERRORS, StopIteration) as error:
        raise StampProblem(
            RowFlag.IMAGE_DAMAGED, f"{found} is truncated or not a readable FITS image"
        ) from error
    scale = np.nan if grid is None else grid.pixel_scale
    ebv = header["EBV"]["value"] if "EBV" in header else np.nan
    return ImageFacts(*position, scale, float(ebv) if isinstance(ebv, int | float) else np.nan)


def _grid_or_none(header: Header) -> SkyGrid | None:
    try:
        return sky_grid(header)
    except ValueError:
        return None


def _read_planes(
    path: Path,
    bands: tuple[str, ...],
    spec: ImageSpec,
    ra: float,
    dec: float,
    assumed: Assumptions,
) -> list[NDArray[np.float32]]:
    """Bands in a file, each (n, size, size): cropped and converted."""
    try:
        with open_images(path) as images:
            planes = []
            chosen = _choose_images(science_images(images), bands, spec, path, assumed)
            for image, order in chosen:
                if not _unit_of(image.header):
                    assumed.unit_of = assumed.unit_of or str(path)
                plane = _read_image(image, spec, ra, dec, str(path))
                planes.append(plane if order == [*range(len(plane))] else plane[order])
            return planes
    except IMAGE_ERRORS as error:
        raise StampProblem(
            RowFlag.IMAGE_DAMAGED, f"{path} is truncated or not a readable FITS image"
        ) from error


def _choose_images(
    images: Sequence[Image],
    bands: tuple[str, ...],
    spec: ImageSpec,
    path: Path,
    assumed: Assumptions,
) -> list[tuple[Image, list[int]]]:
    """The images that hold the bands, and for each the order of its planes."""
    if not images:
        raise StampProblem(
            RowFlag.WRONG_SHAPE,
            f"{path} has no image of rows and columns, nor one of bands of these",
        )
    if len(bands) == 1:
        image = _image_of(bands[0], images, spec, path)
        require_bands(image.shape[0] if len(image.shape) == 3 else 1, 1, str(path))
        return [(image, [0])]
    for image in images:
        if len(image.shape) == 3:
            require_bands(image.shape[0], len(bands), str(path))
            return [(image, _plane_order(image.header, bands, str(path), assumed))]
    named = {band_of(image.header, bands): image for image in reversed(images)}
    if all(band in named for band in bands):
        return [(named[band], [0]) for band in bands]
    known = [band for band in bands if band in named]
    if known or len(images) != len(bands):
        found = f"bands {''.join(known)}" if known else f"{len(images)} images"
        raise StampProblem(
            RowFlag.WRONG_SHAPE, f"{path} has {found}, not one image in each of {len(bands)} bands"
        )
    if any(is_named(image.header) for image in images):
        assumed.order_of = assumed.order_of or str(path)
    return [(image, [0]) for image in images]


def _image_of(band: str, images: Sequence[Image], spec: ImageSpec, path: Path) -> Image:
    """The image of a band in a file of its own: that which says so, else the first."""
    told = [band_of(image.header, spec.bands) for image in images]
    if band in told:
        return images[told.index(band)]
    if told[0] is not None:
        raise StampProblem(
            RowFlag.WRONG_SHAPE, f"{path} is of the band {told[0]}, as it says, not {band}"
        )
    return images[0]


def _plane_order(
    header: Header, bands: tuple[str, ...], name: str, assumed: Assumptions
) -> list[int]:
    """Which plane of a cube is which band, by what its header says, else in order."""
    written = bands_of_planes(header, bands)
    if not written:
        if written is None:
            assumed.order_of = assumed.order_of or name
        return list(range(len(bands)))
    if sorted(written) != sorted(bands):
        raise StampProblem(
            RowFlag.WRONG_SHAPE, f"{name} has the bands {','.join(written)}, not {','.join(bands)}"
        )
    return [written.index(band) for band in bands]


def _read_image(
    image: Image, spec: ImageSpec, ra: float, dec: float, name: str
) -> NDArray[np.float32]:
    """The part of an image about the object, shape (n, size, size), nanomaggies."""
    header = image.header
    factor = flux_factor(_unit_of(header), name)
    _refuse_zero_point(header, name)
    centre = _pixel_of(header, spec, ra, dec, name)
    rows, columns = window(image.shape, spec.size, name, centre)
    part = image.part(rows, columns)
    pixels = np.array(part, np.float32).reshape(-1, spec.size, spec.size)
    if "BLANK" in header:
        pixels[_blank(part, header).reshape(pixels.shape)] = np.nan
    return pixels if factor == 1 else pixels * np.float32(factor)


def _unit_of(header: Header) -> str:
    return str(header["BUNIT"]["value"] or "").strip() if "BUNIT" in header else ""


def _refuse_zero_point(header: Header, name: str) -> None:
    """Refuse an image without a unit whose zero point says that it is not in nanomaggies."""
    for keyword in ZERO_POINTS if not _unit_of(header) else ():
        value = header[keyword]["value"] if keyword in header else None
        if isinstance(value, bool) or not isinstance(value, int | float) or value == 0:
            continue  # nobody has filled it in
        if abs(value - NANOMAGGY_ZERO_POINT) > 1e-3:
            raise StampProblem(
                RowFlag.WRONG_UNIT,
                f"{name} has no BUNIT, and {keyword} = {value:g}, where nanomaggies have"
                f" {NANOMAGGY_ZERO_POINT}",
            )
        return


def _blank(pixels: NDArray[Any], header: Header) -> NDArray[np.bool_]:
    """Which pixels of an image of integers have no value, by BLANK; CFITSIO leaves that to us."""
    number = {key: float(header[key]["value"]) for key in INTEGER_CARDS if key in header}
    if number.get("ZBITPIX", number.get("BITPIX", 0)) < 0:
        return np.zeros(pixels.shape, bool)
    step = number.get("BSCALE", 1.0)
    value = number["BLANK"] * step + number.get("BZERO", 0.0)
    return np.asarray(np.abs(pixels.astype(np.float64) - value) < abs(step) / 2)


def _pixel_of(
    header: Header, spec: ImageSpec, ra: float, dec: float, name: str
) -> tuple[float, float] | None:
    """Column and row of a position, from 0; None without a celestial WCS or a position.

    A `StampProblem` where the WCS tells of pixels of another size.
    """
    known = math.isfinite(ra) and math.isfinite(dec)
    try:
        grid = sky_grid(header)
    except ValueError as error:
        if not known:
            return None
        raise StampProblem(
            RowFlag.IMAGE_DAMAGED,
            f"the WCS of {name} makes no sense, or is of coordinates that are not known",
        ) from error
    if grid is not None and not spec.has_pixels_of(grid.pixel_scale):
        raise StampProblem(
            RowFlag.WRONG_SHAPE,
            f"the pixels of {name} are {grid.pixel_scale:.3g} arcsec, not {spec.pixel_scale:g}",
        )
    return None if grid is None or not known else grid.pixel_of(ra, dec)


def _existing(path: Path) -> Path:
    try:
        for suffix in SUFFIXES:
            candidate = path.with_name(path.name + suffix) if suffix and path.name else path
            if candidate.is_file():
                return candidate
    except (OSError, ValueError) as error:
        raise StampProblem(
            RowFlag.IMAGE_MISSING, f"{str(path)[:80]!r} names no file that can be read"
        ) from error
    raise StampProblem(RowFlag.IMAGE_MISSING, f"there is no file {path}")
