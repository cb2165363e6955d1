"""Atlases made of atlases: joined, projected, or of vectors of another type."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.config import EmbedConfig
from photoz_ssl.errors import ConfigError, SpecMismatchError
from photoz_ssl.neighbours.atlas import CATALOG_NAMES, Atlas, is_atlas, read_atlas
from photoz_ssl.neighbours.atlas_writer import create_atlas
from photoz_ssl.neighbours.index import index_path
from photoz_ssl.neighbours.map import map_path
from photoz_ssl.neighbours.projection import Projection, fit_projection
from photoz_ssl.progress import Progress
from photoz_ssl.spec import ImageSpec

__all__ = ["named_atlases", "rewrite_atlases"]

ROWS_AT_ONCE = 4096


def named_atlases(catalog: str) -> list[Atlas]:
    """The atlases that a path, or a pattern such as ``parts/*.h5``, names; none for other files.

    Parameters
    ----------
    catalog : str
        What may name them; of a pattern, in the order of their names and without the indices and
        maps that lie beside them.
    """
    path = Path(catalog)
    found = [path] if path.exists() else _matching(catalog)
    if not found or not all(is_atlas(name) for name in found):
        return []
    return [read_atlas(name) for name in found]


def _matching(pattern: str) -> list[Path]:
    """Files of a pattern, in order, but those that `embed` makes beside an atlas among them."""
    found = [Path(name) for name in sorted(glob.glob(pattern))]  # noqa: PTH207
    beside = {path_of(name) for name in found for path_of in (index_path, map_path)}
    return [name for name in found if name not in beside]


def rewrite_atlases(
    atlases: Sequence[Atlas], output: Path, config: EmbedConfig, progress: Progress
) -> tuple[str, ...]:
    """Write one atlas of several, one after the other, with the columns that all of them have.

    Parameters
    ----------
    atlases : sequence of Atlas
        At least one; all by one model of one kind of images.
    output : Path
        Where to.
    config : EmbedConfig
        Type of the vectors, and what to project them to.
    progress : Progress
        Told of the galaxies done.

    Returns
    -------
    tuple of str
        What a user should know: which columns are left out.

    Raises
    ------
    SpecMismatchError
        If the atlases do not go together.
    ConfigError
        If there are fewer features than components.
    OutputError
        If the output exists or cannot be written.
    """
    first, n_galaxies = atlases[0], sum(len(atlas) for atlas in atlases)
    for atlas in atlases[1:]:
        _require_alike(first, atlas)
    fitted, kinds = _fitted(atlases, config), _shared_columns(atlases)
    n_done = 0
    with create_atlas(
        output, first.header, n_galaxies, vectors=config.vectors, overwrite=config.overwrite
    ) as writer:
        for atlas, rows in _blocks(atlases):
            vectors = np.asarray(atlas.representations[rows], np.float32)
            writer.append(
                object_id=atlas.object_id[rows],
                ra=atlas.ra[rows],
                dec=atlas.dec[rows],
                redshift=atlas.redshift[rows],
                representations=vectors if fitted is None else fitted.apply(vectors),
                table=_table(atlas, rows, kinds),
                thumbnails=(
                    atlas.thumbnails(np.arange(rows.start, rows.stop))
                    if config.thumbnails and first.has_thumbnails
                    else None
                ),
                looks=None if first.looks is None or atlas.looks is None else atlas.looks[rows],
            )
            n_done += rows.stop - rows.start
            progress("writing galaxies", n_done, n_galaxies)
        projection = fitted or first.projection
        if projection is not None:
            writer.write_projection(projection)
    known = dict.fromkeys(name for atlas in atlases for name in _further(atlas))
    dropped = [name for name in known if name not in kinds]
    told = f"left out are the columns that not all of these atlases have: {', '.join(dropped)}"
    return (told,) if dropped else ()


def _fitted(atlases: Sequence[Atlas], config: EmbedConfig) -> Projection | None:
    if config.dim is None:
        return None
    if atlases[0].projection is not None:
        raise ConfigError(
            f"{atlases[0].path} is projected already, and --dim would do it twice",
            "make it again from the catalogue",
        )
    blocks = (atlas.representations[rows] for atlas, rows in _blocks(atlases))
    return fit_projection(blocks, config.dim, whiten=config.whiten)


def _blocks(atlases: Sequence[Atlas]) -> Iterator[tuple[Atlas, slice]]:
    """Each atlas with some of its rows, in order."""
    for atlas in atlases:
        for start in range(0, len(atlas), ROWS_AT_ONCE):
            yield atlas, slice(start, min(start + ROWS_AT_ONCE, len(atlas)))


def _further(atlas: Atlas) -> dict[str, NDArray[Any]]:
    return {
        name: values
        for name, values in atlas.columns.items()
        if name not in CATALOG_NAMES or values.dtype.kind == "S"
    }


def _shared_columns(atlases: Sequence[Atlas]) -> dict[str, np.dtype[Any]]:
    """The further columns that all atlases have, and for each a type that holds all its values."""
    kinds: dict[str, np.dtype[Any]] = {}
    for name in _further(atlases[0]):
        found = [atlas.columns[name].dtype for atlas in atlases if name in atlas.columns]
        if len(found) == len(atlases) and len({kind.kind == "S" for kind in found}) == 1:
            kinds[name] = np.result_type(*found)
    return kinds


def _table(atlas: Atlas, rows: slice, kinds: Mapping[str, np.dtype[Any]]) -> NDArray[np.void]:
    """The further columns of some rows."""
    table = np.empty(rows.stop - rows.start, list(kinds.items()))
    for name in kinds:
        table[name] = atlas.columns[name][rows]
    return table


def _require_alike(one: Atlas, other: Atlas) -> None:
    """Refuse to join atlases that were not made in the same way."""
    for what, of_one, of_other in (
        ("model", one.header.model_sha256, other.header.model_sha256),
        ("kind of images", _seen(one), _seen(other)),
        ("kind of ids", one.header.has_ids, other.header.has_ids),
        ("column of ids", one.header.name_column, other.header.name_column),
        ("projection", _numbers(one.projection), _numbers(other.projection)),
        ("pictures", one.has_thumbnails, other.has_thumbnails),
        ("descriptions of looks", one.looks is None, other.looks is None),
    ):
        if of_one != of_other:
            raise SpecMismatchError(
                f"{one.path} and {other.path} differ in their {what}",
                "join atlases that were made in the same way",
            )


def _seen(atlas: Atlas) -> ImageSpec:
    """The images as a network sees them: it makes no difference how much lies around that."""
    return replace(atlas.header.spec, size=atlas.header.spec.network_size)


def _numbers(projection: Projection | None) -> bytes:
    return projection.mean.tobytes() + projection.axes.tobytes() if projection else b""
