"""Optional dependencies: imported by name, or refused with the command that installs them."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

from photoz_ssl.errors import MissingExtraError

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

__all__ = ["fault_of_version", "import_extra", "is_installed", "require_extra"]

DISTRIBUTIONS = {"faiss": "faiss-cpu", "sklearn": "scikit-learn"}
"""Packages that are installed by another name."""


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
        If the module's package is not installed, is too old, or cannot be imported.
    """
    require_extra(module, extra=extra, purpose=purpose)
    try:
        return importlib.import_module(module)
    except ImportError as error:
        fault = f"is installed but cannot be imported: {' '.join(str(error).split())}"
        raise MissingExtraError(module.partition(".")[0], extra, purpose, fault) from error


def require_extra(module: str, *, extra: str, purpose: str) -> None:
    """Refuse work that will need a module of an extra, without importing it yet.

    Parameters
    ----------
    module, extra, purpose : str
        As for `import_extra`.

    Raises
    ------
    MissingExtraError
        If the module's package is not installed, or too old.
    """
    package = module.partition(".")[0]
    if not is_installed(package):
        raise MissingExtraError(package, extra, purpose)
    if fault := fault_of_version(package):
        raise MissingExtraError(package, extra, purpose, fault)


def is_installed(package: str) -> bool:
    """Whether a package can be found; it is not imported."""
    if package in sys.modules:
        return sys.modules[package] is not None
    return importlib.util.find_spec(package) is not None


def fault_of_version(package: str) -> str:
    """Why a package is too old for photoz-ssl, as "is of version 1.0: >=2.0 is needed", if it is.

    It may be older than the extra says where something else had brought it.
    """
    from importlib import metadata  # here, as most commands start without it

    from packaging.version import InvalidVersion, Version

    name = DISTRIBUTIONS.get(package, package)
    try:
        version, allowed = Version(metadata.version(name)), _versions_allowed()[name]
    except (metadata.PackageNotFoundError, InvalidVersion, KeyError):
        return ""  # it did not come from an installer, or comes with another package
    if allowed.contains(version, prereleases=True):
        return ""
    return f"is of version {version}: {allowed} is needed"


@cache
def _versions_allowed() -> dict[str, SpecifierSet]:
    """Of the packages that photoz-ssl, or an extra of it, asks for."""
    from importlib import metadata

    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    required = map(Requirement, metadata.requires("photoz-ssl") or [])
    return {str(canonicalize_name(package.name)): package.specifier for package in required}
