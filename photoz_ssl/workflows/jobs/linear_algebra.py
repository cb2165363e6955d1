"""What NumPy's linear algebra may take of a machine while a network is at work on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

__all__ = ["in_one_thread"]


@contextmanager
def in_one_thread() -> Iterator[None]:
    """Let linear algebra have one thread meanwhile, in all of this process.

    OpenBLAS's other threads wait for their next product by looking for it without a pause. The
    products of a block are small, and the cores are the network's.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        yield
