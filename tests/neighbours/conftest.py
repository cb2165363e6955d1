"""A small atlas."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from photoz_ssl.neighbours.atlas import AtlasHeader
from photoz_ssl.neighbours.atlas_writer import create_atlas
from photoz_ssl.spec import ImageSpec

HEADER = AtlasHeader(
    spec=ImageSpec(), model="toy", model_sha256="ab" * 32, catalog="toy.fits", has_ids=True
)


def toy_galaxies(n: int = 12, *, pictures: bool = True) -> dict[str, Any]:
    """Galaxies for `AtlasWriter.append`; the third has no representation."""
    generator = np.random.default_rng(4)
    vectors = generator.normal(size=(n, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[2] = np.nan
    table = np.zeros(n, [("OBJID", "i8"), ("R_MAG", "f4"), ("KIND", "S4"), ("STAMP", "f4", (2,))])
    table["R_MAG"] = generator.uniform(14, 18, n)
    table["KIND"] = np.where(np.arange(n) % 2, b"E", b"Sab")
    galaxies = {
        "object_id": 100 + np.arange(n, dtype=np.int64),
        "ra": generator.uniform(0, 360, n),
        "dec": generator.uniform(-90, 90, n),
        "redshift": generator.uniform(0, 0.4, n).astype(np.float32),
        "representations": vectors.astype(np.float32),
        "table": table,
    }
    if pictures:
        galaxies["thumbnails"] = generator.integers(0, 256, (n, 64, 64, 3)).astype(np.uint8)
    return galaxies


@pytest.fixture
def make_atlas(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes the atlas of `toy_galaxies` in blocks and returns its path."""

    def make(
        *,
        header: AtlasHeader = HEADER,
        pictures: bool = True,
        block: int = 5,
        vectors: str = "float32",
    ) -> Path:
        path = tmp_path / "atlas.h5"
        galaxies = toy_galaxies(pictures=pictures)
        n_galaxies = len(galaxies["ra"])
        with create_atlas(path, header, n_galaxies, vectors=vectors, overwrite=True) as atlas:
            for start in range(0, n_galaxies, block):
                rows = slice(start, start + block)
                atlas.append(**{name: values[rows] for name, values in galaxies.items()})
        return path

    return make
