"""Catalogues of one galaxy that no table names: an image file, or a position on the sky."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from photoz_ssl.errors import CutoutError, SpecMismatchError
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.catalog import Catalog
from photoz_ssl.survey.images.stamp_pixels import StampProblem
from photoz_ssl.survey.images.stamps import ImageFacts, image_facts

__all__ = ["image_catalog", "position_catalog"]


def position_catalog(ra: float, dec: float) -> Catalog:
    """A catalogue of one position, degrees."""
    return _one_row(f"RA {ra:.6f}, Dec {dec:+.6f}", {"RA": ra, "DEC": dec})


def image_catalog(path: Path, spec: ImageSpec) -> tuple[Catalog, tuple[str, ...]]:
    """A catalogue of one cutout file, which holds the galaxy in its middle.

    Its position is that of the image's middle, by its WCS; its reddening the header's EBV, if
    it has one, and 0 if there is no position by which to look it up either.

    Parameters
    ----------
    path : Path
        One cube, or an HDU a band.
    spec : ImageSpec
        What its pixels have to be.

    Returns
    -------
    Catalog
        With the columns RA, DEC, CUTOUT and, where known, EBV.
    tuple of str
        What a user should know.

    Raises
    ------
    CutoutError
        If the file is missing or not a FITS image.
    SpecMismatchError
        If its pixels are of another size.
    """
    try:
        facts = image_facts(path)
    except StampProblem as problem:
        raise CutoutError(problem.message, "name a FITS image of one galaxy") from problem
    _require_pixel_scale(path, facts, spec)
    values: dict[str, Any] = {"RA": facts.ra, "DEC": facts.dec, "CUTOUT": str(path.absolute())}
    notices: tuple[str, ...] = ()
    if np.isfinite(facts.ebv):
        values["EBV"] = facts.ebv
    elif not np.isfinite(facts.ra):
        values["EBV"] = 0.0
        notices = (f"{path} has neither EBV nor a WCS, so that its E(B-V) is taken as 0",)
    return _one_row(str(path), values), notices


def _require_pixel_scale(path: Path, facts: ImageFacts, spec: ImageSpec) -> None:
    if not spec.has_pixels_of(facts.pixel_scale):
        raise SpecMismatchError(
            f"the pixels of {path} are {facts.pixel_scale:.3g} arcsec, but the atlas was made for"
            f" {spec.pixel_scale:g}",
            "resample the image first, for example with reproject",
        )


def _one_row(shown: str, values: dict[str, Any]) -> Catalog:
    kinds = {
        name: np.array([value]).astype("S" if name == "CUTOUT" else "f8").dtype
        for name, value in values.items()
    }
    table = np.zeros(1, [*kinds.items()])
    for name, value in values.items():
        table[name] = value
    return Catalog(shown, Path(), 1, table.dtype, {name: {} for name in values}, table)
