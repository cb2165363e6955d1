"""The image of a row, from its own file or from a column of the table; nothing is ever padded."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import astropy.units as u
import fitsio
import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import NDArray

from photoz_ssl.errors import CutoutError
from photoz_ssl.survey.catalog import Catalog
from photoz_ssl.survey.flags import RowFlag

__all__ = [
    "Stamp",
    "StampColumn",
    "StampFiles",
    "StampProblem",
    "Stamps",
    "crop",
    "nanomaggies_in",
    "read_stamp",
]

IMAGE_COLUMNS = ("IMAGE", "CUTOUT", "IMAGES", "STAMP")
FILE_COLUMNS = ("CUTOUT", "FILENAME", "FILE")
SUFFIXES = ("", ".gz", ".bz2", ".fz")

NANOMAGGY_NAMES = ("nanomaggy", "nanomaggies", "nanomaggie", "nmgy", "nmaggy", "nmaggies")
MAGGY_NAMES = ("maggy", "maggies", "maggie", "mgy")
NANOMAGGY = 3.631e-6 * u.Jy

SLACK = 2
"""Pixels by which a stamp may be off its object, for its own convention of the centre."""

WCS_CARD = re.compile(
    r"(CTYPE|CRPIX|CRVAL|CDELT|CUNIT|CROTA)[12]$|(CD|PC)[12]_[12]$|(EQUINOX|RADESYS|LONPOLE|LATPOLE)$"
)


class StampProblem(Exception):  # noqa: N818 - it is a finding about a row, often not raised
    """Why a row has no usable image.

    Parameters
    ----------
    flag : RowFlag
        The kind of problem.
    message : str
        One sentence that names the file.
    """

    def __init__(self, flag: RowFlag, message: str) -> None:
        super().__init__(flag, message)
        self.flag = flag
        self.message = message


Stamp = NDArray[np.float32] | StampProblem
"""An image, shape (n_bands, size, size), nanomaggies, or why there is none."""

Degrees = NDArray[np.float64]


class Stamps(Protocol):
    """Where the images of a catalogue's rows come from."""

    def read(
        self, rows: NDArray[np.void], ra: Degrees, dec: Degrees, pool: Executor
    ) -> Sequence[Stamp]:
        """The stamps of some rows, in their order."""


class StampFiles:
    """Cutout files, found by a template or by a column of file names.

    Parameters
    ----------
    paths : callable
        Gives the files of a row: one, or one a band.
    size : int
        Side of the stamps, pixels.
    bands : tuple of str
        Their bands.
    """

    def __init__(
        self, paths: Callable[[np.void], list[Path]], size: int, bands: tuple[str, ...]
    ) -> None:
        self._paths = paths
        self._size = size
        self._bands = bands

    @classmethod
    def from_template(
        cls, template: str, catalog: Catalog, size: int, bands: tuple[str, ...]
    ) -> StampFiles:
        """Files such as ``stamps/{OBJID}.fits`` or ``stamps/{OBJID}-{band}.fits``.

        Raises
        ------
        CutoutError
            If the template is malformed or names what is no column.
        """
        fields = _template_fields(template, catalog)
        by_band = any(name == "band" for name in fields)

        def paths(row: np.void) -> list[Path]:
            values = {name: _text(row[column]) for name, column in fields.items() if column}
            names = [template.format(**values, band=band) for band in bands]
            return [Path(name) for name in (names if by_band else names[:1])]

        return cls(paths, size, bands)

    @classmethod
    def from_column(
        cls, column: str, catalog: Catalog, size: int, bands: tuple[str, ...]
    ) -> StampFiles:
        """Files named by a column, relative to the catalogue."""

        def paths(row: np.void) -> list[Path]:
            name = str(_text(row[column]))
            if not name:
                raise StampProblem(RowFlag.IMAGE_MISSING, f"the column {column} is empty")
            return [catalog.folder / name]

        return cls(paths, size, bands)

    def read(
        self, rows: NDArray[np.void], ra: Degrees, dec: Degrees, pool: Executor
    ) -> Sequence[Stamp]:
        """Read the files of some rows, several at a time."""
        return list(pool.map(self._read_one, rows, ra, dec))

    def _read_one(self, row: np.void, ra: float, dec: float) -> Stamp:
        try:
            return read_stamp(self._paths(row), self._size, self._bands, ra, dec)
        except StampProblem as problem:
            return problem


class StampColumn:
    """A column of the table that holds the images, shape (n_bands, height, width) a row."""

    def __init__(self, column: str, catalog: Catalog, size: int, bands: tuple[str, ...]) -> None:
        self.column = column
        self._size = size
        self._unit = catalog.cards[column].get("TUNIT", "")
        self._n_bands = len(bands)

    def read(
        self, rows: NDArray[np.void], ra: Degrees, dec: Degrees, pool: Executor
    ) -> Sequence[Stamp]:
        """Take the images of some rows out of the table."""
        return [self._take(image) for image in rows[self.column]]

    def _take(self, image: NDArray[Any]) -> Stamp:
        name = f"column {self.column}"
        try:
            factor = _factor(self._unit, name)
            _require_bands(image, self._n_bands, name)
            return _finite(crop(image, self._size, name) * factor, name)
        except StampProblem as problem:
            return problem


def image_column(catalog: Catalog) -> str | None:
    """The column of images, where the table has one."""
    by_name = {name.upper(): name for name in catalog.names}
    for name in (by_name[wanted] for wanted in IMAGE_COLUMNS if wanted in by_name):
        if catalog.dtype[name].base.kind in "iuf" and len(catalog.dtype[name].shape) == 3:
            return name
    return None


def file_column(catalog: Catalog) -> str | None:
    """The column of file names, where the table has one."""
    by_name = {name.upper(): name for name in catalog.names}
    names = (by_name[wanted] for wanted in FILE_COLUMNS if wanted in by_name)
    return next((name for name in names if catalog.dtype[name].kind == "S"), None)


def read_stamp(
    paths: Sequence[Path], size: int, bands: tuple[str, ...], ra: float, dec: float
) -> NDArray[np.float32]:
    """Read a galaxy's stamp.

    Parameters
    ----------
    paths : sequence of Path
        One file with a cube (band, y, x) or an HDU a band; or a file a band. Where a file is
        not there, its name with .gz, .bz2 or .fz is tried.
    size : int
        Side of the stamp, pixels; larger images are cropped about the position if they have
        a WCS, else about their centre.
    bands : tuple of str
        The bands, in order.
    ra, dec : float
        Degrees; NaN where unknown.

    Returns
    -------
    ndarray, shape (n_bands, size, size), float32
        Nanomaggies, all finite.

    Raises
    ------
    StampProblem
        If there is no such image.
    """
    if len(paths) > 1:
        planes = [
            plane
            for path in paths
            for plane in _read_planes(_existing(path), 1, bands, size, ra, dec)
        ]
    else:
        planes = _read_planes(_existing(paths[0]), len(bands), bands, size, ra, dec)
    return _finite(np.concatenate(planes), str(paths[0]))


def _read_planes(
    path: Path, n_bands: int, bands: tuple[str, ...], size: int, ra: float, dec: float
) -> list[NDArray[np.float32]]:
    """The bands in a file, each (n, size, size): cropped and converted."""
    try:
        with fitsio.FITS(str(path)) as file:
            images = [(hdu, hdu.get_dims()) for hdu in file if _is_image(hdu)]
            cubes = [hdu for hdu, shape in images if len(shape) == 3]
            if n_bands == 1 and images and not cubes:
                chosen = [images[0][0]]
            else:
                chosen = cubes[:1] or _by_band([hdu for hdu, _ in images], bands, path)
            return [_read_image(hdu, n_bands, size, ra, dec, path) for hdu in chosen]
    except (OSError, ValueError, MemoryError) as error:
        raise StampProblem(
            RowFlag.IMAGE_DAMAGED, f"{path} is truncated or not a readable FITS image"
        ) from error


def _is_image(hdu: Any) -> bool:
    return hdu.get_exttype() == "IMAGE_HDU" and len(hdu.get_dims()) in (2, 3)


def _by_band(hdus: list[Any], bands: tuple[str, ...], path: Path) -> list[Any]:
    """The HDUs of the bands: by their names if they have them, else in their order."""
    named = {re.split(r"[^A-Za-z]+", hdu.get_extname())[-1].lower(): hdu for hdu in hdus}
    if all(band in named for band in bands):
        return [named[band] for band in bands]
    if len(hdus) != len(bands):
        raise StampProblem(
            RowFlag.WRONG_SHAPE,
            f"{path} has {len(hdus)} images, not one in each of {len(bands)} bands",
        )
    return hdus


def _read_image(
    hdu: Any, n_bands: int, size: int, ra: float, dec: float, path: Path
) -> NDArray[np.float32]:
    image = hdu.read()
    cube = image if image.ndim == 3 else image[np.newaxis]
    if image.ndim == 3:
        _require_bands(cube, n_bands, str(path))
    cards = hdu.read_header_list()
    unit = next((str(card["value"]) for card in cards if card["name"] == "BUNIT"), "")
    factor = _factor(unit, str(path))
    centre = _pixel_of(cards, ra, dec)
    return np.asarray(crop(cube, size, str(path), centre) * np.float32(factor), np.float32)


def crop(
    image: NDArray[Any], size: int, name: str, centre: tuple[float, float] | None = None
) -> NDArray[Any]:
    """Cut a square about a pixel, which comes to lie at ``size // 2``.

    Parameters
    ----------
    image : ndarray, shape (..., height, width)
        The image.
    size : int
        Side of the square.
    name : str
        Of the image, for the problem.
    centre : tuple of float, optional
        Column and row, from 0, of the object; the centre of the image where not given.

    Raises
    ------
    StampProblem
        If the image is too small, or the square reaches beyond it.
    """
    height, width = image.shape[-2:]
    if min(height, width) < size:
        raise StampProblem(
            RowFlag.WRONG_SHAPE, f"{name} has {width}x{height} pixels, fewer than {size}x{size}"
        )
    corner = []
    for position, length in zip(centre or (width // 2, height // 2), (width, height), strict=True):
        start = int(np.floor(position + 0.5)) - size // 2
        if not -SLACK <= start <= length - size + SLACK:
            raise StampProblem(
                RowFlag.OUTSIDE_FRAME, f"a stamp of {size} pixels reaches beyond the edge of {name}"
            )
        corner.append(min(max(start, 0), length - size))
    x, y = corner
    return image[..., y : y + size, x : x + size]


def _pixel_of(cards: Iterable[dict[str, Any]], ra: float, dec: float) -> tuple[float, float] | None:
    """Column and row of a position, from 0; None without a celestial WCS or a position."""
    if not (np.isfinite(ra) and np.isfinite(dec)):
        return None
    known = [card["card_string"].ljust(80) for card in cards if WCS_CARD.match(card["name"])]
    if not any(card.startswith("CTYPE1") for card in known):
        return None
    try:
        wcs = WCS(fits.Header.fromstring("".join(known)), naxis=2, fix=False)
        x, y = wcs.celestial.wcs_world2pix(ra, dec, 0)
    except (ValueError, KeyError, TypeError):
        return None
    if not (np.isfinite(x) and np.isfinite(y)):
        return (-1e9, -1e9)
    return float(x), float(y)


def _finite(image: NDArray[Any], name: str) -> NDArray[np.float32]:
    stamp = np.ascontiguousarray(image, dtype=np.float32)
    bad = int(stamp.size - np.count_nonzero(np.isfinite(stamp)))
    if bad:
        raise StampProblem(RowFlag.NOT_FINITE, f"{name} has {bad} pixels that are not finite")
    return stamp


def _require_bands(cube: NDArray[Any], n_bands: int, name: str) -> None:
    if len(cube) != n_bands:
        raise StampProblem(RowFlag.WRONG_SHAPE, f"{name} has {len(cube)} bands, not {n_bands}")


def _factor(unit: str, name: str) -> float:
    factor = nanomaggies_in(unit)
    if factor is None:
        raise StampProblem(
            RowFlag.WRONG_UNIT, f"{name} is in {unit!r}, which is not convertible to nanomaggies"
        )
    return factor


@lru_cache(maxsize=64)
def nanomaggies_in(unit: str) -> float | None:
    """How many nanomaggies one of a FITS unit is; None where it is no flux density.

    An image that names no unit is taken to be in nanomaggies.

    >>> nanomaggies_in("maggies")
    1000000000.0
    """
    name = unit.strip().lower()
    if not name or name in NANOMAGGY_NAMES:
        return 1.0
    if name in MAGGY_NAMES:
        return 1e9
    try:
        return float(u.Unit(unit.strip()).to(NANOMAGGY))
    except (ValueError, TypeError):
        return None


def _existing(path: Path) -> Path:
    for suffix in SUFFIXES:
        candidate = path.with_name(path.name + suffix) if path.name else path
        if candidate.is_file():
            return candidate
    raise StampProblem(RowFlag.IMAGE_MISSING, f"there is no file {path}")


def _template_fields(template: str, catalog: Catalog) -> dict[str, str | None]:
    """The columns that a template's fields stand for; None for the band."""
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError as error:
        raise CutoutError(f"the template {template!r} is malformed: {error}") from error
    fields: dict[str, str | None] = {}
    for name in names:
        fields[name] = None if name == "band" else catalog.find((name,))
        if name != "band" and fields[name] is None:
            raise CutoutError(
                f"the template {template!r} names {name!r}, which is no column of {catalog.path}",
                f"its columns are {', '.join(catalog.names[:40])}",
            )
    return fields


def _text(value: Any) -> Any:
    """A table's value as a template writes it."""
    if isinstance(value, bytes):
        return value.decode("ascii", "replace").strip()
    return value.item() if isinstance(value, np.generic) else value
