"""Interrupt predictions at random moments, resume them, and compare what comes out.

Each of N runs is interrupted once, at a moment drawn over the time that a whole run takes: by
Ctrl-C, SIGTERM, SIGKILL, or a disk that is full, in turn. It is then resumed, and its table
compared, byte by byte, with that of a run that nobody disturbed. Then the same with one shard of
three, merged with the other two. Prints one JSON object; exits with 1 if any table differs,
or a run has ended in a traceback or a crash.

    python examples/kill_prediction.py survey.h5 --runs 30
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from photoz_ssl.errors import PartError
from photoz_ssl.survey.archive import open_archive
from photoz_ssl.survey.tables.part_file import read_part

KINDS = ("SIGINT", "SIGTERM", "SIGKILL", "full disk")
BATCH_SIZE = 64
COMMAND = ("predict", "--pdf", "--batch-size", str(BATCH_SIZE), "--device", "cpu")
CRASHES = (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS)
"""What the interpreter may never end by."""

N_SHARDS = 3
PROGRAM = """
import signal, sys
from photoz_ssl.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main(sys.argv[1:], prog_name="photoz-ssl")
"""


def start(arguments: Sequence[str], most_bytes: int = 0) -> subprocess.Popen[bytes]:
    """Start the command line, on a disk that takes no larger files where asked for."""

    def limit() -> None:
        if most_bytes:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"},
        stderr=subprocess.PIPE,
        preexec_fn=limit,
    )


def finish(arguments: Sequence[str]) -> None:
    """Run the command line to its end."""
    process = start(arguments)
    _, told = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(told.decode())


def timed(arguments: Sequence[str], part: Path, done: Callable[[], bool]) -> float:
    """Run to the end; seconds from the part file's appearance until all is done."""
    process = start(arguments)
    while process.poll() is None and not part.exists():
        time.sleep(0.002)
    begun = time.monotonic()
    while process.poll() is None and not done():
        time.sleep(0.002)
    seconds = time.monotonic() - begun
    process.communicate()
    return seconds


def interrupt(
    arguments: Sequence[str], part: Path, kind: str, seconds: float, most_bytes: int
) -> dict[str, object]:
    """Interrupt a run some seconds after its part file has appeared, or on a full disk."""
    if kind == "full disk":
        process = start(arguments, most_bytes)
    else:
        process = start(arguments)
        while process.poll() is None and not part.exists():
            time.sleep(0.002)
        time.sleep(seconds)
        process.send_signal(getattr(signal, kind))
    _, told = process.communicate()
    return {
        "kind": kind,
        "exit_code": process.returncode,
        "traceback": b"Traceback" in told,
        "crashed": -process.returncode in CRASHES,
        "part_bytes": part.stat().st_size if part.exists() else 0,
    }


def single_runs(folder: Path, archive: str, n_runs: int, seed: int) -> list[dict[str, object]]:
    """Single runs, each interrupted and resumed."""
    output, part = folder / "z.fits", folder / "z.fits.part"
    command = [*COMMAND, archive, "-o", str(output)]
    seconds = timed(command, part, output.exists)
    whole = output.read_bytes()

    def run(number: int, kind: str, moment: float) -> dict[str, object]:
        output.unlink()
        size = int(moment * len(whole)) + 1
        found = interrupt(command, part, kind, moment * seconds, size)
        if not output.exists():
            finish([*command, "--resume"])
        same = output.read_bytes() == whole
        return {**found, "identical": same and not part.exists()}

    return each(run, n_runs, seed)


def sharded_runs(folder: Path, archive: str, n_runs: int, seed: int) -> list[dict[str, object]]:
    """Shards, of which one is interrupted and repeated."""
    output = folder / "z.fits"
    command = [*COMMAND, archive, "-o", str(output)]
    finish([*command, "--overwrite"])
    whole = output.read_bytes()
    parts = [folder / f"z.fits.{n + 1}-of-{N_SHARDS}.part" for n in range(N_SHARDS)]
    seconds = 0.0
    for number, part in enumerate(parts, start=1):
        shard = ["--shard", f"{number}/{N_SHARDS}"]
        seconds = timed([*command, *shard], part, partial(is_complete, part))

    def run(number: int, kind: str, moment: float) -> dict[str, object]:
        which = number % N_SHARDS
        arguments = [*command, "--shard", f"{which + 1}/{N_SHARDS}"]
        expected = parts[which].read_bytes()
        parts[which].unlink()
        size = int(moment * len(expected)) + 1
        found = interrupt(arguments, parts[which], kind, moment * seconds, size)
        finish(arguments)
        output.unlink(missing_ok=True)
        finish(["merge", *map(str, parts), "-o", str(output)])
        same = output.read_bytes() == whole
        return {**found, "identical": same and parts[which].read_bytes() == expected}

    return each(run, n_runs, seed)


def is_complete(part: Path) -> bool:
    """Whether a part file lacks nothing."""
    try:
        return read_part(part).complete
    except PartError:  # not yet there
        return False


def each(
    run: Callable[[int, str, float], dict[str, object]], n_runs: int, seed: int
) -> list[dict[str, object]]:
    """All runs, one after the other, the kinds of interruption in turn."""
    moments = np.random.default_rng(seed).uniform(0, 1, n_runs)
    return [run(n, KINDS[n % len(KINDS)], float(moment)) for n, moment in enumerate(moments)]


def main() -> int:
    """Parse the command line and print the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("archive")
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if len(open_archive(Path(given.archive))) <= (N_SHARDS - 1) * BATCH_SIZE:
        parser.error(f"name an archive of more than {(N_SHARDS - 1) * BATCH_SIZE} rows to shard")
    with tempfile.TemporaryDirectory() as folder:
        single = single_runs(Path(folder), given.archive, given.runs, given.seed)
        sharded = sharded_runs(Path(folder), given.archive, given.runs, given.seed + 1)
    result = {
        "runs": given.runs,
        "single_identical": sum(bool(run["identical"]) for run in single),
        "sharded_identical": sum(bool(run["identical"]) for run in sharded),
        "tracebacks": sum(bool(run["traceback"]) for run in single + sharded),
        "crashes": sum(bool(run["crashed"]) for run in single + sharded),
        "single": single,
        "sharded": sharded,
    }
    print(json.dumps(result, indent=1))
    good = given.runs == result["single_identical"] == result["sharded_identical"]
    return 0 if good and not (result["tracebacks"] or result["crashes"]) else 1


if __name__ == "__main__":
    sys.exit(main())
