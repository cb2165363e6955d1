"""What a training starts from: a plan, and an encoder of a file or with random weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from photoz_ssl.config import FinetuneConfig, PretrainConfig
from photoz_ssl.errors import SpecMismatchError
from photoz_ssl.networks.encoder import Encoder, build_encoder, encoder_config
from photoz_ssl.networks.published import is_published, read_model
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.bands import BANDS
from photoz_ssl.training.loop import Plan
from photoz_ssl.training.run_folder import identity_of

__all__ = ["TrainingStart", "is_file", "load_encoder", "training_start"]

Config = TypeVar("Config", PretrainConfig, FinetuneConfig)


@dataclass(frozen=True)
class TrainingStart(Generic[Config]):
    """What a run and a dry run have alike, before the run folder is looked at.

    Parameters
    ----------
    command : str
        ``pretrain`` or ``finetune``.
    config : PretrainConfig or FinetuneConfig
        All constants, with those that go by the number of labels.
    plan : Plan
        Archive, rows, and what is done how often.
    encoder : Encoder
        The network to train.
    identity : mapping of str to str
        See `photoz_ssl.training.run_folder.identity_of`.
    """

    command: str
    config: Config
    plan: Plan
    encoder: Encoder
    identity: Mapping[str, str]


def training_start(command: str, config: Config, plan: Plan) -> TrainingStart[Config]:
    """Load the encoder that a planned training starts from, as `load_encoder`."""
    name, archive = config.encoder, plan.archive
    encoder = load_encoder(name, archive.spec, str(config.archive), seed=config.seed)
    identity = identity_of(archive, plan.rows, Path(name) if is_file(name) else None)
    return TrainingStart(command, config, plan, encoder, identity)


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
