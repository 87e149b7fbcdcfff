"""SIGTERM, as a service manager sends it: the streams end as if they were over."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ppsdk.streams import Streams


@contextmanager
def closed_at_sigterm(streams: Streams) -> Iterator[None]:
    """What is open ends, and is told; a second SIGTERM, once that is done, ends the process."""

    def close(number: int, frame: object) -> None:
        # Not here: what it interrupts may be at any line.
        threading.Thread(target=streams.close, daemon=True).start()

    if threading.current_thread() is not threading.main_thread():
        yield  # a program that runs commands in threads takes care of its signals itself
        return
    before = signal.signal(signal.SIGTERM, close)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
