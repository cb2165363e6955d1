"""Options of the commands that make archives and models out of what others have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from photoz_ssl.config.images import CatalogImages
from photoz_ssl.fields import (
    argument,
    option,
    output_option,
    overwrite_option,
    refuse_seed,
    refuse_unless,
    workers_option,
)
from photoz_ssl.spec import NETWORK_SIZE, STAMP_SIZE

__all__ = ["SPLITS", "ConvertConfig", "PrepareConfig", "SimulateConfig"]

SPLITS = ("train", "valid", "test")

SUFFIXES_OF_FILES = (".fits", ".fit", ".fz", ".gz", ".npz", ".hdf", ".parquet")
"""What nobody calls a folder."""


@dataclass(frozen=True, kw_only=True)
class SimulateConfig:
    """Options of ``photoz-ssl simulate``."""

    output: Path = output_option("Folder, or archive NAME.h5,")
    n_galaxies: int = option(2000, "Number of galaxies.", flags=("-n", "--n-galaxies"))
    seed: int = option(0, "Seed of every random draw; the same seed gives the same galaxies.")
    size: int = option(STAMP_SIZE, "Side of a cutout in pixels.")
    compress: bool = option(False, "Tile-compress the cutouts.")
    workers: int = option(0, "Processes [default: one a core].")
    overwrite: bool = overwrite_option()

    def __post_init__(self) -> None:
        refuse_unless(
            self.output.suffix.lower() not in SUFFIXES_OF_FILES,
            f"--output is a folder, or an archive NAME.h5, not {self.output.suffix}",
        )
        refuse_unless(self.n_galaxies > 0, "--n-galaxies must be positive")
        refuse_unless(self.size >= NETWORK_SIZE, f"--size must be at least {NETWORK_SIZE}")
        refuse_unless(self.workers >= 0, "--workers cannot be negative")
        refuse_seed(self.seed)


@dataclass(frozen=True, kw_only=True)
class PrepareConfig(CatalogImages):
    """Options of ``photoz-ssl prepare``."""

    catalog: str = argument("Table of galaxies, or the published sdss.npz.")
    output: Path = output_option("Archive")
    size: int = option(STAMP_SIZE, "Side of the stored stamps in pixels.")
    redshift_column: str | None = option(
        None, "Column of spectroscopic redshifts [default: found by its name]."
    )
    split_column: str | None = option(
        None, "Column with train, valid or test [default: SPLIT, where there is one]."
    )
    split: tuple[float, ...] | None = option(
        None,
        "Fractions of train,valid,test to draw instead, by id or, where there is none but"
        " SPECOBJID, by arcminute of the sky; e.g. 0.8,0.1,0.1.",
    )
    seed: int = option(0, "Seed of the drawn splits.")
    mgs_cut: bool = option(
        False, "Of sdss.npz only dered_petro_r <= 17.8 & z <= 0.4 & primtarget >= 64."
    )
    strict: bool = option(False, "Stop at the first row without a usable image.")
    workers: int = workers_option()
    overwrite: bool = overwrite_option()

    def __post_init__(self) -> None:
        refuse_unless(self.size >= NETWORK_SIZE, f"--size must be at least {NETWORK_SIZE}")
        refuse_unless(self.workers >= 0, "--workers cannot be negative")
        refuse_seed(self.seed)
        refuse_unless(
            self.split is None or self.split_column is None,
            "--split draws the splits, and --split-column reads them: name one of them",
        )
        if self.split is not None:
            refuse_unless(
                len(self.split) == len(SPLITS)
                and min(self.split) >= 0
                and abs(sum(self.split) - 1) < 1e-6,
                "--split takes three fractions that sum to 1, such as 0.8,0.1,0.1",
            )


@dataclass(frozen=True, kw_only=True)
class ConvertConfig:
    """Options of ``photoz-ssl convert``."""

    checkpoint: Path = argument(
        "Published checkpoint NAME.pth.tar; with --labels or --calibrate any model, also shipped,"
        " the one that predict uses."
    )
    output: Path = output_option("Model NAME.safetensors")
    labels: Path | None = option(
        None,
        "Archive of 100 or more galaxies with redshifts, not those trained on, by which the PDFs"
        " are calibrated anew: its validation split, or all where there are no splits.",
    )
    calibrate: Path | None = option(
        None,
        "Archive on whose validation galaxies the model is also made into an 8-bit one, for"
        " --precision int8.",
    )
    overwrite: bool = overwrite_option()

    def __post_init__(self) -> None:
        refuse_unless(
            self.output.suffix == ".safetensors", "--output must be named NAME.safetensors"
        )
