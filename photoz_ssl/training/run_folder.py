"""A run folder: its configuration, its metrics, and the state that a resumed run needs."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
import torch
from numpy.typing import NDArray

from photoz_ssl.config import TrainingConfig
from photoz_ssl.errors import CheckpointError, ConfigError, OutputError
from photoz_ssl.files import atomic_output, is_leftover, output_errors, remove_leftovers
from photoz_ssl.fingerprints import sha256_of
from photoz_ssl.folders import remove_own, require_own
from photoz_ssl.survey.archive import Archive
from photoz_ssl.training.run_lock import LOCK, sole_training

__all__ = [
    "STATE",
    "RunFolder",
    "check_run_folder",
    "identity_of",
    "training_in",
]

STATE = "state.pt"
"""What a run can be resumed from."""

FREE_TO_CHANGE = ("archive", "output", "device", "resume", "overwrite")
"""Fields that a resumed run may have otherwise than the run it resumes."""

HOW_MANY = ("fractions", "n_seeds")
"""Fields of an experiment by which its single trainings do not change, but their number."""

MODELS = {"pretrain": "encoder.safetensors", "finetune": "photoz.safetensors"}
"""What a training leaves when it is done, by its command."""

PART = r"(fine-tuned|from-scratch)-[\d.e+-]+/"  # a training of the label-efficiency experiment

REMOVED_FILES = re.compile(
    rf"({PART})?(config\.toml|state\.pt|metrics\.jsonl|(encoder|photoz)\.safetensors)"
    r"|label_efficiency\.(json|png|pdf)|measured/[\w.+-]+\.json"
)
"""What trainings and experiments write into their folders; nothing else is ever removed."""

OWN_FILES = re.compile(rf"{REMOVED_FILES.pattern}|({PART})?{re.escape(LOCK)}")
"""The same, and locks, which go with the training that holds them."""

MARK = "# photoz-ssl: what this run was made with\n"
"""First line of a run's ``config.toml``; a user's own file of that name is no run."""

OF_THE_ARCHIVE = ("contents", "galaxies", "rows")
"""What `identity_of` tells an archive by."""

BY_THE_LABELS = ("encoder_rate", "label_blur")
"""Options that go by the number of labels where nobody gave them: they seldom tell what changed."""

OF_THE_ENCODER = "encoder_sha256"
"""What tells an encoder file from another, wherever it lies and whatever its name."""


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """Paths and files of one run; see `training_in`.

    Parameters
    ----------
    path : Path
        The folder.
    fingerprint : str
        What has to be the same for a run to be resumed.
    writes : bool
        Whether this process is the one that writes; of several, the others only read.
    """

    path: Path
    fingerprint: str
    writes: bool = True

    @property
    def state_path(self) -> Path:
        """The state to resume from."""
        return self.path / STATE

    @property
    def metrics_path(self) -> Path:
        """One JSON object a line."""
        return self.path / "metrics.jsonl"

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Replace the state to resume from; a kill in between leaves the one before."""
        if not self.writes:
            return
        contents = io.BytesIO()
        torch.save({**state, "fingerprint": self.fingerprint}, contents)
        with atomic_output(self.state_path, overwrite=True) as temporary:
            temporary.write_bytes(contents.getvalue())  # a full disk is an OSError only here

    def load_state(self) -> dict[str, Any] | None:
        """The state that was saved last, or None where there is none.

        Raises
        ------
        CheckpointError
            If it is damaged, or of a run with another configuration or archive.
        """
        if not self.state_path.exists():
            return None
        try:
            with zipfile.ZipFile(self.state_path) as members:
                if members.testzip() is not None:
                    raise ValueError("torch reads numbers without looking at their checksums")
            state = torch.load(self.state_path, map_location="cpu", weights_only=True)
            fingerprint = json.loads(state["fingerprint"])
        except Exception as error:  # torch raises whatever the bytes lead it to
            raise CheckpointError(
                f"the state {self.state_path} is damaged", "start again with --overwrite"
            ) from error
        self._refuse_another_run(fingerprint)
        return dict(state)

    def is_of_run(self, fingerprint: str) -> bool:
        """Whether what was made with a fingerprint was made by this run, begun or gone on with.

        Raises
        ------
        ValueError
            If it is none.
        """
        return not _differences(json.loads(self.fingerprint), json.loads(fingerprint))

    def _refuse_another_run(self, fingerprint: Mapping[str, Any]) -> None:
        changed = _differences(json.loads(self.fingerprint), fingerprint)
        if "command" in changed:
            raise CheckpointError(
                f"{self.path} is a run folder of {fingerprint.get('command')}",
                "name another --output, or start again with --overwrite",
            )
        options = sorted(
            changed - {*OF_THE_ARCHIVE}, key=lambda name: (name in BY_THE_LABELS, name)
        )
        if "contents" in changed or (changed and not options):  # by its labels go options, too
            raise CheckpointError(
                f"the archive is no longer what {self.path} was trained on",
                "give the same archive, or start again with --overwrite",
            )
        if options == [OF_THE_ENCODER]:
            raise CheckpointError(
                f"{self.path} was trained from another encoder file",
                "give the same one, or start again with --overwrite",
            )
        if options:
            raise CheckpointError(
                f"{self.path} was trained with other options ({', '.join(options)})",
                "give the same ones (config.toml has them), or start again with --overwrite",
            )

    def log(self, **figures: float) -> None:
        """Append a line to the metrics, on the disk before any state that follows."""
        if not self.writes:
            return
        with (
            output_errors(self.metrics_path),
            self.metrics_path.open("a", encoding="utf-8") as stream,
        ):
            stream.write(json.dumps(figures) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def last_metrics(self) -> dict[str, float]:
        """The last line of the metrics; empty where there is none."""
        if not self.metrics_path.exists():
            return {}
        lines = self.metrics_path.read_text(encoding="utf-8").splitlines()
        return dict(json.loads(lines[-1])) if lines else {}

    def options(self) -> dict[str, Any]:
        """The options that this run depends on, files by their names alone."""
        options = dict(json.loads(self.fingerprint))
        options.pop("contents", None)
        options["encoder"] = Path(options["encoder"]).name
        return options

    def forget_metrics_after(self, step: int) -> None:
        """Drop the lines of steps that a resumed run will do again."""
        if not self.writes or not self.metrics_path.exists():
            return
        text = self.metrics_path.read_text(encoding="utf-8", errors="replace")
        kept = "".join(f"{line}\n" for line in text.splitlines() if _step_of(line) <= step)
        if kept != text:
            with atomic_output(self.metrics_path, overwrite=True) as temporary:
                temporary.write_text(kept, encoding="utf-8")


def _differences(own: Mapping[str, Any], there: Mapping[str, Any]) -> set[str]:
    """What two runs have otherwise; files of encoders by their content, if it is known of both.

    It is not known of presets, nor of runs from before it was written down.
    """
    changed = {name for name in own.keys() | there.keys() if own.get(name) != there.get(name)}
    both_known = own.get(OF_THE_ENCODER) and there.get(OF_THE_ENCODER)
    return changed - {"encoder" if both_known else OF_THE_ENCODER}


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


def identity_of(
    archive: Archive, rows: NDArray[np.int64], encoder: Path | None = None
) -> dict[str, str]:
    """What tells an archive, the rows of it that are trained on, and an encoder file from others.

    Parameters
    ----------
    archive : Archive
        The galaxies.
    rows : ndarray, shape (n,)
        Those that are trained on.
    encoder : Path, optional
        The file that training starts from, where it starts from one.
    """
    return {
        "contents": archive.fingerprint(),
        "galaxies": str(len(archive)),
        "rows": str(len(rows)),
        **({} if encoder is None else {OF_THE_ENCODER: sha256_of(encoder)}),
    }


@contextmanager
def training_in(
    config: TrainingConfig, command: str, inputs: Mapping[str, str], *, writes: bool = True
) -> Iterator[RunFolder]:
    """A run folder with its ``config.toml``, new or gone on with, that is this run's alone.

    Parameters
    ----------
    config : TrainingConfig
        Its ``output``, ``resume`` and ``overwrite`` decide what happens.
    command : str
        Name of the table in ``config.toml``.
    inputs : mapping of str to str
        What else has to be the same for a run to be resumed, such as `identity_of`.
    writes : bool
        False in all but one of several processes: nothing is checked or written there.

    Raises
    ------
    photoz_ssl.errors.OutputError
        If the folder exists and neither ``resume`` nor ``overwrite`` is set; if it holds what no
        training writes and ``overwrite`` is set; or if another training is at work there.
        Nothing in the folder is touched then.
    """
    if not writes:
        yield dataclasses.replace(_run_folder(config, command, inputs), writes=False)
        return
    folder = check_run_folder(config, command, inputs)
    _make(folder.path)
    with sole_training(folder.path):
        _begin(config, command)
        yield folder


def _make(path: Path) -> None:
    with output_errors(path):
        path.mkdir(parents=True, exist_ok=True)


def _begin(config: TrainingConfig, command: str) -> None:
    """Clear a folder of what is not gone on with, and write its ``config.toml``."""
    path = config.output
    with output_errors(path):
        if config.overwrite and _is_run(path):
            for lock in path.glob(f"*/{LOCK}"):  # trainings of an experiment
                with sole_training(lock.parent):
                    pass
            remove_own(path, REMOVED_FILES)
        remove_leftovers(path)
    with atomic_output(path / "config.toml", overwrite=True) as temporary:
        settings = tomli_w.dumps({command: _essential(config)})
        temporary.write_text(MARK + settings, encoding="utf-8")


def check_run_folder(config: TrainingConfig, command: str, inputs: Mapping[str, str]) -> RunFolder:
    """Refuse what `training_in` would refuse but for another training, and touch nothing.

    A state of another run is refused here, before its ``config.toml`` is replaced.
    """
    path = config.output
    _require_room_for(path)
    occupied = path.is_dir() and not all(_counts_as_nothing(file) for file in path.iterdir())
    if occupied and not (config.resume or config.overwrite):
        raise OutputError(
            f"the run folder {path} exists already", "add --resume to go on, or --overwrite"
        )
    _require_no_folder_for_a_file(path)
    if occupied and not _is_run(path) and (config.overwrite or (path / "config.toml").exists()):
        raise ConfigError(f"{path} is not a run folder", "name another --output")
    if occupied and config.overwrite:
        require_own(path, OWN_FILES, "a run")
    folder = _run_folder(config, command, inputs)
    if not config.overwrite and folder.load_state() is None:
        model = path / MODELS.get(command, STATE)
        if model.exists():  # finished, and nothing tells by which options
            raise OutputError(
                f"{model} is there, and no {STATE} to go on from",
                "name another --output, or start again with --overwrite",
            )
    return folder


def _require_no_folder_for_a_file(path: Path) -> None:
    """Refuse a folder of the name that a training gives a file, here or in its trainings."""
    for inside in (*path.glob("*"), *path.glob("*/*")):
        if inside.is_dir() and OWN_FILES.fullmatch(inside.relative_to(path).as_posix()):
            raise OutputError(
                f"{inside} is a folder, where a training has a file",
                "move it away, or name another --output",
            )


def _counts_as_nothing(path: Path) -> bool:
    """Whether a file is what a training leaves that was killed before it had begun."""
    return path.name == LOCK or is_leftover(path)


def _is_run(path: Path) -> bool:
    """Whether a folder's ``config.toml`` is that of a run: by its first line, or what is beside."""
    settings = path / "config.toml"
    if not settings.is_file():
        return False
    with settings.open("rb") as stream:
        marked = stream.read(len(MARK)) == MARK.encode()
    beside = (STATE, "metrics.jsonl", "measured", *MODELS.values())
    return marked or any((path / name).exists() for name in beside)


def _run_folder(config: TrainingConfig, command: str, inputs: Mapping[str, str]) -> RunFolder:
    settings = _essential(config)
    decisive = {name: value for name, value in settings.items() if name not in HOW_MANY}
    what = {"command": command, **decisive, **inputs}
    return RunFolder(config.output, json.dumps(what, sort_keys=True))


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
