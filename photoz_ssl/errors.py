"""The errors that a user can meet: each says what, where and what next."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "ArchiveError",
    "CatalogError",
    "CheckpointError",
    "ConfigError",
    "CutoutError",
    "DustError",
    "MissingExtraError",
    "OutputError",
    "PartError",
    "PeerError",
    "PeerFailedError",
    "PhotozError",
    "SpecMismatchError",
    "TrainingError",
    "columns_hint",
    "listed",
    "no_image",
]


class PhotozError(Exception):
    """Anything that stops a command and that its user can do something about.

    Parameters
    ----------
    message : str
        What went wrong and where, as one sentence without the final full stop.
    hint : str
        What to do next; where it is empty, what to do about any error of this kind.
    """

    usual_hint = ""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint or self.usual_hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class ConfigError(PhotozError):
    """An option has a value that cannot be used."""

    usual_hint = "photoz-ssl COMMAND --help tells what each option takes"


class CatalogError(PhotozError):
    """A catalogue cannot be read, or lacks what is needed of it."""


class CutoutError(PhotozError):
    """An image of a galaxy is missing, damaged or of the wrong kind."""


class DustError(PhotozError):
    """No Galactic reddening can be found for a row, or the dust map is unreadable."""


class ArchiveError(PhotozError):
    """An HDF5 archive or atlas is missing, damaged or not one of ours."""

    usual_hint = "copy or make it again"


class CheckpointError(PhotozError):
    """A model file is missing, damaged, unsafe or not one of ours."""

    usual_hint = "copy it again, or name another model"


class SpecMismatchError(PhotozError):
    """Two files describe images that cannot be used together."""

    usual_hint = "use images and a model of the same kind"


class TrainingError(PhotozError):
    """A network does not learn."""


class OutputError(PhotozError):
    """An output exists already, or cannot be written."""


class PartError(PhotozError):
    """A part of a table is missing, damaged, or of another job."""


class PeerError(PhotozError):
    """Another of the processes that work together is gone."""


class PeerFailedError(PhotozError):
    """Another process met an error, which it tells itself."""


class MissingExtraError(PhotozError):
    """An optional dependency is not installed, is too old, or cannot be imported."""

    def __init__(self, package: str, extra: str, purpose: str, fault: str = "") -> None:
        upgrade = "--upgrade " if fault else ""
        super().__init__(
            f"{purpose} needs the package {package!r}, which {fault or 'is not installed'}",
            f"install it with: pip install {upgrade}'photoz-ssl[{extra}]'",
        )
        self._made_of = (package, extra, purpose, fault)

    def __reduce__(self) -> tuple[type[MissingExtraError], tuple[str, str, str, str]]:
        """How it comes over from another process."""
        return MissingExtraError, self._made_of


MOST_NAMES = 40
"""That are listed."""


def listed(names: Sequence[str]) -> str:
    """Some names as a sentence has them.

    >>> listed(["RA", "DEC"])
    'RA, DEC'
    """
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" * (more > 0))


def columns_hint(names: Sequence[str]) -> str:
    """What columns a table has, as a hint.

    >>> columns_hint(["RA", "DEC"])
    'its columns are RA, DEC'
    """
    return f"its columns are {listed(names)}"


def no_image(catalog: str, first_problem: str) -> CutoutError:
    """The error about an input without a single usable image."""
    reason = f"; the first problem: {first_problem}" if first_problem else ""
    return CutoutError(
        f"no row of {catalog} has a usable image{reason}",
        "say where the images are with --cutouts or --frames, or mend them",
    )
