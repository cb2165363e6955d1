"""The bits of the ``FLAGS`` column."""

from __future__ import annotations

from enum import IntFlag

__all__ = ["FLAG_MEANINGS", "HIGH_EBV", "UNUSABLE", "RowFlag"]


class RowFlag(IntFlag):
    """What is unusual about a row; 0 is a clean one."""

    IMAGE_MISSING = 1
    IMAGE_DAMAGED = 2
    OUTSIDE_FRAME = 4
    WRONG_UNIT = 8
    NOT_FINITE = 16
    WRONG_SHAPE = 32
    NO_REDDENING = 64
    COARSE_DUST_MAP = 128
    NO_POSITION = 256
    AT_GRID_EDGE = 512
    HIGH_REDDENING = 1024
    UNLIKE_ATLAS = 2048


UNUSABLE = (
    RowFlag.IMAGE_MISSING
    | RowFlag.IMAGE_DAMAGED
    | RowFlag.OUTSIDE_FRAME
    | RowFlag.WRONG_UNIT
    | RowFlag.NOT_FINITE
    | RowFlag.WRONG_SHAPE
    | RowFlag.NO_REDDENING
)
"""The bits with which a row's image cannot be given to a network."""

FLAG_MEANINGS: dict[RowFlag, str] = {
    RowFlag.IMAGE_MISSING: "no image was found",
    RowFlag.IMAGE_DAMAGED: "the image is truncated or unreadable",
    RowFlag.OUTSIDE_FRAME: "the stamp reaches beyond the frame's edge",
    RowFlag.WRONG_UNIT: "the image is in a unit that cannot be converted",
    RowFlag.NOT_FINITE: "the image has pixels that are not finite",
    RowFlag.WRONG_SHAPE: "the image has a wrong number of bands or pixels, these a wrong size,"
    " or a band in which all are 0",
    RowFlag.NO_REDDENING: "no E(B-V) is known for the position",
    RowFlag.COARSE_DUST_MAP: "E(B-V) is from the coarse nside-64 map",
    RowFlag.NO_POSITION: "RA or Dec is missing or impossible",
    RowFlag.AT_GRID_EDGE: "the PDF peaks at an end of the redshift grid",
    RowFlag.HIGH_REDDENING: "E(B-V) is above 0.5, more than models are shown",
    RowFlag.UNLIKE_ATLAS: "the image is unlike the galaxies with known redshifts",
}

HIGH_EBV = 0.5
"""E(B-V) beyond which a row is flagged: the most that a view is reddened by (method section 3)."""
