"""The encoder that made an atlas, which alone can make queries for it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.config import Inference
from photoz_ssl.errors import SpecMismatchError
from photoz_ssl.fingerprints import sha256_of
from photoz_ssl.later import Later, of_later
from photoz_ssl.neighbours.atlas import Atlas
from photoz_ssl.survey.blocks import GalaxyBlock, GalaxySource
from photoz_ssl.survey.images.appearance import appearance

if TYPE_CHECKING:
    from photoz_ssl.workflows.trained.inference import Predictor

__all__ = [
    "AtlasEncoder",
    "described",
    "load_encoder_model",
    "represent_block",
    "represent_block_later",
]

SHIPPED_KINDS = ("encoder", "photoz")


class AtlasEncoder:
    """Represents galaxies as an atlas does; it is loaded when the first image needs it.

    Parameters
    ----------
    atlas : Atlas
        Whose encoder it is.
    model : Path, optional
        Its file; None for one that ships with the package.
    config : Inference
        Where and in what batches it runs.
    predictor : Predictor, optional
        The encoder itself, where it is loaded already.
    n_galaxies : int, optional
        How many there are to be, None if nobody knows: with many a slower start pays.
    """

    def __init__(
        self,
        atlas: Atlas,
        model: Path | None,
        config: Inference,
        predictor: Predictor | None = None,
        n_galaxies: int | None = 0,
    ) -> None:
        self._n_galaxies = n_galaxies
        self._atlas, self._model, self._config = atlas, model, config
        self._given = predictor

    @cached_property
    def predictor(self) -> Predictor:
        """The model, loaded.

        Raises
        ------
        SpecMismatchError
            If the model that was named is another, or none was named and it does not ship.
        """
        if self._given is not None:
            return self._given
        from photoz_ssl.networks.checkpoint import shipped_model_path

        header, path = self._atlas.header, self._model
        if path is None:
            shipped = (shipped_model_path(kind) for kind in SHIPPED_KINDS)
            known = (file for file in shipped if file.exists())
            path = next((file for file in known if sha256_of(file) == header.model_sha256), None)
        if path is None:
            raise SpecMismatchError(
                f"{self._atlas.path} was made by the model {header.model}"
                f" ({header.model_sha256[:8]}), which is not one of those that ship",
                "name its file with --model",
            )
        predictor = load_encoder_model(path, self._config, self._n_galaxies)
        header.require_model(predictor.sha256, model=predictor.name, atlas=str(self._atlas.path))
        return predictor

    def represented(
        self, source: GalaxySource, name: str
    ) -> Iterator[tuple[GalaxyBlock, NDArray[np.float32]]]:
        """Blocks of galaxies, and for each its vectors as the atlas has them.

        Parameters
        ----------
        source : GalaxySource
            Galaxies.
        name : str
            What they are called in an error.

        Raises
        ------
        SpecMismatchError
            If their images are of another kind than those of the atlas.
        """
        source.spec.require_usable_by(
            self.predictor.spec, here=name, there=f"the model {self.predictor.name}"
        )
        projection = self._atlas.projection
        for block in source.blocks(self.predictor.batch_size):
            vectors = represent_block(block, self.predictor)
            yield block, vectors if projection is None else projection.apply(vectors)


def load_encoder_model(path: Path | None, config: Inference, n_galaxies: int | None) -> Predictor:
    """Load a model for its representations, by default the encoder that ships, for some galaxies.

    Torch takes seconds to import, so not before the input is known.
    """
    from photoz_ssl.workflows.trained.inference import Predictor

    return Predictor.load(
        path,
        config.device,
        kind="encoder",
        batch_size=config.batch_size,
        n_galaxies=n_galaxies,
        precision=config.precision,
    )


def represent_block(block: GalaxyBlock, predictor: Predictor) -> NDArray[np.float32]:
    """Representations of a block, shape (n, n_features); NaN where an image cannot be used."""
    return represent_block_later(block, predictor)()


def represent_block_later(block: GalaxyBlock, predictor: Predictor) -> Later[NDArray[np.float32]]:
    """Begin with the representations of a block; what is returned waits for them."""
    usable = slice(None) if block.usable.all() else block.usable  # a slice copies nothing

    def placed(found: NDArray[np.float32]) -> NDArray[np.float32]:
        representations = np.full((len(block), found.shape[1]), np.nan, np.float32)
        representations[usable] = found
        return representations

    return of_later(placed, predictor.represent_later(block.images[usable], block.ebv[usable]))


def described(block: GalaxyBlock) -> NDArray[np.float32]:
    """Plain descriptions of the images of a block, NaN where one cannot be used."""
    looks = appearance(block.images)
    looks[~block.usable] = np.nan
    return looks
