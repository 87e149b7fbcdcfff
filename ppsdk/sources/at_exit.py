"""What a program leaves open when it ends: no thread may be in the middle of a read then."""

from __future__ import annotations

import atexit
import math
import sys
import threading
from contextlib import suppress
from types import SimpleNamespace
from typing import Protocol
from weakref import WeakSet

from ppsdk.sources.reader import close_all, open_readers

# FFmpeg asks ten times a second whether to go on; a busy machine takes longer to notice.
_JOIN_S = 1.0


class Closable(Protocol):
    def close(self) -> None: ...


_open: WeakSet[Closable] = WeakSet()
_lock = threading.Lock()


def close_at_exit(source: Closable) -> None:
    """Close it, from the main thread, when the program ends, if it is still there."""
    with _lock:
        _open.add(source)


@atexit.register
def _close_open() -> None:
    """A thread that comes back from C++ (OpenCV), or from FFmpeg, which asks Python for the time
    while it waits, crashes a Python that has ended.
    """
    with _lock:
        sources = list(_open)
    for source in sources:
        with suppress(Exception):  # an app's own source may fail: the others are closed
            source.close()
    _interrupt_ffmpeg()
    close_all(open_readers(), within_s=_JOIN_S)


def _interrupt_ffmpeg() -> None:
    """From now on whatever PyAV waits for has taken longer than its time-out. It has no other way
    to interrupt a read: its callback compares `time.monotonic()` with when the read began.
    """
    core = sys.modules.get("av.container.core")
    if core is not None:
        vars(core)["time"] = SimpleNamespace(monotonic=lambda: math.inf)
