"""Building an index in bounded memory; a build that was interrupted goes on where it stopped.

In a hidden folder beside the atlas there grow, one after the other, the trained codec and the
code of each galaxy. Sorted by list they become the index, which then appears under its name.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import ConfigError
from photoz_ssl.files import atomic_output, claim_output, output_errors
from photoz_ssl.hdf5 import new_file
from photoz_ssl.neighbours.atlas import Atlas
from photoz_ssl.neighbours.index import (
    FORMAT,
    FORMAT_VERSION,
    KINDS,
    Codec,
    Index,
    fill,
    index_path,
    learnt,
    new_faiss_index,
)
from photoz_ssl.neighbours.index_tuning import tuned
from photoz_ssl.neighbours.products import Vectors
from photoz_ssl.neighbours.projection import principal_axes, share_outside
from photoz_ssl.progress import Progress, silent
from photoz_ssl.samples import evenly_spread

__all__ = ["IndexPlan", "build_index", "plan_index"]

MOST_SCALAR = 100_000_000
"""Galaxies up to which a byte a number is kept; beyond, product quantisation."""

MOST_AXES = 64
MOST_ENERGY_LEFT = 0.05
"""Of the vectors outside those axes, for which the index keeps all axes instead."""

SAMPLE_ROWS = 4096
"""That the axes are found from."""

SAMPLES_A_LIST = 64
FEWEST_PRODUCT_SAMPLES = 256
KMEANS_ITERATIONS = 10

ROWS_AT_ONCE = 1 << 16

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class IndexPlan:
    """What an index will be.

    Parameters
    ----------
    fingerprint : str
        Of its atlas.
    kind : str
        One of `KINDS`.
    n_lists : int
        Lists.
    """

    fingerprint: str
    kind: str
    n_lists: int


def plan_index(atlas: Atlas, kind: str | None = None) -> IndexPlan:
    """Plan the index of an atlas: about as many lists as there are galaxies in each."""
    chosen = kind or (KINDS[0] if len(atlas) <= MOST_SCALAR else KINDS[1])
    n_lists = 2 ** max(0, round(math.log2(max(1, len(atlas))) / 2))
    return IndexPlan(atlas.fingerprint, chosen, n_lists)


def build_index(
    atlas: Atlas, plan: IndexPlan, *, overwrite: bool = False, progress: Progress = silent
) -> Index:
    """Build the index of an atlas beside it.

    Parameters
    ----------
    atlas : Atlas
        What to index.
    plan : IndexPlan
        How.
    overwrite : bool
        Whether an existing index may be replaced.
    progress : Progress
        Told of the galaxies done.

    Raises
    ------
    OutputError
        If an index exists or cannot be written.
    ConfigError
        If the atlas is too small for product quantisation.
    MissingExtraError
        If FAISS is not installed.
    """
    path = index_path(atlas.path)
    claim_output(path, overwrite=overwrite)
    with output_errors(path):
        work = _Workshop(path.with_name(f".{path.stem}.building"), plan)
        codec = work.codec(atlas, progress)
        sizes = work.encode(atlas, codec, progress)
        lists = codec.to_faiss()
        codes, rows = work.sort(sizes, lists.code_size)
        fill(lists, sizes, codes, rows, len(atlas))
        index = tuned(Index(codec, lists, 1, 1, 0.0), atlas, progress)
        _write(path, plan, index, sizes, codes, rows, overwrite=overwrite)
        work.remove()
    return index


class _Workshop:
    """The hidden folder in which an index grows."""

    def __init__(self, folder: Path, plan: IndexPlan) -> None:
        self._folder, self._plan = folder, plan
        written = json.dumps(asdict(plan), sort_keys=True)
        note = folder / "plan.json"
        if not note.exists() or note.read_text(encoding="utf-8") != written:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            note.write_text(written, encoding="utf-8")

    def codec(self, atlas: Atlas, progress: Progress) -> Codec:
        """The trained codec, of this run or of an earlier one."""
        path = self._folder / "codec.npz"
        if not path.exists():
            codec = _train(atlas, self._plan, progress)
            with atomic_output(path) as temporary:
                np.savez(temporary, axes=codec.axes, centres=codec.centres, levels=codec.levels)
        with np.load(path, allow_pickle=False) as parts:
            return Codec(self._plan.kind, parts["axes"], parts["centres"], parts["levels"])

    def encode(self, atlas: Atlas, codec: Codec, progress: Progress) -> NDArray[np.int64]:
        """Write the list and the code of each galaxy; how many there are in each list."""
        lists = codec.to_faiss()
        kind = _record(lists.code_size)
        with (self._folder / "codes.bin").open("ab") as stream:
            n_done = stream.tell() // kind.itemsize
            stream.truncate(n_done * kind.itemsize)
            for start in range(n_done, len(atlas), ROWS_AT_ONCE):
                vectors = atlas.representations[start : start + ROWS_AT_ONCE]
                stream.write(_encoded(lists, codec, vectors, kind).tobytes())
                progress("indexing galaxies", start + len(vectors), len(atlas))
        sizes = np.zeros(lists.nlist, np.int64)
        for records in self._records(kind):
            sizes += np.bincount(records["list"][records["list"] >= 0], minlength=lists.nlist)
        return sizes

    def sort(self, sizes: NDArray[np.int64], code_size: int) -> tuple[NDArray[np.uint8], Rows]:
        """Codes and rows of all galaxies, sorted by list and then by row, as memory maps."""
        n_codes, kind = int(sizes.sum()), _record(code_size)
        codes = _new_map(self._folder / "codes.npy", "u1", (n_codes, code_size))
        rows = _new_map(self._folder / "rows.npy", "<i8", (n_codes,))
        free, start = np.cumsum(sizes) - sizes, 0
        for records in self._records(kind):
            known = np.flatnonzero(records["list"] >= 0)
            known = known[np.argsort(records["list"][known], kind="stable")]
            numbers = records["list"][known]
            place = free[numbers] + np.arange(len(known)) - np.searchsorted(numbers, numbers)
            codes[place], rows[place] = records["code"][known], start + known
            free += np.bincount(numbers, minlength=len(sizes))
            start += len(records)
        return codes, rows

    def remove(self) -> None:
        """Clear up."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _records(self, kind: np.dtype[Any]) -> Iterator[NDArray[np.void]]:
        with (self._folder / "codes.bin").open("rb") as stream:
            while content := stream.read(ROWS_AT_ONCE * kind.itemsize):
                yield np.frombuffer(content, kind)


def _record(code_size: int) -> np.dtype[Any]:
    """A galaxy on its way into the index; its list is -1 if it has no representation."""
    return np.dtype([("list", "<i4"), ("code", "u1", (code_size,))])


def _new_map(path: Path, kind: str, shape: tuple[int, ...]) -> NDArray[Any]:
    if 0 in shape:
        return np.empty(shape, kind)
    return np.lib.format.open_memmap(path, "w+", np.dtype(kind), shape)


def _train(atlas: Atlas, plan: IndexPlan, progress: Progress) -> Codec:
    """Learn axes, centres and levels from a sample of the atlas."""
    axes = _axes(np.concatenate([*_sampled(atlas, SAMPLE_ROWS)]))
    sample = np.concatenate(
        [part @ axes for part in _sampled(atlas, SAMPLES_A_LIST * plan.n_lists)]
    )
    if plan.kind == KINDS[1] and len(sample) < FEWEST_PRODUCT_SAMPLES:
        raise ConfigError(
            f"product quantisation learns from {FEWEST_PRODUCT_SAMPLES} galaxies at least, and"
            f" {atlas.path} has {len(sample)}",
            "use --index ivf",
        )
    progress("training the index", 0, 1)
    n_lists = min(plan.n_lists, len(sample))
    index = new_faiss_index(plan.kind, axes.shape[1], n_lists)
    index.cp.niter, index.cp.seed = KMEANS_ITERATIONS, 1
    index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, SAMPLES_A_LIST
    index.train(sample)
    progress("training the index", 1, 1)
    centres = index.quantizer.reconstruct_n(0, n_lists)
    return Codec(plan.kind, axes, np.asarray(centres), learnt(index, plan.kind))


def _axes(sample: NDArray[np.float32]) -> NDArray[np.float32]:
    """The axes to keep, shape (n_features, n_axes): few if they hold nearly all, else all."""
    n_features = sample.shape[1]
    axes = principal_axes(sample, min(MOST_AXES, n_features))
    few = share_outside(sample, axes) <= MOST_ENERGY_LEFT
    return axes if few else np.eye(n_features, dtype=np.float32)


def _sampled(atlas: Atlas, n_rows: int) -> Iterator[NDArray[np.float32]]:
    """Representations of some galaxies, spread evenly over the atlas, in blocks."""
    rows = evenly_spread(len(atlas), n_rows)
    for start in range(0, len(rows), ROWS_AT_ONCE):
        vectors = atlas.representations[rows[start : start + ROWS_AT_ONCE]].astype(np.float32)
        yield vectors[np.isfinite(vectors).all(axis=1)]


def _encoded(lists: Any, codec: Codec, vectors: Vectors, kind: np.dtype[Any]) -> NDArray[np.void]:
    """The records of some galaxies."""
    known = np.asarray(np.isfinite(vectors).all(axis=1))
    filled = np.where(known[:, np.newaxis], vectors, 0).astype(np.float32)
    encoded = lists.sa_encode(np.ascontiguousarray(filled @ codec.axes))
    n_bytes = encoded.shape[1] - lists.code_size  # of the list's number, the lowest first
    records = np.empty(len(vectors), kind)
    records["list"] = encoded[:, :n_bytes].astype(np.int64) @ 256 ** np.arange(n_bytes)
    records["list"][~known] = -1
    records["code"] = encoded[:, n_bytes:]
    return records


def _write(
    path: Path,
    plan: IndexPlan,
    index: Index,
    sizes: NDArray[np.int64],
    codes: NDArray[np.uint8],
    rows: Rows,
    *,
    overwrite: bool,
) -> None:
    """Write the index; it appears under its name when it is complete."""
    with new_file(path, overwrite=overwrite) as (file, disk):
        file.attrs["format"] = FORMAT
        file.attrs["format_version"] = FORMAT_VERSION
        file.attrs["fingerprint"], file.attrs["kind"] = plan.fingerprint, plan.kind
        file.attrs["n_probe"], file.attrs["depth"] = index.n_probe, index.depth
        file.attrs["recall"] = index.recall
        file["axes"], file["centres"] = index.codec.axes, index.codec.centres
        file["levels"], file["sizes"] = index.codec.levels, sizes
        for name, values in (("codes", codes), ("rows", rows)):
            stored = file.create_dataset(name, shape=values.shape, dtype=values.dtype)
            for start in range(0, len(values), ROWS_AT_ONCE):
                part = slice(start, min(start + ROWS_AT_ONCE, len(values)))
                stored[part] = values[part]
                disk.check()
