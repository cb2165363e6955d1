"""Fixtures that tests of every area share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from photoz_ssl.redshift.calibration import Calibration
from photoz_ssl.redshift.grid import RedshiftGrid
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.archive_writer import create_archive
from photoz_ssl.survey.blocks import GalaxyBlock

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
# Tests that import NNCF themselves are not to tell its makers of it either.

DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def sdss_frames() -> Path:
    """The folder of real SDSS frames and ``galaxies.fits``, where it is present."""
    frames = DATA / "sdss-frames"
    if not frames.is_dir():
        pytest.skip("the real SDSS frames are not on this machine")
    return frames


def damaged(content: bytes, n: int) -> Iterator[bytes]:
    """So many copies of a file, each cut off or with four other bytes somewhere."""
    generator = np.random.default_rng(0)
    for _ in range(n):
        bad = bytearray(content)
        place = int(generator.integers(len(bad)))
        if generator.random() < 0.3:
            del bad[place:]
        else:
            bad[place : place + 4] = generator.bytes(4)
        yield bytes(bad)


def toy_block(n_galaxies: int = 24, size: int = 107, seed: int = 0) -> GalaxyBlock:
    """Round galaxies whose colour and brightness follow a made-up redshift."""
    generator = np.random.default_rng(seed)
    redshift = generator.uniform(0.02, 0.38, n_galaxies).astype(np.float32)
    y, x = np.indices((size, size)) - (size - 1) / 2
    radius = generator.uniform(2, 6, n_galaxies)[:, np.newaxis, np.newaxis]
    profile = np.exp(-np.hypot(x, y) / radius)
    slopes = np.array([0.1, 0.4, 1.0, 1.4, 1.7])
    flux = slopes * np.exp(-4 * redshift[:, np.newaxis] * np.linspace(1, -0.5, 5))
    images = flux[:, :, np.newaxis, np.newaxis] * profile[:, np.newaxis]
    images = images + generator.normal(0, 0.03, images.shape)
    object_id = 1000 + np.arange(n_galaxies, dtype=np.int64)
    split = np.array(["train", "train", "valid", "test"])[np.arange(n_galaxies) % 4]
    table = np.zeros(n_galaxies, dtype=[("OBJID", "i8"), ("Z_SPEC", "f4")])
    table["OBJID"], table["Z_SPEC"] = object_id, redshift
    return GalaxyBlock(
        start=0,
        object_id=object_id,
        ra=generator.uniform(0, 360, n_galaxies),
        dec=generator.uniform(-60, 60, n_galaxies),
        images=images.astype(np.float32),
        ebv=generator.uniform(0, 0.2, n_galaxies).astype(np.float32),
        flags=np.zeros(n_galaxies, np.int32),
        redshift=redshift,
        redshift_error=np.full(n_galaxies, 1e-4, np.float32),
        split=split,
        table=table,
    )


@pytest.fixture(scope="session")
def tiny_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of 24 toy galaxies with 107-pixel stamps, half of them for training."""
    path = tmp_path_factory.mktemp("archive") / "tiny.h5"
    block = toy_block()
    with create_archive(path, ImageSpec(), len(block)) as archive:
        archive.write(block)
    return path


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network with random weights, as quick as it is wrong."""
    import torch

    from photoz_ssl.networks.checkpoint import Checkpoint, save_checkpoint
    from photoz_ssl.networks.encoder import EncoderConfig, build_encoder
    from photoz_ssl.networks.redshift_head import RedshiftNetwork

    torch.manual_seed(0)
    encoder = EncoderConfig(architecture="resnet18", width=0.125, stem_stride=2, max_pool=True)
    network = RedshiftNetwork(build_encoder(encoder), 180)
    path = tmp_path_factory.mktemp("model") / "toy.safetensors"
    save_checkpoint(
        path,
        Checkpoint(
            kind="photoz",
            spec=ImageSpec(),
            encoder=encoder,
            state=network.state_dict(),
            grid=RedshiftGrid(),
            calibration=Calibration(0.2),
            provenance={"trained_on": "simulations: none at all", "name": "toy 1"},
        ),
        overwrite=False,
    )
    return path


@pytest.fixture
def tiny_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A preset that trains in seconds, by the name of ``tiny``."""
    from photoz_ssl.networks.encoder import PRESETS

    monkeypatch.setitem(PRESETS, "tiny", replace(PRESETS["resnet18-compact"], width=0.125))


@pytest.fixture
def full_disk() -> Callable[[int], AbstractContextManager[None]]:
    """A disk on which no file can have more than so many bytes."""
    resource = pytest.importorskip("resource", reason="needs limits on the size of files")

    @contextmanager
    def limited(most_bytes: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited
