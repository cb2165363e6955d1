"""Outcomes of work that goes on while something else is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

__all__ = ["Later", "of_later"]

Outcome = TypeVar("Outcome")
Further = TypeVar("Further")

Later = Callable[[], Outcome]
"""Waits for work that has begun, and gives its outcome; to be called once."""


def of_later(function: Callable[[Outcome], Further], outcome: Later[Outcome]) -> Later[Further]:
    """A function of an outcome, computed where that is waited for.

    >>> of_later(abs, lambda: -3)()
    3
    """
    return lambda: function(outcome())
