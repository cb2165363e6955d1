"""What a GPU asks for and a CPU does not, on a GPU that is not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from photoz_ssl.config import FinetuneConfig, PretrainConfig
from photoz_ssl.networks.checkpoint import Checkpoint, save_checkpoint
from photoz_ssl.networks.encoder import PRESETS, build_encoder
from photoz_ssl.networks.ranks import World
from photoz_ssl.networks.redshift_head import RedshiftNetwork
from photoz_ssl.networks.runtimes import open_runtime
from photoz_ssl.redshift.grid import RedshiftGrid
from photoz_ssl.spec import ImageSpec
from photoz_ssl.training.supervised import Evaluation
from photoz_ssl.workflows import finetune as finetuning
from photoz_ssl.workflows import pretrain as pretraining
from photoz_ssl.workflows.trained.inference import Predictor
from tests.fake_gpu import fake_gpu

SMALL = replace(PRESETS["resnet18-photometric"], width=0.125)
GRID = RedshiftGrid()


def small_network() -> RedshiftNetwork:
    return RedshiftNetwork(build_encoder(SMALL), GRID.n_bins).eval()


def small_model() -> Checkpoint:
    state = small_network().state_dict()
    return Checkpoint(kind="photoz", spec=ImageSpec(), encoder=SMALL, state=state, grid=GRID)


@pytest.fixture
def galaxies() -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Stamps of three galaxies, and their reddening."""
    random = np.random.default_rng(0)
    return random.normal(1, 0.3, (3, 5, 70, 70)).astype(np.float32), random.uniform(0, 0.1, 3)


@pytest.mark.parametrize(("precision", "nearly"), [("fp32", 1e-5), ("bf16", 2e-3)])
def test_a_gpu_gives_what_a_cpu_gives(
    precision: str,
    nearly: float,
    galaxies: tuple[NDArray[np.float32], NDArray[np.float64]],
    tmp_path: Path,
) -> None:
    places: dict[str, AbstractContextManager[object]] = {"cpu": nullcontext(), "cuda": fake_gpu()}
    path, found = tmp_path / "small.safetensors", []
    save_checkpoint(path, small_model())
    for device, place in places.items():
        with place:
            predictor = Predictor.load(path, device, batch_size=2, precision=precision)
            of_views = replace(predictor, n_views=8)
            pdfs = predictor.pdf(*galaxies), of_views.pdf(*galaxies)
            found.append([*pdfs, predictor.represent(*galaxies)])
    for on_cpu, on_gpu in zip(*found, strict=True):
        np.testing.assert_allclose(on_gpu, on_cpu, atol=nearly)


@pytest.fixture
def tf32_everywhere() -> Iterator[None]:
    """TF32 in products of matrices, too, as in NVIDIA's containers."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.usefixtures("tf32_everywhere")
@pytest.mark.parametrize(("precision", "allowed"), [("fp32", False), ("auto", True)])
@pytest.mark.parametrize("command", ["predict", "pretrain", "finetune"])
def test_float32_on_a_gpu_is_float32(command: str, precision: str, allowed: bool) -> None:
    world, rows, archive = World(device=torch.device("cuda")), np.arange(512), Path("survey.h5")
    options: Any = {"archive": archive, "output": Path("run"), "precision": precision}
    with fake_gpu():
        if command == "pretrain":
            pretraining._plan(PretrainConfig(**options), cast("Any", None), rows, world)
        elif command == "finetune":
            finetuning._plan(FinetuneConfig(**options), cast("Any", None), rows, world)
        else:
            open_runtime(small_model(), "cuda", precision=precision)
        assert torch.backends.cudnn.allow_tf32 is allowed
        assert torch.backends.cuda.matmul.allow_tf32 is allowed


def test_a_network_that_was_trained_on_a_gpu_can_be_calibrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuilt = []

    def calibrated(checkpoint: Checkpoint, _: object) -> tuple[Checkpoint, str]:
        rebuilt.append(checkpoint.network())
        return checkpoint, ""

    monkeypatch.setattr(finetuning, "calibrated", calibrated)
    folder: Any = SimpleNamespace(path=tmp_path, writes=True, options=dict)
    archive = SimpleNamespace(path=Path("survey.h5"), spec=ImageSpec())
    plan: Any = SimpleNamespace(archive=archive, rows=np.arange(8))
    config = FinetuneConfig(archive=archive.path, output=tmp_path, encoder="tiny", calibrate=True)
    random = np.random.default_rng(0)
    evaluation = Evaluation(
        random.normal(size=(8, GRID.n_bins)).astype(np.float32),
        random.uniform(0, 0.4, 8).astype(np.float32),
    )
    with fake_gpu():
        network = small_network().to("cuda")
        finetuning._save(folder, network, plan, config, GRID, evaluation)
    assert {values.device.type for values in rebuilt[0].state_dict().values()} == {"cpu"}
