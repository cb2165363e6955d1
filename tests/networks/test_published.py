"""Published checkpoints: the same logits, every key accounted for, nothing ever run."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from photoz_ssl.errors import CheckpointError
from photoz_ssl.fingerprints import sha256_of
from photoz_ssl.networks.encoder import PRESETS, Encoder
from photoz_ssl.networks.published import is_published, read_model, read_published
from photoz_ssl.redshift.grid import RedshiftGrid
from tests.networks.published import authors_resnet50, contrastive_file, photoz_file

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def authors() -> nn.Module:
    return authors_resnet50(180)


@pytest.fixture(scope="module")
def state(authors: nn.Module) -> State:
    return dict(authors.state_dict())


@pytest.fixture(scope="module")
def image() -> Tensor:
    return torch.randn(1, 5, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_redshift_model_has_the_logits_of_its_source(
    authors: nn.Module, state: State, image: Tensor, tmp_path: Path, zipped: bool
) -> None:
    path = tmp_path / "photoz.pth.tar"
    torch.save(photoz_file(state), path, _use_new_zipfile_serialization=zipped)
    model = read_model(path)
    assert (model.kind, model.encoder, model.grid) == (
        "photoz",
        PRESETS["resnet50"],
        RedshiftGrid(),
    )
    assert model.provenance["epochs"] == 100
    with torch.inference_mode():
        torch.testing.assert_close(model.network()(image), authors(image), rtol=0, atol=1e-5)


def test_an_encoder_has_the_representation_of_its_source(
    authors: nn.Module, state: State, image: Tensor, tmp_path: Path
) -> None:
    path = tmp_path / "moco.pth.tar"
    of_double_kernel = {**state, "conv1.weight": state["conv1.weight"].double()}
    torch.save(contrastive_file(of_double_kernel), path)
    model = read_model(path)
    assert model.state["conv1.weight"].dtype == torch.float32
    (step,) = model.provenance["history"]
    assert (step["file"], step["sha256"]) == ("moco.pth.tar", sha256_of(path))
    encoder = model.network()
    assert isinstance(encoder, Encoder)
    assert model.provenance["left_out"] == [
        "module.encoder_k.*",
        "module.encoder_q.fc.*",
        "module.queue",
        "module.queue_ptr",
    ]
    with torch.inference_mode():
        logits = authors.get_submodule("fc")(encoder(image))
        torch.testing.assert_close(logits, authors(image), rtol=0, atol=1e-5)


def without(name: str) -> Callable[[State], State]:
    return lambda state: {key: value for key, value in state.items() if key != name}


def with_(name: str, value: Tensor) -> Callable[[State], State]:
    return lambda state: {**state, name: value}


HUGE = torch.zeros(1).expand(1 << 40)


@pytest.mark.parametrize("layout", [photoz_file, contrastive_file])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (without("layer2.0.bn1.running_var"), r"lacks the tensor module\.\S*running_var"),
        (without("conv1.weight"), r"lacks the tensor module\.\S*conv1\.weight"),
        (with_("layer9.weight", torch.zeros(1)), r"tensor module\.\S*layer9\.weight, which is not"),
        (with_("conv1.weight", torch.zeros(64, 3, 7, 7)), r"of shape \(64, 3, 7, 7\), not \(64, 5"),
        (with_("bn1.weight", HUGE), r"of shape \(1099511627776,\), not \(64,\)"),
        (with_("bn1.weight", torch.full((64,), torch.inf)), "not finite"),
        (with_("bn1.running_var", torch.full((64,), -1.0)), "variances in .* negative"),
        (with_("bn1.weight", torch.zeros(64, dtype=torch.long)), "of type torch.int64"),
        (with_("bn1.weight", torch.zeros(64, device="meta")), "not as plain numbers"),
        (with_("bn1.weight", torch.zeros(64).to_sparse()), "not as plain numbers"),
    ],
)
def test_each_tensor_counts(
    state: State,
    tmp_path: Path,
    layout: Callable[[State], dict[str, Any]],
    change: Callable[[State], State],
    words: str,
) -> None:
    path = tmp_path / "model.pth.tar"
    torch.save(layout(change(state)), path)
    with pytest.raises(CheckpointError, match=words) as caught:
        read_published(path)
    assert caught.value.hint
    assert "\n" not in str(caught.value)


def test_the_grid_is_not_guessed(state: State, tmp_path: Path) -> None:
    path = tmp_path / "model.pth.tar"
    other = {**state, "fc.weight": torch.zeros(300, 2048), "fc.bias": torch.zeros(300)}
    torch.save(photoz_file(other), path)
    with pytest.raises(CheckpointError, match=r"module\.fc\.weight of shape \(300, 2048\)"):
        read_published(path)


def test_momentum_contrast_is_left_out_by_name_alone(state: State, tmp_path: Path) -> None:
    path = tmp_path / "model.pth.tar"
    for name in ("module.predictor.weight", "module.encoder_q.fc.1.weight", "module.fc.weight"):
        file = contrastive_file(state)
        file["state_dict"][name] = torch.zeros(1)
        torch.save(file, path)
        with pytest.raises(CheckpointError, match=f"tensor {name}, which is not"):
            read_published(path)


def test_another_architecture_is_told_and_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.pth.tar"
    torch.save(photoz_file(dict(resnet18(num_classes=180).state_dict())), path)
    with pytest.raises(CheckpointError, match=r"2\+2\+2\+2 basic blocks .* are resnet50"):
        read_published(path)


@pytest.mark.parametrize("layout", ["model_state", "state_dict"])
def test_names_without_the_published_prefix_are_told(
    state: State, layout: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.pth.tar"
    torch.save({layout: state}, path)
    with pytest.raises(CheckpointError, match=r"names no tensor module\..*its first is conv1"):
        read_published(path)


@pytest.mark.parametrize("start", [b"SIMPLE  =", b"\x89HDF\r\n", b"PAR1", b"# text\n"])
def test_tables_and_texts_are_no_damaged_checkpoints(tmp_path: Path, start: bytes) -> None:
    path = tmp_path / "model.pth.tar"
    path.write_bytes(start * 1000)
    with pytest.raises(CheckpointError, match="not a readable PyTorch checkpoint") as raised:
        read_published(path)
    assert "no table or archive" in raised.value.hint


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("owned",)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_refused_and_never_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], zipped: bool
) -> None:
    path = tmp_path / "model.pth.tar"
    torch.save({"model_state": Malicious()}, path, _use_new_zipfile_serialization=zipped)
    for _ in range(2):
        with pytest.raises(CheckpointError, match="holds more than tensors"):
            read_published(path)
        path.write_bytes(pickle.dumps({"model_state": Malicious()}))
    assert "owned" not in capsys.readouterr().out


@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_or_alien_file_is_refused(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "model.pth.tar"
    small = {"model_state": {"module.conv1.weight": torch.zeros(9)}}
    torch.save(small, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    damaged = (whole[: len(whole) * part // 8] for part in range(8))
    for content in (*damaged, b"text", b"PK\x03\x04", b"\x80\x02" * 40):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"not a readable|damaged"):
            read_published(path)
    with pytest.raises(CheckpointError, match="there is no model file"):
        read_published(tmp_path / "missing.pth.tar")


def test_a_packed_zip_is_refused(tmp_path: Path) -> None:
    import zipfile

    path = tmp_path / "model.pth.tar"
    torch.save(photoz_file({"conv1.weight": torch.zeros(1 << 20)}), path)
    with zipfile.ZipFile(path) as plain:
        members = {name: plain.read(name) for name in plain.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    with pytest.raises(CheckpointError, match="compressed zip"):
        read_published(path)


@pytest.mark.parametrize(
    "content",
    [
        {"weights": {}},
        {"model_state": {}, "state_dict": {}},
        {"model_state": [1]},
        {"model_state": {"module.conv1.weight": 3}},
        {"state_dict": {3: torch.zeros(1)}},
        {"model_state": {}},
        [torch.zeros(1)],
        torch.zeros(1),
    ],
)
def test_another_layout_is_refused(tmp_path: Path, content: object) -> None:
    path = tmp_path / "model.pth.tar"
    torch.save(content, path)
    with pytest.raises(CheckpointError):
        read_published(path)


def test_the_suffix_tells_a_published_file() -> None:
    assert is_published("a/X.pth.tar")
    assert is_published(Path("X.PT"))
    assert not is_published("resnet50")
    assert not is_published("X.safetensors")
