"""SIGTERM, as a service manager sends it: the streams end as if they were over."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def closed_at_sigterm(close: Callable[[], None]) -> Iterator[threading.Event]:
    """close: of streams: what is open ends, and is told. A second SIGTERM, once that is done, ends
    the process. What is given is set once one has come.
    """
    stopped = threading.Event()

    def close_aside(number: int, frame: object) -> None:
        stopped.set()
        # Not here: what it interrupts may be at any line.
        threading.Thread(target=close, daemon=True).start()

    if threading.current_thread() is not threading.main_thread():
        yield stopped  # a program that runs commands in threads takes care of its signals itself
        return
    before = signal.signal(signal.SIGTERM, close_aside)
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGTERM, before)
