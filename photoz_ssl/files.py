"""Outputs that appear whole or not at all."""

from __future__ import annotations

import errno
import logging
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from photoz_ssl.errors import OutputError
from photoz_ssl.fingerprints import file_and_selection

__all__ = [
    "atomic_output",
    "cache_folder",
    "claim_output",
    "is_leftover",
    "output_errors",
    "remove_leftovers",
    "require_other",
    "scratch_folder",
    "temporary_errors",
]

log = logging.getLogger(__name__)

DEVICES = Path("/dev")
"""``/dev/stdout`` is a file where it is redirected to one, and no file to replace."""

LONGEST_STEM, LONGEST_SUFFIX = 50, 30
"""Characters of an output's name that its temporary name has: it is longer by others."""

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def cache_folder() -> Path:
    """Where what can be made again is kept: ``$XDG_CACHE_HOME/photoz-ssl``, or in ``~/.cache``."""
    root = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(root or Path.home() / ".cache") / "photoz-ssl"
    except RuntimeError:  # a user without a name and without HOME, as in a container
        return Path(tempfile.gettempdir()) / f"photoz-ssl-{os.getuid()}"


def claim_output(path: Path, *, overwrite: bool) -> None:
    """Refuse an output path that cannot or must not be written.

    Raises
    ------
    OutputError
        If the path exists and ``overwrite`` is false, if it is a folder, a device or a pipe,
        or if its parent folder does not exist.
    """
    with output_errors(path):
        with suppress(FileNotFoundError, NotADirectoryError):
            path.lstat()  # why one cannot be, `Path.exists` and `is_dir` may not tell
        if path.is_dir():
            raise OutputError(f"the output {path} is a folder", "name a file")
        if path.exists() and not (path.is_file() and path.absolute().parent != DEVICES):
            raise OutputError(f"the output {path} is a device or a pipe", "name a file")
        if path.exists() and not overwrite:
            raise OutputError(f"the output {path} exists already", "add --overwrite to replace it")
        folder = _target_of(path).parent
        if not folder.is_dir():
            led = f", into which the link {path} leads," if path.is_symlink() else ""
            raise OutputError(f"the folder {folder}{led} does not exist", "create it first")


def _target_of(path: Path) -> Path:
    """Where a file of that name is written: where it leads, if it is a symbolic link."""
    try:
        return path.resolve() if path.is_symlink() else path
    except RuntimeError as error:
        raise OutputError(f"the link {path} leads to itself", "name another --output") from error


def require_other(output: str | Path, *inputs: str | Path | None) -> None:
    """Refuse an output that is one of the inputs, which it would replace.

    Parameters
    ----------
    output : str or Path
        A file, or ``-``.
    inputs : str, Path or None
        Files, or what stands for one in CFITSIO's syntax; None for one that was not named.

    Raises
    ------
    OutputError
        That names the output.
    """
    for name, _ in (file_and_selection(str(one)) for one in inputs if one is not None):
        with suppress(OSError, ValueError):  # not there, or no name of a file
            if Path(output).samefile(name) and Path(name).is_file():
                raise OutputError(f"the output {output} is the input", "name another --output")


@contextmanager
def atomic_output(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Write a file under a temporary name beside ``path``; rename it when complete.

    The temporary file keeps the suffix of ``path``. It is removed if the block fails, so
    that an interrupted job leaves nothing, and what stood at ``path`` before, behind. What
    somebody else has written there meanwhile stays as well, unless ``overwrite``. A symbolic
    link stays one, and the file that it leads to is written.

    Yields
    ------
    Path
        The temporary name to write to; it does not exist yet.

    Raises
    ------
    OutputError
        As `claim_output`, and where the disk is full or refuses the file.
    """
    claim_output(path, overwrite=overwrite)
    suffix = path.suffix if len(path.suffix) <= LONGEST_SUFFIX else ""
    path = _target_of(path)
    stem = path.stem[:LONGEST_STEM]
    temporary = path.with_name(f".{stem}.{secrets.token_hex(4)}.part{suffix}")
    try:
        with output_errors(path):
            mode = _mode_of_new_files(temporary)
            yield temporary
            temporary.chmod(mode)
            _flush_to_disk(temporary)
            _put(temporary, path, overwrite=overwrite)
            log.info("wrote %s", path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals to write into an `OutputError` about ``path``."""
    try:
        yield
    except OSError as error:
        if error.errno in NO_SPACE:
            raise OutputError(
                f"no space left on the disk while writing {path}",
                "free some space or choose another --output",
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise OutputError(
                f"no permission to write {path}", "choose another --output"
            ) from error
        if error.errno == errno.ENOENT and _is_beside(path, error.filename):
            raise OutputError(
                f"no file can be made in {path.absolute().parent}", "choose another --output"
            ) from error
        if error.errno == errno.ENAMETOOLONG:
            raise OutputError(
                f"the name {path} is too long for the disk", "choose a shorter one"
            ) from error
        raise


def _is_beside(path: Path, refused: Any) -> bool:
    """Whether it is this path, or its temporary name, that the system has no place for."""
    beside = isinstance(refused, str) and Path(refused).absolute().parent == path.absolute().parent
    return beside and not Path(refused).exists()


@contextmanager
def temporary_errors(purpose: str) -> Iterator[None]:
    """Tell of a temporary folder without space for something, such as "to unpack images"."""
    try:
        yield
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        raise OutputError(
            f"no space left in {tempfile.gettempdir()} {purpose}",
            "free some space or set TMPDIR to a larger folder",
        ) from error


@contextmanager
def scratch_folder(purpose: str = "for scratch files") -> Iterator[Path]:
    """A folder for temporary files, which vanishes with the block; see `temporary_errors`."""
    with (
        temporary_errors(purpose),
        tempfile.TemporaryDirectory(prefix="photoz-ssl-") as folder,
    ):
        yield Path(folder)


def _put(temporary: Path, path: Path, *, overwrite: bool) -> None:
    """Give a finished file its name; a new link cannot replace what has come there meanwhile."""
    if not overwrite:
        try:
            path.hardlink_to(temporary)
            return
        except OSError as error:  # or the disk has no such links
            if path.exists() and not path.samefile(temporary):
                raise OutputError(
                    f"somebody else has written {path} meanwhile",
                    "name another --output, or add --overwrite to replace it",
                ) from error
    temporary.replace(path)


def _mode_of_new_files(path: Path) -> int:
    """The permissions that a file at ``path`` is born with; some writers narrow them."""
    path.touch()
    mode = path.stat().st_mode
    path.unlink()
    return mode


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_leftover(path: Path) -> bool:
    """Whether a path is the temporary file of an `atomic_output` that was killed."""
    return re.fullmatch(r"\..+\.[0-9a-f]{8}\.part(\.\w+)?", path.name) is not None


def remove_leftovers(folder: Path) -> None:
    """Remove what killed writers left in a folder; nobody else may be writing there."""
    for path in folder.iterdir():
        if is_leftover(path):
            path.unlink(missing_ok=True)
