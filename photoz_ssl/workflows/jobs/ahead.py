"""Work done in a thread of its own, a little ahead of where its results are used."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Iterable
from contextlib import suppress
from typing import Generic, TypeVar

__all__ = ["Ahead"]

Item = TypeVar("Item")


class _End:
    """That there is nothing more; with the error that is why, if one is."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error


class Ahead(Generic[Item]):
    """Items as another iterable makes them, which a thread runs at most a few items ahead.

    What the iterable raises is raised where its next item would have come. Leaving the loop
    ends the thread after the item that it is at.

    Parameters
    ----------
    items : iterable
        It is used by the thread alone.
    depth : int
        Items that wait for their use at most.
    """

    def __init__(self, items: Iterable[Item], depth: int = 2) -> None:
        self._items = items
        self._ready: queue.Queue[Item | _End] = queue.Queue(depth)
        self._left = threading.Event()
        self.waited = 0.0
        """Seconds that the loop had to wait for items."""

    @property
    def has_next(self) -> bool:
        """Whether another item is there already, so that nobody would wait for it."""
        ready = self._ready.queue
        return bool(ready) and not isinstance(ready[0], _End)

    def __iter__(self) -> Generator[Item, None, None]:
        thread = threading.Thread(target=self._run, daemon=True)
        thread.start()
        try:
            while True:
                start = time.perf_counter()
                item = self._ready.get()
                self.waited += time.perf_counter() - start
                if isinstance(item, _End):
                    if item.error is not None:
                        raise item.error
                    return
                yield item
        finally:
            self._left.set()
            with suppress(queue.Empty):
                while True:  # make room, so that the thread can see that it is over
                    self._ready.get_nowait()
            thread.join()

    def _run(self) -> None:
        try:
            for item in self._items:
                if not self._put(item):
                    return
            self._put(_End())
        except BaseException as error:
            self._put(_End(error))

    def _put(self, item: Item | _End) -> bool:
        """Hand an item over, unless nobody wants it any more."""
        while not self._left.is_set():
            with suppress(queue.Full):
                self._ready.put(item, timeout=0.1)
                return True
        return False
