"""Networks in 8-bit integers: close to the original, the same each time, and looked through."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from photoz_ssl.errors import CheckpointError, ConfigError
from photoz_ssl.networks.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from photoz_ssl.networks.encoder import PRESETS, build_encoder
from photoz_ssl.networks.engines import openvino_engine
from photoz_ssl.networks.engines.quantised import Quantised, QuantisedEngine, quantise
from photoz_ssl.networks.redshift_head import RedshiftNetwork
from photoz_ssl.networks.runtimes import open_runtime
from photoz_ssl.redshift.calibration import Calibration
from photoz_ssl.redshift.grid import RedshiftGrid
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.bands import SKY_NOISE

pytest.importorskip("nncf", reason="NNCF (extra [cpu]) is not installed")
if not openvino_engine.has_openvino():
    pytest.skip("OpenVINO (extra [cpu]) is not installed", allow_module_level=True)

TINY = replace(PRESETS["resnet18-compact"], width=0.125)
GRID = RedshiftGrid()
IMAGE = (5, 64, 64)


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(32, 5, 64, 64, generator=Generator().manual_seed(0))


@pytest.fixture(scope="module")
def model(images: Tensor) -> Checkpoint:
    """A tiny model with its 8-bit form."""
    network = RedshiftNetwork(build_encoder(TINY, seed=6), GRID.n_bins, seed=6).eval()
    return Checkpoint(
        kind="photoz",
        spec=ImageSpec(),
        encoder=TINY,
        state=network.state_dict(),
        grid=GRID,
        quantised=quantise(network, images),
    )


def test_it_is_close_to_the_original(model: Checkpoint, images: Tensor) -> None:
    integers = open_runtime(model, "cpu", precision="int8")
    floats = open_runtime(model, "cpu", precision="fp32")
    assert integers.name == "OpenVINO in int8"
    cosine = np.sum(integers.represent_later(images)() * floats.represent_later(images)(), axis=1)
    assert cosine.min() > 0.999
    np.testing.assert_allclose(integers.pdf_later(images)(), floats.pdf_later(images)(), atol=6e-3)


def test_a_model_file_brings_it_and_gives_the_same_bytes(
    model: Checkpoint, images: Tensor, tmp_path: Path
) -> None:
    assert model.quantised is not None
    save_checkpoint(tmp_path / "a.safetensors", model)
    read = load_checkpoint(tmp_path / "a.safetensors")
    assert read.quantised == model.quantised
    assert read.state.keys() == model.state.keys()
    first, second = (
        open_runtime(checkpoint, "cpu", precision="int8").pdf_later(images)()
        for checkpoint in (model, read)
    )
    np.testing.assert_array_equal(first, second)


def quantised_layers(quantised: Quantised, kind: str) -> list[bool]:
    """Whether what goes into each layer of a kind is in 8-bit integers, in the network's order."""
    root = ElementTree.fromstring(quantised.description)
    types = {layer.get("id"): layer.get("type") for layer in root.iter("layer")}
    fed = [(edge.get("to-layer"), types[edge.get("from-layer")]) for edge in root.iter("edge")]
    return [(name, "FakeQuantize") in fed for name, found in types.items() if found == kind]


@pytest.mark.parametrize("softening", [None, SKY_NOISE])
def test_a_convolution_that_is_given_fluxes_stays_as_it_is(
    images: Tensor, softening: tuple[float, ...] | None
) -> None:
    encoder = build_encoder(replace(TINY, softening=softening), seed=1).eval()
    first, *others = quantised_layers(quantise(encoder, images), "Convolution")
    assert first == (softening is not None)
    assert len(others) > 10
    assert all(others)


def test_an_encoder_has_features_alone_and_its_photometry_stays_as_it_is(
    images: Tensor, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = build_encoder(replace(TINY, apertures=(2.5, 8.0)), seed=1).eval()
    shapes = (IMAGE, encoder.feature_size)
    quantised = quantise(encoder, images)
    assert capsys.readouterr() == ("", "")  # of which one may be a table, the other quiet
    engine = QuantisedEngine(quantised, "features", shapes)
    assert engine([images])().shape == (32, encoder.feature_size)
    assert quantised_layers(quantised, "MatMul") == [False] * 4


def test_a_calibration_is_applied_to_8_bit_logits_too(model: Checkpoint, images: Tensor) -> None:
    calibration = Calibration(temperature=0.3, blur=2.0, shift=-3.0)
    plain, calibrated = (
        open_runtime(replace(model, calibration=by), "cpu", precision="int8").pdf_later(images)()
        for by in (None, calibration)
    )
    np.testing.assert_allclose(calibrated, calibration.apply(np.log(plain)), atol=1e-6)
    assert np.abs(calibrated - plain).max() > 1e-3


def test_without_one_there_is_a_sentence_that_says_how_to_make_it(model: Checkpoint) -> None:
    with pytest.raises(CheckpointError, match="no network in 8-bit") as error:
        open_runtime(replace(model, quantised=None), "cpu", precision="int8")
    assert "convert MODEL --calibrate" in error.value.hint


def test_it_is_not_for_a_gpu(model: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(ConfigError, match="int8 runs on a CPU"):
        open_runtime(model, "cuda", precision="int8")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (b'type="ReLU"', b'type="Loop"', "a layer 'Loop'"),
        (b"<net", b'<!DOCTYPE x [<!ENTITY a "b">]><net', "no plain XML"),
        (b"</net>", b"", "no plain XML"),
        (b'size="', b'size="99999', "cut"),
        (b'offset="', b'offset="-', "not where it says"),
    ],
)
def test_a_strange_description_is_refused_before_openvino_sees_it(
    old: bytes, new: bytes, reason: str, model: Checkpoint
) -> None:
    assert model.quantised is not None
    assert old in model.quantised.description
    strange = replace(model.quantised, description=model.quantised.description.replace(old, new))
    with pytest.raises(CheckpointError, match=reason):
        Quantised.from_tensors(strange.tensors())


def test_half_of_it_is_refused(model: Checkpoint) -> None:
    assert model.quantised is not None
    tensors = model.quantised.tensors()
    del tensors["int8.bin"]
    with pytest.raises(CheckpointError, match="two runs of bytes"):
        Quantised.from_tensors(tensors)


def test_what_openvino_refuses_is_one_sentence(model: Checkpoint, images: Tensor) -> None:
    assert model.quantised is not None
    description = model.quantised.description.replace(b'port id="0"', b'port id="77"', 3)
    engine = QuantisedEngine(
        replace(model.quantised, description=description), "logits", (IMAGE, GRID.n_bins)
    )
    with pytest.raises(CheckpointError, match="OpenVINO refuses it"):
        engine([images])


@pytest.mark.parametrize(
    ("image", "length", "reason"),
    [
        ((5, 64, 32), 180, "does not take images of 5 x 64 x 32"),
        (IMAGE, 7, "does not give 7 logits"),
    ],
)
def test_a_network_of_other_shapes_is_refused(
    image: tuple[int, int, int], length: int, reason: str, model: Checkpoint, images: Tensor
) -> None:
    assert model.quantised is not None
    with pytest.raises(CheckpointError, match=reason):
        QuantisedEngine(model.quantised, "logits", (image, length))([images])()
