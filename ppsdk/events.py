"""Window scores to events: neighbouring windows with the same label are one event."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Iterable
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
    pending: ActionEvent | None = None
    try:
        for window in windows:
            event = _event(window, source)
            if pending is None:
                pending = event
            elif merge and _continues(pending, event):
                pending = _joined(pending, event)
            else:
                if merge:
                    pending, event = _apart(pending, event)
                yield _with_wall_clock(pending, started_at())
                pending = event
    except (VideoError, KeyboardInterrupt):
        # The stream is lost, or stopped by Ctrl-C; what it told before is not.
        if pending is not None:
            yield _with_wall_clock(pending, started_at())
        raise
    if pending is not None:
        yield _with_wall_clock(pending, started_at())


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
