"""The options of benchmarks: numbers that are large enough, and refusals in a sentence."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

from photoz_ssl.errors import PhotozError

__all__ = ["at_least", "positive", "run_benchmark"]


def at_least(least: int) -> Callable[[str], int]:
    """What takes an option's text for a whole number that is not below another."""

    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}")
        return value

    return number


def positive(text: str) -> float:
    """An option's text as a number above 0."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError("must be positive")
    return value


def run_benchmark(main: Callable[[], None]) -> None:
    """Run a benchmark; what the program refuses ends it in a sentence."""
    try:
        main()
    except PhotozError as error:
        raise SystemExit(str(error)) from error
