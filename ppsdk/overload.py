"""Whether there is time for all windows."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

# Looked at over so many seconds, and so many strides.
_LOOK_S = 5.0
_LOOK_STRIDES = 4.0
_SAMPLES = 10
# A window passed over now and then (a hiccup of the machine) is none yet.
_MOST_SKIPPED = 0.1


class OverloadWatch:
    """Tells when windows of live streams of one stride are passed over because others take too
    long, and when no more are.

    overloaded: now. stretch: how many times as far apart as asked windows came of late.
    """

    def __init__(self, stride_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._look_s = max(_LOOK_S, _LOOK_STRIDES * stride_s)
        self._clock = clock
        self._given = self._skipped = 0
        self._samples = deque([(clock(), 0, 0)])
        self.overloaded = False
        self.stretch = 1.0

    def note_given(self) -> None:
        self._given += 1

    def note_skipped(self, windows: int) -> None:
        self._skipped += windows

    def changed(self) -> bool:
        """Whether `overloaded` has changed; to be asked now and then."""
        now_s = self._clock()
        if now_s - self._samples[-1][0] < self._look_s / _SAMPLES:
            return False
        self._samples.append((now_s, self._given, self._skipped))
        if now_s - self._samples[0][0] < self._look_s:
            return False
        while self._samples[1][0] <= now_s - self._look_s:
            self._samples.popleft()
        _, given, skipped = self._samples[0]
        given, skipped = self._given - given, self._skipped - skipped
        self.stretch = (given + skipped) / max(1, given)
        was_overloaded = self.overloaded
        # Once it is, it is until every window is given again.
        most = 0.0 if was_overloaded else _MOST_SKIPPED * (given + skipped)
        self.overloaded = skipped > most
        return self.overloaded != was_overloaded


class OverloadWatches:
    """One watch for each stride: those with a short one are the first to show overload, and there
    need not be any. overloaded: one of them is. stretch: of the one that fares worst.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._of_stride: dict[float, OverloadWatch] = {}
        self.overloaded = False

    @property
    def stretch(self) -> float:
        return max((watch.stretch for watch in self._of_stride.values()), default=1.0)

    def note_given(self, stride_s: float) -> None:
        self._watch(stride_s).note_given()

    def note_skipped(self, stride_s: float, windows: int) -> None:
        self._watch(stride_s).note_skipped(windows)

    def changed(self) -> bool:
        """Whether `overloaded` has changed; to be asked now and then."""
        was_overloaded = self.overloaded
        for watch in self._of_stride.values():
            watch.changed()
        self.overloaded = any(watch.overloaded for watch in self._of_stride.values())
        return self.overloaded != was_overloaded

    def _watch(self, stride_s: float) -> OverloadWatch:
        return self._of_stride.setdefault(stride_s, OverloadWatch(stride_s, self._clock))
