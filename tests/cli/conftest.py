"""A model that is quick to make, and as wrong as it is small."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from photoz_ssl.networks.checkpoint import Checkpoint, save_checkpoint
from photoz_ssl.networks.encoder import EncoderConfig, build_encoder
from photoz_ssl.networks.redshift_head import RedshiftNetwork
from photoz_ssl.redshift.calibration import Calibration
from photoz_ssl.redshift.grid import RedshiftGrid
from photoz_ssl.spec import ImageSpec


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny network with random weights."""
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
