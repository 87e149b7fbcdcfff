"""Thresholds of its own for each class: some are sure at once, some are mistaken for another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ppsdk.event_options import EventOptions
from ppsdk.scoring.figures import Tally, sum_recordings
from ppsdk.scoring.trials import Goal, Trial, Trials

THRESHOLDS = tuple(round(0.1 * i, 1) for i in range(1, 10))


def with_own_thresholds(
    start: Trial, *, labels: Sequence[str], trials: Trials, goal: Goal, videos: Sequence[int]
) -> Trial:
    """Coordinate descent, once around: each label in turn gets the on_threshold of THRESHOLDS that
    does best on these videos while all else stays; its off_threshold keeps its share of it. That of
    a background label says how sure it must be that nothing happens.

    A threshold is judged by the sum of what it and its neighbours do: one step from false alarms is
    too close, for other videos differ by so much. Of equals the nearest to what was there is taken.
    """
    best = start
    for label in labels:
        before = best.options.of_class(label).on_threshold or 0.0
        line = [trials.of(with_threshold(best.options, label, on)) for on in THRESHOLDS]
        ranks = [goal.rank(_with_neighbours(line, i, videos)) for i in range(len(line))]
        if len(set(ranks)) > 1:
            nearness = [-abs(on - before) for on in THRESHOLDS]
            _, _, best = max(zip(ranks, nearness, line, strict=True), key=lambda at: at[:2])
    return best


def with_threshold(options: EventOptions, label: str, on: float) -> EventOptions:
    """The label's own on_threshold, and an off_threshold that has its share of it."""
    there = options.of_class(label)
    share = 1.0
    if there.on_threshold and there.off_threshold is not None:
        share = there.off_threshold / there.on_threshold
    own = {**options.per_class.get(label, {}), "on_threshold": on}
    own["off_threshold"] = round(on * share, 4)
    return replace(options, per_class={**options.per_class, label: own})


def _with_neighbours(line: Sequence[Trial], i: int, videos: Sequence[int]) -> Tally:
    near = line[max(0, i - 1) : i + 2]
    return sum_recordings([trial.over(videos) for trial in near])
