"""Folders of outputs, which are emptied of our own files and of no others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from photoz_ssl.errors import OutputError
from photoz_ssl.files import is_leftover

__all__ = ["remove_own", "require_own"]


def require_own(folder: Path, own: re.Pattern[str], what: str) -> None:
    """Refuse a folder that cannot be emptied without a loss: files in it are not all our own.

    Parameters
    ----------
    folder : Path
        It exists.
    own : compiled regular expression
        What the names of our files are, as paths from the folder.
    what : str
        What our files are, for the error.

    Raises
    ------
    OutputError
        If something else lies in it, at any depth, or if it holds the working directory.
    """
    if Path.cwd().resolve().is_relative_to(folder.resolve()):
        raise OutputError(
            f"the folder {folder} is the working directory, or holds it", "name another --output"
        )
    for name in _names_in(folder):
        if not own.fullmatch(name) and not is_leftover(Path(name)):
            raise OutputError(
                f"{folder} holds other files than those of {what}: {name}",
                "move them away, or name another --output",
            )


def remove_own(folder: Path, own: re.Pattern[str]) -> None:
    """Remove our files from a folder, and the folders in it that are empty then."""
    names = [name for name in _names_in(folder) if own.fullmatch(name) or is_leftover(Path(name))]
    for name in names:
        (folder / name).unlink(missing_ok=True)
    emptied = {parent for name in names for parent in Path(name).parents} - {Path()}
    for parent in sorted(emptied, reverse=True):  # what is in a folder sorts behind it
        with suppress(OSError):
            (folder / parent).rmdir()


def _names_in(folder: Path) -> Iterator[str]:
    """All but the folders in a folder, at any depth, as paths from it; links are not followed."""
    for path in folder.rglob("*"):
        if path.is_symlink() or not path.is_dir():
            yield path.relative_to(folder).as_posix()
