"""What became of the rows of a catalogue: counts, and the first problem of each kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoz_ssl.errors import CatalogError, PartError, no_image
from photoz_ssl.survey.blocks import GalaxyBlock, GalaxySource
from photoz_ssl.survey.dust import spell_sources
from photoz_ssl.survey.flags import FLAG_MEANINGS, UNUSABLE, RowFlag
from photoz_ssl.workflows.counting import share_with

__all__ = ["Tally", "counts_of", "facts_of"]


def facts_of(
    block: GalaxyBlock,
    source: GalaxySource,
    flags: NDArray[np.int32],
    n_redshifts: int,
    hardware: str,
) -> dict[str, Any]:
    """What `Tally.add` counts of a block, JSON-ready.

    Parameters
    ----------
    block : GalaxyBlock
        The galaxies, n of them.
    source : GalaxySource
        Where they are from: what it has said so far is noted, too.
    flags : ndarray, shape (n,)
        Their flags in the table.
    n_redshifts : int
        How many of them have a redshift.
    hardware : str
        What the network ran on.
    """
    first: dict[str, tuple[int, str]] = {}
    for problem in block.problems:
        first.setdefault(str(int(problem.flag)), (problem.row, problem.message))
    return {
        **counts_of(flags, n_redshifts),
        "first": first,
        "dust": list(source.dust),
        "notices": list(source.notices),
        "hardware": [hardware],
    }


def counts_of(flags: NDArray[np.int32], n_redshifts: int) -> dict[str, Any]:
    """What `Tally.add` counts of rows of which only the flags, shape (n,), are known."""
    by_flag = {str(int(flag)): int(np.count_nonzero(flags & int(flag))) for flag in RowFlag}
    return {
        "rows": len(flags),
        "redshifts": n_redshifts,
        "flagged": int(np.count_nonzero(flags & ~int(RowFlag.COARSE_DUST_MAP))),
        "by_flag": {flag: count for flag, count in by_flag.items() if count},
        "first": {},
        "dust": [],
        "notices": [],
        "hardware": [],
    }


@dataclass
class Tally:
    """Counts over blocks; see `facts_of`."""

    n_rows: int = 0
    n_redshifts: int = 0
    n_flagged: int = 0
    by_flag: Counter[RowFlag] = field(default_factory=Counter)
    first: dict[RowFlag, tuple[int, str]] = field(default_factory=dict)
    _dust: dict[str, None] = field(default_factory=dict)
    _told: dict[str, None] = field(default_factory=dict)
    _hardware: dict[str, None] = field(default_factory=dict)

    def add_noted(self, facts: Mapping[str, Any]) -> None:
        """Count the next block of a part file, which anybody may have written.

        Raises
        ------
        PartError
            If what is noted there are no facts.
        """
        try:
            self.add(facts)
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise PartError(
                "what a part says of its rows is damaged", "make the parts again"
            ) from error

    def add(self, facts: Mapping[str, Any]) -> None:
        """Count the next block."""
        self.n_rows += int(facts["rows"])
        self.n_redshifts += int(facts["redshifts"])
        self.n_flagged += int(facts["flagged"])
        for flag, count in facts["by_flag"].items():
            self.by_flag[RowFlag(int(flag))] += int(count)
        for flag, (row, message) in facts["first"].items():
            self.first.setdefault(RowFlag(int(flag)), (int(row), str(message)))
        self._dust.update(dict.fromkeys(map(str, facts["dust"])))
        self._told.update(dict.fromkeys(map(str, facts["notices"])))
        self._hardware.update(dict.fromkeys(map(str, facts["hardware"])))

    @property
    def dust(self) -> str:
        """Where the reddening of the rows is from, for a person."""
        return spell_sources(self._dust)

    def notices(self) -> tuple[str, ...]:
        """What the source told, and a sentence for each kind of row without a redshift.

        And for each other flag that all of several rows have.
        """
        failures = (
            f"{share_with(self.by_flag[flag], self.n_rows, 'row')} no redshift:"
            f" {FLAG_MEANINGS[flag]}{self._example(flag)}"
            for flag in RowFlag
            if flag & UNUSABLE and self.by_flag[flag]
        )
        shared = (
            f"all {self.n_rows} rows are flagged: {FLAG_MEANINGS[flag]}"
            for flag in RowFlag
            if not flag & (UNUSABLE | RowFlag.COARSE_DUST_MAP) and self.by_flag[flag] == self.n_rows
        )
        return (
            *self._told,
            *failures,
            *(shared if self.n_rows > 1 else ()),
            *self.notices_of_hardware,
        )

    @property
    def notices_of_hardware(self) -> tuple[str, ...]:
        """A sentence where rows were computed on several kinds of hardware."""
        if len(self._hardware) < 2:
            return ()
        named = " and ".join(sorted(self._hardware))
        return (f"the rows were computed on {named}, which round differently in the last digits",)

    def _example(self, flag: RowFlag) -> str:
        if flag not in self.first:
            return ""
        row, message = self.first[flag]
        return f" (first: row {row + 1}, {message})"

    @property
    def first_problem(self) -> str:
        """The message of the first row with a problem; empty where there is none."""
        problems = sorted(self.first.values())
        return problems[0][1] if problems else ""

    @property
    def is_hopeless(self) -> bool:
        """Whether there are rows, and not one of them has a redshift."""
        return self.n_rows > 0 and self.n_redshifts == 0

    def require_a_redshift(self, catalog: str) -> None:
        """Refuse a table of rows without a single redshift; one without rows is what was asked.

        Raises
        ------
        CatalogError, CutoutError
            That names the first problem.
        """
        if not self.is_hopeless:
            return
        if self.by_flag[RowFlag.NO_REDDENING] == self.n_rows:
            raise CatalogError(
                f"of no row of {catalog} an E(B-V) is known", "add EBV, or positions in degrees"
            )
        reason = self.first_problem or "; ".join(self.notices())
        raise no_image(catalog, reason)
