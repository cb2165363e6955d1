"""How the images of a catalogue are found, and how they go through a network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from photoz_ssl.fields import (
    AUTO,
    INFERENCE_PRECISIONS,
    device_option,
    number_or_auto,
    option,
    overwrite_option,
    refuse_unless,
    workers_option,
)

__all__ = ["CatalogImages", "Inference"]


@dataclass(frozen=True, kw_only=True)
class CatalogImages:
    """Where the images and the reddening of a catalogue's rows come from."""

    cutouts: str | None = option(
        None, "Template of the cutout files, e.g. 'stamps/{OBJID}.fits' or '{OBJID}-{band}.fits'."
    )
    frames: Path | None = option(None, "Folder of survey frames to cut the images from.")
    dust_dir: Path | None = option(
        None, "Folder with SFD_dust_4096_{ngp,sgp}.fits [default: $PHOTOZ_SSL_DUST_DIR]."
    )
    id_column: str | None = option(None, "Column of object ids [default: found by its name].")


@dataclass(frozen=True, kw_only=True)
class Inference(CatalogImages):
    """How the images of a catalogue go through a network."""

    batch_size: int = number_or_auto("Galaxies a batch, or auto: 256, on a GPU 1024.")
    device: str = device_option()
    precision: str = option(
        "auto",
        "Arithmetic of the network: auto is bf16 on a GPU that computes in it, else fp32; bf16 is"
        " faster on CPUs that compute in it, int8 on all, with models that were calibrated.",
        choices=INFERENCE_PRECISIONS,
    )
    workers: int = workers_option()
    overwrite: bool = overwrite_option()

    def __post_init__(self) -> None:
        refuse_unless(self.batch_size >= AUTO, "--batch-size must be positive")
        refuse_unless(self.workers >= 0, "--workers cannot be negative")
