"""Scatter that a few outliers do not change."""

from __future__ import annotations

__all__ = ["SIGMA_OF_MAD"]

SIGMA_OF_MAD = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""
