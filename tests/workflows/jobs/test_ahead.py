"""Items made ahead in a thread: the same items, the same errors, and an end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from photoz_ssl.workflows.jobs.ahead import Ahead


def test_the_items_come_in_order() -> None:
    assert list(Ahead(range(100))) == list(range(100))


def test_an_error_comes_where_it_happened() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise LookupError("gone")

    seen = []
    with pytest.raises(LookupError, match="gone"):
        for item in Ahead(broken()):
            seen.append(item)
    assert seen == [1]


def test_no_more_than_a_few_are_made_ahead_of_their_use() -> None:
    made: list[int] = []

    def counted() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            yield number

    for used, _ in enumerate(Ahead(counted(), depth=2), start=1):
        time.sleep(0.002)
        assert len(made) <= used + 3


def test_leaving_the_loop_ends_the_thread() -> None:
    before = threading.active_count()
    items = iter(Ahead(iter(int, 1)))
    next(items)
    items.close()
    assert threading.active_count() == before
