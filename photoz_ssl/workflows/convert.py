"""Take in published checkpoints as model files of our own, and calibrate models."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from photoz_ssl import __version__
from photoz_ssl.config import ConvertConfig
from photoz_ssl.errors import CheckpointError
from photoz_ssl.files import claim_output, require_other
from photoz_ssl.networks.checkpoint import (
    MODEL_SUFFIX,
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
    shipped_model_path,
)
from photoz_ssl.networks.published import read_published
from photoz_ssl.survey.archive import open_archive
from photoz_ssl.workflows.trained.quantisation import calibrated
from photoz_ssl.workflows.trained.recalibration import recalibrated

__all__ = ["ConvertReport", "convert"]

DATA_SUFFIXES = {
    ".npz": "make an archive of it with photoz-ssl prepare",
    ".h5": "the published HDF5 needs no conversion; name it where an archive is asked for",
    MODEL_SUFFIX: "it is in photoz-ssl's own format already; --labels calibrates its PDFs, and"
    " --calibrate makes it an 8-bit one too",
}
"""Files that are no checkpoints, and what to do with them."""

SHIPPED = Path("shipped")
"""Stands for the redshift model that ships, unless there is a file of that name."""


@dataclass(frozen=True, kw_only=True)
class ConvertReport:
    """What `convert` did.

    Parameters
    ----------
    output : Path
        The model file.
    description : str
        The network, in a few words.
    n_parameters : int
        Of the network.
    notices : tuple of str
        What a user should know.
    """

    output: Path
    description: str
    n_parameters: int
    notices: tuple[str, ...] = ()

    def summary(self) -> str:
        """One line for a person."""
        return f"photoz-ssl: {self.description}, {self.n_parameters:,} parameters → {self.output}"


def convert(config: ConvertConfig) -> ConvertReport:
    """Write a published checkpoint as a model file that describes itself, or a model calibrated.

    Parameters
    ----------
    config : ConvertConfig
        The checkpoint and the file to write.

    Raises
    ------
    photoz_ssl.errors.PhotozError
        If the output exists, or the checkpoint is damaged, unsafe or of another network.
        Nothing is written then.
    """
    claim_output(config.output, overwrite=config.overwrite)
    path = config.checkpoint
    if path == SHIPPED and not path.exists():
        path = shipped_model_path("photoz")
    require_other(config.output, path)
    suffix, changed = path.suffix.lower(), config.labels or config.calibrate
    if suffix in DATA_SUFFIXES and not (suffix == MODEL_SUFFIX and changed):
        raise CheckpointError(f"{config.checkpoint} is no checkpoint", DATA_SUFFIXES[suffix])
    checkpoint, notices = _taken_in(path)
    if config.labels is not None:
        checkpoint, found = recalibrated(checkpoint, open_archive(config.labels))
        notices = (*notices, found)
    if config.calibrate is not None:
        checkpoint, found = calibrated(checkpoint, open_archive(config.calibrate))
        notices = (*notices, found)
    save_checkpoint(config.output, checkpoint, overwrite=config.overwrite)
    return ConvertReport(
        output=config.output,
        description=_describe(checkpoint),
        n_parameters=_count_parameters(checkpoint),
        notices=notices,
    )


def _taken_in(path: Path) -> tuple[Checkpoint, tuple[str, ...]]:
    """A published checkpoint, or a model of our own; and what a user should know of it."""
    if path.suffix.lower() == MODEL_SUFFIX:
        return load_checkpoint(path), ()
    checkpoint = read_published(path)
    provenance = {**checkpoint.provenance, "program": f"photoz-ssl {__version__}"}
    return replace(checkpoint, provenance=provenance), _notices(checkpoint)


def _describe(checkpoint: Checkpoint) -> str:
    grid, architecture = checkpoint.grid, checkpoint.encoder.architecture
    if grid is None:
        return f"encoder {architecture}"
    return f"redshift model {architecture} with {grid.n_bins} bins over [0, {grid.z_max:g}]"


def _count_parameters(checkpoint: Checkpoint) -> int:
    """Numbers that training changes; BatchNorm's statistics are not among them."""
    return sum(parameter.numel() for parameter in checkpoint.network().parameters())


def _notices(checkpoint: Checkpoint) -> tuple[str, ...]:
    grid = "" if checkpoint.grid is None else ", the redshift grid"
    notices = [
        "what the file does not hold is the paper's: the stem of stride 1 without a max-pool"
        f"{grid}, and 64-pixel ugriz images in nanomaggies"
    ]
    if left_out := checkpoint.provenance["left_out"]:
        notices.append(f"left out, as only momentum contrast needs it: {', '.join(left_out)}")
    return tuple(notices)
