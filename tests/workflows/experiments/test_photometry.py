"""The trees that the networks are compared with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.archive import Archive, open_archive
from photoz_ssl.survey.archive_writer import create_archive
from photoz_ssl.workflows.experiments.photometry import (
    magnitude_systems,
    photometric_features,
    photometric_redshifts,
)

pytest.importorskip("sklearn", reason="the trees need the extra [experiment]")


def test_the_same_redshifts_each_time() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 4))
    redshift = 0.1 + 0.01 * features[:, 0]
    learn, predict = np.arange(200), np.arange(200, 400)
    first, *others = (
        photometric_redshifts(features, redshift, learn, predict, seed=1) for _ in range(4)
    )
    for other in others:
        np.testing.assert_array_equal(other, first)
    of_another_seed = photometric_redshifts(features, redshift, learn, predict, seed=2)
    assert not np.array_equal(of_another_seed, first)


def with_columns(archive: Path, path: Path, **columns: NDArray[np.float32]) -> Archive:
    block = open_archive(archive).block(slice(0, 24))
    table = np.zeros(24, [(name, "f4") for name in columns])
    for name, values in columns.items():
        table[name] = values
    with create_archive(path, ImageSpec(), 24) as writer:
        writer.write(replace(block, table=table), columns=tuple(columns))
    return open_archive(path)


def test_errors_are_no_magnitudes_and_four_bands_no_system(
    tiny_archive: Path, tmp_path: Path
) -> None:
    magnitude = np.linspace(15, 18, 24, dtype=np.float32)
    magnitude[3] = np.nan
    archive = with_columns(
        tiny_archive,
        tmp_path / "survey.h5",
        **{
            f"{kind}_{band}": magnitude
            for kind in ("MODEL_MAG", "MODEL_MAGERR")
            for band in "ugriz"
        },
        **{f"PSF_MAG_{band}": magnitude for band in "griz"},
        **{f"petroMag_{band}": magnitude for band in "ugriz"},
    )
    assert magnitude_systems(archive) == ["MODEL_MAG", "petroMag"]
    features = photometric_features(archive)
    assert features.shape == (24, 18)
    assert not features[3].any()  # nothing is known of it
    assert features[2].all()
