"""Sphinx configuration."""

from __future__ import annotations

from photoz_ssl import __version__

project = "photoz-ssl"
author = "The photoz-ssl developers"
copyright = "2026, the photoz-ssl developers"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "numpydoc"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
numpydoc_show_class_members = False
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"photoz-ssl {__version__}"
suppress_warnings = ["myst.xref_missing"]
