"""Optional dependencies: imported by name, or refused with the command that installs them."""

from __future__ import annotations

import importlib
from types import ModuleType

from photoz_ssl.errors import MissingExtraError

__all__ = ["import_extra"]


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
        If the module's package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise MissingExtraError(package, extra, purpose) from error
