"""Options of the commands that look for look-alikes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from photoz_ssl.config.images import Inference
from photoz_ssl.fields import (
    argument,
    dask_option,
    device_option,
    format_option,
    option,
    optional_argument,
    refuse_format,
    refuse_shard,
    refuse_unless,
    required_option,
    resume_option,
    shard_option,
)

__all__ = ["BrowseConfig", "EmbedConfig", "SimilarConfig"]

VECTOR_TYPES = ("float16", "float32")
INDEX_KINDS = ("none", "ivf", "ivfpq")
OTHER_SUFFIXES = (
    ".fits",
    ".fit",
    ".gz",
    ".csv",
    ".vot",
    ".xml",
    ".parquet",
    ".ecsv",
    ".txt",
    ".png",
)
"""Of files that no atlas is."""

FORMATS = ("auto", "fits", "votable", "parquet", "ecsv")
"""What neighbours are written as."""


@dataclass(frozen=True, kw_only=True)
class EmbedConfig(Inference):
    """Options of ``photoz-ssl embed``."""

    catalog: str = argument(
        "Table or archive NAME.h5 of galaxies; or an atlas, or a pattern such as"
        " 'parts/*.h5' of atlases, to project, join or index."
    )
    output: Path | None = option(
        None,
        "Atlas to write [default: none, to index an atlas].",
        flags=("-o", "--output"),
        of_job=False,
    )
    model: Path | None = option(
        None, "Encoder or model file [default: the encoder that ships].", of_job=False
    )
    thumbnails: bool = option(True, "Store a colour picture a galaxy, for mosaics.")
    vectors: str = option("float16", "Type of the stored vectors.", choices=VECTOR_TYPES)
    dim: int | None = option(
        None, "Principal components to keep [default: all features].", of_job=False
    )
    whiten: bool = option(False, "With --dim, give all components the same variance.", of_job=False)
    index: str = option(
        "none",
        "Also build an index: ivf, with product quantisation above 100 million galaxies; or ivfpq,"
        " with it in any case.",
        choices=INDEX_KINDS,
        of_job=False,
    )
    recall: bool = option(False, "Compare the index with exact search.", of_job=False)
    map: bool = option(False, "Also lay the galaxies out on a map, for browse.", of_job=False)
    resume: bool = resume_option()
    shard: str | None = shard_option()
    dask: str | None = dask_option()

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_shard(self.shard)
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
        refuse_unless(
            self.output is None or self.output.suffix.lower() not in OTHER_SUFFIXES,
            "--output is an atlas, in HDF5: name it NAME.h5",
        )


@dataclass(frozen=True, kw_only=True)
class SimilarConfig(Inference):
    """Options of ``photoz-ssl similar``."""

    queries: str | None = optional_argument(
        "Table or archive of the galaxies to find look-alikes of."
    )
    among: Path = required_option("Atlas, or archive or catalogue, to search.")
    output: str = required_option(
        "Table of neighbours to write, - for stdout.", flags=("-o", "--output")
    )
    format: str = format_option(FORMATS)
    image: Path | None = option(None, "Cutout of the one galaxy to find look-alikes of.")
    near: tuple[float, float] | None = option(
        None, "RA,DEC: the atlas galaxy there, or with --frames a cutout made there."
    )
    like: tuple[str, ...] = option((), "More like this: an id of the atlas, RA,DEC, or a cutout.")
    unlike: tuple[str, ...] = option((), "Less like this: an id of the atlas, RA,DEC, or a cutout.")
    most_unusual: int | None = option(
        None, "Instead, so many atlas galaxies that are farthest from their own neighbours."
    )
    n_neighbours: int = option(10, "Neighbours a query.", flags=("-k", "--n-neighbours"))
    where: tuple[str, ...] = option(
        (), "Only galaxies such as 'Z_SPEC < 0.1 and PETRO_MAG_r < 17'."
    )
    within: tuple[str, ...] = option(
        (), "Only galaxies close to the query, such as PETRO_MAG_r=0.5."
    )
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
        refuse_format(self.output, self.format)
        refuse_unless(self.near is None or len(self.near) == 2, "--near takes RA,DEC in degrees")
        refuse_unless(
            self.near is None or (0 <= self.near[0] <= 360 and -90 <= self.near[1] <= 90),
            "--near takes RA in [0, 360] and Dec in [-90, 90] degrees",
        )
        refuse_unless(
            self.most_unusual is None or self.most_unusual > 0, "--most-unusual must be positive"
        )
        refuse_unless(
            all(example.strip() for example in (*self.like, *self.unlike)),
            "--like and --unlike take an id of the atlas, RA,DEC or a cutout, not nothing",
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
