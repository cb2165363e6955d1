"""Benchmarks that are asked for too little, and what they draw."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

FOLDER = Path(__file__).parents[1] / "benchmarks"


def benchmark(name: str, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> dict[str, Any]:
    """Run a script with arguments, or load it where there are none."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    run_name = "__main__" if arguments else name
    return runpy.run_path(str(FOLDER / f"{name}.py"), run_name=run_name)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("views --galaxies 100", "--galaxies: must be at least 256"),
        ("views --seconds nan", "--seconds: must be positive"),
        ("views --galaxies 256 --device cuda", "no GPU is visible to torch"),
        ("feeding --galaxies 255", "--galaxies: must be at least 256"),
        ("feeding --folder /nowhere", "there is no folder /nowhere"),
        ("pretrain_run --batch-size 12", "--batch-size must be a multiple of --batchnorm-groups"),
        ("inference --rounds 0", "--rounds: must be at least 1"),
        ("predict --share 0", "--share: must be positive"),
        ("similar --vectors 9", "--vectors: must be at least 10"),
        ("browse --galaxies 1", "--galaxies: must be at least 2"),
    ],
)
def test_too_little_is_refused_in_a_sentence(
    line: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    name, *arguments = line.split()
    with pytest.raises(SystemExit) as ending:
        benchmark(name, monkeypatch, *arguments)
    assert told in f"{ending.value} {capsys.readouterr().err}"


def test_of_many_images_few_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    script = benchmark("inference", monkeypatch)
    assert all(n % script["MOST_DRAWN"] == 0 for n in script["IMAGES"]["cuda"].values())
    monkeypatch.setitem(script["measured"].__globals__, "MOST_DRAWN", 2)
    seen: list[tuple[int, int]] = []

    def run(images: Tensor, n_times: int) -> Any:
        seen.append((len(images), n_times))
        return np.zeros(2)

    found = script["measured"]({"plain": run, "torch": run}, 6, n_rounds=1)
    assert seen == [(2, 1), (2, 1), (2, 3), (2, 3)]
    assert found["largest_difference"] == {"torch": 0.0}
