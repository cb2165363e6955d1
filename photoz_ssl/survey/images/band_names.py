"""Which image in a file, or plane of a cube, is of which band, by what its header says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from photoz_ssl.survey.images.image_files import Header, Image

__all__ = ["band_in", "band_of", "bands_of_planes", "is_named", "science_images"]

BAND_KEYWORDS = ("BAND", "FILTER", "EXTNAME")

NO_NAMES = ("", "compressed_image", "primary")
"""That an HDU is given by a program, whatever is in it."""

COMPANIONS = frozenset(
    (
        *("bad", "bkg", "background", "cov", "coverage", "dq", "err", "error", "errors", "exp"),
        *("expmap", "flag", "flags", "invvar", "ivar", "mask", "model", "nexp", "noise", "psf"),
        *("residual", "rms", "seg", "segm", "segmentation", "sigma", "sky", "std", "stddev"),
        *("unc", "uncert", "uncertainty", "var", "variance", "weight", "weights", "wht", "wt"),
    )
)
"""Words in the EXTNAME of what belongs to an image and is none of a galaxy."""

GLUED = re.compile(r"(?:sdss)?(\w)(?:band|sdss)?")


def science_images(images: Iterable[Image]) -> list[Image]:
    """The images without their weights, masks and the like, if anything else is left."""
    every = list(images)
    named = [image for image in every if not COMPANIONS & {*_words(_text(image.header, "EXTNAME"))}]
    return named or every


def band_of(header: Header, bands: Sequence[str]) -> str | None:
    """The band that the first telling keyword of an image names; see `band_in`."""
    found = (band_in(_text(header, keyword), bands) for keyword in BAND_KEYWORDS)
    return next((band for band in found if band is not None), None)


def is_named(header: Header, keywords: Sequence[str] = BAND_KEYWORDS) -> bool:
    """Whether a keyword is there that could name a band, and says something."""
    return any(_text(header, keyword).lower() not in NO_NAMES for keyword in keywords)


def band_in(text: str, bands: Sequence[str]) -> str | None:
    """The one band that a text names.

    >>> [band_in(text, "ugriz") for text in ("SDSS_r", "r.SDSS", "r band", "r'", "r_ivar", "SCI")]
    ['r', 'r', 'r', 'r', None, None]
    """
    words = _words(text)
    if COMPANIONS & {*words}:
        return None
    by_name = {band.lower(): band for band in bands}
    named = {by_name[word] for word in words if word in by_name}
    if not named and len(words) == 1 and (glued := GLUED.fullmatch(words[0])):
        named = {by_name[glued[1]]} if glued[1] in by_name else set()
    return named.pop() if len(named) == 1 else None


def bands_of_planes(header: Header, bands: Sequence[str]) -> list[str] | None:
    """What BANDS, BAND1 ... or FILTER call the planes of a cube; empty where they are not there.

    None where they are there and not understood. What is returned may be no band of ours.
    """
    text = _text(header, "BANDS").lower()
    letters = [letter for letter in text if letter.isalpha()]
    if letters and len(letters) == len(bands):
        return letters
    names = [name for name in re.split(r"[\s,;/|]+", text) if name]
    if not names:
        names = _numbered(header, len(bands))
    if not names:
        together = [letter for letter in _text(header, "FILTER").lower() if letter.isalpha()]
        if sorted(together) == sorted(bands):
            return together
        return None if is_named(header, ("BAND", "FILTER")) else []
    found = [band_in(name, bands) or name.lower() for name in names]
    return found if len(found) == len(bands) else None


def _numbered(header: Header, n_planes: int) -> list[str]:
    """BAND1 ..., or FILTER1 ..., or the same from 0, whichever are there."""
    for word in ("BAND", "FILTER"):
        first = 0 if f"{word}0" in header else 1
        keywords = (f"{word}{first + plane}" for plane in range(n_planes))
        names = [_text(header, keyword) for keyword in keywords if keyword in header]
        if names:
            return names
    return []


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[^a-z0-9]+", text.lower()) if word]


def _text(header: Header, keyword: str) -> str:
    return str(header[keyword]["value"] or "").strip() if keyword in header else ""
