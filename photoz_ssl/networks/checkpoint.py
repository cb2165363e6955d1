"""One self-describing file a model: weights, and all it takes to use them again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from photoz_ssl.errors import CheckpointError, PhotozError
from photoz_ssl.files import atomic_output
from photoz_ssl.networks.encoder import Encoder, EncoderConfig, build_encoder, without_storage
from photoz_ssl.networks.engines.quantised import Quantised
from photoz_ssl.networks.redshift_head import RedshiftNetwork
from photoz_ssl.redshift.calibration import Calibration
from photoz_ssl.redshift.grid import RedshiftGrid
from photoz_ssl.spec import ImageSpec
from photoz_ssl.survey.bands import BANDS
from photoz_ssl.survey.images.light_profile import ProfileSpace

__all__ = [
    "ACCEPTED",
    "MODEL_SUFFIX",
    "Checkpoint",
    "load_checkpoint",
    "require_model_file",
    "save_checkpoint",
    "shipped_model_path",
]

FORMAT_VERSION = 1
METADATA_KEY = "photoz_ssl"
KINDS = ("encoder", "photoz")
MODEL_SUFFIX = ".safetensors"

ACCEPTED = f"name a model of photoz-ssl (*{MODEL_SUFFIX}), or a published checkpoint (*.pth.tar)"
"""What to do about a file that is no model."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A trained network and its description.

    Parameters
    ----------
    kind : {'encoder', 'photoz'}
        An encoder alone, or one with a redshift head.
    spec : ImageSpec
        The images that it was trained on.
    encoder : EncoderConfig
        The encoder's configuration.
    state : mapping of str to Tensor
        The network's ``state_dict``.
    grid : RedshiftGrid, optional
        The head's bins; None for an encoder.
    calibration : Calibration, optional
        What turns logits into a PDF; None for an encoder.
    provenance : mapping
        How it was trained, JSON-ready; ``trained_on`` and ``name`` are shown to users.
    metrics : mapping of str to float
        What it reached.
    quantised : Quantised, optional
        The network in 8-bit integers, where it has been made.
    profile : ProfileSpace, optional
        The light profiles that go beside an encoder's representations.
    """

    kind: str
    spec: ImageSpec
    encoder: EncoderConfig
    state: Mapping[str, Tensor] = field(repr=False)
    grid: RedshiftGrid | None = None
    calibration: Calibration | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    quantised: Quantised | None = field(default=None, repr=False)
    profile: ProfileSpace | None = field(default=None, repr=False)

    def network(self) -> RedshiftNetwork | Encoder:
        """Build the network with copies of its weights, in evaluation mode.

        Raises
        ------
        CheckpointError
            If the weights are not those of the network that the file describes.
        """
        network = self._without_weights()
        self._require_fitting(network.state_dict())
        weights = {name: values.clone() for name, values in self.state.items()}
        network.load_state_dict(weights, strict=True, assign=True)
        network.eval()
        return network

    def require_fitting_weights(self) -> None:
        """Refuse weights that are missing, too many, of another shape or type, or not finite.

        Nothing of the network's size is allocated.

        Raises
        ------
        CheckpointError
            On the first that is wrong.
        """
        self._require_fitting(self.expected_state())

    def _require_fitting(self, expected: Mapping[str, Tensor]) -> None:
        wrong = [
            name
            for name in sorted(expected.keys() | self.state.keys())
            if name not in expected
            or name not in self.state
            or expected[name].shape != self.state[name].shape
            or expected[name].dtype != self.state[name].dtype
            or not np.isfinite(self.state[name].numpy()).all()  # PyTorch takes longer to begin
        ]
        if wrong:
            raise CheckpointError(
                "the weights do not fit the network that the file describes:"
                f" {wrong[0]} is missing, unknown, of another shape or type, or not finite",
                "the file is damaged or of another version; copy or train it again",
            )

    def expected_state(self) -> dict[str, Tensor]:
        """The names, shapes and types of the network's weights, as tensors without storage."""
        return dict(self._without_weights().state_dict())

    def _without_weights(self) -> RedshiftNetwork | Encoder:
        """The network with weights that have no storage, and take no time to be drawn."""
        with without_storage():
            encoder = build_encoder(self.encoder)
            return encoder if self.grid is None else RedshiftNetwork(encoder, self.grid.n_bins)


def shipped_model_path(kind: str) -> Path:
    """Where the model of a kind that ships with the package lies; see `Checkpoint`."""
    return Path(__file__).parents[1] / "models" / f"{kind}{MODEL_SUFFIX}"


def save_checkpoint(
    path: Path, checkpoint: Checkpoint, *, overwrite: bool = False, half: bool = False
) -> None:
    """Write a checkpoint as safetensors; it appears whole or not at all.

    Parameters
    ----------
    path : Path
        File to write.
    checkpoint : Checkpoint
        What to write.
    overwrite : bool
        Whether an existing file may be replaced.
    half : bool
        Store matrices and kernels as float16, which halves the file.

    Raises
    ------
    photoz_ssl.errors.OutputError
        If the file exists already or cannot be written.
    """
    description = {
        "format_version": FORMAT_VERSION,
        "kind": checkpoint.kind,
        "spec": checkpoint.spec.to_json(),
        "encoder": checkpoint.encoder.to_dict(),
        "grid": None if checkpoint.grid is None else checkpoint.grid.to_dict(),
        "calibration": (
            None if checkpoint.calibration is None else checkpoint.calibration.to_dict()
        ),
        "provenance": dict(checkpoint.provenance),
        "metrics": dict(checkpoint.metrics),
        "profile": None if checkpoint.profile is None else checkpoint.profile.to_dict(),
    }
    tensors = {
        name: (tensor.half() if half and tensor.ndim > 1 else tensor).detach().cpu().contiguous()
        for name, tensor in checkpoint.state.items()
    }
    if checkpoint.quantised is not None:
        tensors |= checkpoint.quantised.tensors()
    contents = save(tensors, {METADATA_KEY: json.dumps(description, sort_keys=True)})
    with atomic_output(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(contents)  # a full disk is an OSError here, and not in safetensors


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; weights stored as float16 come back as float32.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged or not one of ours.
    """
    require_model_file(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            state = {name: _full(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is not a readable safetensors file",
            "it may be truncated; copy it again"
            if path.suffix.lower() == MODEL_SUFFIX
            else ACCEPTED,
        ) from error
    try:
        quantised = Quantised.from_tensors(state)
        weights = {name: state[name] for name in state if name not in Quantised.names}
        checkpoint = _describe(path, metadata.get(METADATA_KEY), weights, quantised)
        checkpoint.require_fitting_weights()
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error.message}", error.hint) from error
    return checkpoint


def require_model_file(path: Path) -> None:
    """Refuse what is no file; of a folder, such as that of a run, a model in it is named.

    Raises
    ------
    CheckpointError
        That names the path.
    """
    if path.is_dir():
        model = min(path.glob(f"*{MODEL_SUFFIX}"), default=None)
        hint = ACCEPTED if model is None else f"name the model in it, such as {model}"
        raise CheckpointError(f"{path} is a folder, and no model file", hint)
    if not path.is_file():
        raise CheckpointError(f"there is no model file {path}", "check the path")


def _profile(fields: Mapping[str, Any] | None, spec: ImageSpec) -> ProfileSpace | None:
    if fields is None:
        return None
    if spec.bands != BANDS:
        raise ValueError(f"light profiles are of the bands {''.join(BANDS)}")
    return ProfileSpace.from_dict(fields)


def _full(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype == torch.float16 else tensor


def _describe(
    path: Path, text: str | None, state: Mapping[str, Tensor], quantised: Quantised | None
) -> Checkpoint:
    if text is None:
        raise CheckpointError(f"{path} was not written by photoz-ssl", "name one of its models")
    try:
        fields = json.loads(text)
        if fields["format_version"] > FORMAT_VERSION:
            raise CheckpointError(f"{path} is of a newer format", "update photoz-ssl")
        if fields["kind"] not in KINDS or (fields["kind"] == "photoz") != bool(fields["grid"]):
            raise CheckpointError(f"{path} holds neither an encoder nor a redshift model")
        return Checkpoint(
            kind=fields["kind"],
            spec=ImageSpec.from_json(fields["spec"]),
            encoder=EncoderConfig.from_dict(fields["encoder"]),
            state=state,
            grid=RedshiftGrid.from_dict(fields["grid"]) if fields["grid"] else None,
            calibration=(
                Calibration.from_dict(fields["calibration"]) if fields["calibration"] else None
            ),
            provenance=dict(fields["provenance"]),
            metrics=dict(fields["metrics"]),
            quantised=quantised,
            profile=_profile(fields.get("profile"), ImageSpec.from_json(fields["spec"])),
        )
    except CheckpointError:
        raise
    except (KeyError, RecursionError, TypeError, ValueError, PhotozError) as error:
        raise CheckpointError(
            f"the description inside {path} is damaged", "copy or train it again"
        ) from error
