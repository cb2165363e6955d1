"""The encoder that a training starts from: a file, or a preset with random weights."""

from __future__ import annotations

from pathlib import Path

from photoz_ssl.errors import SpecMismatchError
from photoz_ssl.networks.encoder import Encoder, build_encoder, encoder_config
from photoz_ssl.networks.published import is_published, read_model
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.bands import BANDS

__all__ = ["encoder_file", "is_file", "load_encoder"]


def load_encoder(name: str, spec: ImageSpec, archive: str, *, seed: int) -> Encoder:
    """An encoder from a file, checked against the archive's images, or a preset's.

    Parameters
    ----------
    name : str
        An encoder or redshift model file, ours or a published one, or a preset.
    spec : ImageSpec
        Of the archive's images.
    archive : str
        Its name, for errors.
    seed : int
        Of a preset's random weights.

    Raises
    ------
    photoz_ssl.errors.PhotozError
        If the file cannot be used, or is of other images.
    """
    if not is_file(name):
        if spec.bands != BANDS:
            raise SpecMismatchError(
                f"{archive} has the bands {','.join(spec.bands)}, and Galactic dust is known in"
                f" {','.join(BANDS)}",
                "prepare cutouts in these bands",
            )
        return build_encoder(encoder_config(name), seed=seed)
    checkpoint = read_model(Path(name))
    spec.require_usable_by(checkpoint.spec, here=archive, there=name)
    network = checkpoint.network()
    encoder = network if isinstance(network, Encoder) else network.encoder
    encoder.train()
    return encoder


def is_file(encoder: str) -> bool:
    """Whether ``--encoder`` names a file and not a preset."""
    return encoder.endswith(".safetensors") or is_published(encoder) or Path(encoder).is_file()


def encoder_file(encoder: str) -> Path | None:
    """The file that ``--encoder`` names; None if it is a preset."""
    return Path(encoder) if is_file(encoder) else None
