"""What is filmed of an event, and what that may take."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ppsdk.event_options import EventOptions
from ppsdk.thinning import DAY_S

# Whoever decides may be late by so much, and the encoder by as much again.
_SLACK_S = 5.0


@dataclass(frozen=True)
class ClipOptions:
    """What is not given is what an edge box of some cameras can take.

    pre_s, post_s: seconds before the start and behind the end of the event. longest_s: a clip is
    cut there. fps: at most so many frames a second are kept, as they come. max_height: taller ones
    are made smaller, pixels. jpeg_quality: 1 to 95, of what is kept, and of the snapshot. overlay:
    label and time are written into the picture.
    look_back_s: how far behind the newest frame an event may start when it is told of: see
    `look_back_s`. ring_bytes: at most so much is kept of a stream, JPEG.
    at_once: clips that are written at the same time; the others wait, as long as the ring has their
    frames. budget_bytes: on disk; the oldest clips give way, the newest stays.
    """

    pre_s: float = 5.0
    post_s: float = 5.0
    longest_s: float = 300.0
    fps: float = 15.0
    max_height: int = 720
    jpeg_quality: int = 85
    overlay: bool = False
    look_back_s: float = 30.0
    ring_bytes: int = 64_000_000
    at_once: int = 8
    budget_bytes: int = 10_000_000_000

    def __post_init__(self) -> None:
        for name in ("pre_s", "post_s", "look_back_s"):
            self._check(name, 0, "0 s or more")
        for name in ("longest_s", "fps"):
            self._check(name, 1e-3, "more than 0")
        for name in ("ring_bytes", "at_once", "budget_bytes"):
            self._check(name, 1, "1 or more")
        self._check("max_height", 16, "16 pixels or more")
        self._check("jpeg_quality", 1, "1 to 95")
        if self.jpeg_quality > 95:
            raise ValueError(f"jpeg_quality is {self.jpeg_quality}: must be 1 to 95")
        if self.longest_s <= self.pre_s:
            raise ValueError(
                f"longest_s is {self.longest_s}: must be more than pre_s, {self.pre_s}"
            )

    @property
    def reach_s(self) -> float:
        """How far back the ring reaches."""
        return self.pre_s + self.look_back_s

    def _check(self, name: str, least: float, accepted: str) -> None:
        value = getattr(self, name)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (is_number and math.isfinite(value) and value >= least):
            raise ValueError(f"{name} is {value!r}: must be {accepted}")


def look_back_s(length_s: float, stride_s: float, events: EventOptions) -> float:
    """Seconds that the newest frame may be ahead of an event's start, or end, when that is told of:
    windows of a file wait to be computed (two lengths and a stride at most), and then the detector
    wants to be sure. A day at most.
    """
    own = [events, *(events.of_class(label) for label in events.per_class)]
    sure_s = max(max(each.min_duration_s or 0, each.merge_gap_s or 0) for each in own)
    if events.smoothing != "none":
        sure_s += events.smoothing_windows * stride_s
    return min(DAY_S, 2 * (length_s + stride_s) + sure_s + 2 * _SLACK_S)
