"""How a stream fares among others: what has come, what became of it, and how late."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from ppsdk.status import StreamCounters

StreamState = Literal["opening", "running", "frozen", "lost", "ended", "failed"]

# Rates are of the last so many seconds, latencies of the last so many windows.
_RATE_S = 10.0
_SAMPLE_S = 1.0
_LATENCIES = 256
# Of the histogram.
LATENCY_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class StreamStatistics:
    """One stream up to now; counts are since it was added.

    state: a camera that runs may be "frozen" or "lost", see `StreamStatus`.
    frames_per_s: decoded, over the last 10 s. frames, dropped, kept, repeated, skipped, opens: see
    `StreamCounters`. windows: given. still: of these, not computed, for nothing had changed.
    latency_p50_ms, latency_p95_ms: from the end of a camera's window to its scores, by the clock;
    of a file, which waits, from when the window was cut. Its waiting for a turn is included. Over
    the last 256 windows; 0 before any. latency_counts, latency_sum_s: of all windows given; how
    many had a latency up to each of LATENCY_BOUNDS_S and above the one before, and above the last.
    lag_s: how far the last frame of the last window given was behind the newest one read then.
    error: why it failed.
    """

    name: str
    state: StreamState
    frames_per_s: float
    frames: int
    dropped: int
    kept: int
    repeated: int
    skipped: int
    opens: int
    windows: int
    still: int
    latency_p50_ms: float
    latency_p95_ms: float
    lag_s: float
    latency_counts: tuple[int, ...]
    latency_sum_s: float
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values; fractions rounded, the histogram left out."""
        values = asdict(self)
        del values["latency_counts"], values["latency_sum_s"]
        return {
            name: round(value, 3) if isinstance(value, float) else value
            for name, value in values.items()
        }


class StreamMeter:
    """Measures one stream. For one thread at a time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._frames: deque[tuple[float, int]] = deque([(clock(), 0)])
        self._latencies_s: deque[float] = deque(maxlen=_LATENCIES)
        self._latency_counts = [0] * (len(LATENCY_BOUNDS_S) + 1)
        self._latency_sum_s = 0.0
        self.windows = self.still = 0
        self._lag_s = 0.0

    def note_frames(self, frames: int) -> None:
        """To be called now and then with how many have been decoded so far."""
        now_s = self._clock()
        if now_s - self._frames[-1][0] >= _SAMPLE_S:
            self._frames.append((now_s, frames))
            while self._frames[1][0] <= now_s - _RATE_S:
                self._frames.popleft()

    def note_window(self, *, latency_s: float, lag_s: float) -> None:
        self.windows += 1
        self._latencies_s.append(latency_s)
        self._latency_counts[bisect_left(LATENCY_BOUNDS_S, latency_s)] += 1
        self._latency_sum_s += latency_s
        self._lag_s = lag_s

    def statistics(
        self, name: str, state: StreamState, counters: StreamCounters, error: str | None
    ) -> StreamStatistics:
        since_s, frames = self._frames[0]
        p50_s, p95_s = np.percentile(self._latencies_s or [0.0], (50, 95))
        return StreamStatistics(
            name=name,
            state=state,
            frames_per_s=(counters.frames - frames) / max(self._clock() - since_s, 1e-3),
            frames=counters.frames,
            dropped=counters.dropped,
            kept=counters.kept,
            repeated=counters.repeated,
            skipped=counters.skipped,
            opens=counters.opens,
            windows=self.windows,
            still=self.still,
            latency_p50_ms=1000 * float(p50_s),
            latency_p95_ms=1000 * float(p95_s),
            lag_s=self._lag_s,
            latency_counts=tuple(self._latency_counts),
            latency_sum_s=self._latency_sum_s,
            error=error,
        )
