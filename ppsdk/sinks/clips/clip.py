"""The clip of one event, as its frames come."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from typing import Any

from ppsdk.records import ActionEvent
from ppsdk.sinks.clips.folder import ClipFolder
from ppsdk.sinks.clips.options import ClipOptions
from ppsdk.sinks.clips.overlay import with_overlay
from ppsdk.sinks.clips.ring import TIE_S, FrameRing, KeptFrame
from ppsdk.sinks.clips.video import ClipVideo, from_jpeg

# Frames written at one turn.
_TURN = 8
# A stream that gives none for so long is not waited for, once the event is over.
_SILENT_S = 30.0
# The last windows of a stream that has ended are computed, and told of, within this.
LINGER_S = 60.0


class EventClip:
    """From options.pre_s before the event to options.post_s behind it, of a ring's frames.

    `note` is called by whoever has the events, all else by the thread that writes.
    done: nothing is to be written any more. missing_start_s, missing_end_s: what is not there of
    what was asked for. missing: frames between, that fell out of the ring before they were written.
    """

    def __init__(
        self, event: ActionEvent, ring: FrameRing, folder: ClipFolder, options: ClipOptions
    ) -> None:
        self.event, self.ring = event, ring
        self.done = False
        self._is_cut = False
        self.missing, self.missing_start_s, self.missing_end_s = 0, 0.0, 0.0
        self._folder, self._options = folder, options
        self._from_s = max(0.0, event.start_s - options.pre_s)
        self._longest_s = self._from_s + options.longest_s
        self._number, self.missing_start_s = ring.find(self._from_s)
        self.stem = folder.stem(event)
        self._video: ClipVideo | None = None
        self._written = 0
        self._first_s = self._last_s = math.nan
        self._best = -math.inf
        self._snapshot: KeptFrame | None = None
        self._noted_s = event.start_s
        self.note(event)

    def note(self, event: ActionEvent) -> None:
        """A record of it, this one and each that follows."""
        if event.score > self._best or self._snapshot is None:
            self._best = event.score
            # The best window is one of those since the record before.
            middle_s = (self._noted_s + event.end_s) / 2
            self._snapshot = self.ring.nearest(middle_s) or self._snapshot
        self._noted_s = event.end_s
        self.event = event

    @property
    def is_incomplete(self) -> bool:
        """Something is missing. Less than a frame at its end is nothing: the last one is shown
        until the next one would be.
        """
        shown_s = (self._last_s - self._first_s) / max(1, self._written - 1)
        lacks_end = self.missing_end_s > shown_s + TIE_S
        return self.missing > 0 or self.missing_start_s > TIE_S or lacks_end

    @property
    def is_complete(self) -> bool:
        """No frame that is still to come is part of it."""
        end_s = self._end_s
        if end_s is None:
            return False
        silent_s = time.monotonic() - self.ring.added_s
        return self.ring.newest_s > end_s - TIE_S or self.ring.ended or silent_s > _SILENT_S

    def needs(self, frame: KeptFrame) -> bool:
        """It is to be written, and was not yet."""
        end_s = self._longest_s if self._end_s is None else self._end_s
        return not self.done and frame.number >= self._number and frame.pts_s <= end_s + TIE_S

    def go_on(self) -> bool:
        """Write some of the frames that are there; whether there were any."""
        frames = self.ring.frames(self._number, self._sure_s, most=_TURN)
        for frame in frames:
            self._write(frame)
        return bool(frames)

    def cut(self) -> None:
        """No more frames will come: an event that still goes on is filmed as far as there are."""
        self._is_cut = True

    def finish(self) -> None:
        """Give it its name. What was not written is missing."""
        self.done = True
        if self._video is None or self._snapshot is None:
            raise ValueError("no frame of that time was kept")
        left = self.ring.frames(self._number, math.inf, most=1)
        reached_s = self.ring.newest_s
        if left:
            is_next = left[0].number == self._number and left[0].pts_s > self._sure_s
            reached_s = left[0].pts_s if is_next else self._last_s
        self.missing_end_s = max(0.0, self._sure_s - reached_s)
        video, self._video = self._video, None
        video.close()
        self._folder.commit(self.stem, self._snapshot.jpeg, self._record())

    def abandon(self) -> None:
        """Leave nothing of it."""
        self.done = True
        if self._video is not None:
            self._video.abandon()
        with suppress(OSError):
            self._folder.discard(self.stem)

    @property
    def _end_s(self) -> float | None:
        """Where the clip ends, once that is known."""
        if self.event.phase == "end":
            return min(self.event.end_s + self._options.post_s, self._longest_s)
        ended_s = self.ring.ended_s
        is_orphan = ended_s is not None and time.monotonic() - ended_s > LINGER_S
        if is_orphan or self._is_cut or self.ring.newest_s > self._longest_s:
            return min(self.ring.newest_s, self._longest_s)
        return None

    @property
    def _sure_s(self) -> float:
        """Up to where frames are surely part of it, or cannot wait until that is known."""
        if self._end_s is not None:
            return self._end_s
        return min(max(self.event.end_s, self.ring.urgent_s), self._longest_s)

    def _write(self, frame: KeptFrame) -> None:
        image = from_jpeg(frame.jpeg)
        if self._video is None:
            height, width = image.shape[:2]
            path = self._folder.part(self.stem, ".mp4")
            self._video = ClipVideo(path, size=(width, height), fps=self._options.fps)
            self._first_s = frame.pts_s
            self._snapshot = self._snapshot or frame
            if frame.number > self._number or self._from_s < self.ring.began_s:
                self.missing_start_s = frame.pts_s - self._from_s
            self._number = frame.number
        if self._options.overlay:
            image = with_overlay(image, self.event, frame.pts_s)
        self._video.add(image, frame.pts_s - self._first_s)
        self.missing += frame.number - self._number
        self._number, self._last_s = frame.number + 1, frame.pts_s
        self._written += 1

    def _record(self) -> dict[str, Any]:
        assert self._snapshot is not None
        return {
            "event": self.event.to_dict(),
            "start_s": round(self._first_s, 6),
            "end_s": round(self._last_s, 6),
            "snapshot_s": round(self._snapshot.pts_s, 6),
            "frames": self._written,
            "missing_start_s": round(self.missing_start_s, 6),
            "missing_end_s": round(self.missing_end_s, 6),
            "missing_frames": self.missing,
        }
