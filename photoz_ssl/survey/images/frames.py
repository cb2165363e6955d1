"""Stamps cut from SDSS frames, the bands of a field resampled onto one WCS."""

from __future__ import annotations

import io
import math
import re
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from photoz_ssl.errors import CutoutError
from photoz_ssl.survey.flags import RowFlag
from photoz_ssl.survey.images.cutouts import Degrees
from photoz_ssl.survey.images.resampling import corners_in, resampled
from photoz_ssl.survey.images.stamp_pixels import Stamp, StampProblem
from photoz_ssl.survey.images.stamp_wcs import celestial_wcs, frame_of, to_pixels
from photoz_ssl.survey.raw_headers import read_header
from photoz_ssl.survey.units import nanomaggies_in
from photoz_ssl.survey.unpacking import UNPACKING_ERRORS, open_unpacked, unpack

__all__ = ["Frames"]

FRAME_NAME = re.compile(r"frame-(?P<band>[a-z])-(?P<field>\d{6}-\d-\d{4})\.fits(\.bz2|\.gz)?$")
REFERENCE_BAND = "r"
"""Its pixel grid is that of the stamps; it is not resampled itself."""

FIELDS_IN_MEMORY = 2
MOST_BYTES = 1 << 28
"""That a frame may unpack to; one of SDSS has 13 MB."""

DAMAGE = (*UNPACKING_ERRORS, KeyError, TypeError)


@dataclass(frozen=True)
class Field:
    """One field of the survey: a frame a band, and the WCS of the reference band."""

    name: str
    files: dict[str, Path]
    wcs: WCS
    width: int
    height: int

    def margin_of(self, ra: Degrees, dec: Degrees) -> NDArray[np.float64]:
        """Distance of positions from the nearest edge, pixels; negative outside."""
        x, y = self.pixel_of(ra, dec)
        edges = np.min([x, y, self.width - 1 - x, self.height - 1 - y], axis=0)
        return np.where(np.isfinite(edges), edges, -np.inf)

    def pixel_of(self, ra: Degrees, dec: Degrees) -> tuple[Degrees, Degrees]:
        """Column and row, from 0; NaN on the far side of the sky, or where there is no position."""
        known = np.isfinite(ra) & np.isfinite(dec)
        x, y = np.full(ra.shape, np.nan), np.full(ra.shape, np.nan)
        centre = np.radians(self.wcs.wcs.crval)
        a, d = np.radians(ra), np.radians(dec)
        cosine = np.sin(d) * np.sin(centre[1])
        cosine = cosine + np.cos(d) * np.cos(centre[1]) * np.cos(a - centre[0])
        near = known & (np.where(known, cosine, -1) > np.cos(np.radians(1)))
        if near.any():
            x[near], y[near] = to_pixels(self.wcs, ra[near], dec[near])
        return x, y


@dataclass(frozen=True)
class Frame:
    """A frame in memory: nanomaggies, shape (height, width), and its WCS."""

    image: NDArray[np.float32]
    wcs: WCS


Loaded = dict[str, Frame | StampProblem]
"""A field's frames by band."""


@dataclass(frozen=True)
class Square:
    """Where a stamp lies: its first column and row in the reference band, its corners in others."""

    left: int
    bottom: int
    corners: dict[str, NDArray[np.float64]]


class Frames:
    """A folder of SDSS frames ``frame-{band}-RRRRRR-C-FFFF.fits[.bz2|.gz]``, at any depth.

    Parameters
    ----------
    folder : Path
        The folder.
    size : int
        Side of the stamps, pixels.
    bands : tuple of str
        Their bands.

    Raises
    ------
    CutoutError
        If the folder is missing or has no frame of the reference band.
    """

    def __init__(self, folder: Path, size: int, bands: tuple[str, ...]) -> None:
        if not folder.is_dir():
            raise CutoutError(f"there is no folder of frames {folder}", "check --frames")
        self._folder, self._size, self._bands = folder, size, bands
        self._reference = REFERENCE_BAND if REFERENCE_BAND in bands else bands[0]
        self._unit_of = ""
        self._fields = self._index()
        self._loaded: OrderedDict[str, Loaded] = OrderedDict()

    @property
    def notices(self) -> tuple[str, ...]:
        """That frames without a unit were taken to be in nanomaggies."""
        if not self._unit_of:
            return ()
        return (f"frames without BUNIT, such as {self._unit_of}, are taken as nanomaggies",)

    def read(
        self, rows: NDArray[np.void], ra: Degrees, dec: Degrees, pool: Executor
    ) -> Sequence[Stamp]:
        """Cut the stamps of some rows; each field is decompressed once."""
        margins = np.array([field.margin_of(ra, dec) for field in self._fields])
        best = margins.argmax(axis=0)
        stamps: list[Stamp] = [self._nowhere(*position) for position in zip(ra, dec, strict=True)]
        for number, field in enumerate(self._fields):
            here = np.flatnonzero((best == number) & (margins.max(axis=0) >= 0))
            if len(here) == 0:
                continue
            frames = self._load(field, pool)
            squares = self._squares(field, frames, ra[here], dec[here])
            cut = partial(self._cut, field, frames)
            for row, stamp in zip(here, pool.map(cut, squares), strict=True):
                stamps[row] = stamp
        return stamps

    def _index(self) -> list[Field]:
        files: dict[str, dict[str, Path]] = defaultdict(dict)
        for path in sorted(self._folder.rglob("frame-*.fits*")):
            match = FRAME_NAME.match(path.name)
            if match:
                files[match["field"]].setdefault(match["band"], path)
        fields = []
        for name, by_band in files.items():
            if self._reference in by_band:
                header, wcs = _read_header(by_band[self._reference])
                if not str(header.get("BUNIT", "")).strip():
                    self._unit_of = self._unit_of or str(by_band[self._reference])
                fields.append(Field(name, by_band, wcs, header["NAXIS1"], header["NAXIS2"]))
        if not fields:
            raise CutoutError(
                f"{self._folder} has no SDSS frames frame-{self._reference}-RRRRRR-C-FFFF.fits",
                "name the folder they are in with --frames",
            )
        return fields

    def _nowhere(self, ra: float, dec: float) -> StampProblem:
        if not (np.isfinite(ra) and np.isfinite(dec)):
            return StampProblem(RowFlag.IMAGE_MISSING, "the position is missing or impossible")
        return StampProblem(
            RowFlag.IMAGE_MISSING, f"no frame in {self._folder} covers RA {ra:.6f}, Dec {dec:+.6f}"
        )

    def _load(self, field: Field, pool: Executor) -> Loaded:
        if field.name not in self._loaded:
            while len(self._loaded) >= FIELDS_IN_MEMORY:
                self._loaded.popitem(last=False)
            paths = [field.files.get(band) for band in self._bands]
            frames = pool.map(_read_frame, paths, self._bands, [field.name] * len(paths))
            self._loaded[field.name] = dict(zip(self._bands, frames, strict=True))
        self._loaded.move_to_end(field.name)
        return self._loaded[field.name]

    def _squares(self, field: Field, frames: Loaded, ra: Degrees, dec: Degrees) -> Iterator[Square]:
        """Where the stamps of some positions lie, the object's pixel at ``size // 2``."""
        left, bottom = (
            np.floor(at + 0.5).astype(np.int64) - self._size // 2 for at in field.pixel_of(ra, dec)
        )
        corners = {
            band: corners_in(frame.wcs, field.wcs, left, bottom, self._size)
            for band, frame in frames.items()
            if isinstance(frame, Frame) and band != self._reference
        }
        for number, (x, y) in enumerate(zip(left.tolist(), bottom.tolist(), strict=True)):
            yield Square(x, y, {band: of_all[number] for band, of_all in corners.items()})

    def _cut(self, field: Field, frames: Loaded, square: Square) -> Stamp:
        """Cut one stamp."""
        size, left, bottom = self._size, square.left, square.bottom
        outside = StampProblem(
            RowFlag.OUTSIDE_FRAME,
            f"a stamp of {size} pixels reaches beyond the edge of field {field.name}",
        )
        if not (0 <= left <= field.width - size and 0 <= bottom <= field.height - size):
            return outside
        stamp = np.empty((len(frames), size, size), np.float32)
        for plane, (band, frame) in zip(stamp, frames.items(), strict=True):
            if isinstance(frame, StampProblem):
                return frame
            if band == self._reference:
                plane[:] = frame.image[bottom : bottom + size, left : left + size]
                continue
            try:
                image = resampled(frame.image, square.corners[band], size)
            except ValueError:
                return StampProblem(
                    RowFlag.IMAGE_DAMAGED,
                    f"the WCS of field {field.name} in {band} does not fit that in"
                    f" {self._reference}",
                )
            if image is None:
                return outside
            plane[:] = image
        if not np.isfinite(stamp).all():
            return StampProblem(
                RowFlag.NOT_FINITE, f"field {field.name} has pixels that are not finite here"
            )
        return stamp


def _read_frame(path: Path | None, band: str, field: str) -> Frame | StampProblem:
    if path is None:
        return StampProblem(RowFlag.IMAGE_MISSING, f"field {field} has no frame in {band}")
    try:
        content = io.BytesIO()
        unpack(path, content, most_bytes=MOST_BYTES)
        _refuse_truncated(content)
        with fits.open(content, memmap=False) as hdus:
            header: Any = hdus[0].header
            image = np.asarray(hdus[0].data, dtype=np.float32)
    except DAMAGE:
        return StampProblem(RowFlag.IMAGE_DAMAGED, f"{path} is truncated or unreadable")
    if image.ndim != 2:
        return StampProblem(RowFlag.WRONG_SHAPE, f"{path} has no image in its first HDU")
    unit = str(header.get("BUNIT", ""))
    factor = nanomaggies_in(unit)
    if factor is None:
        return StampProblem(RowFlag.WRONG_UNIT, f"{path} is in {unit!r}, not nanomaggies")
    if factor != 1:
        image = image * np.float32(factor)
    try:
        return Frame(image, _wcs(header))
    except DAMAGE:
        return StampProblem(RowFlag.IMAGE_DAMAGED, f"the WCS of {path} makes no sense")


def _read_header(path: Path) -> tuple[fits.Header, WCS]:
    """The primary header and its WCS, without decompressing what follows it."""
    try:
        with open_unpacked(path) as stream:
            header = fits.Header.fromstring(_header_text(stream).decode("ascii"))
        if header["NAXIS"] != 2:
            raise ValueError("the first HDU is no image")
        wcs = _wcs(header)
    except DAMAGE as error:
        raise CutoutError(
            f"the header of the frame {path} cannot be read", "copy it again or remove it"
        ) from error
    return header, wcs


def _header_text(stream: IO[bytes]) -> bytes:
    """The blocks of cards at the start of a FITS file."""
    text, ends = read_header(stream)
    if not ends:
        raise ValueError("there is no end of the header")
    return text


def _refuse_truncated(content: IO[bytes]) -> None:
    """Raise where the first image is shorter than its header says; astropy would only warn."""
    content.seek(0)
    text = _header_text(content)
    header = fits.Header.fromstring(text.decode("ascii"))
    shape = [header[f"NAXIS{axis + 1}"] for axis in range(header["NAXIS"])]
    promised = len(text) + (math.prod(shape) * abs(header["BITPIX"]) // 8 if shape else 0)
    if content.seek(0, io.SEEK_END) < promised:
        raise ValueError("the image is shorter than its header says")
    content.seek(0)


def _wcs(header: fits.Header) -> WCS:
    """The frame's WCS; a ValueError where it is none of RA and Dec."""
    wcs = celestial_wcs(header)
    if wcs is None:
        raise ValueError("it is not celestial")
    if wcs.wcs.lng != 0 or frame_of(wcs) is not None:
        raise ValueError("its axes are not RA and Dec of today")
    return wcs
