"""Events against what really happened."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from ppsdk.intervals import COVERED_SHARE, LabelledSpan, covered_share
from ppsdk.records import ActionEvent, WindowScores

MIN_TIOU = 0.5


def tiou(event: ActionEvent, span: LabelledSpan) -> float:
    """Temporal intersection over union, 0 to 1."""
    shared = min(event.end_s, span.end_s) - max(event.start_s, span.start_s)
    joined = max(event.end_s, span.end_s) - min(event.start_s, span.start_s)
    return max(0.0, shared) / joined


def match_events(events: Sequence[ActionEvent], truth: Sequence[LabelledSpan]) -> dict[int, int]:
    """Event number -> truth number: same label, tIoU of 0.5 or more, each at most once, the best
    pairs first.
    """
    pairs = [
        (tiou(event, span), i, j)
        for i, event in enumerate(events)
        for j, span in enumerate(truth)
        if event.label == span.label
    ]
    matched: dict[int, int] = {}
    for overlap, i, j in sorted(pairs, reverse=True):
        if overlap >= MIN_TIOU and i not in matched and j not in matched.values():
            matched[i] = j
    return matched


def event_f1(events: Sequence[ActionEvent], truth: Sequence[LabelledSpan]) -> float:
    """2 TP / (events + truth); 1 where nothing happened and nothing was told."""
    total = len(events) + len(truth)
    return 2 * len(match_events(events, truth)) / total if total else 1.0


def window_top1(
    windows: Sequence[WindowScores], truth: Sequence[LabelledSpan]
) -> tuple[int, int, int, int]:
    """(right, all) of the windows of which one interval covers three quarters or more, and (right,
    all) of the others, for which the interval that covers most is right.
    """
    clear, mixed = [0, 0], [0, 0]
    for window in windows:
        seen = LabelledSpan("", window.start_s, window.end_s)
        share, best = max(((covered_share(seen, span), span) for span in truth), key=lambda x: x[0])
        counts = clear if share >= COVERED_SHARE else mixed
        counts[0] += best.label == window.label
        counts[1] += 1
    return clear[0], clear[1], mixed[0], mixed[1]


def write_truth(truth: Sequence[LabelledSpan], file: Path) -> None:
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(("label", "start_s", "end_s"))
        writer.writerows((s.label, f"{s.start_s:.3f}", f"{s.end_s:.3f}") for s in truth)
