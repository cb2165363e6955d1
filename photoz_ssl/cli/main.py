"""The group of commands, and the one place where an error becomes text and an exit code."""

from __future__ import annotations

import difflib
import importlib
import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from photoz_ssl import __version__
from photoz_ssl.cli.console import EXIT_ERROR, EXIT_INTERRUPTED
from photoz_ssl.cli.signals import ended_by_signals
from photoz_ssl.cli.streams import abandon_stdout, usable_streams
from photoz_ssl.errors import PeerFailedError, PhotozError

__all__ = ["COMMANDS", "main"]

COMMANDS = (
    "simulate",
    "prepare",
    "pretrain",
    "finetune",
    "predict",
    "merge",
    "embed",
    "similar",
    "browse",
    "evaluate",
    "convert",
    "experiment",
)

OUT_OF_MEMORY = re.compile(
    r"out of memory|can't allocate memory|cannot allocate memory|bad_?alloc|failed to map segment"
    r"|can't start new thread|status_alloc_failed",
    re.IGNORECASE,
)
"""What libraries say in errors of many kinds where the system gives them no more memory."""

NO_USABLE_GPU = re.compile(
    r"no kernel image|busy or unavailable|nvidia driver|cuda driver|cuda unknown error"
    r"|status_not_initialized|uncorrectable ecc",
    re.IGNORECASE,
)
"""What PyTorch says of a GPU that it sees and cannot use, such as one older than it supports."""

MORE_MEMORY = (
    "choose a smaller --batch-size or fewer --workers, or allow more: under ulimit -v PyTorch alone"
    " takes 4 GB"
)


class PhotozGroup(click.Group):
    """Commands imported by name when asked for; errors told in one sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"photoz_ssl.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names; a mistyped one is told what it is like."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            alike = difflib.get_close_matches(args[0], COMMANDS, 1)
            if not alike:
                raise
            raise click.UsageError(f"{error.message} Did you mean {alike[0]!r}?", ctx) from error

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run the command line and exit: 0 done, 1 an error, 2 usage, 130 interrupted."""
        with usable_streams(), ended_by_signals():
            try:
                code = self._exit_code(args, prog_name, **extra)
            except KeyboardInterrupt:  # an error was being told, as by all that torchrun started
                code = EXIT_INTERRUPTED
            sys.exit(code)

    def _exit_code(self, args: Sequence[str] | None, prog_name: str | None, **extra: Any) -> int:
        try:
            code = super().main(args, prog_name, standalone_mode=False, **extra)
            sys.stdout.flush()
            return code if isinstance(code, int) else 0
        except PeerFailedError:
            return EXIT_ERROR
        except PhotozError as error:
            _tell(f"Error: {error.message}.", f"Hint: {error.hint}." if error.hint else "")
            return EXIT_ERROR
        except click.ClickException as error:
            error.show()
            return error.exit_code
        except (KeyboardInterrupt, click.Abort):
            _tell("Interrupted; nothing is left half-written.")
            return EXIT_INTERRUPTED
        except Exception as error:
            if _is_of_memory(error):
                reason = " ".join(str(error).split()).rstrip(".")
                _tell(f"Error: there is not enough memory{': ' * bool(reason)}{reason}.")
                _tell(f"Hint: {MORE_MEMORY}.")
                return EXIT_ERROR
            if isinstance(error, RuntimeError) and NO_USABLE_GPU.search(str(error)):
                _tell(f"Error: the GPU cannot be used: {str(error).splitlines()[0].rstrip('.')}.")
                _tell("Hint: say --device cpu, or install a driver and a PyTorch for this GPU.")
                return EXIT_ERROR
            if isinstance(error, OSError):
                return _exit_code_of(error)
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; a closed pipe is caught here, as click would exit with code 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            return _exit_code_of(error)


def _is_of_memory(error: Exception) -> bool:
    """Whether the system, or a limit such as ulimit's or a batch system's, gave no more memory."""
    told = isinstance(error, ImportError | OSError | RuntimeError)
    return isinstance(error, MemoryError) or (told and bool(OUT_OF_MEMORY.search(str(error))))


def _exit_code_of(error: OSError) -> int:
    """Tell what the system refused, unless it is that a reader of stdout has had what it wanted."""
    if abandon_stdout() and isinstance(error, BrokenPipeError):
        return 0
    names = [str(name) for name in (error.filename, error.filename2) if name is not None]
    reason = " ".join((error.strerror or str(error) or type(error).__name__).split())
    _tell(f"Error: {' and '.join(names)}{': ' if names else ''}{reason}.")
    _tell("Hint: check the file, its folder, the space there and who may use them.")
    return EXIT_ERROR


def _tell(*lines: str) -> None:
    for line in filter(None, lines):
        click.echo(line, err=True)


@click.group(cls=PhotozGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="photoz-ssl")
def main() -> None:
    """Turn galaxy images into redshifts and visual neighbours.

    \b
    photoz-ssl predict catalog.fits
    photoz-ssl similar odd.fits --among atlas.h5 -o neighbours.fits
    """
