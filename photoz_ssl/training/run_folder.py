"""A run folder: its configuration, its metrics, and the state that a resumed run needs."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tomli_w
import torch

from photoz_ssl.config import TrainingConfig
from photoz_ssl.errors import CheckpointError, ConfigError, OutputError
from photoz_ssl.files import atomic_output, output_errors

__all__ = ["RunFolder", "check_run_folder", "open_run_folder"]

FREE_TO_CHANGE = ("archive", "output", "device", "resume", "overwrite")
"""Fields that a resumed run may have otherwise than the run it resumes."""


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """Paths and files of one run; see `open_run_folder`.

    Parameters
    ----------
    path : Path
        The folder.
    fingerprint : str
        What has to be the same for a run to be resumed.
    """

    path: Path
    fingerprint: str

    @property
    def state_path(self) -> Path:
        """The state to resume from."""
        return self.path / "state.pt"

    @property
    def metrics_path(self) -> Path:
        """One JSON object a line."""
        return self.path / "metrics.jsonl"

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Replace the state to resume from; a kill in between leaves the one before."""
        with atomic_output(self.state_path, overwrite=True) as temporary:
            torch.save({**state, "fingerprint": self.fingerprint}, temporary)

    def load_state(self) -> dict[str, Any] | None:
        """The state that was saved last, or None where there is none.

        Raises
        ------
        CheckpointError
            If it is damaged or of a run with another configuration.
        """
        if not self.state_path.exists():
            return None
        try:
            state = torch.load(self.state_path, map_location="cpu", weights_only=True)
            fingerprint = state["fingerprint"]
        except Exception as error:  # torch raises whatever the bytes lead it to
            raise CheckpointError(
                f"the state {self.state_path} is damaged", "start again with --overwrite"
            ) from error
        if fingerprint != self.fingerprint:
            raise CheckpointError(
                f"{self.path} was trained with other options or another archive",
                "give the same ones (config.toml has them), or start again with --overwrite",
            )
        return dict(state)

    def log(self, **figures: float) -> None:
        """Append a line to the metrics."""
        with output_errors(self.metrics_path), self.metrics_path.open("a") as stream:
            stream.write(json.dumps(figures) + "\n")

    def last_metrics(self) -> dict[str, float]:
        """The last line of the metrics; empty where there is none."""
        if not self.metrics_path.exists():
            return {}
        lines = self.metrics_path.read_text().splitlines()
        return dict(json.loads(lines[-1])) if lines else {}

    def options(self) -> dict[str, Any]:
        """The options that this run depends on, files by their names alone."""
        options = dict(json.loads(self.fingerprint))
        options["encoder"] = Path(options["encoder"]).name
        return options

    def forget_metrics_after(self, step: int) -> None:
        """Drop the lines of steps that a resumed run will do again."""
        if self.metrics_path.exists():
            lines = self.metrics_path.read_text().splitlines()
            kept = [line for line in lines if _step_of(line) <= step]
            self.metrics_path.write_text("".join(f"{line}\n" for line in kept))


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def open_run_folder(config: TrainingConfig, command: str, **inputs: str) -> RunFolder:
    """Make a run folder and write its ``config.toml``, or take one up again.

    Parameters
    ----------
    config : TrainingConfig
        Its ``output``, ``resume`` and ``overwrite`` decide what happens.
    command : str
        Name of the table in ``config.toml``.
    **inputs : str
        What else has to be the same for a run to be resumed, such as an archive's size.

    Raises
    ------
    photoz_ssl.errors.OutputError
        If the folder exists and neither ``resume`` nor ``overwrite`` is set.
    """
    folder = check_run_folder(config, command, **inputs)
    path = folder.path
    if config.overwrite and (path / "config.toml").exists():
        shutil.rmtree(path)
    with output_errors(path):
        path.mkdir(parents=True, exist_ok=True)
        (path / "config.toml").write_text(tomli_w.dumps({command: _essential(config)}))
    return folder


def check_run_folder(config: TrainingConfig, command: str, **inputs: str) -> RunFolder:
    """Refuse what `open_run_folder` would refuse, and touch nothing.

    A state of another run is refused here, before its ``config.toml`` is replaced.
    """
    path = config.output
    _require_room_for(path)
    occupied = path.is_dir() and any(path.iterdir())
    if occupied and not (config.resume or config.overwrite):
        raise OutputError(
            f"the run folder {path} exists already", "add --resume to go on, or --overwrite"
        )
    if occupied and config.overwrite and not (path / "config.toml").exists():
        raise ConfigError(f"{path} is not a run folder", "name another --output")
    what = {"command": command, **_essential(config), **inputs}
    folder = RunFolder(path, json.dumps(what, sort_keys=True))
    if not config.overwrite:
        folder.load_state()
    return folder


def _require_room_for(path: Path) -> None:
    """Refuse a folder that cannot be made or written to."""
    existing = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    if not existing.is_dir():
        raise OutputError(f"{existing} is a file", "name a folder for the run")
    if not os.access(existing, os.W_OK):
        raise OutputError(f"no permission to write {path}", "choose another --output")


def _essential(config: TrainingConfig) -> dict[str, Any]:
    """The fields that a run depends on, as TOML and JSON can hold them."""
    return {
        name: _plain(value)
        for name, value in vars(config).items()
        if value is not None and name not in FREE_TO_CHANGE
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
