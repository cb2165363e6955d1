"""A simulated survey as FITS files: one catalogue, and one cutout a galaxy."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning
from numpy.typing import NDArray

from photoz_ssl.survey.bands import BANDS, PIXEL_SCALE
from photoz_ssl.survey.blocks import GalaxyBlock
from photoz_ssl.survey.simulation.galaxies import TABLE_DTYPE
from photoz_ssl.survey.tables.headers import TableColumn
from photoz_ssl.survey.tables.writer import write_table

__all__ = ["CATALOG_COLUMNS", "cutout_name", "write_cutout", "write_survey"]

CUTOUTS_A_FOLDER = 1000

UCD_BANDS = dict(
    zip(BANDS, ("em.opt.U", "em.opt.B", "em.opt.R", "em.opt.I", "em.opt.I"), strict=True)
)


def cutout_name(object_id: int) -> str:
    """A cutout's name relative to the catalogue: at most 1000 files a folder."""
    return f"cutouts/{object_id // CUTOUTS_A_FOLDER:04d}/{object_id}.fits"


def _magnitude_columns() -> list[TableColumn]:
    columns = []
    for kind, kind_name in (("MODEL", "total"), ("PETRO", "Petrosian")):
        for quantity, prefix, words in (
            ("MAG", "", ""),
            ("MAGERR", "stat.error;", "error of the "),
        ):
            columns += [
                TableColumn(
                    f"{kind}_{quantity}_{band}",
                    "mag",
                    f"{prefix}phot.mag;{UCD_BANDS[band]}",
                    f"{words}{kind_name} magnitude in {band}, not corrected for extinction",
                    "F8.4",
                )
                for band in BANDS
            ]
    return columns


CATALOG_COLUMNS: tuple[TableColumn, ...] = (
    TableColumn("OBJID", "", "meta.id;meta.main", "number of the galaxy", "I12"),
    TableColumn("RA", "deg", "pos.eq.ra;meta.main", "right ascension, ICRS", "F11.6"),
    TableColumn("DEC", "deg", "pos.eq.dec;meta.main", "declination, ICRS", "F11.6"),
    TableColumn("Z_SPEC", "", "src.redshift", "true redshift", "F8.5"),
    TableColumn("EBV", "mag", "phot.color.excess", "E(B-V) of SFD at the position", "F7.4"),
    *_magnitude_columns(),
    TableColumn("SPLIT", "", "meta.code", "train, valid or test, by source galaxy", "A5"),
    TableColumn("CUTOUT", "", "meta.id;meta.file", "image, relative to this catalogue", "A40"),
)

CATALOG_DTYPE = np.dtype(
    [*((name, TABLE_DTYPE[name]) for name in TABLE_DTYPE.names or ()), ("CUTOUT", "S32")]
)


def write_survey(
    folder: Path,
    blocks: Iterable[GalaxyBlock],
    *,
    compress: bool,
    cards: Sequence[tuple[str, str | int, str]],
) -> None:
    """Write ``catalog.fits`` and the cutouts into an empty folder.

    Parameters
    ----------
    folder : Path
        It exists.
    blocks : iterable of GalaxyBlock
        From `photoz_ssl.survey.simulation.galaxies.simulate_blocks`.
    compress : bool
        Tile-compress the cutouts, without loss.
    cards : sequence of (keyword, value, comment)
        For the catalogue's header.
    """
    with write_table(
        str(folder / "catalog.fits"),
        extname="GALAXIES",
        columns=CATALOG_COLUMNS,
        dtype=CATALOG_DTYPE,
        cards=cards,
    ) as catalog:
        for block in blocks:
            rows = np.zeros(len(block), CATALOG_DTYPE)
            for name in TABLE_DTYPE.names or ():
                rows[name] = block.table[name]
            for row, image in zip(rows, block.images, strict=True):
                name = cutout_name(int(row["OBJID"]))
                row["CUTOUT"] = name.encode()
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                write_cutout(path, image, row, compress=compress)
            catalog.append(rows)


def write_cutout(
    path: Path, image: NDArray[np.float32], row: np.void, *, compress: bool = False
) -> None:
    """Write a stamp as one cube (band, y, x) with a celestial WCS.

    Parameters
    ----------
    path : Path
        File to write.
    image : ndarray, shape (n_bands, size, size), float32
        Nanomaggies.
    row : structured scalar
        OBJID, RA, DEC and EBV of the galaxy, at the centre of pixel ``size // 2``.
    compress : bool
        Tile-compress it, without loss.
    """
    header = _cutout_header(row, image.shape[-1])
    primary = fits.PrimaryHDU()
    if compress:
        cube = fits.CompImageHDU(
            image, header, compression_type="GZIP_2", quantize_level=0, name="CUTOUT"
        )
        hdus = fits.HDUList([primary, cube])
    else:
        hdus = fits.HDUList([fits.PrimaryHDU(image, header)])
    path.write_bytes(_with_checksums(hdus))


def _with_checksums(hdus: fits.HDUList) -> bytes:
    """A file of these HDUs, the same whenever it is made: the checksums' cards have no date."""
    plain, content = io.BytesIO(), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VerifyWarning)
        hdus.writeto(plain)
        plain.seek(0)
        # before version 7 astropy finds those of a compressed image only if told that it is a table
        with fits.open(plain, disable_image_compression=True) as stored:
            for hdu in stored:
                hdu.add_datasum(when="data unit checksum")
                hdu.add_checksum(when="HDU checksum", override_datasum=True)
            stored.writeto(content, checksum=False)
    return content.getvalue()


def _cutout_header(row: np.void, size: int) -> fits.Header:
    header = fits.Header()
    header["BUNIT"] = ("nanomaggy", "3.631e-6 Jy")
    header["OBJECT"] = (str(row["OBJID"]), "number of the galaxy")
    header["EBV"] = (round(float(row["EBV"]), 6), "[mag] E(B-V) of SFD")
    header["BANDS"] = ("".join(BANDS), "bands along axis 3")
    for number, band in enumerate(BANDS, 1):
        header[f"BAND{number}"] = (band, f"plane {number}")
    header["WCSAXES"] = 2
    for axis, kind, value in ((1, "RA---TAN", row["RA"]), (2, "DEC--TAN", row["DEC"])):
        header[f"CTYPE{axis}"] = kind
        header[f"CUNIT{axis}"] = "deg"
        header[f"CRPIX{axis}"] = float(size // 2 + 1)
        header[f"CRVAL{axis}"] = float(value)
        header[f"CDELT{axis}"] = (-1 if axis == 1 else 1) * PIXEL_SCALE / 3600
    header["RADESYS"] = "ICRS"
    return header
