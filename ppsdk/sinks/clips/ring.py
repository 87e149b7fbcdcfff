"""The last frames of a stream, as JPEG: what clips begin with."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import cv2

from ppsdk.records import Frame, Image
from ppsdk.sinks.clips.options import ClipOptions

log = logging.getLogger(__name__)

TIE_S = 1e-6
# Frames in this share of a full ring, its oldest, are handed on whether they are sure to be part
# of a clip or not: what falls out of the ring is lost.
_OLDEST = 0.25
# Frames for which there is still room in a ring that counts as full: they differ in size.
_ROOM = 2


@dataclass(frozen=True)
class KeptFrame:
    """number: counts the frames kept of the stream. jpeg: of an RGB picture with even sides."""

    number: int
    pts_s: float
    jpeg: bytes


class FrameRing:
    """At most options.ring_bytes of a stream, and as many frames as options.reach_s seconds have:
    what was before a gap is still there behind it.

    One thread adds; any may ask. ended: no more will come. added_s, ended_s: by time.monotonic().
    began_s: the time of the first frame that it saw; more than 0 where it came to a stream later.
    """

    def __init__(self, name: str, options: ClipOptions) -> None:
        self.name = name
        self.unreadable = 0
        self.began_s = math.inf
        self.ended_s: float | None = None
        self.added_s = time.monotonic()
        self._lock = threading.Lock()
        self._most = 0
        self.change(options)
        self._frames: deque[KeptFrame] = deque()
        self._bytes = self._count = 0
        self._looked_s = self._dropped_s = float("-inf")

    def change(self, options: ClipOptions) -> None:
        """It never has fewer frames than before: clips that are being written count on them."""
        with self._lock:
            self._options = options
            self._most = max(self._most, math.ceil(options.reach_s * options.fps) + _ROOM)

    @property
    def ended(self) -> bool:
        return self.ended_s is not None

    @property
    def size(self) -> int:
        """Bytes."""
        return self._bytes

    @property
    def newest_s(self) -> float:
        """The time up to which it has seen the stream; -inf before the first frame."""
        return self._looked_s

    def add(self, frame: Frame) -> None:
        """Encodes it unless it comes too soon behind the last one kept. Raises nothing: a stream
        goes on whatever becomes of its clips.
        """
        self.began_s = min(self.began_s, frame.pts_s)
        last_s = self._frames[-1].pts_s if self._frames else float("-inf")
        if frame.pts_s - last_s >= 1 / self._options.fps - TIE_S:
            try:
                jpeg = as_jpeg(frame.image, self._options)
            except Exception as error:
                if not self.unreadable:
                    log.error("%s: a frame cannot be kept for clips: %s", self.name, error)
                self.unreadable += 1
            else:
                self._append(frame.pts_s, jpeg)
        self._looked_s = frame.pts_s
        self.added_s = time.monotonic()

    def end(self) -> None:
        self.ended_s = time.monotonic()

    def find(self, from_s: float) -> tuple[int, float]:
        """The number of the first frame from from_s on, there or still to come; and the seconds
        before it that the ring has dropped already.
        """
        with self._lock:
            dropped_s = 0.0
            if self._dropped_s >= from_s - TIE_S:
                oldest_s = self._frames[0].pts_s if self._frames else self._dropped_s
                dropped_s = oldest_s - from_s
            for frame in self._frames:
                if frame.pts_s >= from_s - TIE_S:
                    return frame.number, dropped_s
            return self._count, dropped_s

    def frames(self, number: int, until_s: float, *, most: int) -> list[KeptFrame]:
        """Those from a number on, up to a time."""
        with self._lock:
            wanted = (frame for frame in self._from(number) if frame.pts_s <= until_s + TIE_S)
            return list(islice(wanted, most))

    def nearest(self, time_s: float) -> KeptFrame | None:
        with self._lock:
            return min(self._frames, key=lambda frame: abs(frame.pts_s - time_s), default=None)

    @property
    def oldest(self) -> KeptFrame | None:
        """What the next frame may push out; None while there is room."""
        with self._lock:
            return self._frames[0] if self._frames and self._is_full else None

    @property
    def urgent_s(self) -> float:
        """Frames up to this time fall out soon; -inf while there is room."""
        with self._lock:
            if not (self._frames and self._is_full):
                return float("-inf")
            return self._frames[int(_OLDEST * len(self._frames))].pts_s

    @property
    def _is_full(self) -> bool:
        most_bytes = self._options.ring_bytes - _ROOM * len(self._frames[-1].jpeg)
        return len(self._frames) > self._most - _ROOM or self._bytes > most_bytes

    def _append(self, pts_s: float, jpeg: bytes) -> None:
        with self._lock:
            self._frames.append(KeptFrame(self._count, pts_s, jpeg))
            self._count += 1
            self._bytes += len(jpeg)
            while len(self._frames) > self._most or self._bytes > self._options.ring_bytes:
                gone = self._frames.popleft()
                self._bytes -= len(gone.jpeg)
                self._dropped_s = gone.pts_s

    def _from(self, number: int) -> Iterator[KeptFrame]:
        if not self._frames:
            return iter(())
        return islice(self._frames, max(0, number - self._frames[0].number), None)


def as_jpeg(image: Image, options: ClipOptions) -> bytes:
    """image: uint8 (H, W, 3) RGB. Sides become even, as H.264 wants them."""
    height, width = image.shape[:2]
    scale = min(1.0, options.max_height / height)
    size = tuple(max(2, round(side * scale) // 2 * 2) for side in (width, height))
    if size != (width, height):
        # Antialiased where that shows: it takes five times as long.
        how = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR
        image = cv2.resize(image, size, interpolation=how).astype(image.dtype, copy=False)
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    done, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, options.jpeg_quality])
    if not done:
        raise ValueError(f"a picture of {width}x{height} cannot become a JPEG")
    return jpeg.tobytes()
