"""Processes in which a program trains, each a fork of one that has imported torch.

To import it takes longer than these trainings do.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "photoz_ssl.cli.pretrain",
        "photoz_ssl.cli.signals",
        "photoz_ssl.workflows.finetune",
        "photoz_ssl.workflows.pretrain",
        "scipy.optimize",
    ]
)

BEGINNING = """
import os, sys
os.dup2(os.open(told, os.O_WRONLY), 2)
os.environ.update(environ)
sys.argv[1:] = arguments
import torch
torch.set_num_threads(n_threads)
"""


class Training:
    """A process that runs a program with such arguments, environment and number of threads."""

    def __init__(
        self,
        program: str,
        *arguments: object,
        environ: Mapping[str, object] | None = None,
        n_threads: int = 1,
    ) -> None:
        handle, told = tempfile.mkstemp()
        os.close(handle)
        self._told = Path(told)
        names = {
            "__name__": "__main__",
            "told": told,
            "environ": {name: str(value) for name, value in (environ or {}).items()},
            "arguments": [*map(str, arguments)],
            "n_threads": n_threads,
        }
        self._process = FORKS.Process(target=exec, args=(BEGINNING + program, names), daemon=True)
        self._process.start()

    @property
    def told(self) -> str:
        """What it has said on stderr so far."""
        return self._told.read_text()

    @property
    def runs(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.is_alive()

    def send_signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        """End it outright, unless it has ended by itself."""
        self._process.kill()

    def ended(self) -> tuple[int, str]:
        """Its exit code, or minus the signal that ended it, and what it told on stderr."""
        self._process.join(120)
        code, told = self._process.exitcode, self.told
        assert code is not None, told
        self._process.close()
        self._told.unlink()
        return code, told
