"""Which rows of a catalogue one of several processes works on."""

from __future__ import annotations

import os
from dataclasses import dataclass

from photoz_ssl.errors import ConfigError
from photoz_ssl.fields import SLURM, numbers_of_shard

__all__ = ["EMPTY_SHARD", "WHOLE", "Shard", "shard_named"]

EMPTY_SHARD = "photoz-ssl: this shard has no rows and needs no part: merge the others"
"""What a report says of a share of too few rows."""


@dataclass(frozen=True)
class Shard:
    """One of ``count`` consecutive shares of the rows.

    Parameters
    ----------
    number, count : int
        Its number, from 1, and how many there are.
    """

    number: int
    count: int

    def rows(self, n_rows: int, block_size: int) -> tuple[int, int]:
        """Its first row, from 0, and the row after its last; the same for an empty one.

        Shards begin where blocks do: a network rounds the last digits by the block that a
        galaxy is in, and shards are to give the bytes that a single run gives.
        """
        n_blocks = -(-n_rows // block_size)
        ends = (n_blocks * number // self.count for number in (self.number - 1, self.number))
        start, stop = (min(end * block_size, n_rows) for end in ends)
        return start, stop


WHOLE = Shard(1, 1)
"""All rows."""


def shard_named(text: str) -> Shard:
    """The shard that ``2/8`` names, or a task of a SLURM array by ``slurm``.

    Raises
    ------
    ConfigError
        If it names none.
    """
    if text == SLURM:
        return _of_slurm()
    return Shard(*numbers_of_shard(text))


def _of_slurm() -> Shard:
    """The share of this task of an array job: ``--array=1-8``, or any other such range."""
    names = ("ID", "MIN", "MAX", "STEP", "COUNT")
    values = {name: os.environ.get(f"SLURM_ARRAY_TASK_{name}", "") for name in names}
    if not all(values[name].isdigit() for name in ("ID", "MIN", "COUNT")):
        raise ConfigError(
            "--shard slurm, but SLURM_ARRAY_TASK_ID, _MIN and _COUNT are not set",
            "submit the job with sbatch --array=1-8, or say --shard 1/8",
        )
    first, task, count = (int(values[name]) for name in ("MIN", "ID", "COUNT"))
    step = int(values["STEP"]) if values["STEP"].isdigit() else 1
    number, rest = divmod(task - first, max(step, 1))
    if rest or not 0 <= number < count:
        raise ConfigError(
            f"task {task} is not one of {count} in steps of {step} from {first}",
            "number the array's tasks evenly, as in sbatch --array=1-8",
        )
    return Shard(number + 1, count)
