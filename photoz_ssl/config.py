"""One frozen, inert configuration per command; every default lives here, once.

A field becomes the option of the same name (``learning_rate`` → ``--learning-rate``); its
metadata holds the help text and, where they differ from the rule, the flags. Fields without
a default are the command's arguments or required options. Nothing here touches a disk.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from photoz_ssl.fields import (
    AUTO,
    COLUMN_STYLES,
    INFERENCE_PRECISIONS,
    PRECISIONS,
    argument,
    arguments,
    dask_option,
    device_option,
    format_option,
    number_or_auto,
    option,
    optional_argument,
    output_option,
    overwrite_option,
    refuse_unless,
    required_option,
    resume_option,
    shard_option,
    spelled_option,
    workers_option,
)
from photoz_ssl.recipes import RECIPES
from photoz_ssl.spec import NETWORK_SIZE, STAMP_SIZE

__all__ = [
    "SPLITS",
    "BrowseConfig",
    "CatalogImages",
    "ConvertConfig",
    "EmbedConfig",
    "EvaluateConfig",
    "FinetuneConfig",
    "Inference",
    "LabelEfficiencyConfig",
    "MergeConfig",
    "PredictConfig",
    "PrepareConfig",
    "PretrainConfig",
    "SimilarConfig",
    "SimulateConfig",
    "SupervisedConfig",
    "TrainingConfig",
]

SPLITS = ("train", "valid", "test")
VECTOR_TYPES = ("float16", "float32")
INDEX_KINDS = ("none", "ivf", "ivfpq")


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
        "Arithmetic of the network: auto is bf16 on a GPU, fp32 on a CPU; int8 is for CPUs and for"
        " models that were calibrated.",
        choices=INFERENCE_PRECISIONS,
    )
    workers: int = workers_option()
    overwrite: bool = overwrite_option()

    def __post_init__(self) -> None:
        refuse_unless(self.batch_size >= AUTO, "--batch-size must be positive")
        refuse_unless(self.workers >= 0, "--workers cannot be negative")


@dataclass(frozen=True, kw_only=True)
class SimulateConfig:
    """Options of ``photoz-ssl simulate``."""

    output: Path = output_option("Folder, or archive NAME.h5,")
    n_galaxies: int = option(2000, "Number of galaxies.", flags=("-n", "--n-galaxies"))
    seed: int = option(0, "Seed of every random draw; the same seed gives the same bytes.")
    size: int = option(STAMP_SIZE, "Side of a cutout in pixels.")
    compress: bool = option(False, "Tile-compress the cutouts.")
    workers: int = option(0, "Processes [default: one a core].")
    overwrite: bool = overwrite_option()

    def __post_init__(self) -> None:
        refuse_unless(self.n_galaxies > 0, "--n-galaxies must be positive")
        refuse_unless(self.size >= NETWORK_SIZE, f"--size must be at least {NETWORK_SIZE}")
        refuse_unless(self.workers >= 0, "--workers cannot be negative")
        refuse_unless(self.seed >= 0, "--seed cannot be negative")


@dataclass(frozen=True, kw_only=True)
class PrepareConfig(CatalogImages):
    """Options of ``photoz-ssl prepare``."""

    catalog: str = argument("FITS table of galaxies, or the published sdss.npz.")
    output: Path = output_option("Archive")
    size: int = option(STAMP_SIZE, "Side of the stored stamps in pixels.")
    redshift_column: str | None = option(
        None, "Column of spectroscopic redshifts [default: found by its name]."
    )
    split_column: str | None = option(
        None, "Column with train, valid or test [default: SPLIT, where there is one]."
    )
    split: tuple[float, ...] | None = option(
        None, "Fractions of train,valid,test to draw by object instead, e.g. 0.8,0.1,0.1."
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

    checkpoint: Path = argument("Published checkpoint NAME.pth.tar, or with --calibrate any model.")
    output: Path = output_option("Model NAME.safetensors")
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


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """What both ways of training have in common."""

    archive: Path = argument("Archive of galaxies, from prepare or simulate.")
    output: Path = output_option("Run folder")
    recipe: str | None = option(
        None,
        "Published constants to train by; an option given beside it wins, and is told.",
        choices=tuple(RECIPES),
    )
    epochs: int = option(100, "Passes over the training galaxies.")
    batch_size: int = option(256, "Galaxies a step.")
    optimizer: str = option("sgd", "SGD, as in the paper, or AdamW.", choices=("sgd", "adamw"))
    momentum: float = option(0.9, "Momentum of SGD.")
    mirror: bool = option(True, "Mirror half of the views: the sky has no handedness.")
    seed: int = option(0, "Seed of weights, order and views.")
    device: str = device_option()
    precision: str = option(
        "auto", "Arithmetic of the network: auto is bf16 on a GPU.", choices=PRECISIONS
    )
    resume: bool = option(False, "Go on from the last checkpoint in the run folder.")
    overwrite: bool = overwrite_option()

    def __post_init__(self) -> None:
        refuse_unless(self.epochs > 0, "--epochs must be positive")
        refuse_unless(self.batch_size > 1, "--batch-size must be at least 2")
        refuse_unless(0 <= self.momentum < 1, "--momentum must lie in [0, 1)")
        refuse_unless(not (self.resume and self.overwrite), "--resume and --overwrite conflict")


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(TrainingConfig):
    """Options of ``photoz-ssl pretrain`` (method sections 3 and 4)."""

    encoder: str = option("resnet50", "Preset of the encoder, or an encoder file to go on from.")
    learning_rate: float = option(0.03, "Peak rate, for this batch size.")
    weight_decay: float = option(1e-4, "Weight decay.")
    warmup_epochs: float = option(0.0, "Epochs of linear warm-up before the cosine schedule.")
    queue_size: int = option(65536, "Keys in the queue.")
    temperature: float = option(0.1, "Temperature of InfoNCE.")
    key_momentum: float = option(0.999, "Momentum of the key encoder.")
    projection_size: int = option(128, "Length of the contrasted vectors.")
    batchnorm_groups: int = option(8, "Groups into which BatchNorm splits a batch of keys.")
    max_reddening: float = option(0.5, "Largest E(B-V) that a view is reddened by.")
    max_shift: int = option(7, "Largest shift of a view, pixels.")
    noise_range: tuple[float, ...] = option(
        (1.0, 3.0), "Range of the added noise in units of each band's MAD."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_unless(self.learning_rate > 0, "--learning-rate must be positive")
        refuse_unless(self.temperature > 0, "--temperature must be positive")
        refuse_unless(0 <= self.key_momentum <= 1, "--key-momentum must lie in [0, 1]")
        refuse_unless(self.queue_size > 0, "--queue-size must be positive")
        refuse_unless(
            self.batch_size % self.batchnorm_groups == 0,
            "--batch-size must be a multiple of --batchnorm-groups",
        )
        refuse_unless(
            len(self.noise_range) == 2 and 0 <= self.noise_range[0] <= self.noise_range[1],
            "--noise-range takes two numbers such as 1,3",
        )


@dataclass(frozen=True, kw_only=True)
class SupervisedConfig(TrainingConfig):
    """How redshifts are learnt from labels (method section 4)."""

    learning_rate: float = option(0.004, "Initial rate of the head.")
    encoder_rate: float = option(
        0.1,
        "Rate of a pretrained encoder relative to the head's, 0 freezes it; from scratch it is 1.",
    )
    weight_decay: float = option(0.0, "Weight decay.")
    schedule: str = option(
        "steps", "Steps: x0.1 at 60 % and 90 % of the epochs.", choices=("steps", "cosine")
    )
    max_shift: int = option(7, "Largest shift of a view, pixels.")

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_unless(self.learning_rate > 0, "--learning-rate must be positive")
        refuse_unless(self.encoder_rate >= 0, "--encoder-rate cannot be negative")


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(SupervisedConfig):
    """Options of ``photoz-ssl finetune``."""

    encoder: str = option(
        "resnet50", "Encoder file to start from, or a preset to train from scratch."
    )
    label_fraction: float = option(1.0, "Fraction of the training labels to use.")
    calibrate: bool = option(
        False, "At the end, also make the model into an 8-bit one, for --precision int8."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_unless(0 < self.label_fraction <= 1, "--label-fraction must lie in (0, 1]")


@dataclass(frozen=True, kw_only=True)
class LabelEfficiencyConfig(SupervisedConfig):
    """Options of ``photoz-ssl experiment label-efficiency``; the rest are those of finetune."""

    encoder: str = required_option("Pretrained encoder file to fine-tune.")
    fractions: tuple[float, ...] = option(
        (0.01, 0.05, 0.1, 0.2, 0.5, 1.0), "Fractions of the training labels."
    )
    n_seeds: int = option(3, "Trainings a fraction, each on other labels.", flags=("--seeds",))
    min_steps: int = option(0, "Steps at least, by more epochs where labels are few.")

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_unless(
            all(0 < fraction <= 1 for fraction in self.fractions),
            "--fractions takes numbers in (0, 1], such as 0.01,0.1,1",
        )
        refuse_unless(self.n_seeds > 0, "--seeds must be positive")


PDF_FORMS = r"none|hist|quantiles:([2-9]|[1-9][0-9]{1,2})"


@dataclass(frozen=True, kw_only=True)
class PredictConfig(Inference):
    """Options of ``photoz-ssl predict``."""

    catalog: str = argument("FITS table, archive NAME.h5, HATS folder, or - for a table on stdin.")
    output: str | None = option(
        None, "Table to write, - for stdout [default: NAME.photoz.fits].", flags=("-o", "--output")
    )
    model: Path | None = option(
        None, "Model file, or published NAME.pth.tar [default: the one that ships]."
    )
    pdf: str = spelled_option(
        "none",
        "Add the PDFs in the layout of qp: hist, which --pdf alone means, quantiles:20, or none.",
        pattern=PDF_FORMS,
        spelled="hist, quantiles:20 (from 2 to 999) or none",
        bare="hist",
    )
    neighbours: Path | None = option(
        None, "Atlas of galaxies with redshifts: add what those that look alike say."
    )
    views: int = option(
        1, "Views of a galaxy whose PDFs are averaged: 8 for all quarter turns, mirrored too."
    )
    columns: str = option("legacy", "Whose names the output's columns have.", choices=COLUMN_STYLES)
    format: str = format_option()
    keep_columns: str = option("all", "Input columns to carry over: all, none, or A,B,C.")
    samp: bool = option(False, "Send the finished table to TOPCAT, Aladin and their kind.")
    resume: bool = resume_option()
    shard: str | None = shard_option()
    dask: str | None = dask_option()

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_unless(self.views in (1, 8), "--views is 1 or 8")
        refuse_unless(
            re.fullmatch(PDF_FORMS, self.pdf) is not None,
            f"--pdf is hist, quantiles:20 (from 2 to 999) or none, not {self.pdf!r}",
        )
        refuse_unless(
            self.output != "-" or self.format in ("auto", "fits"),
            "standard output carries FITS only",
        )
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
class EmbedConfig(Inference):
    """Options of ``photoz-ssl embed``."""

    catalog: str = argument(
        "FITS table or archive NAME.h5 of galaxies; or an atlas, or a pattern such as"
        " 'parts/*.h5' of atlases, to project, join or index."
    )
    output: Path | None = option(
        None, "Atlas to write [default: none, to index an atlas].", flags=("-o", "--output")
    )
    model: Path | None = option(None, "Encoder or model file [default: the encoder that ships].")
    thumbnails: bool = option(True, "Store a colour picture a galaxy, for mosaics.")
    vectors: str = option("float16", "Type of the stored vectors.", choices=VECTOR_TYPES)
    dim: int | None = option(None, "Principal components to keep [default: all features].")
    whiten: bool = option(False, "With --dim, give all components the same variance.")
    index: str = option(
        "none",
        "Also build an index: ivf, with product quantisation above 100 million galaxies; or ivfpq,"
        " with it in any case.",
        choices=INDEX_KINDS,
    )
    recall: bool = option(False, "Compare the index with exact search.")
    map: bool = option(False, "Also lay the galaxies out on a map, for browse.")
    resume: bool = resume_option()
    shard: str | None = shard_option()
    dask: str | None = dask_option()

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_unless(self.dim is None or self.dim > 0, "--dim must be positive")
        refuse_unless(self.dim is not None or not self.whiten, "--whiten goes with --dim")
        of_whole = self.dim is not None or self.index != "none" or self.recall or self.map
        refuse_unless(
            self.shard is None or not of_whole,
            "--dim, --index and --map are of all rows: merge the shards, and embed the atlas again",
        )
        refuse_unless(
            not self.catalog.startswith("-") or not (self.resume or self.shard or self.dask),
            "--resume, --shard and --dask need a catalogue that is a file, not -",
        )


@dataclass(frozen=True, kw_only=True)
class SimilarConfig(Inference):
    """Options of ``photoz-ssl similar``."""

    queries: str | None = optional_argument(
        "FITS table or archive of the galaxies to find look-alikes of."
    )
    among: Path = required_option("Atlas or archive to search.")
    output: str = required_option(
        "Table of neighbours to write, - for stdout.", flags=("-o", "--output")
    )
    image: Path | None = option(None, "Cutout of the one galaxy to find look-alikes of.")
    near: tuple[float, ...] | None = option(
        None, "RA,DEC in degrees: the atlas galaxy there, or with --frames a cutout made there."
    )
    like: tuple[str, ...] = option((), "More like this: an id of the atlas, RA,DEC, or a cutout.")
    unlike: tuple[str, ...] = option((), "Less like this: an id of the atlas, RA,DEC, or a cutout.")
    most_unusual: int | None = option(
        None, "Instead, so many atlas galaxies that are farthest from their own neighbours."
    )
    n_neighbours: int = option(10, "Neighbours a query.", flags=("-k", "--n-neighbours"))
    where: tuple[str, ...] = option((), "Only galaxies such as 'Z_SPEC < 0.1 and R_MAG < 17'.")
    within: tuple[str, ...] = option((), "Only galaxies close to the query, such as R_MAG=0.5.")
    min_separation: str = option(
        "0arcsec", "Only galaxies so far from the query on the sky, such as 10arcsec."
    )
    index: bool = option(False, "Search through the atlas's index: faster, and nearly exact.")
    mosaic: Path | None = option(
        None, "Picture of the queries and their neighbours, PNG, or PDF of several pages."
    )
    html: Path | None = option(
        None, "Page of the queries and their neighbours to sort, with links to their places."
    )
    model: Path | None = option(
        None, "Encoder or model file [default: the atlas's own, if it ships]."
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_unless(self.n_neighbours > 0, "-k must be positive")
        refuse_unless(self.near is None or len(self.near) == 2, "--near takes RA,DEC in degrees")
        refuse_unless(
            self.most_unusual is None or self.most_unusual > 0, "--most-unusual must be positive"
        )
        questions = (self.queries, self.image, self.near, self.most_unusual)
        asked = sum(question is not None for question in questions)
        refuse_unless(
            asked < 2, "QUERIES, --image, --near and --most-unusual are questions of their own"
        )
        refuse_unless(
            asked == 1 or bool(self.like),
            "name QUERIES, --image, --near, --like or --most-unusual",
        )
        refuse_unless(
            self.most_unusual is None or not (self.like or self.unlike or self.within),
            "--most-unusual has no query that --like, --unlike and --within could be about",
        )


@dataclass(frozen=True, kw_only=True)
class BrowseConfig:
    """Options of ``photoz-ssl browse``."""

    atlas: Path = argument("Atlas to look around in.")
    port: int = option(0, "Port of 127.0.0.1 [default: any that is free].")
    open: bool = option(True, "Open the page in the browser.")
    model: Path | None = option(
        None, "Encoder or model file for dropped images [default: the atlas's own, if it ships]."
    )
    device: str = device_option()

    def __post_init__(self) -> None:
        refuse_unless(0 <= self.port < 65536, "--port must lie in [0, 65535]")


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
