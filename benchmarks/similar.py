"""Searching for look-alikes, against FAISS's brute force and against a product and a sort.

Prints one JSON object. The vectors are float16 and spread along their principal axes as those
of the encoder that ships: 4, 16 and 64 axes hold 69, 98 and 99.8 % of the variance. Queries are
drawn like them. All searches run in this process on so many threads, each twice, of which the
faster counts; FAISS's brute force has its float32 vectors in memory, of unit length again, before
its clock starts.
``cold_start`` is the command ``photoz-ssl similar`` with one galaxy of the atlas, from its start
to its end, with the atlas in the page cache.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from _machine import machine
from _options import at_least, run_benchmark
from photoz_ssl.neighbours.atlas import Atlas, AtlasHeader, read_atlas
from photoz_ssl.neighbours.atlas_writer import create_atlas
from photoz_ssl.neighbours.exact import nearest
from photoz_ssl.neighbours.index import import_faiss
from photoz_ssl.neighbours.index_builder import build_index, plan_index
from photoz_ssl.neighbours.projection import normalised
from photoz_ssl.spec import ImageSpec

SPECTRUM = {1: 0.2, 2: 0.18, 4: 0.15, 8: 0.03, 16: 0.006, 32: 6e-4, 64: 1e-4, 128: 2e-5, 512: 2e-6}
"""Variance along a principal axis, by the axis's number."""

MEAN_LENGTH = 0.8
N_NEIGHBOURS = 10
QUERIES_SORTED = 100
"""Whose products with all vectors are sorted at a time: more would not fit in memory."""

Array = NDArray[Any]


def draw(n: int, n_features: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """Unit vectors, shape (n, n_features)."""
    axes = np.arange(1, n_features + 1)
    logarithm = np.interp(np.log(axes), np.log([*SPECTRUM]), np.log([*SPECTRUM.values()]))
    spread = np.exp(logarithm / 2) / np.sqrt(np.exp(logarithm).sum())
    vectors = generator.standard_normal((n, n_features), np.float32) * spread.astype(np.float32)
    vectors[:, 0] += MEAN_LENGTH
    turn, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((n_features, n_features)))
    vectors = vectors @ turn.astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def write_atlas(path: Path, n_vectors: int, n_features: int) -> Atlas:
    """An atlas of vectors without pictures."""
    header = AtlasHeader(
        spec=ImageSpec(), model="none", model_sha256="0" * 64, catalog="none", has_ids=True
    )
    generator = np.random.default_rng(1)
    with create_atlas(path, header, n_vectors) as writer:
        for start in range(0, n_vectors, 1 << 16):
            n = min(1 << 16, n_vectors - start)
            writer.append(
                object_id=np.arange(start, start + n),
                ra=generator.uniform(0, 360, n),
                dec=generator.uniform(-90, 90, n),
                redshift=np.full(n, np.nan, np.float32),
                representations=draw(n, n_features, generator),
            )
    return read_atlas(path)


def cold_start(atlas: Path) -> float:
    """Seconds of the command for one query, the fastest of three runs."""
    command = [sys.executable, "-m", "photoz_ssl", "similar", "--like", "7", "--among", str(atlas)]
    output = ["-o", str(atlas.with_name("neighbours.fits")), "--overwrite", "--quiet"]
    return seconds(lambda: subprocess.run([*command, *output], check=True), 3)[0]


def product_and_sort(queries: Array, vectors: Array) -> Array:
    """The plain way: all products, all sorted."""
    rows = []
    for start in range(0, len(queries), QUERIES_SORTED):
        products = queries[start : start + QUERIES_SORTED] @ vectors.T
        rows.append(np.argsort(-products, axis=1)[:, :N_NEIGHBOURS])
    return np.concatenate(rows)


def seconds(search: Callable[[], Any], repeats: int = 2) -> tuple[float, Any]:
    """Of the fastest of some runs, and what the last one found."""
    spent = []
    for _ in range(repeats):
        start = time.perf_counter()
        found = search()
        spent.append(time.perf_counter() - start)
    return min(spent), found


def seconds_of_faiss(faiss: ModuleType, queries: Array, vectors: Array) -> tuple[float, Array]:
    """Of FAISS's brute force on float32, and the rows that it finds."""
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    spent, (_, rows) = seconds(lambda: flat.search(queries, N_NEIGHBOURS))
    return spent, rows


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Seconds of every way to search, and how far they agree."""
    faiss = import_faiss()
    faiss.omp_set_num_threads(options.threads)
    atlas = write_atlas(folder / "atlas.h5", options.vectors, options.features)
    half = atlas.representations
    queries = draw(options.queries, options.features, np.random.default_rng(2))
    ours, found = seconds(lambda: nearest(queries, half, N_NEIGHBOURS))
    numpy_alone, same = seconds(lambda: nearest(queries, half, N_NEIGHBOURS, engine="numpy"))
    in_small_blocks = nearest(queries, half, N_NEIGHBOURS, block_rows=10_007)
    building, index = seconds(lambda: build_index(atlas, plan_index(atlas), overwrite=True), 1)
    through_index, nearly = seconds(lambda: index.search(queries, atlas, N_NEIGHBOURS))
    command = cold_start(folder / "atlas.h5")
    full = normalised(half.astype(np.float32))
    brute_force, listed = seconds_of_faiss(faiss, queries, full)
    plain, ranked = seconds(lambda: product_and_sort(queries, full), 1)
    hits = (nearly.row[:, :, np.newaxis] == found.row[:, np.newaxis]).any(axis=1)
    identical = np.array_equal(found.row, same.row)
    identical &= np.array_equal(found.similarity, same.similarity)
    return {
        "seconds": {
            "exact": ours,
            "exact_without_faiss": numpy_alone,
            "cold_start_of_one_query": command,
            "faiss_index_flat_ip": brute_force,
            "numpy_product_argsort": plain,
            "index": through_index,
            "building_the_index": building,
        },
        "exact_is_the_same": {
            "without_faiss": bool(identical),
            "in_small_blocks": bool(np.array_equal(found.row, in_small_blocks.row)),
            "share_of_faiss_s_neighbours": round(float(np.mean(found.row == listed)), 4),
            "share_of_numpy_s_neighbours": round(float(np.mean(found.row == ranked)), 4),
        },
        "index": {
            "recall_at_10": round(float(hits.mean()), 4),
            "lists": len(index.codec.centres),
            "looked_through": index.n_probe,
        },
        "ratios": {
            "exact_over_faiss_index_flat_ip": round(ours / brute_force, 2),
            "exact_faster_than_numpy_product_argsort": round(plain / ours, 1),
            "index_faster_than_exact": round(ours / through_index, 1),
            "index_faster_than_faiss_index_flat_ip": round(brute_force / through_index, 1),
        },
    }


def main() -> None:
    """Measure all and print the ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="not used")
    parser.add_argument("--threads", type=at_least(1), default=2)
    parser.add_argument("--vectors", type=at_least(N_NEIGHBOURS), default=1_000_000)
    parser.add_argument("--features", type=at_least(1), default=512)
    parser.add_argument("--queries", type=at_least(1), default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(options, Path(folder))
    found["seconds"] = {name: round(value, 2) for name, value in found["seconds"].items()}
    sizes = {name: getattr(options, name) for name in ("vectors", "features", "queries")}
    result = {
        "benchmark": "similar",
        "machine": machine(threads=options.threads),
        "baseline": "faiss.IndexFlatIP on float32; numpy's product and argsort",
        **sizes,
        "n_neighbours": N_NEIGHBOURS,
        **found,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    run_benchmark(main)
