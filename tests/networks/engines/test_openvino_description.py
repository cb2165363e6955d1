"""Descriptions of networks are looked through before OpenVINO sees them."""

from __future__ import annotations

import pytest

from photoz_ssl.errors import CheckpointError
from photoz_ssl.networks.checkpoint import load_checkpoint, shipped_model_path
from photoz_ssl.networks.engines.openvino_description import require_plain

PLAIN = b"""<?xml version="1.0"?>
<net name="Model1" version="11">
  <layers>
    <layer id="0" name="images" type="Parameter" version="opset1">
      <data shape="?,5" element_type="f32"/>
      <output><port id="0"><dim>-1</dim><dim>5</dim></port></output>
    </layer>
    <layer id="1" name="one" type="Const"><data offset="0" size="20"/></layer>
    <layer id="2" name="end" type="Result">
      <input><port id="0"><rt_info><attribute name="x" version="0"/></rt_info></port></input>
    </layer>
  </layers>
  <edges><edge from-layer="0" from-port="0" to-layer="2" to-port="0"/></edges>
  <rt_info><nncf><quantization><preset value="mixed"/></quantization></nncf></rt_info>
</net>
"""


def test_a_network_of_ours_passes() -> None:
    require_plain(PLAIN, 20)


@pytest.mark.parametrize("kind", ["photoz", "encoder"])
def test_the_models_that_ship_pass(kind: str) -> None:
    quantised = load_checkpoint(shipped_model_path(kind)).quantised
    assert quantised is not None
    quantised.require_plain()


LAYER = b'<layer id="3" name="bad" type="Tan"/>'


@pytest.mark.parametrize(
    "changes",
    [
        {b"<layers>": b"<layers>" + LAYER},
        {b"<net ": b'<net xmlns="urn:x" ', b"<layers>": b"<layers>" + LAYER},
        {b"<layers>": b'<layers xmlns="urn:x">' + LAYER},
        {b"<layers>": b'<layers xmlns:x="urn:x">' + LAYER.replace(b"layer", b"x:layer")},
        {b"<edges>": b"<layers>" + LAYER + b"</layers><edges>"},
        {b"<rt_info><nncf>": b"<rt_info>" + LAYER + b"<nncf>"},
        {b"<data offset": b"<body><layers>" + LAYER + b"</layers></body><data offset"},
        {b"<input>": b"<input><layers/>"},
        {b"<net ": b"<model ", b"</net>": b"</model>"},
        {b"<layers>": b"<layers/><layers>"},
        {b"<layer ": b"<edge ", b"</layer>": b"</edge>"},
        {b'name="images"': 'name="ïmages"'.encode()},
        {b'offset="0"': b'offset="1"'},
        {b'offset="0"': b'offset="&#178;"'},
        {b'<data offset="0" size="20"/>': b""},
    ],
)
def test_anything_else_is_refused(changes: dict[bytes, bytes]) -> None:
    strange = PLAIN
    for old, new in changes.items():
        assert old in strange
        strange = strange.replace(old, new)
    with pytest.raises(CheckpointError, match="8-bit network in the model file cannot be used"):
        require_plain(strange, 20)


@pytest.mark.parametrize("description", [b"", b"<net/>", b"<net><layers/></net>", b"<", PLAIN[1:]])
def test_a_description_without_a_network_is_refused(description: bytes) -> None:
    with pytest.raises(CheckpointError):
        require_plain(description, 20)


def test_elements_as_deep_as_the_file_allows_are_no_traceback() -> None:
    deep = b"<net><rt_info>" + b"<a>" * 200_000 + b"</a>" * 200_000 + b"</rt_info></net>"
    with pytest.raises(CheckpointError):
        require_plain(deep, 0)
