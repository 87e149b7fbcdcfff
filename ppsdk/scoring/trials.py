"""Event options that were tried on scored videos, and what is wanted of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ppsdk.event_options import EventOptions
from ppsdk.events import detect_events
from ppsdk.intervals import LabelledSpan
from ppsdk.scoring.figures import Tally, sum_classes, sum_recordings, tally
from ppsdk.scoring.recordings import Recording, ToldEvent, told_events
from ppsdk.scoring.scored import ScoredVideo


@dataclass(frozen=True)
class Goal:
    """The best F1 at a tIoU of 0.5; with max_false_alarms, per hour, the best recall instead, of
    those that keep to it. max_delay_s: of the median, for both.
    """

    max_false_alarms: float | None = None
    max_delay_s: float | None = None

    def excess(self, seen: Tally) -> float:
        """How far it is from what is asked, each limit in shares of itself; 0 where it keeps to
        them. Telling nothing does not.
        """
        if not seen.noticed and seen.actions:
            return math.inf
        excess = 0.0
        if self.max_false_alarms is not None and seen.length_s:
            one_alarm = 3600 / seen.length_s
            over = seen.false_alarms_per_hour - self.max_false_alarms
            excess += max(0.0, over) / max(self.max_false_alarms, one_alarm)
        if self.max_delay_s is not None and seen.median_delay_s is not None:
            excess += max(0.0, seen.median_delay_s - self.max_delay_s) / self.max_delay_s
        return excess

    def rank(self, seen: Tally) -> tuple[float, ...]:
        """More is better: what is asked, then the sooner."""
        value = seen.f1_at(0.5) if self.max_false_alarms is None else seen.recall
        return (-self.excess(seen), value, seen.f1_at(0.5), -(seen.median_delay_s or 0.0))


@dataclass(frozen=True)
class Trial:
    """tallies: of each video."""

    options: EventOptions
    tallies: tuple[Tally, ...]

    def over(self, videos: Iterable[int]) -> Tally:
        return sum_recordings([self.tallies[i] for i in videos])

    @property
    def all(self) -> Tally:
        return self.over(range(len(self.tallies)))


class Trials:
    """What options do on the same videos, each tried once. truth: of each video, without what
    happens of the background.
    """

    def __init__(self, videos: Sequence[ScoredVideo], *, background: Sequence[str]) -> None:
        self._videos = videos
        self.truth = [
            tuple(span for span in video.truth if span.label not in background) for video in videos
        ]
        self._done: dict[str, Trial] = {}

    @property
    def all(self) -> tuple[Trial, ...]:
        """In the order in which they were tried."""
        return tuple(self._done.values())

    def of(self, options: EventOptions) -> Trial:
        key = repr(options)
        if key not in self._done:
            pairs = zip(self._videos, self.truth, strict=True)
            tallies = tuple(_tally(video, truth, options) for video, truth in pairs)
            self._done[key] = Trial(options, tallies)
        return self._done[key]


def _tally(video: ScoredVideo, truth: tuple[LabelledSpan, ...], options: EventOptions) -> Tally:
    events: list[ToldEvent] = []
    if video.windows:
        labels = video.windows[0].labels
        events = told_events(detect_events(video.windows, labels=labels, options=options))
    watched = Recording(video.name, truth, tuple(events), video.length_s)
    of_classes = [tally(watched, label) for label in sorted(watched.labels)]
    return sum_classes(of_classes, length_s=watched.length_s)
