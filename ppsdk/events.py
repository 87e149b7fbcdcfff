"""Window scores to events: neighbouring windows with the same label are one event."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from ppsdk.errors import VideoError
from ppsdk.records import ActionEvent, WindowScores

_TIE_S = 1e-6


def detect_events(
    windows: Iterable[WindowScores],
    *,
    source: str,
    started_at: Callable[[], datetime | None] = lambda: None,
    merge: bool = True,
) -> Generator[ActionEvent, None, None]:
    """One event a window, with its best label; with merge, one for neighbours of the same label.

    An event runs from the start of its first window to the end of its last; where that overlaps the
    next event, both are cut in the middle of the overlap. Windows with a hole between them are no
    neighbours. An event is given when it has ended, in the order of start times.
    started_at tells the wall-clock time of second 0 once it is known, None for files.
    """
    detector: EventDetector | None = None
    try:
        for window in windows:
            if detector is None:
                detector = EventDetector(
                    window.labels, source=source, started_at=started_at, merge=merge
                )
            yield from detector.update(window)
    except (VideoError, KeyboardInterrupt):
        # The stream is lost, or stopped by Ctrl-C; what it told before is not.
        yield from detector.close() if detector else []
        raise
    yield from detector.close() if detector else []


class EventDetector:
    """The same, window by window: `update` and `close` give the events that have ended."""

    def __init__(
        self,
        labels: Sequence[str],
        *,
        source: str = "",
        started_at: Callable[[], datetime | None] = lambda: None,
        merge: bool = True,
    ) -> None:
        self.labels, self.source = tuple(labels), source
        self._started_at, self._merge = started_at, merge
        self._pending: ActionEvent | None = None

    def update(self, window: WindowScores) -> list[ActionEvent]:
        pending, event = self._pending, _event(window, self.source)
        if pending is not None and self._merge and _continues(pending, event):
            self._pending = _joined(pending, event)
            return []
        if pending is not None and self._merge:
            pending, event = _apart(pending, event)
        self._pending = event
        return self._told(pending)

    def close(self) -> list[ActionEvent]:
        pending, self._pending = self._pending, None
        return self._told(pending)

    def _told(self, event: ActionEvent | None) -> list[ActionEvent]:
        return [] if event is None else [_with_wall_clock(event, self._started_at())]


def _event(window: WindowScores, source: str) -> ActionEvent:
    return ActionEvent(
        id=uuid.uuid4().hex,
        label=window.label,
        label_id=window.label_id,
        score=window.score,
        start_s=window.start_s,
        end_s=window.end_s,
        source=source,
    )


def _continues(earlier: ActionEvent, later: ActionEvent) -> bool:
    return earlier.label_id == later.label_id and later.start_s <= earlier.end_s + _TIE_S


def _joined(earlier: ActionEvent, later: ActionEvent) -> ActionEvent:
    end_s, score = max(earlier.end_s, later.end_s), max(earlier.score, later.score)
    return replace(earlier, end_s=end_s, score=score)


def _apart(earlier: ActionEvent, later: ActionEvent) -> tuple[ActionEvent, ActionEvent]:
    """The windows of both say where one ends and the other starts: half-way."""
    if later.start_s >= earlier.end_s:
        return earlier, later
    middle_s = (later.start_s + earlier.end_s) / 2
    return replace(earlier, end_s=middle_s), replace(later, start_s=middle_s)


def _with_wall_clock(event: ActionEvent, started_at: datetime | None) -> ActionEvent:
    if started_at is None:
        return event
    return replace(
        event,
        start_time=(started_at + timedelta(seconds=event.start_s)).isoformat(),
        end_time=(started_at + timedelta(seconds=event.end_s)).isoformat(),
    )
