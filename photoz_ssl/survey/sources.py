"""Galaxies with their images, from a catalogue or an archive, a block at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields
from pathlib import Path

import numpy as np

from photoz_ssl.config import CatalogImages
from photoz_ssl.errors import CatalogError
from photoz_ssl.fields import flag_of
from photoz_ssl.spec import NETWORK_SIZE, ImageSpec
from photoz_ssl.survey.archive import Archive, is_archive, open_archive
from photoz_ssl.survey.blocks import GalaxyBlock, GalaxySource
from photoz_ssl.survey.catalog import Catalog, open_catalog
from photoz_ssl.survey.catalog_source import catalog_source
from photoz_ssl.survey.flags import RowFlag
from photoz_ssl.survey.images.stamp_pixels import lack_a_band
from photoz_ssl.survey.npz import is_npz
from photoz_ssl.survey.pasquet import open_pasquet
from photoz_ssl.survey.tables.headers import null_cards

__all__ = ["GalaxySource", "open_source"]

log = logging.getLogger(__name__)


@contextmanager
def open_source(
    path: str,
    images: CatalogImages,
    *,
    size: int,
    workers: int = 0,
    redshift_column: str | None = None,
    split_column: str | None = None,
    strict: bool = False,
    mgs_cut: bool = False,
    streaming: bool = False,
    may_be_empty: bool = False,
) -> Iterator[GalaxySource]:
    """Open a catalogue or an archive of galaxies.

    Parameters
    ----------
    path : str
        An archive (``*.h5``), the published ``*.npz``, a FITS table in CFITSIO's syntax, or
        ``-`` for one on stdin.
    images : CatalogImages
        Where a catalogue's images and reddening come from.
    size : int
        Side of the stamps that a catalogue's images are cut to; an archive and the
        published ``*.npz`` keep their own.
    workers : int
        Threads that read images; 0 for one a core.
    redshift_column, split_column : str, optional
        Columns to use instead of those found by their names.
    strict : bool
        Whether the first row without a usable image is an error.
    mgs_cut : bool
        Only the Main Galaxy Sample of the published ``*.npz``.
    streaming : bool
        Whether blocks are asked for once and in order; see `open_catalog`.
    may_be_empty : bool
        Whether a table without rows is no error.

    Raises
    ------
    CatalogError, ArchiveError, CutoutError, DustError
        If the input, or what is needed to find its images and reddening, is not there.
    """
    if is_archive(path) and not mgs_cut:
        yield ArchiveSource(open_archive(Path(path)), images)
        return
    spec = ImageSpec(size=NETWORK_SIZE if is_npz(path) else size)
    with (
        _open_table(path, mgs_cut, streaming, may_be_empty) as catalog,
        catalog_source(
            catalog,
            images,
            spec=spec,
            workers=workers,
            redshift_column=redshift_column,
            split_column=split_column,
            strict=strict,
        ) as source,
    ):
        log.info("read the catalogue %s, %d rows", path, source.n_rows)
        yield source


def _open_table(
    path: str, mgs_cut: bool, streaming: bool, may_be_empty: bool
) -> AbstractContextManager[Catalog]:
    if is_npz(path):
        return open_pasquet(path, mgs_cut=mgs_cut)
    if mgs_cut:
        raise CatalogError(
            f"{path} is not the published .npz file, which --mgs-cut is for",
            "select from a FITS table with brackets such as [1][PETROMAG_R < 17.8]",
        )
    return open_catalog(path, streaming=streaming, may_be_empty=may_be_empty)


class ArchiveSource:
    """The galaxies of an archive."""

    def __init__(self, archive: Archive, images: CatalogImages) -> None:
        self._archive = archive
        self.n_rows = len(archive)
        self.spec = archive.spec
        self.table_dtype = archive.block(slice(0, 0)).table.dtype
        self.column_cards: dict[str, dict[str, str]] = {
            name: null_cards(self.table_dtype[name], archive.nulls.get(name))
            for name in self.table_dtype.names or ()
        }
        self.id_column = archive.id_column
        self.ra_column: str | None = "RA"
        self.dec_column: str | None = "DEC"
        self.dust: tuple[str, ...] = (f"E(B-V) from the archive {archive.path.name}",)
        idle = [
            flag_of(field.name)
            for field in fields(CatalogImages)
            if getattr(images, field.name) is not None
        ]
        what = f"{archive.path.name} is an archive, which holds images, ids and reddening itself"
        self.notices = (f"{what}: {' and '.join(idle)} had no effect",) if idle else ()

    def blocks(
        self, block_size: int, start: int = 0, stop: int | None = None
    ) -> Iterator[GalaxyBlock]:
        """Rows in order, all unless told from which to which, ``block_size`` at a time."""
        for block in self._archive.blocks(block_size, start, stop):
            unknown = ~np.isfinite(block.ebv)
            block.flags[unknown] |= int(RowFlag.NO_REDDENING)
            block.flags[block.usable & lack_a_band(block.images)] |= int(RowFlag.WRONG_SHAPE)
            yield block
