"""What happens to a stream beside its frames, and what is counted of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Literal

StatusKind = Literal[
    "lost",
    "restored",
    "frozen",
    "moving",
    "gap",
    "jump",
    "changed",
    "damaged",
    "clock",
    "failed",
    "overloaded",
    "relieved",
]


@dataclass(frozen=True)
class StreamStatus:
    """Something that happened to a stream, other than a frame.

    kind: "lost" and "restored" (one pair an interruption, however often it is opened anew),
    "frozen" and "moving" (the picture stood still to the pixel, and does no more), "gap" (no frame
    for longer than windows can bridge), "jump" (the stream's own clock went back, and goes on from
    there), "clock" (the machine's wall clock was set, or it slept), "changed" (another size,
    rotation or pixel format), "damaged" (something did not decode and was passed over). Of several
    streams: "failed" (one could not be opened, or broke for good), "overloaded" and "relieved" (all
    together get fewer windows than asked, and all of them again).
    at_s: seconds since the first frame, 0 before it. time: the wall clock then, ISO 8601.
    After "restored", "gap", "jump" and "clock", windows start anew.
    """

    kind: StatusKind
    source: str
    at_s: float
    time: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "status": self.kind,
            "source": self.source,
            "at_s": round(self.at_s, 6),
            "time": self.time,
            "reason": self.reason,
        }

    def log(self, log: logging.Logger, level: int = logging.WARNING) -> None:
        """In one line, with its values as `extra`."""
        line = f"{self.source}: {self.kind}: {self.reason}"
        log.log(level, "%s", line, extra=self.to_dict(), stacklevel=2)


@dataclass
class StreamCounters:
    """What a source has counted since it was opened.

    frames: decoded. dropped: not taken in time from a live source, so that newer ones could come.
    damaged: packets that did not decode, or reads that failed. opens: times that a live source was
    opened, or tried to. kept: frames kept for windows, one a segment. repeated: segments of windows
    without a frame of their own. skipped: windows of a live source passed over for newer ones.
    newest_s: the time of the last frame read for windows, seconds since the first.
    """

    frames: int = 0
    dropped: int = 0
    damaged: int = 0
    opens: int = 0
    kept: int = 0
    repeated: int = 0
    skipped: int = 0
    newest_s: float = 0.0
