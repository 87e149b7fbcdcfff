"""Events against what really happened."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from ppsdk.intervals import COVERED_SHARE, LabelledSpan, covered_share
from ppsdk.records import ActionEvent, WindowScores
from ppsdk.scoring.matching import match_events


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
