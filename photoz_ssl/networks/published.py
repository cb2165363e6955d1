"""The published checkpoints, read without running anything in them (method section 4).

They are pickles of tensors in one of two layouts: a redshift model under ``model_state``, its
names those of torchvision's ResNet behind ``module.``; or momentum contrast under
``state_dict``, of which the query encoder, behind ``module.encoder_q.``, is kept.
"""

from __future__ import annotations

import logging
import pickle
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from photoz_ssl.errors import CheckpointError
from photoz_ssl.fingerprints import sha256_of
from photoz_ssl.networks.checkpoint import (
    ACCEPTED,
    Checkpoint,
    load_checkpoint,
    require_model_file,
)
from photoz_ssl.networks.encoder import ARCHITECTURES, PRESETS, EncoderConfig
from photoz_ssl.networks.resnet import Bottleneck
from photoz_ssl.redshift.calibration import Calibration
from photoz_ssl.redshift.grid import RedshiftGrid
from photoz_ssl.spec import ImageSpec

__all__ = ["is_published", "read_model", "read_published"]

log = logging.getLogger(__name__)

SUFFIXES = (".pth.tar", ".pth", ".pt", ".tar")
ARCHITECTURE = "resnet50"

PHOTOZ_LAYOUT, CONTRASTIVE_LAYOUT = "model_state", "state_dict"
PHOTOZ_PREFIX, QUERY_PREFIX = "module.", "module.encoder_q."

KEY_ENCODER = "module.encoder_k."
QUEUE_KEYS = ("module.queue", "module.queue_ptr")
PROJECTION_KEYS = tuple(
    f"{QUERY_PREFIX}fc.{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")
)
"""The head that momentum contrast trains on and that nothing uses afterwards."""


def is_published(path: str | Path) -> bool:
    """Whether a path names a PyTorch checkpoint, by its suffix."""
    return str(path).lower().endswith(SUFFIXES)


def read_model(path: Path) -> Checkpoint:
    """Read a model file: one of ours, or a published checkpoint ``NAME.pth.tar``.

    Raises
    ------
    CheckpointError
        As `photoz_ssl.networks.checkpoint.load_checkpoint` and `read_published`.
    """
    checkpoint = read_published(path) if is_published(path) else load_checkpoint(path)
    log.info("read the model %s", path)
    return checkpoint


def read_published(path: Path) -> Checkpoint:
    """Read a published checkpoint; what its file does not hold is the paper's.

    That is the stem's stride of 1 without a max-pool, which no tensor shows, the 64-pixel ugriz
    images in nanomaggies, and 180 bins of redshift over [0, 0.4].

    Parameters
    ----------
    path : Path
        A redshift model or a momentum-contrast state.

    Returns
    -------
    Checkpoint
        Of kind ``photoz`` or ``encoder``; weights as float32. ``provenance["left_out"]`` names
        the tensors that belong to momentum contrast alone.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, holds more than tensors, or has a tensor that is
        missing, unknown, of another shape or not finite.
    """
    content = _load_tensors(path)
    layout = _layout(path, content)
    weights = _named_tensors(path, layout, content[layout])
    contrastive = layout == CONTRASTIVE_LAYOUT
    prefix = QUERY_PREFIX if contrastive else PHOTOZ_PREFIX
    left_out = {key for key in weights if contrastive and _is_left_out(key)}
    kept = {key: tensor for key, tensor in weights.items() if key not in left_out}
    unfilled = Checkpoint(
        kind="encoder" if contrastive else "photoz",
        spec=ImageSpec(),
        encoder=_recognise(path, kept, prefix),
        state={},
        grid=None if contrastive else RedshiftGrid(),
        calibration=None if contrastive else Calibration(),
        provenance=_provenance(path, layout, content, left_out),
    )
    return replace(unfilled, state=_fit(path, kept, unfilled.expected_state(), prefix))


def _load_tensors(path: Path) -> Mapping[Any, Any]:
    """Read a pickle with torch's loader that makes tensors and plain containers only."""
    require_model_file(path)
    try:
        _refuse_others(path)
        _refuse_packed(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is damaged, or holds more than tensors, and was not loaded",
            "nothing in it was run; get a whole copy from its authors, saved as tensors alone",
        ) from error
    except CheckpointError:
        raise
    except Exception as error:  # torch raises whatever the bytes lead it to
        raise CheckpointError(
            f"{path} is not a readable PyTorch checkpoint", "it may be truncated; copy it again"
        ) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds no named tensors", "name a published checkpoint")
    return content


def _refuse_others(path: Path) -> None:
    """Refuse what torch.save has not begun: tables, archives, pictures, texts."""
    with path.open("rb") as file:
        if not file.read(2).startswith((b"PK", b"\x80")):  # a zip; before PyTorch 1.6, a pickle
            raise CheckpointError(
                f"{path} is not a readable PyTorch checkpoint",
                "name a published checkpoint (*.pth.tar), and no table or archive",
            )


def _refuse_packed(path: Path) -> None:
    """Refuse a zip of compressed members, which may unpack to any size; torch writes none."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as members:
        if any(member.compress_type != zipfile.ZIP_STORED for member in members.infolist()):
            raise CheckpointError(
                f"{path} is a compressed zip, as torch.save writes none",
                "save its weights with torch.save; programs (TorchScript) are not run",
            )


def _layout(path: Path, content: Mapping[Any, Any]) -> str:
    found = [layout for layout in (PHOTOZ_LAYOUT, CONTRASTIVE_LAYOUT) if layout in content]
    if len(found) != 1:
        raise CheckpointError(
            f"{path} does not hold its weights under {PHOTOZ_LAYOUT} or {CONTRASTIVE_LAYOUT}, one"
            " of them, as published checkpoints do",
            ACCEPTED,
        )
    return found[0]


def _named_tensors(path: Path, layout: str, weights: object) -> dict[str, Tensor]:
    if not isinstance(weights, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in weights.items()
    ):
        raise CheckpointError(
            f"{layout} in {path} is not a mapping of names to tensors",
            "name a published checkpoint",
        )
    return dict(weights)


def _is_left_out(key: str) -> bool:
    """Whether a name is of what momentum contrast has besides the query encoder."""
    return key.startswith(KEY_ENCODER) or key in QUEUE_KEYS or key in PROJECTION_KEYS


def _recognise(path: Path, weights: Iterable[str], prefix: str) -> EncoderConfig:
    """Tell the architecture by the residual blocks that the tensors' names are of.

    Raises
    ------
    CheckpointError
        If it is not the published one.
    """
    names = [key.removeprefix(prefix) for key in weights if key.startswith(prefix)]
    if not names:
        raise CheckpointError(
            f"{path} names no tensor {prefix}*, as published checkpoints do; its first is"
            f" {next(iter(weights), 'none')}",
            "save its weights again under these names, if it is one of theirs",
        )
    blocks = tuple(
        len({name.split(".")[1] for name in names if name.startswith(f"layer{stage}.")})
        for stage in range(1, 5)
    )
    bottleneck = any(name.endswith(".conv3.weight") for name in names)
    block, layers = ARCHITECTURES[ARCHITECTURE]
    if (bottleneck, blocks) != (block is Bottleneck, layers):
        spelled = "+".join(map(str, blocks))
        kind = "bottleneck" if bottleneck else "basic"
        raise CheckpointError(
            f"{path} holds {spelled} {kind} blocks behind {prefix}*, and the published models"
            f" are {ARCHITECTURE}, {'+'.join(map(str, layers))} bottleneck blocks",
            "other networks have to be trained with photoz-ssl",
        )
    return PRESETS[ARCHITECTURE]


def _fit(
    path: Path, weights: Mapping[str, Tensor], expected: Mapping[str, Tensor], prefix: str
) -> dict[str, Tensor]:
    """The network's state out of a file's tensors: each of them, and no other."""
    keys = {name: _published_key(name, prefix) for name in expected}
    unknown = sorted(weights.keys() - set(keys.values()))
    if unknown:
        raise CheckpointError(
            f"{path} has the tensor {unknown[0]}, which is not one of a published {ARCHITECTURE}",
            "it is of another network or version",
        )
    return {
        name: _checked(path, key, weights.get(key), expected[name]) for name, key in keys.items()
    }


def _published_key(name: str, prefix: str) -> str:
    """What a published file calls a tensor of our network.

    >>> _published_key("head.weight", "module.")
    'module.fc.weight'
    >>> _published_key("encoder.conv1.weight", "module.")
    'module.conv1.weight'
    """
    if name.startswith("head."):
        return f"{prefix}fc.{name.removeprefix('head.')}"
    return prefix + name.removeprefix("encoder.")


def _checked(path: Path, key: str, tensor: Tensor | None, expected: Tensor) -> Tensor:
    """A tensor as a model file stores it, once it is what the network needs.

    Its shape comes first: a tensor may claim any size and hold one number.
    """
    if tensor is None:
        problem = f"lacks the tensor {key}"
    elif tensor.shape != expected.shape:
        problem = f"has {key} of shape {tuple(tensor.shape)}, not {tuple(expected.shape)}"
    elif tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        problem = f"has {key} not as plain numbers"
    elif tensor.is_floating_point() != expected.is_floating_point() or tensor.is_complex():
        problem = f"has {key} of type {tensor.dtype}, not {expected.dtype}"
    elif not bool(torch.isfinite(tensor).all()):
        problem = f"has values in {key} that are not finite"
    elif key.endswith("running_var") and bool((tensor < 0).any()):
        problem = f"has variances in {key} that are negative"
    else:
        return tensor.detach().to(expected.dtype, copy=True).contiguous()
    raise CheckpointError(f"{path} {problem}", "it is damaged, or of another network")


def _provenance(
    path: Path, layout: str, content: Mapping[Any, Any], left_out: Iterable[str]
) -> dict[str, Any]:
    source = {"file": path.name, "sha256": sha256_of(path), "layout": layout}
    provenance: dict[str, Any] = {
        "trained_on": f"the data of the published checkpoint {path.name}",
        "left_out": sorted({_spelled(key) for key in left_out}),
        "history": [{"command": "convert", **source}],
    }
    epoch = content.get("epoch")
    return {**provenance, "epochs": epoch} if isinstance(epoch, int) else provenance


def _spelled(key: str) -> str:
    """A tensor's name, or the family of those that are left out together."""
    families = (KEY_ENCODER, f"{QUERY_PREFIX}fc.")
    return next((f"{family}*" for family in families if key.startswith(family)), key)
