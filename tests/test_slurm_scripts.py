"""The SLURM scripts of the examples, run with an ``srun`` that only takes note."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from photoz_ssl.cli.main import main

SCRIPTS = sorted((Path(__file__).parents[1] / "examples" / "slurm").glob("*.sbatch"))


def submit(script: Path, folder: Path, *arguments: str) -> list[list[str]]:
    """Run a script; return the command lines that it gave to srun and scontrol."""
    for name in ("srun", "scontrol"):
        stub = folder / name
        stub.write_text(f'#!/bin/sh\nprintf "%s " {name} "$@" >> "$NOTES"; echo >> "$NOTES"\n')
        stub.chmod(0o755)
    notes = folder / "notes"
    notes.touch()
    environ = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "NOTES": str(notes)}
    subprocess.run(
        ["bash", str(script), *arguments],
        env={**environ, "SLURM_CPUS_PER_TASK": "8", "SLURM_JOB_ID": "77"},
        check=True,
        cwd=folder,
    )
    return [shlex.split(line) for line in notes.read_text().splitlines()]


def require_valid(command_line: list[str]) -> None:
    """Parse what follows ``photoz-ssl`` as the command would."""
    name, *arguments = command_line[command_line.index("photoz-ssl") + 1 :]
    command = main.get_command(click.Context(main), name)
    assert command is not None
    command.make_context(name, arguments)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_gives_options_that_exist_and_resumes(script: Path, tmp_path: Path) -> None:
    pretrained = tmp_path / "pretrained"
    pretrained.mkdir()
    (pretrained / "encoder.safetensors").touch()
    noted = submit(script, tmp_path, "survey.h5", "pretrained", "finetuned")
    assert noted
    for command_line in noted:
        assert command_line[0] == "srun"
        assert "--resume" in command_line
        require_valid(command_line)


def test_a_job_requeues_itself_until_there_is_an_encoder(tmp_path: Path) -> None:
    script = next(script for script in SCRIPTS if script.stem == "requeued")
    noted = submit(script, tmp_path, "survey.h5", "pretrained")
    assert noted[-1] == ["scontrol", "requeue", "77"]
    assert len(noted) == 2
