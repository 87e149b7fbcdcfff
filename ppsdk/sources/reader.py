"""A thread that reads, so that whoever takes what it reads never waits in a call that cannot be
interrupted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, Generic, TypeVar
from weakref import WeakSet

Item = TypeVar("Item")
_open: WeakSet[Reader[Any]] = WeakSet()

# A thread that is in the middle of a read is left to itself after this long: it ends when the read
# returns, and closes what it has opened.
JOIN_S = 0.3
# Python on Windows does not see Ctrl-C while it waits for a lock: not for longer than this.
_LOOK_S = 0.25


class Reader(Iterator[Item], Generic[Item]):
    """Runs a generator in a thread of its own, at most `capacity` items ahead.

    on_drop: where nobody takes the items fast enough, the oldest goes (a camera), and this is
    called; without it the thread waits (a file).
    An exception of the generator comes out of `__next__` or `take`, behind the items that came
    before it.
    keep_waiting: asked now and then while nothing comes; False ends it.
    ready: a condition to share between readers, so that one consumer can wait for several: hold
    it, look at `waiting` of each, and wait().
    closed: is set when it is closed, for items that take long to look at.
    """

    def __init__(
        self,
        items: Generator[Item, None, None],
        *,
        capacity: int,
        on_drop: Callable[[], None] | None = None,
        keep_waiting: Callable[[], bool] = lambda: True,
        ready: threading.Condition | None = None,
        closed: threading.Event | None = None,
    ) -> None:
        self._items, self._capacity, self._on_drop = items, capacity, on_drop
        self._keep_waiting = keep_waiting
        self._ready = ready or threading.Condition()
        self._queue: deque[Item] = deque()
        self._error: BaseException | None = None
        self._ended = self._end_told = False
        self._closed = closed or threading.Event()
        self._thread = threading.Thread(target=self._run, name="ppsdk reader", daemon=True)
        self._thread.start()
        _open.add(self)

    @property
    def waiting(self) -> int:
        """How many items are there to be taken; the end, or an error, counts as one until it has
        been told of.
        """
        return len(self._queue) + (self._ended and not self._end_told)

    def __next__(self) -> Item:
        while self._wait(None):
            with self._ready:
                if self._queue:  # nobody has closed it meanwhile
                    self._ready.notify_all()
                    return self._queue.popleft()
        raise StopIteration

    def take(self, timeout_s: float = 0.0) -> list[Item]:
        """All that is there, the oldest first; after timeout_s of nothing, an empty list. So it is
        at the end, where `ended` is true.
        """
        self._wait(timeout_s)
        with self._ready:
            items = list(self._queue)
            self._queue.clear()
            self._ready.notify_all()
        return items

    @property
    def ended(self) -> bool:
        """Nothing more will come, not even an error."""
        return self._closed.is_set() or self._end_told

    def close(self) -> None:
        """Returns within JOIN_S, whatever the thread is doing. What was not taken is gone."""
        close_all([self])

    def __enter__(self) -> Reader[Item]:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _stop(self) -> None:
        with self._ready:
            self._closed.set()
            self._queue.clear()
            self._ready.notify_all()

    def _wait(self, timeout_s: float | None) -> bool:
        """Whether there is an item, after at most timeout_s; raises the generator's exception."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_s = _LOOK_S if deadline_s is None else deadline_s - time.monotonic()
            with self._ready:
                if not self.waiting and not self._closed.is_set() and left_s > 0:
                    self._ready.wait(min(_LOOK_S, left_s))
                if self._queue:
                    return True
                if self._closed.is_set() or self._ended:
                    error, self._error, self._end_told = self._error, None, True
                    break
            if not self._keep_waiting():
                self._closed.set()
            if deadline_s is not None and time.monotonic() >= deadline_s:
                return False
        if error is not None and not self._closed.is_set():
            raise error
        return False

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._items:
                if not self._put(item):
                    break
        except BaseException as caught:
            error = caught
        finally:
            self._items.close()
            with self._ready:
                self._error, self._ended = error, True
                self._ready.notify_all()

    def _put(self, item: Item) -> bool:
        """False where nobody wants any more."""
        with self._ready:
            if self._on_drop is not None and len(self._queue) >= self._capacity:
                self._queue.popleft()
                self._on_drop()
            while len(self._queue) >= self._capacity and not self._closed.is_set():
                self._ready.wait()
            if self._closed.is_set():
                return False
            self._queue.append(item)
            self._ready.notify_all()
            return True


def open_readers() -> list[Reader[Any]]:
    """Those that have not ended, and some that have."""
    return list(_open)


def close_all(readers: Iterable[Reader[Any]], *, within_s: float = JOIN_S) -> None:
    """Close all of them, within within_s in all."""
    readers = list(readers)
    for reader in readers:
        reader._stop()
    deadline_s = time.monotonic() + within_s
    for reader in readers:
        if threading.current_thread() is not reader._thread:
            reader._thread.join(max(0.0, deadline_s - time.monotonic()))
