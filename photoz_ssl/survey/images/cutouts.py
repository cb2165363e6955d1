"""The image of a row, from its own file or from a column of the table."""

from __future__ import annotations

import re
import string
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import CutoutError, columns_hint
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.catalog import Catalog
from photoz_ssl.survey.exchange.incoming import unescaped
from photoz_ssl.survey.flags import RowFlag
from photoz_ssl.survey.images.stamp_pixels import (
    Stamp,
    StampProblem,
    crop,
    finite,
    flux_factor,
    require_bands,
)
from photoz_ssl.survey.images.stamps import Assumptions, read_stamp
from photoz_ssl.survey.named_columns import columns_named

__all__ = [
    "Degrees",
    "StampColumn",
    "StampFiles",
    "Stamps",
    "file_column",
    "image_column",
    "template_folder",
]

IMAGE_COLUMNS = ("IMAGE", "CUTOUT", "IMAGES", "STAMP")
FILE_COLUMNS = ("CUTOUT", "FILENAME", "FILE")

ROWS_A_TASK = 16
"""That a thread reads before it asks for more."""

LONG_WAIT = 1e-3
"""Seconds a file that a thread may wait before others are to read, too."""

FORMAT_SPEC = re.compile(r"[<>^=]?[-+ ]?0?\d{0,2}(\.\d{1,2})?[a-zA-Z]?")
"""What may follow the colon of a template's field, such as ``06d``."""

Degrees = NDArray[np.float64]


class Stamps(Protocol):
    """Where the images of a catalogue's rows come from."""

    @property
    def notices(self) -> tuple[str, ...]:
        """What a user should know of the images read so far."""

    def read(
        self, rows: NDArray[np.void], ra: Degrees, dec: Degrees, pool: Executor
    ) -> Iterable[Stamp]:
        """The stamps of some rows, in their order; some are read when they are asked for."""


class StampFiles:
    """Cutout files, found by a template or by a column of file names.

    Parameters
    ----------
    paths : callable
        Gives the files of a row: one, or one a band.
    spec : ImageSpec
        What stamps they are to give.
    """

    def __init__(self, paths: Callable[[np.void], list[Path]], spec: ImageSpec) -> None:
        self._paths = paths
        self._spec = spec
        self._assumed = Assumptions()

    @classmethod
    def from_template(cls, template: str, catalog: Catalog, spec: ImageSpec) -> StampFiles:
        """Files such as ``stamps/{OBJID}.fits`` or ``stamps/{OBJID}-{band}.fits``.

        A relative template starts from the catalogue's folder, if the part of it before the
        first field is a folder there, and else from the working directory.

        Raises
        ------
        CutoutError
            If the template is malformed or names what is no column.
        """
        fields = _template_fields(template, catalog)
        by_band = any(name == "band" for name in fields)
        folder = template_folder(template, catalog.folder)

        def paths(row: np.void) -> list[Path]:
            values = {name: _text(row[column]) for name, column in fields.items() if column}
            names = [template.format(**values, band=band) for band in spec.bands]
            return [folder / name for name in (names if by_band else names[:1])]

        try:
            paths(np.zeros(1, catalog.dtype)[0])
        except (ValueError, TypeError) as error:
            raise CutoutError(
                f"the template {template!r} does not fit the columns: {error}",
                "a whole number takes a format such as {OBJID:06d}",
            ) from error
        named = {name for name in fields.values() if name and not catalog.dtype[name].shape}
        nulls = {name: catalog.null(name) for name in named}

        def known_paths(row: np.void) -> list[Path]:
            for column, null in nulls.items():
                if _text(row[column]) in ("", null):
                    raise StampProblem(RowFlag.IMAGE_MISSING, f"the column {column} is empty")
            return paths(row)

        return cls(known_paths, spec)

    @classmethod
    def from_column(cls, column: str, catalog: Catalog, spec: ImageSpec) -> StampFiles:
        """Files named by a column, relative to the catalogue; ``{band}`` in it is replaced."""

        def paths(row: np.void) -> list[Path]:
            name = str(_text(row[column]))
            if not name:
                raise StampProblem(RowFlag.IMAGE_MISSING, f"the column {column} is empty")
            if "{band}" in name:
                return [catalog.folder / name.replace("{band}", band) for band in spec.bands]
            return [catalog.folder / name]

        return cls(paths, spec)

    @property
    def notices(self) -> tuple[str, ...]:
        """What was taken for granted of files that do not say it."""
        unit_of, order_of = self._assumed.unit_of, self._assumed.order_of
        notices = []
        if unit_of:
            notices.append(f"images without BUNIT, such as {unit_of}, are taken as nanomaggies")
        if order_of:
            notices.append(
                f"images whose headers name no band that is known, such as {order_of}, are taken"
                f" in the order {','.join(self._spec.bands)}; BAND, FILTER or BANDS would tell it"
            )
        return tuple(notices)

    def read(
        self, rows: NDArray[np.void], ra: Degrees, dec: Degrees, pool: Executor
    ) -> Iterator[Stamp]:
        """Read the files of some rows; several at a time where the disk is what takes the time.

        Python reads one file at a time and no more, so that threads gain nothing but what
        they wait.
        """

        def read_some(some: slice) -> list[Stamp]:
            return [*map(self._read_one, rows[some], ra[some], dec[some])]

        waited = time.perf_counter() - time.thread_time()
        first = read_some(slice(0, ROWS_A_TASK))
        waited = time.perf_counter() - time.thread_time() - waited
        yield from first
        starts = range(ROWS_A_TASK, len(rows), ROWS_A_TASK)
        tasks = [slice(start, start + ROWS_A_TASK) for start in starts]
        slow_disk = waited > ROWS_A_TASK * LONG_WAIT
        for more in pool.map(read_some, tasks) if slow_disk else map(read_some, tasks):
            yield from more

    def _read_one(self, row: np.void, ra: float, dec: float) -> Stamp:
        try:
            return read_stamp(self._paths(row), self._spec, ra, dec, self._assumed)
        except StampProblem as problem:
            return problem


class StampColumn:
    """A column of the table that holds the images, shape (n_bands, height, width) a row."""

    def __init__(self, column: str, catalog: Catalog, size: int, bands: tuple[str, ...]) -> None:
        self.column = column
        self._size = size
        self._unit = catalog.cards[column].get("TUNIT", "")
        self._null = catalog.null(column)
        self._n_bands = len(bands)

    @property
    def notices(self) -> tuple[str, ...]:
        """Whether a column without a unit was taken to be in nanomaggies."""
        if self._unit:
            return ()
        return (f"the column {self.column} has no TUNIT and is taken as nanomaggies",)

    def read(
        self, rows: NDArray[np.void], ra: Degrees, dec: Degrees, pool: Executor
    ) -> Iterable[Stamp]:
        """Take the images of some rows out of the table."""
        return map(self._take, rows[self.column])

    def _take(self, image: NDArray[Any]) -> Stamp:
        name = f"column {self.column}"
        try:
            factor = flux_factor(self._unit, name)
            if image.shape[-1] == self._n_bands != len(image):
                shape = " x ".join(map(str, image.shape))
                raise StampProblem(
                    RowFlag.WRONG_SHAPE,
                    f"{name} is of {shape}, where bands come first; a VOTable by astropy says so of"
                    " images whose bands do: write FITS or ECSV",
                )
            require_bands(len(image), self._n_bands, name)
            pixels = crop(image, self._size, name)
            if self._null is not None:
                pixels = np.where(pixels == self._null, np.nan, pixels)
            return finite(pixels * factor, name)
        except StampProblem as problem:
            return problem


def image_column(catalog: Catalog) -> str | None:
    """The column of images, where the table has one."""
    for name in columns_named(catalog.dtype, IMAGE_COLUMNS):
        if catalog.dtype[name].base.kind in "iuf" and len(catalog.dtype[name].shape) == 3:
            return name
    return None


def file_column(catalog: Catalog) -> str | None:
    """The column of file names, where the table has one."""
    names = columns_named(catalog.dtype, FILE_COLUMNS)
    return next((name for name in names if catalog.dtype[name].kind == "S"), None)


def template_folder(template: str, catalog_folder: Path) -> Path:
    """What a template is relative to: the catalogue's folder or the working directory."""
    fixed = template.partition("{")[0].rpartition("/")[0]
    there = (catalog_folder / fixed).is_dir()
    return Path() if not there and Path(fixed).is_dir() else catalog_folder


def _template_fields(template: str, catalog: Catalog) -> dict[str, str | None]:
    """The columns that a template's fields stand for; None for the band."""
    try:
        parsed = [field for field in string.Formatter().parse(template) if field[1] is not None]
    except ValueError as error:
        raise CutoutError(
            f"the template {template!r} is malformed: {error}",
            "write column names in braces, such as 'stamps/{OBJID}.fits'",
        ) from error
    fields: dict[str, str | None] = {}
    for _, name, spec, _ in parsed:
        fields[str(name)] = None if name == "band" else catalog.find((str(name),))
        if not FORMAT_SPEC.fullmatch(spec or ""):
            raise CutoutError(
                f"the format {spec!r} in the template {template!r} is not understood",
                "write something like {OBJID:06d}",
            )
        if name != "band" and fields[str(name)] is None:
            raise CutoutError(
                f"the template {template!r} names {name!r}, which is no column of {catalog.path}",
                columns_hint(catalog.names),
            )
    return fields


def _text(value: Any) -> Any:
    """A table's value as a template writes it."""
    if isinstance(value, bytes):
        return unescaped(value.decode("ascii", "replace").strip())
    return value.item() if isinstance(value, np.generic) else value
