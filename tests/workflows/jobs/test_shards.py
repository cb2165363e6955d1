"""Shards: together they are all rows, each once, cut where blocks are."""

from __future__ import annotations

import pytest

from photoz_ssl.errors import ConfigError
from photoz_ssl.workflows.jobs.shards import Shard, shard_named


@pytest.mark.parametrize("n_rows", [1, 7, 8, 100, 1001])
@pytest.mark.parametrize("count", [1, 2, 3, 8, 40])
def test_shards_are_all_rows_cut_between_blocks(n_rows: int, count: int) -> None:
    ends = [Shard(number, count).rows(n_rows, 8) for number in range(1, count + 1)]
    assert ends[0][0] == 0
    assert ends[-1][1] == n_rows
    assert [stop for _, stop in ends[:-1]] == [start for start, _ in ends[1:]]
    assert all(start % 8 == 0 or start == n_rows for start, _ in ends)
    sizes = [-(-(stop - start) // 8) for start, stop in ends]
    assert max(sizes) - min(sizes) <= 1


def test_a_name_is_understood() -> None:
    assert shard_named("2/8") == Shard(2, 8)


@pytest.mark.parametrize("text", ["0/8", "9/8", "2", "a/b", "1/0", "-1/2", "1/2/3", ""])
def test_a_strange_name_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="no share of the rows"):
        shard_named(text)


@pytest.mark.parametrize(
    ("task", "first", "step", "count", "number"),
    [(1, 1, 1, 8, 1), (8, 1, 1, 8, 8), (0, 0, 1, 4, 1), (30, 10, 10, 3, 3)],
)
def test_a_task_of_an_array_job_is_a_shard(
    task: int, first: int, step: int, count: int, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {"ID": task, "MIN": first, "STEP": step, "COUNT": count}
    for name, value in values.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))
    assert shard_named("slurm") == Shard(number, count)


def test_without_an_array_job_slurm_names_no_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)
    with pytest.raises(ConfigError, match="SLURM_ARRAY_TASK_ID"):
        shard_named("slurm")


def test_a_gap_in_the_array_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ID": "9", "MIN": "1", "COUNT": "3"}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
    monkeypatch.delenv("SLURM_ARRAY_TASK_STEP", raising=False)
    with pytest.raises(ConfigError, match="not one of 3"):
        shard_named("slurm")
