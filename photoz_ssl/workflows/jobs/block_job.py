"""Work on a catalogue, block by block, that can be kept in parts: what an engine knows of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.later import Later
from photoz_ssl.survey.blocks import GalaxyBlock, GalaxySource
from photoz_ssl.survey.tables.manifest import Manifest, PdfRows

__all__ = ["BlockConfig", "BlockJob", "ComputedBlock", "Opener"]


@dataclass(frozen=True)
class ComputedBlock:
    """What a block of galaxies gives.

    Parameters
    ----------
    rows : structured ndarray, shape (n,)
        Rows of the table.
    pdfs : structured ndarray, shape (n,), optional
        Their `photoz_ssl.survey.tables.manifest.pdf_rows`, where PDFs are asked for.
    facts : dict
        See `photoz_ssl.workflows.jobs.tally.facts_of`.
    """

    rows: NDArray[np.void]
    pdfs: PdfRows | None
    facts: dict[str, Any]


class BlockConfig(Protocol):
    """The options of a command whose work can be kept in parts."""

    @property
    def catalog(self) -> str:
        """The input."""

    @property
    def overwrite(self) -> bool:
        """Whether to begin anew."""

    @property
    def resume(self) -> bool:
        """Whether to go on."""

    @property
    def shard(self) -> str | None:
        """Which share of the rows."""

    @property
    def dask(self) -> str | None:
        """Whose workers."""


class BlockJob(Protocol):
    """An open catalogue, and what is to be computed of its galaxies."""

    @property
    def config(self) -> BlockConfig:
        """What to do."""

    @property
    def source(self) -> GalaxySource:
        """The galaxies."""

    @property
    def opener(self) -> Opener:
        """What opens the same job in another process."""

    @property
    def stage(self) -> str:
        """What is done, for the progress."""

    @property
    def block_size(self) -> int:
        """Rows a block."""

    def identity(self) -> dict[str, str | int]:
        """All that the numbers depend on, named for a person."""

    def manifest(self, start: int, stop: int, command_line: str) -> Manifest:
        """What a part file says of rows ``start`` to ``stop``."""

    def begun(self, block: GalaxyBlock) -> Later[ComputedBlock]:
        """Begin with a block's rows of the table; what is returned waits for them."""


Opener = Callable[[Any], AbstractContextManager[BlockJob]]
"""A configuration to its job; a function of a module, so that it can be sent to a worker."""
