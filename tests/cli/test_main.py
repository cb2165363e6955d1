"""The frame of the command line: help, exit codes, errors in one sentence, no slow imports."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import click
import pytest

from photoz_ssl import __version__
from photoz_ssl.cli.main import COMMANDS, PhotozGroup, main
from photoz_ssl.errors import PhotozError

SLOW_MODULES = (
    *("torch", "astropy", "numpy", "fitsio", "h5py", "rich", "matplotlib"),
    *("packaging", "importlib.metadata"),
)
COMPILER = ("torchvision", "torch._dynamo")


def modules_imported_by(arguments: list[str], among: tuple[str, ...] = SLOW_MODULES) -> set[str]:
    program = (
        "import sys\n"
        "from photoz_ssl.cli import main\n"
        "try:\n"
        f"    main({arguments!r})\n"
        "except SystemExit:\n"
        f"    print('imported', *(name for name in {among!r} if name in sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    last = done.stdout.strip().splitlines()[-1].split()
    assert last[0] == "imported", done.stderr
    return set(last[1:])


@pytest.mark.parametrize(
    "arguments", [["--help"], ["predict", "--help"], ["predict", "x.fits", "--no-such-option"]]
)
def test_help_and_a_mistyped_option_import_nothing_slow(arguments: list[str]) -> None:
    assert modules_imported_by(arguments) == set()


def test_a_prediction_does_not_import_the_compiler(
    tiny_archive: Path, model: Path, tmp_path: Path
) -> None:
    output = tmp_path / "photoz.fits"
    arguments = ["predict", str(tiny_archive), "--model", str(model), "-o", str(output), "-q"]
    assert modules_imported_by(arguments, COMPILER) == set()
    assert output.exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help_that_ends_with_examples(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "Examples:" in text
    assert f"photoz-ssl {name} " in text[text.index("Examples:") :]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["predict", "--no-such"], ["no-such"], ["predict"], ["predict", "x", "y"]]
)
def test_usage_errors_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "Usage:" in capsys.readouterr().err


def test_a_mistyped_command_is_told_what_it_is_like(capsys: pytest.CaptureFixture[str]) -> None:
    for word, told in (("predikt", "Did you mean 'predict'?"), ("xyzzy", "No such command")):
        with pytest.raises(SystemExit):
            main([word])
        error = capsys.readouterr().err
        assert told in error
        assert ("Did you mean" in error) == (word == "predikt")


def group_that(raises: BaseException) -> PhotozGroup:
    class Failing(PhotozGroup):
        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
            @click.command
            def fail() -> NoReturn:
                raise raises

            return fail

    return Failing(name="photoz-ssl")


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (PhotozError("the sky is cloudy", "wait"), 1, "Error: the sky is cloudy.\nHint: wait.\n"),
        (PhotozError("the sky is cloudy"), 1, "Error: the sky is cloudy.\n"),
        (KeyboardInterrupt(), 130, "Interrupted"),
        (
            PermissionError(errno.EACCES, "Permission denied", "a.fits"),
            1,
            "a.fits: Permission denied",
        ),
        (OSError("FITSIO status = 104\ncould not open"), 1, "FITSIO status = 104 could not open."),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 1, "Error: Broken pipe."),  # no pipe of ours
    ],
)
def test_errors_become_text_and_an_exit_code(
    error: BaseException, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        group_that(error).main(["fail"])
    assert stop.value.code == code
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.out == ""


def test_a_closed_pipe_ends_quietly() -> None:
    program = (
        "from photoz_ssl.cli.main import PhotozGroup\n"
        "import click, sys\n"
        "@click.command\n"
        "def talk():\n"
        "    for number in range(100000): print(number)\n"
        "class Group(PhotozGroup):\n"
        "    def get_command(self, ctx, name): return talk\n"
        "Group(name='x').main(['talk'])\n"
    )
    talking = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert talking.stdout is not None
    assert talking.stderr is not None
    talking.stdout.readline()
    talking.stdout.close()
    errors = talking.stderr.read()
    talking.stderr.close()
    assert (talking.wait(), errors) == (0, b"")


def program_that(works: str) -> list[str]:
    """A command line of one command, which does this."""
    program = (
        "from photoz_ssl.cli.console import say\n"
        "from photoz_ssl.cli.main import PhotozGroup\n"
        "import click, os, sys, time\n"
        "@click.command\n"
        "def work():\n"
        f"    {works}\n"
        "class Group(PhotozGroup):\n"
        "    def get_command(self, ctx, name): return work\n"
        "Group(name='x').main(['work'])\n"
    )
    return [sys.executable, "-c", program]


def test_notices_that_nobody_reads_do_not_end_the_work(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    works = "[say('a notice') for _ in range(3)]; print('done', file=sys.stderr); print('done')"
    with os.fdopen(writing, "wb") as nobody:
        done = subprocess.run(program_that(works), stdout=subprocess.PIPE, stderr=nobody)
    assert (done.returncode, done.stdout) == (0, b"done\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_streams_that_the_shell_has_closed_are_done_without(closed: str, tmp_path: Path) -> None:
    works = "say('told'); print('done'); file = open('out', 'w'); print(file.fileno(), file=file)"
    shell = ["sh", "-c", f'"$@" {closed}', "sh"]
    done = subprocess.run([*shell, *program_that(works)], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert int((tmp_path / "out").read_text()) > 2


def test_a_full_disk_behind_standard_output_is_told() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(program_that("print('done')"), stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert b"Error: No space left on device.\nHint: " in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "error",
    [
        "MemoryError",
        "MemoryError('Unable to allocate 469. MiB')",
        "RuntimeError('DefaultCPUAllocator: can\\'t allocate memory: you tried')",
        "RuntimeError('CUDA out of memory.\\nTried to allocate 2.00 GiB.')",
        "RuntimeError('CUDA error: CUBLAS_STATUS_ALLOC_FAILED of `cublasCreate(handle)`')",
        "ImportError('libtorch_cpu.so: failed to map segment from shared object')",
        "OSError(12, 'Cannot allocate memory')",
    ],
)
def test_too_little_memory_is_one_sentence(error: str) -> None:
    done = subprocess.run(program_that(f"raise {error}"), capture_output=True, text=True)
    assert done.returncode == 1
    sentence, hint = done.stderr.splitlines()
    assert sentence.startswith("Error: there is not enough memory")
    assert "--batch-size" in hint


@pytest.mark.parametrize(
    "reason",
    [
        "CUDA error: no kernel image is available for execution on the device",
        "CUDA error: CUDA-capable device(s) is/are busy or unavailable",
        "cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
    ],
)
def test_a_gpu_that_cannot_be_used_is_one_sentence(reason: str) -> None:
    works = f"raise RuntimeError('{reason}\\nSearch for it in the manual.')"
    done = subprocess.run(program_that(works), capture_output=True, text=True)
    assert done.returncode == 1
    sentence, hint = done.stderr.splitlines()
    assert sentence == f"Error: the GPU cannot be used: {reason}."
    assert "--device cpu" in hint


def test_a_fault_of_the_program_is_no_lack_of_memory() -> None:
    done = subprocess.run(program_that("raise RuntimeError('nonsense')"), capture_output=True)
    assert b"Traceback" in done.stderr


def test_a_signal_that_comes_while_an_error_is_told_ends_the_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As torchrun ends all processes once the first of them has told a mistyped option."""
    monkeypatch.setattr(
        click.UsageError, "show", lambda error: os.kill(os.getpid(), signal.SIGTERM)
    )
    with pytest.raises(SystemExit) as stop:
        main(["predict", "--mistyped"])
    assert stop.value.code == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_end_the_work_as_ctrl_c_does(number: signal.Signals, tmp_path: Path) -> None:
    works = (
        "from photoz_ssl.files import atomic_output; from pathlib import Path\n"
        "    with atomic_output(Path('out.h5')) as path: path.touch(); print('begun', flush=True);"
        " [time.sleep(0.1) for _ in range(600)]"  # a signal just before a sleep does not end it
    )
    working = subprocess.Popen(
        program_that(works),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )
    assert working.stdout is not None
    working.stdout.readline()
    assert list(tmp_path.iterdir())
    working.send_signal(number)
    _, told = working.communicate(timeout=30)
    assert working.returncode == 130
    assert told.strip() == b"Interrupted; nothing is left half-written."
    assert not list(tmp_path.iterdir())


def test_a_copy_of_the_process_just_dies_of_a_signal() -> None:
    works = (
        "copy = os.fork()\n"
        "    if not copy: os.kill(os.getpid(), 15); time.sleep(60)\n"
        "    print(os.WTERMSIG(os.waitpid(copy, 0)[1]))"
    )
    done = subprocess.run(program_that(works), capture_output=True, text=True, timeout=50)
    assert (done.returncode, done.stdout, done.stderr) == (0, "15\n", "")
