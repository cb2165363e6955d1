"""Kill trainings at random moments, resume them, and compare what comes out.

Each of N runs is killed (SIGKILL) once, at a moment drawn over the time that a whole run trains,
resumed, and its model compared with that of a run that nobody disturbed, byte by byte. A state
is written after every step, so that many kills fall into the writing of one. Prints one JSON
object; exits with 1 if any model differs. The runs go into a temporary folder. Further options
are those of the training.

    python examples/kill_training.py survey.h5 --kills 20 --batch-size 32 --epochs 2
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from photoz_ssl.files import is_leftover

PROGRAM = """
import sys
from photoz_ssl.cli import main
from photoz_ssl.training import loop
loop.SECONDS_BETWEEN_STATES = 0.0
main(sys.argv[1:], prog_name="photoz-ssl")
"""
MODELS = {"pretrain": "encoder.safetensors", "finetune": "photoz.safetensors"}


def start(command: Sequence[str], output: Path) -> subprocess.Popen[bytes]:
    """Start a training on a CPU; return once it has its run folder, or has ended."""
    arguments = [*command, "--device", "cpu", "--quiet", "-o", str(output)]
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments])
    while process.poll() is None and not (output / "config.toml").exists():
        time.sleep(0.005)
    return process


def finish(command: Sequence[str], output: Path) -> float:
    """Train, or resume, to the end; return the seconds since the run folder was there."""
    process = start([*command, "--resume"], output)
    begun = time.monotonic()
    if process.wait() != 0:
        raise RuntimeError(f"the training in {output} failed")
    return time.monotonic() - begun


def half_written(output: Path) -> list[str]:
    """Names of the files in a run folder that are not complete."""
    return [path.name for path in output.iterdir() if is_leftover(path)]


def kill(
    command: Sequence[str], output: Path, seconds: float, while_writing: bool
) -> dict[str, object]:
    """Kill a training some seconds after it has made its run folder; tell what it left."""
    process = start(command, output)
    time.sleep(seconds)
    while while_writing and process.poll() is None and not half_written(output):
        time.sleep(0.001)
    process.kill()
    process.wait()
    return {
        "seconds": round(seconds, 3),
        "half_written": half_written(output),
        "state": (output / "state.pt").exists(),
    }


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run(
    folder: Path, command: Sequence[str], n_kills: int, seed: int, while_writing: bool
) -> dict[str, object]:
    """All runs, one after the other."""
    model = MODELS[command[0]]
    seconds = finish(command, folder / "undisturbed")
    expected = digest(folder / "undisturbed" / model)
    moments = np.random.default_rng(seed).uniform(0, seconds, n_kills)
    kills = []
    for number, moment in enumerate(moments):
        output = folder / f"killed-{number}"
        left = kill(command, output, float(moment), while_writing)
        finish(command, output)
        kills.append({**left, "identical": digest(output / model) == expected})
    return {
        "command": " ".join(command),
        "seconds_of_training": round(seconds, 2),
        "kills": n_kills,
        "kills_while_writing": sum(bool(left["half_written"]) for left in kills),
        "kills_with_a_state": sum(bool(left["state"]) for left in kills),
        "identical": sum(bool(left["identical"]) for left in kills),
        "each": kills,
    }


def main() -> int:
    """Parse the command line and print the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("archive")
    parser.add_argument("--command", choices=tuple(MODELS), default="pretrain")
    parser.add_argument("--encoder", default="resnet18-compact")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--while-writing", action="store_true", help="wait, from then on, for a file being written"
    )
    given, options = parser.parse_known_args()
    command = [given.command, given.archive, "--encoder", given.encoder, *options]
    with tempfile.TemporaryDirectory() as folder:
        result = run(Path(folder), command, given.kills, given.seed, given.while_writing)
    print(json.dumps(result, indent=1))
    return 0 if result["identical"] == given.kills else 1


if __name__ == "__main__":
    sys.exit(main())
