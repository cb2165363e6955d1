"""Optional dependencies: imported by name, or refused with the command that installs them."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType

from photoz_ssl.errors import MissingExtraError

__all__ = ["import_extra", "is_installed", "require_extra"]


def import_extra(module: str, *, extra: str, purpose: str) -> ModuleType:
    """Import a module that belongs to an optional extra of the package.

    Parameters
    ----------
    module : str
        Dotted name of the module, e.g. ``"matplotlib.figure"``.
    extra : str
        The extra that brings it, as in ``pip install 'photoz-ssl[EXTRA]'``.
    purpose : str
        What it is needed for, as the subject of a sentence ("drawing figures").

    Raises
    ------
    MissingExtraError
        If the module's package is not installed, or cannot be imported.
    """
    require_extra(module, extra=extra, purpose=purpose)
    try:
        return importlib.import_module(module)
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise MissingExtraError(module.partition(".")[0], extra, purpose, reason) from error


def require_extra(module: str, *, extra: str, purpose: str) -> None:
    """Refuse work that will need a module of an extra, without importing it yet.

    Parameters
    ----------
    module, extra, purpose : str
        As for `import_extra`.

    Raises
    ------
    MissingExtraError
        If the module's package is not installed.
    """
    package = module.partition(".")[0]
    if not is_installed(package):
        raise MissingExtraError(package, extra, purpose)


def is_installed(package: str) -> bool:
    """Whether a package can be found; it is not imported."""
    if package in sys.modules:
        return sys.modules[package] is not None
    return importlib.util.find_spec(package) is not None
