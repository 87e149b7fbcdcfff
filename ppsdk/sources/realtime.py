"""A recording played as if it happened now."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator

from ppsdk.records import Frame
from ppsdk.sources.protocol import Source
from ppsdk.status import StatusKind, StreamStatus

# A hole in a recording that is longer is not waited for.
_LONGEST_WAIT_S = 10.0


class Realtime(Source):
    """Every frame of another source, none before its time. What it tells is told by the other."""

    def __init__(self, source: Source) -> None:
        super().__init__(source.name)
        self._source = source
        self.counters = source.counters
        self.own_thread = source.own_thread
        self._closing = threading.Event()

    @property
    def status(self) -> StreamStatus | None:
        return self._source.status

    def report(self, kind: StatusKind, at_s: float, reason: str) -> None:
        self._source.called = self.called
        self._source.report(kind, at_s, reason)

    def frames(self) -> Generator[Frame, None, None]:
        origin_s = time.monotonic()
        for frame in self._source.frames():
            wait_s = origin_s + frame.pts_s - time.monotonic()
            if wait_s > _LONGEST_WAIT_S:
                origin_s -= wait_s
            elif wait_s > 0:
                self._closing.wait(wait_s)
            if self._closing.is_set():
                return
            yield frame

    def keep_waiting(self) -> bool:
        return not self._closing.is_set() and self._source.keep_waiting()

    def close(self) -> None:
        self._closing.set()
        self._source.close()
