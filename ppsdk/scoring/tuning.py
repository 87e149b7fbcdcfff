"""The event options that do best on videos of which one knows what happens in them."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ppsdk.event_options import EventOptions
from ppsdk.events import detect_events
from ppsdk.intervals import LabelledSpan
from ppsdk.scoring.figures import Tally, sum_classes, sum_recordings, tally
from ppsdk.scoring.recordings import Recording, ToldEvent, told_events
from ppsdk.scoring.scored import ScoredVideo

Progress = Callable[[Iterable[Any], str], Iterable[Any]]
FOLDS = 5

# What is searched. Lengths are in strides: a quarter more than n, for n + 1 windows are then sure
# to last so long when the last of them comes.
ON = (None, *(0.1 + 0.05 * i for i in range(17)))
OFF_SHARES = (1.0, 0.8, 0.6, 0.4)
SMOOTHINGS = (("none", 3), ("mean", 2), ("mean", 3), ("mean", 5), ("ema", 2), ("ema", 4))
MIN_STRIDES = (None, 1.25, 2.25, 3.25)
GAP_STRIDES = (None, 1.0, 2.0, 3.0)


@dataclass(frozen=True)
class Goal:
    """The best F1 at a tIoU of 0.5; with max_false_alarms, per hour, the best recall instead, of
    those that keep to it. max_delay_s: of the median, for both.
    """

    max_false_alarms: float | None = None
    max_delay_s: float | None = None

    def excess(self, seen: Tally) -> float:
        """How far it is from what is asked; 0 where it keeps to it. Telling nothing does not."""
        if not seen.noticed and seen.actions:
            return math.inf
        excess = 0.0
        if self.max_false_alarms is not None:
            excess += max(0.0, seen.false_alarms_per_hour - self.max_false_alarms)
        if self.max_delay_s is not None and seen.median_delay_s is not None:
            excess += max(0.0, seen.median_delay_s - self.max_delay_s)
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


@dataclass(frozen=True)
class Tuning:
    """best: of all videos. held_out: the sum over folds of what the best of the other folds did;
    None where there is but one video. before: the options that were there without.
    """

    goal: Goal
    trials: tuple[Trial, ...]
    best: Trial
    before: Trial
    held_out: Tally | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "options": self.best.options.to_dict(),
            "videos": len(self.best.tallies),
            "trials": len(self.trials),
            "before": self.before.all.to_dict(),
            "tuned": self.best.all.to_dict(),
            "held_out": None if self.held_out is None else self.held_out.to_dict(),
        }


def candidates(
    *, stride_s: float, background: Sequence[str], count: int, seed: int = 0
) -> list[EventOptions]:
    """So many combinations of what is searched, drawn evenly; all of them where those are fewer."""
    space = list(itertools.product(ON, OFF_SHARES, SMOOTHINGS, MIN_STRIDES, GAP_STRIDES))
    space = [point for point in space if point[0] is not None or point[1] == 1.0]
    drawn = random.Random(seed).sample(space, min(count, len(space)))
    return [
        EventOptions(
            smoothing=smoothing,  # type: ignore[arg-type]
            smoothing_windows=windows,
            on_threshold=None if on is None else round(on, 4),
            off_threshold=None if on is None else round(on * off_share, 4),
            min_duration_s=None if shortest is None else round(shortest * stride_s, 6),
            merge_gap_s=None if gap is None else round(gap * stride_s, 6),
            background=background,
        )
        for on, off_share, (smoothing, windows), shortest, gap in drawn
    ]


def tune(
    videos: Sequence[ScoredVideo],
    *,
    before: EventOptions,
    stride_s: float,
    goal: Goal,
    count: int,
    progress: Progress = lambda items, label: items,
) -> Tuning:
    """Try `before` and count others on all videos. What happens that is background there is none.

    Raises ValueError where nothing happens, or none of the trials keeps to the goal.
    """
    background = before.background
    truth = [[s for s in video.truth if s.label not in background] for video in videos]
    if not any(truth):
        raise ValueError("nothing happens in the videos but background: there is nothing to tune")
    others = candidates(stride_s=stride_s, background=background, count=count)
    trials = tuple(
        Trial(
            options,
            tuple(
                _tally(video, spans, options) for video, spans in zip(videos, truth, strict=True)
            ),
        )
        for options in progress([before, *others], "trials")
    )
    best = max(trials, key=lambda trial: goal.rank(trial.all))
    seen = best.all
    if not seen.noticed and seen.actions:
        raise ValueError(
            f"none of {len(trials)} trials tells of any of the {seen.actions} actions: is it the "
            "model for these videos?"
        )
    if goal.excess(seen):
        raise ValueError(
            f"none of {len(trials)} trials keeps to the goal: the nearest has "
            f"{seen.false_alarms_per_hour:.1f} false alarms an hour and a median delay of "
            f"{seen.median_delay_s or 0:.2f} s"
        )
    return Tuning(goal, trials, best, trials[0], _held_out(trials, goal, len(videos)))


def as_text(tuning: Tuning) -> str:
    """For people: what was chosen, and what it does."""
    rows = [("before", tuning.before.all), ("tuned", tuning.best.all)]
    if tuning.held_out is not None:
        rows.append(("held out", tuning.held_out))
    lines = [f"{'':9} F1@0.5  recall  false/h  median delay"]
    for name, seen in rows:
        lines.append(
            f"{name:9} {seen.f1_at(0.5):6.3f}  {seen.recall:6.3f}  "
            f"{seen.false_alarms_per_hour:7.1f}  {seen.median_delay_s or 0:10.2f} s"
        )
    if tuning.held_out is None:
        lines.append("one video: nothing is held out, expect less elsewhere")
    return "\n".join(lines)


def _tally(video: ScoredVideo, truth: Sequence[LabelledSpan], options: EventOptions) -> Tally:
    events: list[ToldEvent] = []
    if video.windows:
        labels = video.windows[0].labels
        events = told_events(detect_events(video.windows, labels=labels, options=options))
    watched = Recording(video.name, tuple(truth), tuple(events), video.length_s)
    of_classes = [tally(watched, label) for label in sorted(watched.labels)]
    return sum_classes(of_classes, length_s=watched.length_s)


def _held_out(trials: Sequence[Trial], goal: Goal, count: int) -> Tally | None:
    if count < 2:
        return None
    order = random.Random(0).sample(range(count), count)
    tallies = []
    for fold in range(min(FOLDS, count)):
        held = order[fold :: min(FOLDS, count)]
        rest = [i for i in order if i not in held]
        best = max(trials, key=lambda trial: goal.rank(trial.over(rest)))
        tallies.append(best.over(held))
    return sum_recordings(tallies)
