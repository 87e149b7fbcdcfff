"""The events that go on: when each may start, what a gap does to it, when it is cut or ends."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ppsdk.event_options import EventOptions
from ppsdk.records import EndedBy, Phase

TIE_S = 1e-5


@dataclass
class Support:
    """Neighbouring windows whose own scores support a class. age: windows since the last one."""

    start_s: float
    end_s: float
    score: float
    age: int = 0


@dataclass
class OpenEvent:
    """An event that goes on, or a candidate for one (no id) that is too short yet.

    supported: by the newest window. active: not in a gap that may be merged. newest_score: of the
    last window that supported it.
    """

    label_id: int
    start_s: float
    end_s: float
    score: float
    supported: bool
    active: bool = True
    id: str = ""
    sequence: int = 0
    told_s: float = -math.inf
    newest_score: float = 0.0


class OpenEvents:
    """One event a class at most; with exclusive classes, one that is told of and active.

    tell: is called with what is to be told, in order.
    """

    def __init__(
        self,
        labels: Sequence[str],
        options: EventOptions,
        tell: Callable[[OpenEvent, Phase, EndedBy | None], None],
    ) -> None:
        self._own = [options.of_class(label) for label in labels]
        self._gap_s = [own.merge_gap_s or 0.0 for own in self._own]
        self.longest_gap_s = max(self._gap_s)
        self._independent = options.independent
        self._tell = tell
        self._open: dict[int, OpenEvent] = {}
        self.forget_ends()

    def forget_ends(self) -> None:
        """Time starts anew: no cooldown, and nothing that must not be overlapped."""
        self._free_s = [-math.inf] * len(self._own)
        self._told_until_s = -math.inf

    def told(self) -> list[OpenEvent]:
        """Those that go on and are told of."""
        return [event for event in self._open.values() if event.id and event.active]

    def settle(self, end_s: float) -> None:
        """What the newest window supports goes on until end_s."""
        for event in [event for event in self._open.values() if event.supported]:
            self._reach(event, end_s)

    def pause(self) -> None:
        """A hole in time that is short enough to be merged."""
        for event in self._open.values():
            event.active = False

    def end_gaps(self, hole_s: float, seen_s: float) -> None:
        """Nothing has come for hole_s, since seen_s: what may not go on over that ends."""
        for event in list(self._open.values()):
            if hole_s > max(TIE_S, self._gap_s[event.label_id]) + TIE_S:
                if event.supported:
                    self._reach(event, seen_s)
                    event = self._open.get(event.label_id, event)
                if event.label_id in self._open:
                    self._end(event, "gap" if event.active else "over")

    def fade(self, active: set[int], middle_s: float) -> None:
        """What is not active ends, or is in a gap, which lasts to middle_s at least."""
        for event in list(self._open.values()):
            event.supported = False
            if event.label_id not in active:
                event.active = False
                gap_s = self._gap_s[event.label_id]
                if not gap_s or middle_s - event.end_s > gap_s + TIE_S:
                    self._end(event, "over")

    def carry_on(self, label_id: int, run: Support | None, window: Support) -> None:
        """The class is active. run: the windows that support it, up to now or a while ago. window:
        the newest, whether it does or not.
        """
        event = self._open.get(label_id)
        if event is not None and not event.active:
            since_s = window.start_s if run is None else max(run.start_s, event.end_s)
            if since_s - event.end_s > self._gap_s[label_id] + TIE_S:
                self._end(event, "over")
                event = None
            elif not self._independent:
                # It takes the time of the gap: no candidate may have it.
                self._open = {i: o for i, o in self._open.items() if o.id or o is event}
        if event is None:
            self._begin(label_id, run, window)
            return
        event.active = True
        if run is not None and not run.age:
            event.supported = True
            event.score = max(event.score, window.score)
            event.newest_score = window.score
            self._reach(event, window.end_s)

    def end_all(self, ended_by: EndedBy) -> None:
        for event in list(self._open.values()):
            self._end(event, ended_by if event.active else "over")

    def _begin(self, label_id: int, run: Support | None, window: Support) -> None:
        """With the windows that made it so; with the newest where those are told of already."""
        free_s = self._free_s[label_id]
        if not self._independent:
            ends_s = [event.end_s for event in self._open.values() if event.id]
            free_s = max(free_s, self._told_until_s, *ends_s)
        by = window if run is None or run.start_s < free_s else run
        if by.start_s >= free_s:
            event = OpenEvent(label_id, by.start_s, by.end_s, by.score, supported=not by.age)
            event.newest_score = window.score if not by.age else by.score
            self._open[label_id] = event
            self._reach(event, by.end_s)

    def _reach(self, event: OpenEvent, end_s: float) -> None:
        """It is sure to go on until end_s: told of when that is long enough, cut when too long."""
        own = self._own[event.label_id]
        longest_s = own.max_duration_s or math.inf
        rest: OpenEvent | None = event
        while rest is not None:
            rest.end_s = min(end_s, rest.start_s + longest_s)
            if not rest.id and end_s - rest.start_s >= (own.min_duration_s or 0) - TIE_S:
                self._start(rest)
            too_long = bool(rest.id) and end_s - rest.start_s > longest_s + TIE_S
            rest = self._cut(rest) if too_long else None

    def _start(self, event: OpenEvent) -> None:
        event.id = uuid.uuid4().hex
        if not self._independent:
            for other in [other for other in self._open.values() if other is not event]:
                self._end(other, "over")
        self._tell(event, "start", None)

    def _cut(self, event: OpenEvent) -> OpenEvent | None:
        """Returns what starts where it ends; nothing does during a cooldown."""
        self._end(event, "max_duration")
        if self._own[event.label_id].cooldown_s:
            return None
        rest = replace(event, start_s=event.end_s, id="", sequence=0, score=event.newest_score)
        self._open[event.label_id] = rest
        return rest

    def _end(self, event: OpenEvent, ended_by: EndedBy) -> None:
        del self._open[event.label_id]
        if not event.id:
            return
        cooldown_s = self._own[event.label_id].cooldown_s
        self._free_s[event.label_id] = event.end_s + (cooldown_s - TIE_S if cooldown_s else 0)
        self._told_until_s = max(self._told_until_s, event.end_s)
        self._tell(event, "end", ended_by)
