"""Which classes go on in a window: smoothed scores against thresholds with hysteresis."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ppsdk.event_options import EventOptions


class Smoother:
    """Causal: the mean of the last windows, or an average that forgets exponentially."""

    def __init__(self, options: EventOptions) -> None:
        count = options.smoothing_windows if options.smoothing == "mean" else 1
        self._recent: deque[NDArray[np.float64]] = deque(maxlen=count)
        self._weight = 2 / (options.smoothing_windows + 1) if options.smoothing == "ema" else 1.0
        self._average: NDArray[np.float64] | None = None

    def update(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64 (classes,) -> float64 (classes,)."""
        self._recent.append(scores)
        mean = np.mean(self._recent, axis=0)
        if self._average is None or self._weight == 1:
            self._average = mean
        else:
            self._average = self._average + self._weight * (mean - self._average)
        return self._average


class Activity:
    """A class starts at its on_threshold and goes on to its off_threshold. Exclusive classes: the
    best of those that may, and of equals the one that goes on already.
    """

    def __init__(self, labels: Sequence[str], options: EventOptions) -> None:
        own = [options.of_class(label) for label in labels]
        on = [-np.inf if o.on_threshold is None else o.on_threshold for o in own]
        off = [start if o.off_threshold is None else o.off_threshold for o, start in zip(own, on)]
        self._on, self._off = np.array(on), np.array(off)
        self._unknown_below = -np.inf if options.unknown_below is None else options.unknown_below
        self._independent = options.independent
        self._active = np.zeros(len(labels), bool)

    def update(self, scores: NDArray[np.float64]) -> list[int]:
        """float64 (classes,) -> the ids of the classes that go on, background included."""
        passing = scores >= np.where(self._active, self._off, self._on)
        if scores.max() < self._unknown_below:
            passing[:] = False
        going_on = np.flatnonzero(passing)
        if len(going_on) > 1 and not self._independent:
            best = going_on[scores[going_on] == scores[going_on].max()]
            before = best[self._active[best]]
            going_on = (before if len(before) else best)[:1]
        self._active = np.zeros(len(scores), bool)
        self._active[going_on] = True
        return going_on.tolist()
