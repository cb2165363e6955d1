"""The words: one file a command; options become a frozen config, then one workflow call."""

from photoz_ssl.cli.main import main

__all__ = ["main"]
