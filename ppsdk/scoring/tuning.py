"""The event options that do best on videos of which one knows what happens in them."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ppsdk.event_options import EventOptions
from ppsdk.scoring.class_thresholds import with_own_thresholds
from ppsdk.scoring.figures import Tally, sum_recordings
from ppsdk.scoring.scored import ScoredVideo
from ppsdk.scoring.trials import Goal, Trial, Trials

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
class Tuning:
    """best: of all videos. held_out: the sum over folds of what the options did that were chosen
    likewise on the other folds; None where there is but one video. before: the options that were
    there without.
    """

    goal: Goal
    trials: tuple[Trial, ...]
    best: Trial
    before: Trial
    held_out: Tally | None

    def to_dict(self) -> dict[str, Any]:
        by_class = [trial for trial in self.trials if trial.options.per_class]
        return {
            "options": self.best.options.to_dict(),
            "videos": len(self.best.tallies),
            "trials": len(self.trials) - len(by_class),
            "class_trials": len(by_class),
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
    """Try `before` and count others on all videos; then, from the best of them, thresholds of its
    own for each class that happens: taken where the goal gains by them, and gains on videos held
    out as well or cannot be kept to otherwise. Not tried where there is but one video or class.
    What happens that is background there is none.

    Raises ValueError where nothing happens, or none of the trials keeps to the goal.
    """
    trials = Trials(videos, background=before.background)
    happening = {span.label for truth in trials.truth for span in truth}
    if not happening:
        raise ValueError("nothing happens in the videos but background: there is nothing to tune")
    others = candidates(stride_s=stride_s, background=before.background, count=count)
    common = [trials.of(options) for options in progress([before, *others], "trials")]
    labels = [*sorted(happening), *before.background] if len(happening) > 1 else []

    def in_common(among: Sequence[int]) -> Trial:
        return max(common, key=lambda trial: goal.rank(trial.over(among)))

    def by_class(among: Sequence[int]) -> Trial:
        best = in_common(among)
        return with_own_thresholds(best, labels=labels, trials=trials, goal=goal, videos=among)

    everything, folds = range(len(videos)), _folds(len(videos))
    best, held_out = in_common(everything), _held_out(in_common, folds)
    own = by_class(everything) if labels and held_out is not None else best
    if held_out is not None and goal.rank(own.all) > goal.rank(best.all):
        own_held_out = _held_out(by_class, progress(folds, "folds"))
        gains_there = own_held_out is not None and goal.rank(own_held_out) > goal.rank(held_out)
        if goal.excess(best.all) or gains_there:
            best, held_out = own, own_held_out
    _check(best, goal, len(trials.all))
    return Tuning(goal, trials.all, best, common[0], held_out)


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
    own = tuning.best.options.per_class
    if own:
        on = ", ".join(f"{label} {values['on_threshold']:g}" for label, values in own.items())
        lines.append(f"on_threshold of its own: {on}")
    if tuning.held_out is None:
        lines.append("one video: nothing is held out, expect less elsewhere")
    return "\n".join(lines)


def _check(best: Trial, goal: Goal, count: int) -> None:
    seen = best.all
    if not seen.noticed and seen.actions:
        raise ValueError(
            f"none of {count} trials tells of any of the {seen.actions} actions: is it the "
            "model for these videos?"
        )
    if goal.excess(seen):
        raise ValueError(
            f"none of {count} trials keeps to the goal: the nearest has "
            f"{seen.false_alarms_per_hour:.1f} false alarms an hour and a median delay of "
            f"{seen.median_delay_s or 0:.2f} s"
        )


def _folds(count: int) -> list[tuple[list[int], list[int]]]:
    """(rest, held out) of each; none where there is but one video."""
    order = random.Random(0).sample(range(count), count)
    step = min(FOLDS, count)
    held = [order[fold::step] for fold in range(step)] if count > 1 else []
    return [([i for i in order if i not in out], out) for out in held]


def _held_out(
    choose: Callable[[Sequence[int]], Trial],
    folds: Iterable[tuple[list[int], list[int]]],
) -> Tally | None:
    tallies = [choose(rest).over(held) for rest, held in folds]
    return sum_recordings(tallies) if tallies else None
