"""What the images of a file are: the contract between the commands."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from photoz_ssl.errors import SpecMismatchError
from photoz_ssl.scalars import require_types

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["MOST_REDDENING", "NETWORK_SIZE", "STAMP_SIZE", "ImageSpec", "network_pixels"]

NETWORK_SIZE = 64
"""Side of the network's input, pixels (method section 1)."""

PIXEL_SCALE_TOLERANCE = 0.02
"""Relative; SDSS's own pixels differ by less than a percent from field to field."""

MOST_REDDENING = 10.0
"""E(B-V) beyond which a number stands for a missing one, such as 99.

A galaxy behind so much dust is 42 magnitudes fainter in u: nobody sees it.
"""

STAMP_SIZE = 107
"""Side of a stored stamp, pixels: 64 times the square root of 2, jitter, and a margin."""


def network_pixels(stored: int) -> slice:
    """The central pixels of a stamp that a network sees, along an axis of so many.

    The galaxy lies on pixel ``stored // 2``, and on ``NETWORK_SIZE // 2`` of what is cut out.

    >>> network_pixels(107)
    slice(21, 85, None)
    """
    first = stored // 2 - NETWORK_SIZE // 2
    return slice(first, first + NETWORK_SIZE)


@dataclass(frozen=True, kw_only=True)
class ImageSpec:
    """The kind of images that an archive holds or that a network was trained on.

    Parameters
    ----------
    bands : tuple of str
        Band names, in the order of the image's first axis.
    size : int
        Side of a stored stamp, pixels; a network sees its central ``network_size``.
    network_size : int
        Side of the network's input, pixels.
    pixel_scale : float
        Arcseconds a pixel.
    unit : str
        FITS unit of a pixel; nanomaggies unless there is a reason.
    dereddened : bool
        Whether Galactic extinction has been taken out of the stored pixels.
    """

    bands: tuple[str, ...] = ("u", "g", "r", "i", "z")
    size: int = STAMP_SIZE
    network_size: int = NETWORK_SIZE
    pixel_scale: float = 0.396
    unit: str = "nanomaggy"
    dereddened: bool = False

    def reddening(self, ebv: NDArray[np.floating]) -> NDArray[np.float32]:
        """E(B-V) by which the pixels are reddened: that of the sky, or 0 if dereddened.

        Parameters
        ----------
        ebv : ndarray, shape (n,)
            E(B-V) of SFD towards the galaxies, magnitudes.
        """
        import numpy as np  # here, as every command's help imports this module

        return np.zeros(len(ebv), np.float32) if self.dereddened else np.array(ebv, np.float32)

    def has_pixels_of(self, arcsec: float) -> bool:
        """Whether pixels of this size are its own; unknown ones, NaN, are believed to be."""
        return not abs(arcsec / self.pixel_scale - 1) > PIXEL_SCALE_TOLERANCE

    def to_json(self) -> str:
        """The specification as one line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ImageSpec:
        """Rebuild a specification from `to_json`.

        Raises
        ------
        ValueError
            If the text is not a specification.
        """
        try:
            fields = json.loads(text)
            require_types(fields, cls)
            fields["bands"] = _texts(fields["bands"])
            return cls(**fields)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"not an image specification: {text[:80]!r}") from error

    def require_usable_by(self, network: ImageSpec, *, here: str, there: str) -> None:
        """Refuse images that a network was not made for.

        The stored sizes may differ as long as these stamps cover the network's input.

        Parameters
        ----------
        network : ImageSpec
            What the network was trained on.
        here, there : str
            Names of the two files, for the error.

        Raises
        ------
        SpecMismatchError
            On the first difference that matters.
        """
        for field in ("bands", "pixel_scale", "unit", "dereddened"):
            mine, theirs = getattr(self, field), getattr(network, field)
            if mine != theirs:
                raise SpecMismatchError(
                    f"{here} has {field} = {mine!r}, but {there} was made for {theirs!r}",
                    "use images and a model of the same kind",
                )
        if self.size < network.network_size:
            raise SpecMismatchError(
                f"{here} has stamps of {self.size} pixels, but {there} needs at least"
                f" {network.network_size}",
                "prepare larger cutouts",
            )


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise TypeError("not a list of texts")
    return tuple(value)
