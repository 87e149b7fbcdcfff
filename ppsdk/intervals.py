"""From intervals of a long recording to the labelled windows that a model learns from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

COVERED_SHARE = 0.75


@dataclass(frozen=True)
class LabelledSpan:
    """What is done from start_s to end_s, seconds from the recording's start."""

    label: str
    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s


def windows_around(
    interval: LabelledSpan,
    others: Sequence[LabelledSpan],
    *,
    length_s: float,
    stride_s: float,
    end_s: float,
) -> list[LabelledSpan]:
    """Windows of length_s, about stride_s apart, from the first that covers three quarters of the
    interval (or, of a long one, is covered to three quarters by it) to the last.

    A window that one of the others covers more is left out, but for the middle one where that
    leaves none. One that would reach over an end of the recording is moved inside. end_s: where
    the recording ends.
    """
    inside = []
    for start_s in _starts(interval, length_s, stride_s):
        start_s = max(0.0, min(start_s, end_s - length_s))
        window = LabelledSpan(interval.label, start_s, min(end_s, start_s + length_s))
        if window not in inside:
            inside.append(window)
    own = [
        window
        for window in inside
        if all(_overlap_s(interval, window) >= _overlap_s(other, window) for other in others)
    ]
    return own or [inside[len(inside) // 2]]


def background_windows(
    intervals: Sequence[LabelledSpan], label: str, *, length_s: float, end_s: float, at_most: int
) -> list[LabelledSpan]:
    """Windows of length_s, side by side, in what no interval covers; evenly thinned to at_most."""
    windows = []
    free_from_s = 0.0
    ends = LabelledSpan("", end_s, end_s)
    for interval in (*sorted(intervals, key=lambda interval: interval.start_s), ends):
        count = int((interval.start_s - free_from_s) / length_s + 1e-9)
        for i in range(count):
            start_s = free_from_s + i * length_s
            windows.append(LabelledSpan(label, start_s, start_s + length_s))
        free_from_s = max(free_from_s, interval.end_s)
    if len(windows) > at_most:
        windows = [windows[i * len(windows) // at_most] for i in range(at_most)]
    return windows


def covered_share(window: LabelledSpan, interval: LabelledSpan) -> float:
    """How much of the window the interval covers, 0 to 1."""
    return _overlap_s(interval, window) / window.length_s


def _overlap_s(one: LabelledSpan, other: LabelledSpan) -> float:
    return max(0.0, min(one.end_s, other.end_s) - max(one.start_s, other.start_s))


def _starts(interval: LabelledSpan, length_s: float, stride_s: float) -> list[float]:
    """Evenly spaced; the centred one alone where the stride is longer than the room."""
    slack = (1 - COVERED_SHARE) * min(length_s, interval.length_s)
    first = min(interval.start_s, interval.end_s - length_s) - slack
    last = max(interval.start_s, interval.end_s - length_s) + slack
    steps = math.floor((last - first) / stride_s + 1e-9)
    if steps == 0:
        return [(first + last) / 2]
    return [first + (last - first) * i / steps for i in range(steps + 1)]
