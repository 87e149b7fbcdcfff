"""Window scores to events: when an action starts, that it goes on, when it ended."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Generator, Iterable, Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from ppsdk.activity import Activity, Smoother
from ppsdk.event_options import EventOptions
from ppsdk.open_events import TIE_S, OpenEvent, OpenEvents, Support
from ppsdk.records import ActionEvent, EndedBy, NoWindow, Phase, WindowScores


def detect_events(
    windows: Iterable[WindowScores | NoWindow],
    *,
    labels: Sequence[str],
    options: EventOptions | None = None,
    source: str = "",
    started_at: Callable[[], datetime | None] = lambda: None,
) -> Generator[ActionEvent, None, None]:
    """The records of an `EventDetector` that is fed with windows and closed after the last.

    An error of the windows ends what goes on (ended_by "error") before it is raised, Ctrl-C too.
    """
    detector = EventDetector(labels, options=options, source=source, started_at=started_at)
    try:
        for window in windows:
            if isinstance(window, NoWindow):
                yield from detector.no_window(window.until_s, seen_s=window.seen_s)
            else:
                yield from detector.update(window)
    except (Exception, KeyboardInterrupt):
        yield from detector.close(ended_by="error")
        raise
    yield from detector.close()


class EventDetector:
    """Feed it with windows in the order of time; the same online and offline.

    A window speaks for the time that is nearer to its middle than to that of its neighbours, with
    no neighbour up to its own end: where windows overlap they part half-way. Smoothed scores
    decide; an event has the times of the windows whose own scores support it. A record goes out
    as soon as it is sure: end_s of a "start" or "update" is how far the event reaches at least.
    One class never has two events at a time, exclusive classes never two together.

    A window that starts when the last one did is a repetition, and ignored. One from before (a
    camera that started anew), or a hole longer than merge_gap_s, ends what goes on ("gap"); for the
    latter nobody need wait for the next window: see `no_window`.
    source, started_at: for the records; started_at tells the wall-clock time of second 0 once it
    is known. Raises ValueError for options that name other labels.
    """

    def __init__(
        self,
        labels: Sequence[str],
        *,
        options: EventOptions | None = None,
        source: str = "",
        started_at: Callable[[], datetime | None] = lambda: None,
    ) -> None:
        self.labels = tuple(labels)
        self.options = options or EventOptions()
        self.options.check_labels(self.labels)
        self.source = source
        self._started_at = started_at
        self._own = [self.options.of_class(label) for label in self.labels]
        self._background = {self.labels.index(label) for label in self.options.background}
        self._records: list[ActionEvent] = []
        self._events = OpenEvents(self.labels, self.options, self._tell)
        self._last: WindowScores | None = None
        self._none_before_s = -math.inf
        self._begin_anew()

    def update(self, window: WindowScores) -> list[ActionEvent]:
        """What the window settles, in the order in which it was decided.

        Raises ValueError for NaN, infinities or other labels; the window is then as if it had not
        come.
        """
        scores = self._checked(window)
        last = self._last
        is_late = last is None and window.start_s < self._none_before_s
        if is_late or (last is not None and abs(window.start_s - last.start_s) <= TIE_S):
            return []
        self._decided_s = window.end_s if last is None else max(window.end_s, last.end_s)
        if self.options.per_window:
            self._tell_window(window, scores)
        else:
            left_s = self._meet(window)
            self._follow(scores, left_s, (window.start_s + window.end_s) / 2)
        self._last = window
        return self._taken()

    def no_window(self, until_s: float, *, seen_s: float = -math.inf) -> list[ActionEvent]:
        """Say that no window will come that starts before until_s, as often as wanted: what goes on
        ends where that is a hole longer than its merge_gap_s. One that comes late then is ignored.

        seen_s: the time of the last frame, which may be later than the end of the last window: what
        is left of a stream is a window of its own once it goes on.
        """
        last = self._last
        if last is None:
            return []
        hole_s = until_s - max(last.end_s, seen_s)
        if hole_s <= max(TIE_S, self._events.longest_gap_s):
            self._decided_s = max(last.end_s, until_s)
            self._events.end_gaps(hole_s, last.end_s)
            return self._taken()
        self._decided_s = until_s
        self._end_all("gap")
        self._none_before_s = until_s
        return self._taken()

    def close(self, *, ended_by: EndedBy = "end") -> list[ActionEvent]:
        """The ends of what goes on. A window that comes afterwards is the first of a stream."""
        self._end_all(ended_by)
        self._events.forget_ends()
        self._none_before_s = -math.inf
        return self._taken()

    def reset(self) -> list[ActionEvent]:
        """As close: nothing that was started stays without an end."""
        return self.close()

    def _begin_anew(self) -> None:
        self._last = None
        self._runs: dict[int, Support] = {}
        self._smoother = Smoother(self.options)
        self._raw, self._smoothed = (Activity(self.labels, self.options) for _ in range(2))

    def _end_all(self, ended_by: EndedBy) -> None:
        if self._last is not None:
            self._settle(self._last.end_s)
        self._events.end_all(ended_by)
        self._begin_anew()

    def _taken(self) -> list[ActionEvent]:
        records, self._records = self._records, []
        return records

    def _checked(self, window: WindowScores) -> NDArray[np.float64]:
        if window.labels != self.labels:
            raise ValueError(
                f"window at {window.start_s} s has other labels than the detector: "
                f"{', '.join(window.labels[:10])}, not {', '.join(self.labels[:10])}"
            )
        scores = np.asarray(window.scores, np.float64)
        if not np.isfinite(scores).all():
            raise ValueError(f"window at {window.start_s} s has scores {scores}: must be finite")
        return scores

    def _meet(self, window: WindowScores) -> float:
        """Settle how far the last window speaks; returns from when on the new one does."""
        last = self._last
        if last is None:
            return window.start_s
        is_back = window.start_s < last.start_s or window.end_s < last.end_s - TIE_S
        hole_s = window.start_s - last.end_s
        if is_back or hole_s > max(TIE_S, self._events.longest_gap_s):
            self._end_all("gap")
            if is_back:
                self._events.forget_ends()
            return window.start_s
        if hole_s > TIE_S:
            self._settle(last.end_s)
            self._events.pause()
            self._runs = {}
            return window.start_s
        part_s = (window.start_s + last.end_s) / 2
        self._settle(part_s)
        return part_s

    def _settle(self, end_s: float) -> None:
        for run in self._runs.values():
            run.end_s = run.end_s if run.age else end_s
        self._events.settle(end_s)

    def _follow(self, scores: NDArray[np.float64], left_s: float, middle_s: float) -> None:
        """The window speaks from left_s to middle_s at least."""
        supported = self._raw.update(scores)
        self._note_runs(supported, scores, left_s, middle_s)
        if self.options.smoothing != "none":
            supported = self._smoothed.update(self._smoother.update(scores))
        active = set(supported) - self._background
        self._events.fade(active, middle_s)
        for label_id in sorted(active):
            newest = Support(left_s, middle_s, float(scores[label_id]))
            self._events.carry_on(label_id, self._runs.get(label_id), newest)
        every_s = self.options.update_interval_s
        if every_s is not None:
            for event in self._events.told():
                if self._decided_s - event.told_s >= every_s - TIE_S:
                    self._tell(event, "update", None)

    def _note_runs(
        self, supported: list[int], scores: NDArray[np.float64], left_s: float, middle_s: float
    ) -> None:
        reach = 0 if self.options.smoothing == "none" else self.options.smoothing_windows
        for run in self._runs.values():
            run.age += 1
        for label_id in supported:
            score, run_so_far = float(scores[label_id]), self._runs.get(label_id)
            if run_so_far is None or run_so_far.age > 1:
                self._runs[label_id] = Support(left_s, middle_s, score)
            else:
                best = max(score, run_so_far.score)
                self._runs[label_id] = Support(run_so_far.start_s, middle_s, best)
        self._runs = {i: run for i, run in self._runs.items() if run.age <= reach}

    def _tell(self, event: OpenEvent, phase: Phase, ended_by: EndedBy | None) -> None:
        record = ActionEvent(
            id=event.id,
            label=self.labels[event.label_id],
            label_id=event.label_id,
            score=event.score,
            start_s=event.start_s,
            end_s=event.end_s,
            source=self.source,
            phase=phase,
            sequence=event.sequence,
            decided_s=self._decided_s,
            ended_by=ended_by,
        )
        self._records.append(record.with_wall_clock(self._started_at()))
        event.sequence += 1
        event.told_s = self._decided_s

    def _tell_window(self, window: WindowScores, scores: NDArray[np.float64]) -> None:
        best = int(scores.argmax())
        lowest = max(self._own[best].on_threshold or 0.0, self.options.unknown_below or 0.0)
        if best not in self._background and scores[best] >= lowest:
            event = OpenEvent(best, window.start_s, window.end_s, float(scores[best]), True)
            event.id = uuid.uuid4().hex
            self._tell(event, "end", "over")
