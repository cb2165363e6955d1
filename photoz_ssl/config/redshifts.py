"""Options of the commands that write redshifts, and judge them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from photoz_ssl.config.images import Inference
from photoz_ssl.config.surveys import SPLITS
from photoz_ssl.fields import (
    COLUMN_STYLES,
    argument,
    arguments,
    dask_option,
    format_option,
    option,
    overwrite_option,
    refuse_format,
    refuse_seed,
    refuse_shard,
    refuse_unless,
    required_option,
    resume_option,
    shard_option,
    spelled_option,
)

__all__ = ["EvaluateConfig", "MergeConfig", "PredictConfig"]

PDF_FORMS = r"none|hist|quantiles:([2-9]|[1-9][0-9]{1,2})"


@dataclass(frozen=True, kw_only=True)
class PredictConfig(Inference):
    """Options of ``photoz-ssl predict``."""

    catalog: str = argument("Table, archive NAME.h5, HATS folder, or - for a table on stdin.")
    output: str | None = option(
        None,
        "Table to write, - for stdout [default: NAME.photoz.fits].",
        flags=("-o", "--output"),
        of_job=False,
    )
    model: Path | None = option(
        None, "Model file, or published NAME.pth.tar [default: the one that ships].", of_job=False
    )
    pdf: str = spelled_option(
        "none",
        "Add the PDFs in the layout of qp: hist, which --pdf alone means, quantiles:20, or none.",
        pattern=PDF_FORMS,
        spelled="hist, quantiles:20 (from 2 to 999) or none",
        bare="hist",
    )
    neighbours: Path | None = option(
        None,
        "Atlas of galaxies with redshifts: add what those that look alike say.",
        of_job=False,
    )
    views: int = option(
        1, "Views of a galaxy whose PDFs are averaged: 8 for all quarter turns, mirrored too."
    )
    columns: str = option("legacy", "Whose names the output's columns have.", choices=COLUMN_STYLES)
    format: str = format_option()
    keep_columns: str = option("all", "Input columns to carry over: all, none, or A,B,C.")
    samp: bool = option(
        False, "Send the finished table to TOPCAT, Aladin and their kind.", of_job=False
    )
    resume: bool = resume_option()
    shard: str | None = shard_option()
    dask: str | None = dask_option()

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_unless(self.views in (1, 8), "--views is 1 or 8")
        refuse_shard(self.shard)
        refuse_unless(
            re.fullmatch(PDF_FORMS, self.pdf) is not None,
            f"--pdf is hist, quantiles:20 (from 2 to 999) or none, not {self.pdf!r}",
        )
        refuse_format(self.output, self.format)
        refuse_unless(
            not self.samp or (self.output != "-" and self.shard is None),
            "--samp sends a table that is a file, neither standard output nor a part",
        )
        reproducible = "-" not in (self.catalog.partition("[")[0], self.output)
        refuse_unless(
            reproducible or not (self.resume or self.shard),
            "--resume and --shard need files: neither input nor output can be -",
        )
        refuse_unless(
            not self.catalog.startswith("-") or self.dask is None,
            "--dask needs a catalogue that the workers can open, not -",
        )


@dataclass(frozen=True, kw_only=True)
class MergeConfig:
    """Options of ``photoz-ssl merge``."""

    parts: tuple[str, ...] = arguments("Part files of predict or embed --shard, in any order.")
    output: str = required_option(
        "Table to write, - for stdout; or the atlas.", flags=("-o", "--output")
    )
    format: str = format_option()
    overwrite: bool = overwrite_option()


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """Options of ``photoz-ssl evaluate`` (method section 5)."""

    predictions: str = argument("Redshift table written by predict, with a column of true ones.")
    redshift_column: str = option("Z_SPEC", "Column of spectroscopic redshifts.")
    json: Path | None = option(None, "File for the metrics as JSON, - for stdout.")
    plot: Path | None = option(None, "Folder for the figures.")
    split: str | None = option(None, "Only rows whose SPLIT is this, e.g. test.", choices=SPLITS)
    seed: int = option(0, "Seed of the bootstrap errors.")
    overwrite: bool = overwrite_option()

    def __post_init__(self) -> None:
        refuse_seed(self.seed)
