"""A model rebuilds itself from its file, and a hostile file is told in a sentence."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from photoz_ssl.errors import CheckpointError, ConfigError
from photoz_ssl.networks.checkpoint import ACCEPTED, Checkpoint, load_checkpoint, save_checkpoint
from photoz_ssl.networks.encoder import PRESETS, build_encoder
from photoz_ssl.networks.redshift_head import RedshiftNetwork
from photoz_ssl.networks.runtimes import choose_device, open_runtime, uses_bfloat16
from photoz_ssl.redshift.calibration import Calibration
from photoz_ssl.redshift.grid import RedshiftGrid
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.images.light_profile import N_MEASURED, ProfileSpace
from photoz_ssl.workflows.trained.inference import Predictor

TINY = replace(PRESETS["resnet18-compact"], width=0.125)


def tiny_model() -> Checkpoint:
    network = RedshiftNetwork(build_encoder(TINY), 180)
    return Checkpoint(
        kind="photoz",
        spec=ImageSpec(),
        encoder=TINY,
        state=network.state_dict(),
        grid=RedshiftGrid(),
        calibration=Calibration(temperature=1.5),
        provenance={"name": "tiny"},
        metrics={"sigma_mad": 0.02},
    )


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, tiny_model())
    return path


def test_round_trip(model_file: Path) -> None:
    first, second = tiny_model(), load_checkpoint(model_file)
    for name in ("kind", "spec", "encoder", "grid", "calibration", "provenance", "metrics"):
        assert getattr(first, name) == getattr(second, name)
    images = torch.randn(2, 5, 64, 64)
    assert not second.network().training
    with torch.inference_mode():
        assert torch.equal(first.network()(images), second.network()(images))


@pytest.mark.parametrize("preset", ["resnet18-compact", "resnet18-photometric"])
def test_a_network_has_its_own_copy_of_the_weights(preset: str) -> None:
    config = replace(PRESETS[preset], width=0.125)
    original = RedshiftNetwork(build_encoder(config), 180).eval()
    checkpoint = replace(tiny_model(), encoder=config, state=original.state_dict())
    network, images = checkpoint.network(), torch.randn(2, 5, 64, 64)
    before, state = network(images), {name: w.clone() for name, w in original.state_dict().items()}
    assert torch.equal(before, original(images))
    before.sum().backward()  # it can be trained
    torch.optim.SGD(network.parameters(), lr=1.0).step()
    network.train()(images)
    for name, weights in original.state_dict().items():
        assert torch.equal(weights, state[name]), name
    assert not torch.equal(network.eval()(images), before)


def with_profile() -> Checkpoint:
    axes = np.random.default_rng(0).normal(size=(N_MEASURED, 4)).astype(np.float32)
    return replace(tiny_model(), profile=ProfileSpace(axes[:, 0].copy(), axes, 0.5))


def test_light_profiles_come_back_and_go_beside_representations(model_file: Path) -> None:
    save_checkpoint(model_file, with_profile(), overwrite=True)
    plain, joined = (Predictor.load(path, "cpu") for path in (_plain(model_file), model_file))
    assert joined.checkpoint.profile is not None
    images = np.random.default_rng(1).normal(size=(3, 5, 80, 80)).astype(np.float32)
    made, both = (model.represent(images, np.full(3, 0.1)) for model in (plain, joined))
    assert both.shape == (3, joined.feature_size) == (3, plain.feature_size + 4)
    np.testing.assert_allclose(np.linalg.norm(both, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(both[:, :-4], made * np.sqrt(0.5), atol=1e-6)
    assert joined.represent(images[:0], np.zeros(0)).shape == (0, joined.feature_size)
    np.testing.assert_array_equal(joined.pdf(images, np.zeros(3)), plain.pdf(images, np.zeros(3)))


def _plain(model_file: Path) -> Path:
    path = model_file.with_name("plain.safetensors")
    save_checkpoint(path, tiny_model())
    return path


@pytest.mark.parametrize("wrong", [{"weight": 2.0}, {"axes": [[1.0]]}, {"mean": "x"}, []])
def test_damaged_light_profiles_are_refused(wrong: Any, model_file: Path) -> None:
    model = with_profile()
    assert model.profile is not None
    fields = {**model.profile.to_dict(), **wrong} if isinstance(wrong, dict) else wrong
    with safe_open(model_file, framework="pt") as file:
        description = json.loads(file.metadata()["photoz_ssl"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    description["profile"] = fields
    save_file(tensors, model_file, {"photoz_ssl": json.dumps(description)})
    with pytest.raises(CheckpointError, match="description inside"):
        load_checkpoint(model_file)


def test_light_profiles_of_other_bands_are_refused(model_file: Path) -> None:
    other = replace(with_profile(), spec=ImageSpec(bands=("g", "r", "i", "z", "y")))
    save_checkpoint(model_file, other, overwrite=True)
    with pytest.raises(CheckpointError, match="description inside"):
        load_checkpoint(model_file)
    save_checkpoint(model_file, replace(other, profile=None), overwrite=True)
    assert load_checkpoint(model_file).spec == other.spec


def test_half_precision_halves_the_file_and_little_else(model_file: Path) -> None:
    half = model_file.with_name("half.safetensors")
    save_checkpoint(half, tiny_model(), half=True)
    assert half.stat().st_size < 0.6 * model_file.stat().st_size
    with safe_open(half, framework="pt") as file:
        for name, kind in (("head.weight", torch.float16), ("head.bias", torch.float32)):
            assert file.get_tensor(name).dtype == kind, name  # matrices alone
    images = torch.rand(2, 5, 64, 64)
    whole, halved = (open_runtime(load_checkpoint(path), "cpu") for path in (model_file, half))
    np.testing.assert_allclose(whole.pdf_later(images)(), halved.pdf_later(images)(), atol=1e-3)


def test_truncated_and_alien_files_are_refused(model_file: Path) -> None:
    whole = model_file.read_bytes()
    for damaged in (b"", b"text", whole[:100], whole[: len(whole) // 2], b"\xff" * 64):
        model_file.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="not a readable safetensors file"):
            load_checkpoint(model_file)
    with pytest.raises(CheckpointError, match="there is no model file"):
        load_checkpoint(model_file.with_name("missing"))


def test_what_is_no_model_is_told_what_is_accepted(model_file: Path) -> None:
    folder = model_file.parent
    for name in ("model.ckpt", "model.pkl", "model.onnx", "model"):
        alien = folder / name
        alien.write_bytes(b"PK\x03\x04 or anything")
        with pytest.raises(CheckpointError) as caught:
            load_checkpoint(alien)
        assert caught.value.hint == ACCEPTED
        alien.unlink()
    with pytest.raises(CheckpointError, match=f"is a folder.*such as {model_file}"):
        load_checkpoint(folder)
    model_file.unlink()
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder)
    assert caught.value.hint == ACCEPTED


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("owned",)


def test_a_pickle_is_never_executed(model_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model_file.write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(CheckpointError):
        load_checkpoint(model_file)
    assert "owned" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "lie",
    [
        {"kind": "cat"},
        {"grid": None},
        {"spec": "{}x"},
        {"encoder": {"architecture": "vgg"}},
        {"encoder": {**TINY.to_dict(), "in_channels": 5.0}},
        {"encoder": {**TINY.to_dict(), "width": True}},
        {"encoder": []},
        {"grid": {"z_max": 0.4, "n_bins": float("inf")}},
        {"grid": {"z_max": 0.4, "n_bins": 10**30}},
        {"grid": {"z_max": 10**400, "n_bins": 180}},
        {"grid": [1]},
        {"spec": '{"bands": ["u"], "network_size": "x"}'},
        {"spec": '{"bands": [1, 2, 3, 4, 5]}'},
        {"format_version": 99},
        {"provenance": 3},
        {"calibration": {"temperature": "hot"}},
        {"calibration": {"temperature": 10**400}},
        {"calibration": [1]},
    ],
)
def test_a_lying_description_is_refused(model_file: Path, lie: dict[str, object]) -> None:
    with safe_open(model_file, framework="pt") as file:
        description = json.loads(file.metadata()["photoz_ssl"])
    text = json.dumps({**description, **lie})
    save_file(dict(tiny_model().state), model_file, {"photoz_ssl": text})
    with pytest.raises(CheckpointError):
        load_checkpoint(model_file)


def test_deeply_nested_metadata_is_refused(model_file: Path) -> None:
    text = "[" * 200_000 + "]" * 200_000
    save_file(dict(tiny_model().state), model_file, {"photoz_ssl": text})
    with pytest.raises(CheckpointError):
        load_checkpoint(model_file)


def test_a_file_of_another_program_is_refused(model_file: Path) -> None:
    save_file(dict(tiny_model().state), model_file, {"format": "pt"})
    with pytest.raises(CheckpointError, match="not written by photoz-ssl"):
        load_checkpoint(model_file)


def test_every_key_and_shape_counts() -> None:
    model = tiny_model()
    state = dict(model.state)
    missing = {name: value for name, value in state.items() if name != "head.weight"}
    for wrong in (
        missing,
        {**state, "extra": torch.zeros(1)},
        {**state, "head.bias": torch.zeros(3)},
    ):
        with pytest.raises(CheckpointError, match="do not fit"):
            replace(model, state=wrong).network()


def test_weights_are_checked_when_the_file_is_read(model_file: Path) -> None:
    model = tiny_model()
    poisoned = {**model.state, "head.bias": torch.full((180,), torch.nan)}
    for wrong in (poisoned, {**model.state, "head.bias": torch.zeros(3)}):
        save_checkpoint(model_file, replace(model, state=wrong), overwrite=True)
        with pytest.raises(CheckpointError, match=r"tiny\.safetensors: .*head\.bias"):
            load_checkpoint(model_file)


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.bfloat16, torch.float8_e4m3fn, torch.bool, torch.int64]
)
def test_weights_of_another_type_are_refused(model_file: Path, dtype: torch.dtype) -> None:
    model = tiny_model()
    state = {**model.state, "head.bias": torch.zeros(180).to(dtype)}
    save_checkpoint(model_file, replace(model, state=state), overwrite=True)
    with pytest.raises(CheckpointError, match=r"head\.bias is .*of another shape or type"):
        load_checkpoint(model_file)


@pytest.mark.parametrize("dtype", ["F8_E8M0", "F4", "F6_E2M3", "F6_E3M2", "U16", "C64", "F99"])
def test_types_that_torch_hardly_knows_are_no_traceback(model_file: Path, dtype: str) -> None:
    content = model_file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["head.bias"]["dtype"] = dtype
    text = json.dumps(header).encode()
    model_file.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])
    with pytest.raises(CheckpointError):
        load_checkpoint(model_file)


def test_a_runtime_gives_pdfs_and_unit_vectors_whatever_the_batch() -> None:
    runtime = open_runtime(tiny_model(), "cpu")
    images = torch.randn(5, 5, 64, 64)
    pdf, features = runtime.pdf_later(images)(), runtime.represent_later(images)()
    np.testing.assert_allclose(pdf.sum(axis=1), 1)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(runtime.pdf_later(images[2:3])(), pdf[2:3], atol=1e-6)


def test_a_runtime_s_pdfs_are_calibrated() -> None:
    images = torch.randn(4, 5, 64, 64, generator=torch.Generator().manual_seed(0))
    calibration = Calibration(temperature=0.3, blur=2.0, shift=-3.0)
    model = replace(tiny_model(), calibration=calibration)
    with torch.inference_mode():
        logits = model.network()(images).numpy()
    pdf = open_runtime(model, "cpu").pdf_later(images)()
    np.testing.assert_allclose(pdf, calibration.apply(logits), atol=1e-5)
    assert np.abs(pdf - Calibration().apply(logits)).max() > 1e-3


@pytest.mark.parametrize(
    ("precision", "device", "capability", "expected"),
    [
        ("auto", "cpu", 9, False),
        ("auto", "cuda", 8, True),
        ("auto", "cuda", 7, False),
        ("fp32", "cuda", 8, False),
        ("bf16", "cpu", 9, True),
        ("bf16", "cuda", 7, True),
    ],
)
def test_auto_is_bfloat16_on_a_gpu_that_computes_in_it(
    precision: str, device: str, capability: int, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    properties = SimpleNamespace(major=capability)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    assert uses_bfloat16(precision, torch.device(device)) is expected


def test_an_encoder_alone_has_no_redshifts() -> None:
    encoder = build_encoder(TINY)
    model = Checkpoint(kind="encoder", spec=ImageSpec(), encoder=TINY, state=encoder.state_dict())
    runtime = open_runtime(model, "cpu")
    assert runtime.represent_later(torch.zeros(1, 5, 64, 64))().shape == (1, 64)
    with pytest.raises(CheckpointError, match="without a redshift head"):
        runtime.pdf_later(torch.zeros(1, 5, 64, 64))()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_an_error() -> None:
    assert choose_device("auto").type == "cpu"
    with pytest.raises(ConfigError, match="no GPU"):
        choose_device("cuda")
