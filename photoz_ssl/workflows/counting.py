"""Counts as a person writes them."""

from __future__ import annotations

__all__ = ["counted", "share_with", "without_image"]

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


def share_with(number: int, total: int, noun: str) -> str:
    """Some of several, which have something.

    >>> share_with(1, 60, "row"), share_with(2, 60, "query"), share_with(1, 1, "row")
    ('1 of 60 rows has', '2 of 60 queries have', '1 of 1 row has')
    """
    return f"{number} of {counted(total, noun)} {'has' if number == 1 else 'have'}"


def without_image(number: int, total: int, noun: str, first_problem: str) -> tuple[str, ...]:
    """A notice of those without a usable image, and what the first one lacks; none of none."""
    if not number:
        return ()
    example = f" (first: {first_problem})" if first_problem else ""
    return (f"{share_with(number, total, noun)} no usable image{example}",)
