"""Several sinks at once, none of which can harm the others, or whoever has the events."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass

from ppsdk.records import ActionEvent
from ppsdk.sinks.protocol import Sink

log = logging.getLogger(__name__)


@dataclass
class SinkCounts:
    """taken: records that the sink took. failed: those for which it raised. dropped: those that it
    had no time for: its queue was full, or it had not got to them when it was closed.
    """

    taken: int = 0
    failed: int = 0
    dropped: int = 0


class Sinks:
    """A context manager called with each record; never waits, never raises for a sink.

    Each sink has a thread and a queue of queue_size records; what comes while that is full is
    dropped and counted. `close` gives all of them together close_s seconds for what is queued. The
    first failure, and the first drop, of a row is logged. Counts are by name of the sink.
    """

    def __init__(
        self, sinks: Iterable[Sink], *, queue_size: int = 1000, close_s: float = 10.0
    ) -> None:
        if queue_size < 1:
            raise ValueError(f"Sinks(queue_size={queue_size}): must be 1 or more")
        self._lanes: list[_Lane] = []
        self._queue_size, self._close_s = queue_size, close_s
        sinks = list(sinks)
        for number, sink in enumerate(sinks):
            _refuse_twice(sink, sinks[:number])
        for sink in sinks:
            self.add(sink)

    def __call__(self, event: ActionEvent) -> None:
        for lane in self._lanes:
            lane.put(event)

    def add(self, sink: Sink) -> None:
        """It has the records that come from now on."""
        _refuse_twice(sink, self.sinks)
        lane = _Lane(sink, self._queue_size)
        lane.thread.start()
        self._lanes = [*self._lanes, lane]

    def remove(self, name: str) -> None:
        """Close one, as `close` does; nothing more is given to it."""
        gone = [lane for lane in self._lanes if lane.sink.name == name]
        self._lanes = [lane for lane in self._lanes if lane not in gone]
        self._close(gone)

    @property
    def waiting(self) -> int:
        """Records in the longest queue."""
        return max((lane.queue.qsize() for lane in self._lanes), default=0)

    @property
    def sinks(self) -> list[Sink]:
        return [lane.sink for lane in self._lanes]

    def counts(self) -> dict[str, SinkCounts]:
        return {lane.sink.name: lane.counts for lane in self._lanes}

    def close(self) -> None:
        self._close(self._lanes)

    def __enter__(self) -> Sinks:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _close(self, lanes: list[_Lane]) -> None:
        for lane in lanes:
            lane.closed.set()
        until_s = time.monotonic() + self._close_s
        for lane in lanes:
            lane.thread.join(max(0.0, until_s - time.monotonic()))
            lane.give_up()


def _refuse_twice(sink: Sink, others: Iterable[Sink]) -> None:
    if any(sink.name == other.name for other in others):
        raise ValueError(f"two sinks are called {sink.name!r}: must differ")


class _Lane:
    """One sink, its queue and its thread, which also closes it."""

    # A closed lane is noticed within this time when nothing comes.
    LOOK_S = 0.1

    def __init__(self, sink: Sink, queue_size: int) -> None:
        self.sink = sink
        self.queue: queue.Queue[ActionEvent] = queue.Queue(queue_size)
        self.counts = SinkCounts()
        self.closed = threading.Event()
        self.thread = threading.Thread(target=self._run, name=f"sink {sink.name}", daemon=True)
        self._abandoned = False
        self._is_full = self._is_failing = False

    def put(self, event: ActionEvent) -> None:
        try:
            if self.closed.is_set():
                raise queue.Full
            self.queue.put_nowait(event)
            self._is_full = False
        except queue.Full:
            self.counts.dropped += 1
            if not self._is_full:
                log.error("%s: too slow, or closed: records are dropped", self.sink.name)
            self._is_full = True

    def give_up(self) -> None:
        """What is still queued is dropped; a sink that hangs is left to itself."""
        if self.thread.is_alive():
            self._abandoned = True
            left = self.queue.qsize()
            self.counts.dropped += left
            log.error("%s: does not come to an end: %d records dropped", self.sink.name, left)

    def _run(self) -> None:
        while not self._abandoned:
            try:
                event = self.queue.get(timeout=self.LOOK_S)
            except queue.Empty:
                if self.closed.is_set():
                    break
                continue
            self._give(event)
        try:
            self.sink.close()
        except Exception as error:
            log.error("%s: cannot be closed: %s", self.sink.name, error)

    def _give(self, event: ActionEvent) -> None:
        try:
            self.sink(event)
        except Exception as error:  # whatever it is, the others and the stream go on
            self.counts.failed += 1
            if not self._is_failing:
                log.error("%s: a record is lost: %s", self.sink.name, error)
            self._is_failing = True
        else:
            self.counts.taken += 1
            self._is_failing = False
