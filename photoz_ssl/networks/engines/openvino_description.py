"""What OpenVINO's XML may say of a network in a model file that anybody may have made.

OpenVINO has layers that read files and run code, and a reader of XML of its own. A description
goes to it only where it is of our networks' layers, and such that no two readers differ on it.
"""

from __future__ import annotations

from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from photoz_ssl.errors import CheckpointError

__all__ = ["damaged", "require_plain"]

MOST_BYTES_OF_XML = 1 << 24
LAYERS = frozenset(
    (
        *("Add", "Asinh", "AvgPool", "Concat", "Const", "Convert", "Convolution", "Divide"),
        *("FakeQuantize", "Gather", "MatMul", "MaxPool", "Multiply", "Parameter", "ReLU"),
        *("ReduceMean", "Reshape", "Result", "ShapeOf", "Subtract"),
    )
)
"""What our networks are made of; nothing among them reads files or runs code."""

NOTES = "rt_info"
"""Of how the network was made. The names below it change with OpenVINO's version and NNCF's."""

CHILDREN = {
    "net": {"layers", "edges", NOTES},
    "layers": {"layer"},
    "layer": {"data", "input", "output", NOTES},
    "data": set[str](),
    "input": {"port"},
    "output": {"port"},
    "port": {"dim", NOTES},
    "dim": set[str](),
    "edges": {"edge"},
    "edge": set[str](),
}
"""The elements of a description, and what may stand in each."""


def require_plain(description: bytes, n_weights: int) -> None:
    """Refuse a description of anything but a network of ours.

    Parameters
    ----------
    description : bytes
        OpenVINO's XML.
    n_weights : int
        Bytes of the weights that it refers to.

    Raises
    ------
    CheckpointError
        That says what is wrong.
    """
    net = _parsed(description)
    if net.tag != "net":
        raise damaged(f"its description is of a {net.tag!r:.40}")
    _require_known(net)
    layers = net.findall("layers/layer")
    if len(net.findall("layers")) != 1 or not layers:
        raise damaged("its description has no layers, or several lists of them")
    strange = {layer.get("type", "") for layer in layers} - LAYERS
    if strange:
        raise damaged(f"it has a layer {min(strange)!r:.40}")
    for data in (layer.find("data") for layer in layers if layer.get("type") == "Const"):
        offset, size = (_whole(data, name) for name in ("offset", "size"))
        if offset + size > n_weights:
            raise damaged("its weights are cut")


def damaged(reason: str) -> CheckpointError:
    """The error about a network in 8-bit integers that cannot be used for a reason."""
    return CheckpointError(
        f"the 8-bit network in the model file cannot be used: {reason}",
        "make it again with photoz-ssl convert MODEL --calibrate ARCHIVE",
    )


def _parsed(description: bytes) -> Element:
    """The root of a description without entities, in letters that all encodings share."""
    plain = description.isascii() and b"<!" not in description and b"\0" not in description
    if not plain or len(description) > MOST_BYTES_OF_XML:
        raise damaged("its description is no plain XML")
    try:
        return ElementTree.fromstring(description)  # noqa: S314 - it has no entities
    except ElementTree.ParseError as error:
        raise damaged("its description is no plain XML") from error


def _require_known(net: Element) -> None:
    """Refuse an element that our networks do not have, or that stands elsewhere in them."""
    to_see = [net]
    while to_see:  # a loop, as the elements may be nested deeper than Python's calls
        element = to_see.pop()
        for child in element:
            if child.tag == NOTES and child.tag in CHILDREN[element.tag]:
                _require_notes(child)
            elif child.tag in CHILDREN[element.tag]:
                to_see.append(child)
            else:
                raise damaged(f"its description has a {child.tag!r:.40} in a {element.tag!r}")


def _require_notes(notes: Element) -> None:
    """Refuse notes that hold a part of a network, or a name from another name space."""
    for note in notes.iter():
        if note.tag in CHILDREN or not note.tag.isidentifier():
            raise damaged(f"its description has a {note.tag!r:.40} in a {NOTES!r}")


def _whole(data: Element | None, name: str) -> int:
    text = "" if data is None else data.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise damaged("its weights are not where it says")
    return int(text)
