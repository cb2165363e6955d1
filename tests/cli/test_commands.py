"""What each command hands to its workflow, and what it makes of the report."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest

from photoz_ssl.cli import console
from photoz_ssl.cli.main import main
from photoz_ssl.cli.predict import _recorded_command
from photoz_ssl.cli.signals import ended_by_signals
from photoz_ssl.progress import Stopped
from photoz_ssl.survey.blocks import RowProblem
from photoz_ssl.survey.flags import RowFlag
from photoz_ssl.workflows import dry_run
from photoz_ssl.workflows.dry_run import DryRunReport, RunConstant

WORDS = {
    "simulate": ["simulate", "-o", "out", "--seed", "3"],
    "prepare": ["prepare", "cat.fits", "-o", "out.h5", "--size", "64"],
    "pretrain": ["pretrain", "a.h5", "-o", "run", "--epochs", "3"],
    "finetune": ["finetune", "a.h5", "-o", "run", "--label-fraction", "0.5"],
    "predict": ["predict", "cat.fits", "--batch-size", "7"],
    "merge": ["merge", "a.part", "b.part", "-o", "out.fits"],
    "embed": ["embed", "cat.fits", "-o", "atlas.h5", "--dim", "32"],
    "similar": ["similar", "q.fits", "--among", "atlas.h5", "-o", "out.fits", "-k", "4"],
    "convert": ["convert", "shipped", "-o", "m.safetensors", "--labels", "real.h5"],
    "label_efficiency": [
        *("experiment", "label-efficiency", "a.h5", "-o", "run"),
        *("--encoder", "e.safetensors", "--seeds", "2"),
    ],
}
FIELDS: dict[str, dict[str, Any]] = {
    "simulate": {"seed": 3},
    "prepare": {"catalog": "cat.fits", "size": 64},
    "pretrain": {"epochs": 3},
    "finetune": {"label_fraction": 0.5},
    "predict": {"batch_size": 7},
    "merge": {"parts": ("a.part", "b.part")},
    "embed": {"dim": 32},
    "similar": {"queries": "q.fits", "among": Path("atlas.h5"), "n_neighbours": 4},
    "convert": {"labels": Path("real.h5")},
    "label_efficiency": {"n_seeds": 2, "encoder": "e.safetensors"},
}
IN_PARTS = ("predict", "embed")
TRAIN = ("pretrain", "finetune", "label_efficiency")
SHOW_PROGRESS = ("simulate", "prepare", "similar", *IN_PARTS, *TRAIN)


@dataclass(frozen=True)
class Report:
    """What a workflow would have done."""

    notices: tuple[str, ...] = ("the sky was clear",)
    problems: tuple[RowProblem, ...] = ()
    n_rows: int = 100
    n_usable: int = 75

    def summary(self) -> str:
        return "all was done"


Work = Callable[..., Report]


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., tuple[int, str]]:
    """Run a command with something else in place of its workflow: its exit code and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dry_run, "multiplies_bfloat16", lambda: False)  # whatever this CPU does

    def call(name: str, work: Work, *more: str) -> tuple[int, str]:
        monkeypatch.setattr(f"photoz_ssl.workflows.{name}.{name}", work)
        arguments = [*WORDS[name], *more]
        monkeypatch.setattr(sys, "argv", ["photoz-ssl", *arguments])
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        captured = capsys.readouterr()
        assert captured.out == ""
        return int(stop.value.code or 0), captured.err

    return call


Run = Callable[..., tuple[int, str]]


@pytest.mark.parametrize("name", WORDS)
def test_words_become_a_config_and_the_report_a_few_lines(
    name: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", 0.0)
    asked: list[Any] = []

    def work(config: Any, **options: Any) -> Report:
        asked.append((config, options))
        if "progress" in options:
            options["progress"]("working", 1, 2)
        return Report()

    code, told = run(name, work)
    notice = [] if name == "simulate" else ["Note: the sky was clear."]  # which has none to tell
    shown = ["working: 1 of 2"] if name in SHOW_PROGRESS else []
    assert (code, told.splitlines()) == (0, [*shown, *notice, "all was done"])
    config, options = asked[0]
    for field, value in FIELDS[name].items():
        assert getattr(config, field) == value, field
    if "command_line" in options:
        assert options["command_line"] == shlex.join(["photoz-ssl", *WORDS[name]])
    assert ("command_line" in options) == (name in ("predict", "similar"))
    assert run(name, work, "--quiet") == (0, "")
    assert asked[1][0] == config


def test_the_first_rows_that_cannot_be_used_are_shown(run: Run) -> None:
    problems = tuple(
        RowProblem(row, 1000 + row, RowFlag.IMAGE_MISSING, f"there is no [{row}].fits")
        for row in range(25)
    )
    code, told = run("prepare", lambda config, **_: Report(problems=problems))
    assert code == 0
    assert "25 of 100 rows cannot be used" in told
    (line,) = (line for line in told.splitlines() if "1004" in line)
    assert line.split("│")[1].strip() == "5"  # rows count from 1, for people
    assert "IMAGE_MISSING" in line
    assert "[4].fits" in line
    assert ("1019" in told, "1020" in told) == (True, False)
    assert "and 5 more; FLAGS in the archive says which" in told
    assert run("prepare", lambda config, **_: Report(problems=problems), "-q") == (0, "")


@pytest.mark.parametrize("name", ["pretrain", "finetune"])
def test_a_dry_run_tells_departures_and_notices(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def looked_at(config: Any, given: dict[str, str]) -> DryRunReport:
        assert given["epochs"] == "flag"
        return DryRunReport(
            command=name,
            output=config.output,
            recipe=None,
            constants=(RunConstant("epochs", "[3]", "flag"),),
            n_galaxies=1,
            n_steps=1,
            departures=("it departs",),
            notices=("a label is beyond",),
        )

    monkeypatch.setattr(f"photoz_ssl.workflows.dry_run.dry_run_{name}", looked_at)
    notes = ["Note: it departs.", "Note: a label is beyond."]
    for more, told, shown in (([], notes, True), (["-q"], [], False)):
        with pytest.raises(SystemExit):
            main([name, "a.h5", "-o", "run", "--epochs", "3", "--dry-run", *more])
        captured = capsys.readouterr()
        assert ("[3]" in captured.out) is shown
        assert captured.err.splitlines()[:2] == told
        assert ("would take 1 step on 1 galaxy →" in captured.err) is shown


@pytest.mark.parametrize("name", ["pretrain", "finetune"])
def test_of_processes_that_train_together_one_talks(
    name: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = ("--recipe", "hayat2020")
    for rank, told in ((0, {"Note", "all was done"}), (1, set())):
        environ = {"RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "here", "MASTER_PORT": 1}
        for variable, value in environ.items():
            monkeypatch.setenv(variable, str(value))
        code, said = run(name, lambda config, **_: Report(), *recipe, "--momentum", "0.5")
        assert (code, {line.partition(":")[0] for line in said.splitlines()}) == (0, told)


def test_an_experiment_says_where_it_is_no_longer_its_recipe(run: Run) -> None:
    recipe = ("--recipe", "hayat2020", "--momentum", "0.5")
    code, said = run("label_efficiency", lambda config, **_: Report(), *recipe)
    assert (code, said.splitlines()[0].partition(" as in")[0]) == (
        0,
        "Note: --momentum is 0.5, not 0.9",
    )


@pytest.fixture
def heeded_signals() -> Iterator[None]:
    """What the tests were started under may ignore some of them, as nohup does."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("heeded_signals")
@pytest.mark.parametrize("name", [*TRAIN, *IN_PARTS])
def test_what_can_be_taken_up_again_stops_when_asked_to(name: str, run: Run) -> None:
    def work(config: Any, *, stop: Callable[[], bool], **options: Any) -> NoReturn:
        assert not stop()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop()
        raise Stopped(3, 8)

    code, told = run(name, work)
    assert code == (0 if name in TRAIN else 130)
    assert told.startswith("stopped after step 3 of 8, as asked;")
    assert run(name, work, "-q") == (code, "")


def test_a_table_from_stdin_does_not_go_to_a_terminal(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(WORDS, "predict", ["predict", "-"])
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    code, told = run("predict", lambda config, **_: Report())
    assert code == 2
    assert "a catalogue on stdin needs -o" in told
    assert run("predict", lambda config, **_: Report(), "-o", "z.fits")[0] == 0


def test_a_recorded_command_is_the_same_for_every_part_of_the_work() -> None:
    whole = "photoz-ssl predict cat.fits -o 'my z.fits'"
    for more in (
        ["--resume"],
        ["--overwrite"],
        ["--shard", "2/8"],
        ["--shard=2/8", "--resume"],
        ["--dask", "local:4"],
        ["--dask=local:4"],
    ):
        words = ["predict", "cat.fits", "-o", "my z.fits"]
        assert _recorded_command([*words, *more]) == whole
        assert _recorded_command([*words[:2], *more, *words[2:]]) == whole


@pytest.mark.usefixtures("heeded_signals")
def test_a_second_signal_does_not_cut_the_tidying_short() -> None:
    tidied = False
    with ended_by_signals(), suppress(KeyboardInterrupt):
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except KeyboardInterrupt:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGHUP)
            tidied = True
    assert tidied
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


@pytest.mark.usefixtures("heeded_signals")
def test_a_hang_up_that_somebody_ignores_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    ended = True
    with ended_by_signals(), suppress(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGHUP)
        ended = False
    assert not ended
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
