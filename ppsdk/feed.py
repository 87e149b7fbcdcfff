"""One stream of several: opened and read in threads of its own, cut into clips in another."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from itertools import islice

from ppsdk.event_options import EventOptions
from ppsdk.motion import MotionGate
from ppsdk.records import Clip, Image, NoWindow, WindowScores
from ppsdk.sampling import WindowCutter
from ppsdk.sources import Source
from ppsdk.sources.reader import Reader
from ppsdk.statistics import StreamMeter, StreamState, StreamStatistics
from ppsdk.status import StreamCounters
from ppsdk.stream import Tap, cut_batch, no_window, read_kept, tapped_frames
from ppsdk.thinning import Kept, WindowGrid


@dataclass(frozen=True, eq=False)
class Windowing:
    """How the windows of a stream are made.

    shrink: a picture to what the network sees. score: what becomes of a clip. gate: tells windows
    that need not be computed.
    """

    grid: WindowGrid
    shrink: Callable[[Image], Image]
    score: Callable[[Clip], WindowScores]
    gate: MotionGate | None


class Feed:
    """What waits to be computed of one stream: every window of a file, in its order; of a camera
    the newest one.

    Opening and reading take place in their own threads, told of by `ready`; `stop` may be called
    in any; all else is for the one that takes the clips.
    turn: when it was last given one. events: its own options, if any.
    """

    def __init__(
        self,
        name: str,
        opener: Callable[[], Source],
        windowing: Windowing,
        ready: threading.Condition,
        *,
        events: EventOptions | None = None,
        tap: Tap | None = None,
    ) -> None:
        self.name, self.events = name, events
        self.turn = -1
        self.source: Source | None = None
        self.error: str | None = None
        self.closed = False
        self._opener, self._windowing, self._ready = opener, windowing, ready
        self._tap = tap
        self._cutter = WindowCutter(windowing.grid)
        self._clips: deque[tuple[Clip, float]] = deque()
        self._finished = False
        self._late = 0
        self._computed: WindowScores | None = None
        self._meter = StreamMeter()
        self._reader: Reader[Kept] | None = None
        self._opening = Reader(self._opened(), capacity=1, ready=ready)

    @property
    def readers(self) -> list[Reader[Kept] | Reader[Source]]:
        return [self._opening] if self._reader is None else [self._opening, self._reader]

    @property
    def stride_s(self) -> float:
        grid = self._windowing.grid
        return grid.stride_segments * grid.segment_s

    @property
    def live(self) -> bool:
        return self.source is not None and self.source.live

    @property
    def waiting(self) -> bool:
        """There is something to `pull`."""
        return (self._reader or self._opening).waiting > 0

    @property
    def has_clip(self) -> bool:
        return bool(self._clips)

    @property
    def no_window(self) -> NoWindow | None:
        """Of a camera that is lost, once all its windows have been given."""
        return None if self.source is None or self._clips else no_window(self.source)

    @property
    def over(self) -> bool:
        """Nothing more will come of it."""
        return self.closed or (self._finished and not self._clips)

    def pull(self) -> int:
        """Cut what has been read; of a file, only up to the next clip. Returns how many windows of
        a camera were passed over because they were not taken in time. Raises what opening or
        reading has raised.
        """
        if self._finished:
            return 0
        reader, source = self._reader or self._start_reading(), self.source
        if reader is None or source is None:
            return 0
        self._meter.note_frames(source.counters.frames)
        if not source.keep_waiting():
            reader.close()
        late = self._late + self._cutter.passed_over
        for kept in self._new(reader, source):
            for clip in cut_batch(source, self._cutter, [kept]):
                self._offer(clip, source)
        if reader.ended and not self.closed:
            self._finished = True
            for clip in self._cutter.finish():
                self._offer(clip, source)
        return self._late + self._cutter.passed_over - late

    def give(self) -> WindowScores:
        """The scores of the next clip; those of the last one computed where it looks the same."""
        clip, cut_s = self._clips.popleft()
        gate = self._windowing.gate
        is_still = gate is not None and gate.is_still(clip)
        if is_still and self._computed is not None:
            scores = self._computed.held_over(clip)
        else:
            scores = self._computed = self._windowing.score(clip)
        latency_s = time.monotonic() - cut_s
        newest_s = clip.end_s
        if self.source is not None:
            self.source.counters.repeated += clip.repeated
            newest_s = self.source.counters.newest_s
            started_at = self.source.started_at
            if started_at is not None:
                now = datetime.now(timezone.utc)
                latency_s = max(0.0, (now - started_at).total_seconds() - clip.end_s)
        with self._ready:
            self._meter.still += is_still
            self._meter.note_window(latency_s=latency_s, lag_s=newest_s - float(clip.pts_s[-1]))
        return scores

    def fail(self, error: Exception) -> str:
        """What was cut before is still given. Returns why, in one line."""
        self._finished = True
        self.error = " ".join(str(error).split()) or type(error).__name__
        self.error = self.error.removeprefix(f"{self.name}: ")
        return self.error

    def statistics(self) -> StreamStatistics:
        counters = self.source.counters if self.source else StreamCounters()
        state: StreamState = "opening"
        if self._reader and self.source:
            state = self.source.trouble or "running"
        if self._finished:
            state = "failed" if self.error else "ended"
        with self._ready:
            return self._meter.statistics(self.name, state, counters, self.error)

    def stop(self) -> None:
        """Let go of the source; for its threads, `close_all(feed.readers)` behind it."""
        self.closed = True
        if self.source is not None:
            self.source.close()

    def _opened(self) -> Generator[Source, None, None]:
        source = self.source = self._opener()
        if self.closed:
            source.close()
        yield source

    def _start_reading(self) -> Reader[Kept] | None:
        if self._opening.waiting and self._opening.take() and self.source is not None:
            grid, shrink = self._windowing.grid, self._windowing.shrink
            frames = tapped_frames(self.source, self.name, self._tap)
            self._reader = read_kept(self.source, frames, grid, shrink, ready=self._ready)
            if self.closed:
                self._reader.close()
        return self._reader

    def _new(self, reader: Reader[Kept], source: Source) -> Iterator[Kept]:
        """Of a file, no more than the next clip needs: the rest waits where it is read; and no more
        than a stride, so that one in which nothing moves does not hold up the others.
        """
        if source.live:
            yield from reader.take()
            return
        for _ in range(self._windowing.grid.stride_segments):
            if not self._clips and reader.waiting:
                yield from islice(reader, 1)

    def _offer(self, clip: Clip, source: Source) -> None:
        if source.live and self._clips:
            source.counters.skipped += 1
            self._late += 1
            self._clips.clear()
        self._clips.append((clip, time.monotonic()))
