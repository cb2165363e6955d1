"""Galaxies that are dropped onto the page: read, represented, and remembered for a while."""

from __future__ import annotations

import secrets
import tempfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.config import SimilarConfig
from photoz_ssl.errors import ConfigError, CutoutError, PhotozError
from photoz_ssl.neighbours.atlas import Atlas
from photoz_ssl.workflows.searching.asking import open_question
from photoz_ssl.workflows.searching.atlas_encoder import AtlasEncoder
from photoz_ssl.workflows.searching.questions import Asked

__all__ = ["DroppedImage", "DroppedImages"]

MOST_REMEMBERED = 32


@dataclass(frozen=True)
class DroppedImage:
    """A galaxy from elsewhere.

    Parameters
    ----------
    asked : Asked
        Its vector and place, as one query.
    picture : ndarray, shape (64, 64, 3), uint8
        The first axis points down.
    notices : tuple of str
        What a user should know.
    """

    asked: Asked
    picture: NDArray[np.uint8]
    notices: tuple[str, ...]


class DroppedImages:
    """Represents images as an atlas does; the encoder is loaded for the first.

    Parameters
    ----------
    atlas : Atlas
        Whose encoder it is.
    encoder : AtlasEncoder
        That encoder.
    """

    def __init__(self, atlas: Atlas, encoder: AtlasEncoder) -> None:
        self._atlas, self._encoder = atlas, encoder
        self._kept: OrderedDict[str, DroppedImage] = OrderedDict()
        self._one_at_a_time = Lock()

    def __getitem__(self, handle: str) -> DroppedImage:
        """The image of a handle.

        Raises
        ------
        ConfigError
            If it is forgotten.
        """
        if handle not in self._kept:
            raise ConfigError("that image is forgotten", "drop it again")
        return self._kept[handle]

    def add(self, content: bytes) -> str:
        """Read and represent one FITS file; gives its handle.

        Raises
        ------
        PhotozError
            If it is not an image of a galaxy that the atlas's encoder can take.
        """
        with self._one_at_a_time, tempfile.TemporaryDirectory(prefix="photoz-ssl-") as folder:
            path = Path(folder) / "image.fits"
            path.write_bytes(content)
            try:
                dropped = self._read(path)
            except PhotozError as error:  # whose file is the page's, and has no path there
                raise type(error)(
                    *(text.replace(str(path), "the image") for text in error.args)
                ) from error
            handle = secrets.token_urlsafe(9)
            self._kept[handle] = dropped
            if len(self._kept) > MOST_REMEMBERED:
                self._kept.popitem(last=False)
            return handle

    def _read(self, path: Path) -> DroppedImage:
        config = SimilarConfig(image=path, among=self._atlas.path, output="-")
        with open_question(config) as question:
            if question is None:
                raise CutoutError("the image holds no galaxy")
            (asked,) = question.blocks(self._atlas, self._encoder, ())
            if not np.isfinite(asked.queries.vectors).all():
                raise CutoutError(asked.problem or "the image holds no light", "drop another")
            picture = asked.pictures(np.array([0]))[0, ::-1]
            notices = (notice.replace(str(path), "the image") for notice in question.notices)
            return DroppedImage(asked, picture, tuple(notices))
