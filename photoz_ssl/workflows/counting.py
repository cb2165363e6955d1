"""Counts as a person writes them."""

from __future__ import annotations

__all__ = ["counted"]

IRREGULAR = {"galaxy": "galaxies", "query": "queries"}
"""Plurals of last words that take no s."""


def counted(number: int, noun: str) -> str:
    """A number and what it is of.

    >>> counted(1, "galaxy"), counted(0, "redshift"), counted(2, "query")
    ('1 galaxy', '0 redshifts', '2 queries')
    """
    before, space, last = noun.rpartition(" ")
    plural = f"{before}{space}{IRREGULAR.get(last, last + 's')}"
    return f"{number} {noun if number == 1 else plural}"
