"""Training from the command line, and the signals that stop it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from photoz_ssl.cli import console
from photoz_ssl.cli.main import main
from photoz_ssl.cli.signals import stop_on_signals

pytestmark = pytest.mark.usefixtures("tiny_preset")


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(argument) for argument in arguments])
    return int(stop.value.code or 0)


def signal_at(number: int, images: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this process send itself a signal while it trains."""

    def send(self: object, stage: str, done: int, total: int, /, **figures: Any) -> None:
        if done == images:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(console._Lines, "__call__", send)


@pytest.fixture(autouse=True)
def heeded_signals() -> Iterator[None]:
    """What the tests were started under may ignore some of them, as nohup does."""
    inherited = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGHUP: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    }
    yield
    for number, handler in inherited.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
def test_a_signal_is_noted_and_its_handler_put_back(number: int) -> None:
    before = signal.getsignal(number)
    with stop_on_signals() as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()
    assert signal.getsignal(number) is before


def test_an_ignored_hang_up_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stop_on_signals() as stop:
        os.kill(os.getpid(), signal.SIGHUP)
        assert not stop()
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


@pytest.mark.parametrize(
    ("command", "number", "model"),
    [
        ("pretrain", signal.SIGTERM, "encoder.safetensors"),
        ("finetune", signal.SIGUSR1, "photoz.safetensors"),
        ("finetune", signal.SIGHUP, "photoz.safetensors"),
    ],
)
def test_a_signal_stops_with_a_state_a_line_and_exit_code_0(
    command: str,
    number: int,
    model: str,
    tiny_archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = [command, tiny_archive, "--encoder", "tiny", "--batch-size", 4, "--epochs", 2]
    options += ["--queue-size", 16, "--batchnorm-groups", 2] if command == "pretrain" else []
    assert run(*options, "-o", tmp_path / "whole") == 0
    with monkeypatch.context() as patch:
        signal_at(number, 8, patch)
        capsys.readouterr()
        assert run(*options, "-o", tmp_path / "cut") == 0
    told = capsys.readouterr()
    assert told.err == (
        "stopped after step 2 of 6, as asked; the same command with --resume goes on from there\n"
    )
    assert told.out == ""
    assert not (tmp_path / "cut" / model).exists()
    assert run(*options, "-o", tmp_path / "cut", "--resume") == 0
    runs = [(tmp_path / name / model).read_bytes() for name in ("whole", "cut")]
    assert runs[0] == runs[1]


@pytest.mark.parametrize(("images", "resumable"), [(4, False), (16, True)])
def test_ctrl_c_still_exits_with_130_and_says_what_is_kept(
    images: int,
    resumable: bool,
    tiny_archive: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    signal_at(signal.SIGINT, images, monkeypatch)
    options = ["--encoder", "tiny", "--batch-size", 4, "-o", tmp_path / "run"]
    assert run("finetune", tiny_archive, *options) == 130
    kept = f"{tmp_path / 'run'} keeps its last state; --resume goes on from there"
    told = [line for line in capsys.readouterr().err.splitlines() if line]
    end = "Interrupted; nothing is left half-written."
    assert told == ([kept, end] if resumable else [end])
