"""Processes that run a program or a Dask worker, each a fork of one that has imported torch.

To import it takes longer than most of what they do.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FORKS = multiprocessing.get_context("forkserver")
IMPORTED = [
    "distributed",
    "photoz_ssl.cli.pretrain",
    "photoz_ssl.cli.signals",
    "photoz_ssl.workflows.browse",
    "photoz_ssl.workflows.finetune",
    "photoz_ssl.workflows.predict",
    "photoz_ssl.workflows.pretrain",
    "photoz_ssl.workflows.trained.inference",
    "scipy.optimize",
    "torch._dynamo",  # comes with an optimizer
    "uvicorn",
]
"""Modules, of which those that are not installed are left out."""

FORKS.set_forkserver_preload(IMPORTED)

COMMAND_LINE = "from photoz_ssl.cli import main; main()"

BEGINNING = """
import os, signal, sys
os.dup2(os.open(said, os.O_WRONLY), 1)
os.dup2(os.open(told, os.O_WRONLY), 2)
os.environ.update(environ)
sys.argv[1:] = arguments
signal.signal(signal.SIGINT, signal.default_int_handler)
import torch
torch.set_num_threads(n_threads)
"""
"""Ctrl-C is heeded even if the parent does not, as one in the background may."""


class Fork:
    """A process that runs a program with such arguments, environment and number of threads."""

    def __init__(
        self,
        program: str,
        *arguments: object,
        environ: Mapping[str, object] | None = None,
        n_threads: int = 1,
    ) -> None:
        self.said = ""
        """What it has said on stdout, once it has ended."""
        self._said, self._told = empty_file(), empty_file()
        names = {
            "__name__": "__main__",
            "said": str(self._said),
            "told": str(self._told),
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
        self.said = self._said.read_text()
        for path in (self._said, self._told):
            path.unlink()
        return code, told


def wait_until(true: Callable[[], Any]) -> None:
    """Look ten times a second, for a minute at most."""
    for _ in range(600):
        if true():
            return
        time.sleep(0.1)
    raise TimeoutError(true)


def empty_file() -> Path:
    handle, path = tempfile.mkstemp()
    os.close(handle)
    return Path(path)


@contextmanager
def forked_workers() -> Iterator[None]:
    """Have Dask fork the workers that it starts; at its first use it chooses what is imported."""
    import dask
    import distributed

    utils: Any = distributed.utils
    with dask.config.set({"distributed.worker.multiprocessing-method": "forkserver"}):
        utils.get_mp_context().set_forkserver_preload(IMPORTED)
        yield
