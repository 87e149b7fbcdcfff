"""The times of frames: those of a file, from its container, and those of a camera, by the clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone

# Containers disorder neighbouring frames; further back than this, a clock has started again.
JUMP_S = 1.0
_TIE_S = 1e-6


class RisingClock:
    """Times since the first frame, rising. One interval after the frame before where a time is
    missing or a little too early; where a clock jumps back, it goes on from there.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._origin_s: float | None = None
        self._last_s = -interval_s
        self.jumped_back_s = 0.0  # at the last frame; 0 where it did not

    def time_of(self, stamp_s: float | None) -> float:
        """stamp_s: seconds from any origin, as the container has it."""
        self.jumped_back_s = 0.0
        if self._origin_s is None:
            self._origin_s = stamp_s or 0.0
            self._last_s = 0.0
            return self._last_s
        next_s = self._last_s + self._interval_s
        time_s = next_s if stamp_s is None else stamp_s - self._origin_s
        if stamp_s is not None and time_s < self._last_s - JUMP_S:
            self.jumped_back_s = self._last_s - time_s
            self._origin_s, time_s = stamp_s - next_s, next_s
        self._last_s = time_s if time_s > self._last_s else next_s
        return self._last_s


class CaptureClock:
    """Seconds since the first frame of a camera, by a clock that nobody sets; the wall clock beside
    it tells when second 0 was.
    """

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._monotonic, self._wall = monotonic, wall
        self._start_s: float | None = None
        self._offset_s = 0.0
        self._last_s = -1.0

    @property
    def started_at(self) -> datetime | None:
        """When second 0 was, by the wall clock as it is set now; None before the first frame."""
        if self._start_s is None:
            return None
        return datetime.fromtimestamp(self._start_s + self._offset_s, timezone.utc)

    def now(self) -> float:
        """Seconds since the first frame; 0 before it."""
        return 0.0 if self._start_s is None else self._monotonic() - self._start_s

    def capture(self) -> tuple[float, float]:
        """The time of a frame that has just come, later than the one before; and by how many
        seconds the wall clock was put forward (or back, below 0) since then, 0 for less than one.
        """
        now = self._monotonic()
        offset_s = self._wall() - now
        if self._start_s is None:
            self._start_s, self._offset_s = now, offset_s
        if self._monotonic() - now > JUMP_S / 2:
            offset_s = self._offset_s  # the thread was held up between the two clocks
        stepped_s = offset_s - self._offset_s
        self._offset_s = offset_s
        self._last_s = max(now - self._start_s, self._last_s + _TIE_S)
        return self._last_s, stepped_s if abs(stepped_s) >= JUMP_S else 0.0
