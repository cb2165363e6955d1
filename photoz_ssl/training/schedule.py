"""Learning rates as factors of the peak rate, by the fraction of training that is done."""

from __future__ import annotations

import math

__all__ = ["cosine_factor", "steps_factor"]

STEP_FRACTIONS = (0.6, 0.9)
STEP_FACTOR = 0.1


def cosine_factor(step: int, n_steps: int, warmup_steps: float = 0) -> float:
    """Linear warm-up, then half a cosine from 1 to 0 (Loshchilov & Hutter 2017).

    Parameters
    ----------
    step : int
        From 0.
    n_steps : int
        Steps in all.
    warmup_steps : float
        Steps until the factor is 1.
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    done = (step - warmup_steps) / max(n_steps - warmup_steps, 1)
    return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def steps_factor(step: int, n_steps: int) -> float:
    """Times 0.1 at 60 %, and again at 90 % of the steps (method section 4)."""
    passed = sum(step >= fraction * n_steps for fraction in STEP_FRACTIONS)
    return float(STEP_FACTOR**passed)
