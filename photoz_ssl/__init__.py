"""Photometric redshifts and visual neighbours of galaxies by self-supervised learning.

The public Python API is one function a command, in `photoz_ssl.workflows`; it takes the
frozen configuration of the same name from `photoz_ssl.config`.
"""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
