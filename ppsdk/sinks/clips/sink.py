"""Events as short films: each stream's last frames are kept, and written when something happens."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from ppsdk.records import ActionEvent, Frame
from ppsdk.sinks.clips.clip import LINGER_S, EventClip
from ppsdk.sinks.clips.folder import ClipFolder
from ppsdk.sinks.clips.options import ClipOptions
from ppsdk.sinks.clips.ring import FrameRing
from ppsdk.sinks.protocol import Sink

log = logging.getLogger(__name__)

_LOOK_S = 0.1


@dataclass
class ClipCounts:
    """written: clips. incomplete: those of them that lack something, which their records say.
    missing_frames: between the first and last of a clip, fallen out of memory before they were
    written. failed: events without a clip. deleted: older clips that gave way. unreadable: frames
    that could not be kept.
    """

    written: int = 0
    incomplete: int = 0
    missing_frames: int = 0
    failed: int = 0
    deleted: int = 0
    unreadable: int = 0


def clip_counts(sink: Sink) -> ClipCounts | None:
    """None for one that writes no clips."""
    counts: Callable[[], object] | None = getattr(sink, "counts", None)
    found = counts() if counts is not None else None
    return found if isinstance(found, ClipCounts) else None


class EventClips:
    """A sink that writes folder/CAMERA/DATE_TIME_LABEL_ID.mp4 of each event, with a snapshot
    (.jpg) of when it was seen best, and a record of what is there (.json), times in seconds of the
    stream. A file appears when it is whole. See `ClipOptions`.

    `tap` is to be given to `Recognizer.events` or `Recognizer.streams`, which show it each frame.
    The name of the stream must be the source of its events. Recordings wait for a clip that takes
    longer to write than they to read; cameras do not: what falls out of memory is missing, and
    counted. Who is late by the end of `close` (close_s seconds) has a shorter clip.
    going_on: ids of events that have begun before, and have no clip here. late_tap: streams may
    come to `tap` when they have been read for a while, and after the first of their events.
    Raises OSError where the folder cannot be written, or another process writes clips there.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        options: ClipOptions | None = None,
        close_s: float = 5.0,
        going_on: Collection[str] = (),
        late_tap: bool = False,
    ) -> None:
        self.name = os.fspath(folder)
        self._options = options or ClipOptions()
        self._folder = ClipFolder(Path(folder), budget_bytes=self._options.budget_bytes)
        self._counts = ClipCounts()
        self._close_s = close_s
        self._changed = threading.Condition()
        self._going_on, self._late_tap = set(going_on), late_tap
        self._rings: dict[str, FrameRing] = {}
        self._untapped: dict[str, FrameRing] = {}
        self._clips: dict[str, EventClip] = {}
        self._until_s: float | None = None  # when `close` has no more time
        self._thread = threading.Thread(target=self._run, name="ppsdk clips", daemon=True)
        self._thread.start()

    def tap(
        self, name: str, frames: Iterator[Frame], *, live: bool
    ) -> Generator[Frame, None, None]:
        """The frames of a stream, as they are; the last ones are kept."""
        with self._changed:
            ring = self._untapped.pop(name, None) or FrameRing(name, self._options)
            if name in self._rings:  # it gives way, its count does not
                self._counts.unreadable += self._rings[name].unreadable
            self._rings[name] = ring
        try:
            for frame in frames:
                if not live:
                    self._wait_for_room(ring)
                if self._until_s is None:
                    ring.add(frame)
                yield frame
        finally:
            ring.end()
            with self._changed:
                self._changed.notify_all()

    def __call__(self, event: ActionEvent) -> None:
        """Raises ValueError where there is no stream of the event's source."""
        with self._changed:
            if event.id in self._going_on:
                return
            clip = self._clips.get(event.id)
            if clip is None:
                ring = self._ring_of(event)
                self._clips[event.id] = EventClip(event, ring, self._folder, self._options)
            else:
                clip.note(event)
            self._changed.notify_all()

    def change(self, options: ClipOptions) -> None:
        """Other options from now on; clips that have begun keep theirs, and all their frames."""
        with self._changed:
            self._options = options
            for ring in self._rings.values():
                ring.change(options)
            self._changed.notify_all()

    @property
    def kept_bytes(self) -> int:
        """In memory now, of all streams."""
        with self._changed:
            return sum(ring.size for ring in self._rings.values())

    def counts(self) -> ClipCounts:
        with self._changed:
            counts = ClipCounts(**vars(self._counts))
            counts.deleted = self._folder.deleted
            counts.unreadable += sum(ring.unreadable for ring in self._rings.values())
        return counts

    def close(self) -> None:
        """Writes what is there of clips that wait for more."""
        with self._changed:
            self._until_s = time.monotonic() + self._close_s
            self._changed.notify_all()
        self._thread.join()
        self._folder.close()

    def __enter__(self) -> EventClips:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _ring_of(self, event: ActionEvent) -> FrameRing:
        ring = self._rings.get(event.source)
        if ring is None and self._late_tap:
            ring = FrameRing(event.source, self._options)
            self._rings[event.source] = self._untapped[event.source] = ring
        if ring is None or self._until_s is not None:
            why = "closed" if ring else "no such stream has a tap"
            raise ValueError(f"{event.source}: no clip of {event.label!r}: {why}")
        return ring

    def _wait_for_room(self, ring: FrameRing) -> None:
        """Until what falls out next has been written, if it is wanted."""
        with self._changed:
            while self._until_s is None and (oldest := ring.oldest) is not None:
                clips = [clip for clip in self._in_turn() if clip.ring is ring]
                if not any(clip.needs(oldest) for clip in clips):
                    return
                self._changed.notify_all()
                self._changed.wait(_LOOK_S)

    def _in_turn(self) -> list[EventClip]:
        return [clip for clip in self._clips.values() if not clip.done][: self._options.at_once]

    def _run(self) -> None:
        while True:
            with self._changed:
                self._forget()
                clips, until_s = self._in_turn(), self._until_s
                options = self._options
                if not clips and until_s is not None:
                    return
            self._folder.keep_within(options.budget_bytes)
            has_written = [self._go_on(clip, until_s) for clip in clips]
            with self._changed:
                self._changed.notify_all()
                if any(has_written):
                    continue
                # Looked at again: what came meanwhile has woken nobody.
                is_idle = not self._in_turn() and self._until_s is None
                self._changed.wait(LINGER_S if is_idle and options is self._options else _LOOK_S)

    def _go_on(self, clip: EventClip, until_s: float | None) -> bool:
        """Whether there was something to write."""
        try:
            if until_s is not None:
                clip.cut()
            # Asked first: what comes while it writes is for the next turn.
            is_over = clip.is_complete or until_s is not None
            is_late = until_s is not None and time.monotonic() > until_s
            if not is_late and clip.go_on():
                return True
            if is_over:
                clip.finish()
                self._note_written(clip)
        except Exception as error:  # whatever it is, the other clips go on
            log.error("%s.mp4: no clip: %s", clip.stem, getattr(error, "strerror", None) or error)
            clip.abandon()
            with self._changed:
                self._counts.failed += 1
        return clip.done

    def _note_written(self, clip: EventClip) -> None:
        log.info("%s.mp4: written", clip.stem)
        with self._changed:
            self._counts.written += 1
            self._counts.incomplete += clip.is_incomplete
            self._counts.missing_frames += clip.missing

    def _forget(self) -> None:
        """Clips that are done, once no record of their events will come; and old rings."""
        now_s = time.monotonic()
        for name, ring in list(self._rings.items()):
            if ring.ended_s is not None and now_s - ring.ended_s > 2 * LINGER_S:
                self._counts.unreadable += ring.unreadable
                del self._rings[name]
        for id, clip in list(self._clips.items()):
            ended_s = clip.ring.ended_s
            is_orphan = ended_s is not None and now_s - ended_s > 2 * LINGER_S
            if clip.done and (clip.event.phase == "end" or is_orphan):
                del self._clips[id]
