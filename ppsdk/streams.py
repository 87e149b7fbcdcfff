"""Several streams through one model, in fair turns, in the thread of whoever iterates them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial

from ppsdk.event_options import EventOptions
from ppsdk.events import EventDetector
from ppsdk.feed import Feed, Windowing
from ppsdk.overload import OverloadWatches
from ppsdk.records import ActionEvent, EndedBy, NoWindow, WindowScores
from ppsdk.sources import LiveOptions, Source, SourceRef
from ppsdk.sources.protocol import OnStatus
from ppsdk.sources.reader import close_all
from ppsdk.statistics import StreamStatistics
from ppsdk.status import StatusKind, StreamStatus
from ppsdk.stream import Tap
from ppsdk.stream_options import StreamOptions

log = logging.getLogger(__name__)

# What is said of all streams together has this for a source.
ALL = "streams"
# Sources that hang or are lost are looked at so often; Python on Windows does not see Ctrl-C while
# it waits.
_LOOK_S = 0.25


@dataclass(frozen=True, eq=False)
class StreamWindow:
    """name: of the stream. scores: of its next window."""

    name: str
    scores: WindowScores


class Streams(Iterator[StreamWindow]):
    """Windows of several streams; a context manager. See `Recognizer.streams`, which makes it.

    Iterating it is for one thread at a time; everything else may be called from any.
    """

    def __init__(
        self,
        new_windowing: Callable[[StreamOptions], Windowing],
        *,
        live: LiveOptions | None,
        on_status: OnStatus | None,
        tap: Tap | None = None,
    ) -> None:
        self._tap = tap
        self._new_windowing, self._live, self._on_status = new_windowing, live, on_status
        self._ready = threading.Condition()
        # By name; and those that were taken away, of which the iteration is to be told.
        self._feeds: dict[str, Feed] = {}
        self._removed: list[Feed] = []
        self._past: dict[str, StreamStatistics] = {}
        self._closed = False
        self._start_s = self._looked_s = time.monotonic()
        self._watches = OverloadWatches()
        self._turns = 0
        self.overloads = 0
        self._items = self._windows()

    def add(self, source: SourceRef | StreamOptions, *, replace: bool = False) -> str:
        """One more stream, opened behind the scenes: what cannot be opened fails by itself.

        Returns its name. Raises ValueError where a stream of that name is there already, unless it
        is to be replaced; one that has ended, or failed, gives way.
        """
        options = source if isinstance(source, StreamOptions) else StreamOptions(source)
        name = options.called
        with self._ready:
            self._refuse_another(name, replace=replace)
        windowing = self._new_windowing(options)
        with self._ready:
            self._refuse_another(name, replace=replace)
            replaced = self._take_away(name)
            opener = partial(self._open, options, replaced)
            self._feeds[name] = Feed(
                name,
                opener,
                windowing,
                self._ready,
                events=options.events,
                tap=self._tap,
            )
            self._ready.notify_all()
        return name

    def _open(self, options: StreamOptions, replaced: list[Feed]) -> Source:
        """Once what it replaces has let go of the same device, if that is what it was."""
        _close(replaced)
        return options.open(self._live, self._on_status)

    def remove(self, name: str) -> None:
        """Close a stream, within a second; nothing more is given of it. Raises ValueError where
        there is none of that name.
        """
        with self._ready:
            if name not in self._feeds and name not in self._past:
                there = ", ".join([*self._feeds, *self._past]) or "none"
                raise ValueError(f"no stream {name!r}: there are {there}")
            removed = self._take_away(name)
            self._ready.notify_all()
        _close(removed)

    def statistics(self) -> dict[str, StreamStatistics]:
        """Of each stream, by name; those that have ended or failed are there until `remove`."""
        with self._ready:
            now = {name: feed.statistics() for name, feed in self._feeds.items()}
            return {**self._past, **now}

    @property
    def overloaded(self) -> bool:
        """Whether live streams get fewer windows than asked; `overloads` counts how often."""
        return self._watches.overloaded

    def events(self, *, options: EventOptions | None = None) -> Generator[ActionEvent, None, None]:
        """Events instead of windows, as `Recognizer.events` gives them for one stream, each with
        the name of its stream as source. options: for streams that have none of their own. What is
        open when a stream ends, fails, is removed or lost, or at `close` or Ctrl-C, is closed and
        given.
        """
        open_streams: dict[Feed, EventDetector] = {}
        try:
            for feed, scores in self._items:
                if scores is None:
                    gone = open_streams.pop(feed, None)
                    why: EndedBy = "error" if feed.error else "end"
                    yield from gone.close(ended_by=why) if gone else []
                    continue
                if isinstance(scores, NoWindow):
                    lost = open_streams.get(feed)
                    if lost:
                        yield from lost.no_window(scores.until_s, seen_s=scores.seen_s)
                    continue
                if feed not in open_streams:
                    open_streams[feed] = _new_detector(feed, scores, options)
                yield from open_streams[feed].update(scores)
        except (Exception, KeyboardInterrupt):
            for detector in open_streams.values():
                yield from detector.close(ended_by="error")
            raise
        for detector in open_streams.values():
            yield from detector.close()

    def close(self) -> None:
        """Close all streams, within a second; iterating ends."""
        self._closed = True
        with self._ready:
            self._past = self.statistics()
            feeds = [*self._feeds.values(), *self._removed]
            self._feeds, self._removed = {}, []
            self._ready.notify_all()
        _close(feeds)
        with suppress(ValueError):  # another thread waits for a window: it sees the streams closed
            self._items.close()

    def __next__(self) -> StreamWindow:
        for feed, scores in self._items:
            if isinstance(scores, WindowScores):
                return StreamWindow(feed.name, scores)
        raise StopIteration

    def __enter__(self) -> Streams:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _windows(self) -> Generator[tuple[Feed, WindowScores | NoWindow | None], None, None]:
        """Whose turn it is, and the scores of its next window; None behind its last. Of cameras
        that are lost, now and then, that there is none.
        """
        while not self._closed:
            feeds = self._pulled()
            for feed in self._over():
                yield feed, None
            yield from self._lost(feeds)
            waiting = [feed for feed in feeds if feed.has_clip and not feed.closed]
            if waiting:
                feed = min(waiting, key=lambda feed: feed.turn)
                scores = self._give(feed)
                if not feed.closed:
                    yield feed, scores
            elif not self._wait():
                return

    def _pulled(self) -> list[Feed]:
        """All streams, with what they have read by now."""
        with self._ready:
            feeds = list(self._feeds.values())
        for feed in feeds:
            try:
                self._watches.note_skipped(feed.stride_s, feed.pull())
            except Exception as error:  # whatever it is, the other streams go on
                reason = feed.fail(error)
                at_s = feed.source.counters.newest_s if feed.source else 0.0
                self._tell("failed", feed.name, at_s, reason)
        if self._watches.changed():
            self._tell_overload(sum(feed.live for feed in feeds))
        return feeds

    def _lost(self, feeds: list[Feed]) -> list[tuple[Feed, NoWindow]]:
        now_s = time.monotonic()
        if now_s - self._looked_s < _LOOK_S:
            return []
        self._looked_s = now_s
        told = [(feed, feed.no_window) for feed in feeds if not feed.closed]
        return [(feed, no_window) for feed, no_window in told if no_window is not None]

    def _over(self) -> list[Feed]:
        """Those that have just ended or were removed."""
        with self._ready:
            over = [feed for feed in self._feeds.values() if feed.over]
            for feed in over:
                self._past[feed.name] = self._feeds.pop(feed.name).statistics()
            removed, self._removed = self._removed, []
        _close(over)
        return over + removed

    def _give(self, feed: Feed) -> WindowScores:
        self._turns += 1
        feed.turn = self._turns
        if feed.live:
            self._watches.note_given(feed.stride_s)
        return feed.give()

    def _wait(self) -> bool:
        """Until something has been read; False where nothing more will be."""
        with self._ready:
            feeds = self._feeds.values()
            if not self._closed and not self._removed and not any(f.waiting for f in feeds):
                self._ready.wait(_LOOK_S)
            return bool(self._feeds or self._removed)

    def _take_away(self, name: str) -> list[Feed]:
        """The stream of that name, if there is one, to be closed."""
        self._past.pop(name, None)
        feed = self._feeds.pop(name, None)
        if feed is None:
            return []
        feed.closed = True
        self._removed.append(feed)
        return [feed]

    def _refuse_another(self, name: str, *, replace: bool) -> None:
        if self._closed:
            raise ValueError(f"stream {name!r} comes too late: the streams are closed")
        if name in self._feeds and not replace:
            raise ValueError(f"two streams are called {name!r}: give each a name of its own")

    def _tell_overload(self, num_live: int) -> None:
        kind: StatusKind = "relieved"
        reason = "every window is computed again"
        if self._watches.overloaded:
            kind = "overloaded"
            self.overloads += 1
            reason = (
                f"windows of the {num_live} live streams come {self._watches.stretch:.1f} times as "
                "far apart as asked"
            )
        self._tell(kind, ALL, time.monotonic() - self._start_s, reason)

    def _tell(self, kind: StatusKind, source: str, at_s: float, reason: str) -> None:
        now = datetime.now(timezone.utc).isoformat()
        status = StreamStatus(kind, source, at_s, now, reason)
        status.log(log, logging.ERROR if kind == "failed" else logging.WARNING)
        if self._on_status is not None:
            self._on_status(status)


def _new_detector(feed: Feed, scores: WindowScores, options: EventOptions | None) -> EventDetector:
    source = feed.source
    return EventDetector(
        scores.labels,
        source=feed.name,
        started_at=lambda: source.started_at if source else None,
        options=feed.events or options,
    )


def _close(feeds: Iterable[Feed]) -> None:
    """Within a second, however many."""
    feeds = list(feeds)
    for feed in feeds:
        feed.stop()
    close_all(reader for feed in feeds for reader in feed.readers)
