"""Galaxies with their images, from a catalogue, a block at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.config import SPLITS, CatalogImages
from photoz_ssl.errors import CatalogError, CutoutError, listed
from photoz_ssl.object_ids import NO_ID, integer_ids
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.blocks import GalaxyBlock, GalaxySource, RowProblem
from photoz_ssl.survey.catalog import Catalog
from photoz_ssl.survey.dust import Reddening
from photoz_ssl.survey.flags import RowFlag
from photoz_ssl.survey.images.cutouts import (
    StampColumn,
    StampFiles,
    Stamps,
    file_column,
    image_column,
)
from photoz_ssl.survey.images.frames import Frames
from photoz_ssl.survey.images.stamp_pixels import Stamp, StampProblem
from photoz_ssl.survey.placeholders import without_placeholders

__all__ = ["catalog_source", "says_where_images_are"]

SAMPLE_ROWS = 1000
"""Rows that the conventions of a table are recognised by, fewer if images make them long."""

SAMPLE_BYTES = 1 << 24

MOST_READERS = 8

NO_POSITIONS = (
    "no columns of right ascension and declination were found, so that stamps are cut about the"
    " middle of their images; 'NAME.fits[1][col *;RA==MY_RA;DEC==MY_DEC]' names yours"
)


@contextmanager
def catalog_source(
    catalog: Catalog,
    images: CatalogImages,
    *,
    spec: ImageSpec,
    workers: int = 0,
    redshift_column: str | None = None,
    split_column: str | None = None,
    strict: bool = False,
) -> Iterator[GalaxySource]:
    """The galaxies of an open catalogue; the parameters are those of `sources.open_source`."""
    workers = workers or min(os.cpu_count() or 1, MOST_READERS)
    columns = _choose_columns(catalog, images, redshift_column, split_column)
    stamps = _find_stamps(catalog, images, columns, spec)
    most = max(1, min(SAMPLE_ROWS, SAMPLE_BYTES // catalog.dtype.itemsize))
    sample = catalog.read(0, min(most, catalog.n_rows))
    reddening = Reddening(sample, has_position=columns.ra is not None, dust_dir=images.dust_dir)
    if columns.ra is None and not reddening.has_column and catalog.n_rows:
        raise CatalogError(
            f"{catalog.path} has no columns RA and DEC, and none with the reddening",
            catalog.or_another_table("add the positions in degrees, or a column EBV"),
        )
    with ThreadPoolExecutor(workers) as pool:
        yield CatalogSource(catalog, columns, stamps, reddening, spec, pool, strict)


def says_where_images_are(catalog: Catalog, images: CatalogImages) -> bool:
    """Whether options or columns tell where the images of a catalogue's rows are."""
    told = images.cutouts is not None or images.frames is not None
    return told or image_column(catalog) is not None or file_column(catalog) is not None


@dataclass(frozen=True)
class Columns:
    """Which columns of a catalogue are what; None where there is none."""

    object_id: str | None
    ra: str | None
    dec: str | None
    redshift: str | None
    redshift_error: str | None
    split: str | None


class CatalogSource:
    """The rows of a FITS table, each with its image."""

    def __init__(
        self,
        catalog: Catalog,
        columns: Columns,
        stamps: Stamps,
        reddening: Reddening,
        spec: ImageSpec,
        pool: Executor,
        strict: bool,
    ) -> None:
        self._catalog, self._columns, self._stamps = catalog, columns, stamps
        self._reddening, self._pool, self._strict = reddening, pool, strict
        self.n_rows = catalog.n_rows
        self.spec = spec
        image = stamps.column if isinstance(stamps, StampColumn) else None
        kept = [name for name in catalog.names if name != image]
        self.table_dtype = np.dtype([(name, catalog.dtype[name]) for name in kept])
        self.column_cards = {name: catalog.cards[name] for name in kept}
        self.id_column, self.ra_column, self.dec_column = columns.object_id, columns.ra, columns.dec
        self._of_ids: tuple[str, ...] = ()
        self._of_positions: tuple[str, ...] = () if columns.ra else (NO_POSITIONS,)

    @property
    def dust(self) -> tuple[str, ...]:
        """Where the reddening of the rows read so far is from."""
        return self._reddening.sources

    @property
    def notices(self) -> tuple[str, ...]:
        """What a user should know of the rows read so far."""
        return (
            *self._reddening.notices,
            *self._stamps.notices,
            *self._of_ids,
            *self._of_columns,
            *self._of_positions,
        )

    @property
    def _of_columns(self) -> tuple[str, ...]:
        names = self._catalog.left_out
        told = (
            "columns without one number or short text a row, or arrays of one shape, are left out"
        )
        return (f"{told}: {listed(names)}",) if names else ()

    def blocks(
        self, block_size: int, start: int = 0, stop: int | None = None
    ) -> Iterator[GalaxyBlock]:
        """Rows in order, all unless told from which to which, ``block_size`` at a time."""
        end = self.n_rows if stop is None else stop
        for first in range(start, end, block_size):
            yield self._block(first, min(first + block_size, end))

    def _block(self, start: int, stop: int) -> GalaxyBlock:
        rows = self._catalog.read(start, stop)
        ra, dec = self._positions(rows)
        ebv, flags = self._reddening.of(rows, ra, dec)
        flags[~np.isfinite(ra)] |= int(RowFlag.NO_POSITION)
        object_id = self._object_ids(rows, start)
        images = np.zeros((len(rows), len(self.spec.bands), *2 * (self.spec.size,)), np.float32)
        stamps = self._stamps.read(rows, ra, dec, self._pool)
        problems = self._place(stamps, images, flags, start, object_id)
        redshift, redshift_error = self._redshifts(rows)
        table = np.empty(len(rows), self.table_dtype)
        for name in self.table_dtype.names or ():
            table[name] = rows[name]
        return GalaxyBlock(
            start=start,
            object_id=object_id,
            ra=ra,
            dec=dec,
            images=images,
            ebv=ebv,
            flags=flags,
            redshift=redshift,
            redshift_error=redshift_error,
            split=self._splits(rows),
            table=table,
            problems=problems,
        )

    def _place(
        self,
        stamps: Iterable[Stamp],
        images: NDArray[np.float32],
        flags: NDArray[np.int32],
        start: int,
        object_id: NDArray[np.int64],
    ) -> tuple[RowProblem, ...]:
        """Put the stamps into the block and say which are missing."""
        problems = []
        for number, stamp in enumerate(stamps):
            if isinstance(stamp, StampProblem):
                flags[number] |= int(stamp.flag)
                flag, message = stamp.flag, stamp.message
            else:
                images[number] = stamp
                if not flags[number] & RowFlag.NO_REDDENING:
                    continue
                flag, message = RowFlag.NO_REDDENING, "neither a column nor a map gives E(B-V)"
            problem = RowProblem(start + number, int(object_id[number]), flag, message)
            if self._strict:
                raise CutoutError(
                    f"row {problem.row + 1} of {self._catalog.path} (id {problem.object_id}):"
                    f" {message}",
                    "mend it, or leave out --strict to flag such rows",
                )
            problems.append(problem)
        return tuple(problems)

    def _positions(self, rows: NDArray[np.void]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        if self._columns.ra is None or self._columns.dec is None:
            return np.full(len(rows), np.nan), np.full(len(rows), np.nan)
        ra = self._catalog.degrees(rows, self._columns.ra)
        dec = self._catalog.degrees(rows, self._columns.dec)
        missing = ~(np.isfinite(ra) & np.isfinite(dec))
        nowhere = missing | (np.abs(dec) > 90) | (np.abs(ra) > 360)
        if (nowhere & ~missing).any():
            self._of_positions = (
                "some rows have positions beyond 360 degrees or beyond the poles, which are taken"
                " as missing",
            )
        return np.where(nowhere, np.nan, ra), np.where(nowhere, np.nan, dec)

    def _object_ids(self, rows: NDArray[np.void], start: int) -> NDArray[np.int64]:
        name = self._columns.object_id
        if name is None or rows.dtype[name].kind not in "iu" or rows.dtype[name].shape:
            return np.arange(start, start + len(rows), dtype=np.int64)
        ids = integer_ids(rows[name], self._catalog.null(name), strict=False)
        if not self._of_ids and (ids == NO_ID).any():
            self._of_ids = (
                f"some rows have no {name}, or one that no signed 64-bit integer holds: their id"
                f" is {NO_ID}",
            )
        return ids

    def _redshifts(self, rows: NDArray[np.void]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        unknown = np.full(len(rows), np.nan, np.float32)
        if self._columns.redshift is None:
            return unknown, unknown
        redshift = without_placeholders(rows[self._columns.redshift].astype(np.float32))
        if self._columns.redshift_error is None:
            return redshift, unknown
        error = rows[self._columns.redshift_error].astype(np.float32)
        return redshift, np.where((error >= 0) & np.isfinite(redshift), error, np.float32(np.nan))

    def _splits(self, rows: NDArray[np.void]) -> NDArray[np.str_]:
        if self._columns.split is None:
            return np.full(len(rows), "", dtype="U5")
        names = np.char.lower(
            np.char.strip(np.char.decode(rows[self._columns.split], "ascii", "replace"))
        )
        return np.where(np.isin(names, SPLITS), names, "").astype("U5")


def _choose_columns(
    catalog: Catalog, images: CatalogImages, redshift: str | None, split: str | None
) -> Columns:
    ra, dec = catalog.position_columns()
    found_redshift, error = catalog.redshift_columns()
    if redshift is not None:
        named = catalog.require(redshift, "of redshifts")
        error = error if named == found_redshift else catalog.error_of(named)
        found_redshift = named
        if not catalog.is_number(found_redshift):
            raise CatalogError(
                f"the column {found_redshift} of {catalog.path} does not hold one number a row",
                "name another with --redshift-column",
            )
    found_split = catalog.split_column()
    if split is not None:
        found_split = catalog.require(split, "of splits")
        if catalog.dtype[found_split].kind != "S":
            raise CatalogError(
                f"the column {found_split} of {catalog.path} is not text",
                f"its words are {', '.join(SPLITS)}",
            )
    return Columns(
        object_id=catalog.require(images.id_column, "of ids")
        if images.id_column
        else catalog.id_column(),
        ra=ra,
        dec=dec,
        redshift=found_redshift,
        redshift_error=error,
        split=found_split,
    )


def _find_stamps(
    catalog: Catalog, images: CatalogImages, columns: Columns, spec: ImageSpec
) -> Stamps:
    """Where the images are, in the order of precedence: template, frames, column, file names."""
    if images.cutouts is not None:
        return StampFiles.from_template(images.cutouts, catalog, spec)
    if images.frames is not None:
        if columns.ra is None:
            raise CatalogError(
                f"{catalog.path} has no columns RA and DEC, which --frames needs",
                "add the positions in degrees",
            )
        return Frames(images.frames, spec.size, spec.bands)
    column = image_column(catalog)
    if column is not None:
        return StampColumn(column, catalog, spec.size, spec.bands)
    column = file_column(catalog)
    if column is not None:
        return StampFiles.from_column(column, catalog, spec)
    raise CatalogError(
        f"{catalog.path} does not say where its images are",
        catalog.or_another_table(
            "name them with --cutouts 'stamps/{OBJID}.fits' or --frames, or add a column CUTOUT"
        ),
    )
