"""How good events are: precision, recall and F1, delay, false alarms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ppsdk.scoring.matching import match_events, most_pairs, tiou, within_collar
from ppsdk.scoring.recordings import Recording

TIOUS = (0.3, 0.5, 0.7)
COLLAR_S = 0.5


@dataclass(frozen=True)
class Tally:
    """Counts of one class or of several, in one recording or in several.

    right: for each of TIOUS, the events that overlap an action of their label so much; in_collar:
    those whose ends are right to the collar. Each event and each action counts once.
    delays_s: for each action that was noticed, that is overlapped at all, from its start to when
    its event was first told.
    """

    actions: int
    events: int
    right: tuple[int, ...]
    in_collar: int
    delays_s: tuple[float, ...]
    length_s: float

    def f1(self, right: int) -> float:
        """2 TP / (events + actions); 1 where nothing happened and nothing was told."""
        both = self.events + self.actions
        return 2 * right / both if both else 1.0

    def f1_at(self, at_tiou: float) -> float:
        return self.f1(self.right[TIOUS.index(at_tiou)])

    @property
    def noticed(self) -> int:
        return len(self.delays_s)

    @property
    def recall(self) -> float:
        """The share of actions that were noticed; 1 where there are none."""
        return self.noticed / self.actions if self.actions else 1.0

    @property
    def false_alarms(self) -> int:
        """Events that are no action's: where none is, or one more for the same."""
        return self.events - self.noticed

    @property
    def false_alarms_per_hour(self) -> float:
        return 3600 * self.false_alarms / self.length_s if self.length_s else 0.0

    @property
    def median_delay_s(self) -> float | None:
        return float(np.median(self.delays_s)) if self.delays_s else None

    def to_dict(self) -> dict[str, Any]:
        p95 = float(np.percentile(self.delays_s, 95)) if self.delays_s else None
        return {
            "actions": self.actions,
            "events": self.events,
            "tiou": {f"{at:g}": self._rates(n) for at, n in zip(TIOUS, self.right, strict=True)},
            "collar": self._rates(self.in_collar),
            "missed": self.actions - self.noticed,
            "false_alarms": self.false_alarms,
            "false_alarms_per_hour": round(self.false_alarms_per_hour, 4),
            "delay_s": {"median": _rounded(self.median_delay_s), "p95": _rounded(p95)},
        }

    def _rates(self, right: int) -> dict[str, float]:
        """Precision is 1 where nothing was told, recall where nothing happened."""
        return {
            "precision": round(right / self.events if self.events else 1.0, 4),
            "recall": round(right / self.actions if self.actions else 1.0, 4),
            "f1": round(self.f1(right), 4),
        }


def tally(recording: Recording, label: str, *, collar_s: float = COLLAR_S) -> Tally:
    """Of one class in one recording."""
    truth = [span for span in recording.truth if span.label == label]
    events = [event for event in recording.events if event.label == label]
    overlap = tiou(events, truth)
    noticed = most_pairs(overlap > 0, overlap)
    return Tally(
        actions=len(truth),
        events=len(events),
        right=tuple(len(match_events(events, truth, at_tiou=at)) for at in TIOUS),
        in_collar=len(most_pairs(within_collar(events, truth, collar_s=collar_s))),
        delays_s=tuple(events[i].told_s - truth[j].start_s for i, j in sorted(noticed.items())),
        length_s=recording.length_s,
    )


def sum_classes(tallies: Sequence[Tally], *, length_s: float) -> Tally:
    """Of several classes in the same recordings, so many seconds of them."""
    return _sum(tallies, length_s)


def sum_recordings(tallies: Sequence[Tally]) -> Tally:
    """Of the same classes in several recordings."""
    return _sum(tallies, sum(t.length_s for t in tallies))


@dataclass(frozen=True)
class EventEvaluation:
    """classes: label -> its counts in all recordings. collar_s: what in_collar means."""

    recordings: tuple[Recording, ...]
    classes: dict[str, Tally]
    collar_s: float

    @property
    def all(self) -> Tally:
        length_s = sum(recording.length_s for recording in self.recordings)
        return sum_classes(list(self.classes.values()), length_s=length_s)

    def to_dict(self) -> dict[str, Any]:
        return {
            "recordings": len(self.recordings),
            "hours": round(sum(r.length_s for r in self.recordings) / 3600, 6),
            "collar_s": self.collar_s,
            "all": self.all.to_dict(),
            "per_class": {label: counts.to_dict() for label, counts in self.classes.items()},
        }


def evaluate_events(
    recordings: Iterable[Recording], *, collar_s: float = COLLAR_S
) -> EventEvaluation:
    """Figures of all classes that happened or were told."""
    watched = tuple(recordings)
    labels = sorted(set[str]().union(*(r.labels for r in watched)))
    classes = {
        label: sum_recordings([tally(r, label, collar_s=collar_s) for r in watched])
        for label in labels
    }
    return EventEvaluation(watched, classes, collar_s)


def as_text(evaluation: EventEvaluation) -> str:
    """For people: a row a class."""
    told = evaluation.to_dict()
    rows = {"all": told["all"], **told["per_class"]}
    width = max(len(label) for label in rows)
    head = f"{'':{width}}  actions  events   F1@0.3   F1@0.5   F1@0.7  F1 collar  missed  false"
    lines = [
        f"{told['recordings']} recordings, {told['hours'] * 60:.1f} minutes; collar "
        f"{evaluation.collar_s:g} s; false: alarms per hour; delay: seconds",
        head + "/h  delay  p95",
    ]
    for label, row in rows.items():
        f1 = "  ".join(f"{rates['f1']:7.2f}" for rates in row["tiou"].values())
        delays = " ".join("    -" if d is None else f"{d:5.2f}" for d in row["delay_s"].values())
        lines.append(
            f"{label:{width}}  {row['actions']:7d}  {row['events']:6d}  {f1}  "
            f"{row['collar']['f1']:9.2f}  {row['missed']:6d}  "
            f"{row['false_alarms_per_hour']:7.1f}  {delays}"
        )
    at = told["all"]["tiou"]["0.5"]
    lines.append(f"at tIoU 0.5: precision {at['precision']:.2f}, recall {at['recall']:.2f}")
    return "\n".join(lines)


def _sum(tallies: Sequence[Tally], length_s: float) -> Tally:
    return Tally(
        actions=sum(t.actions for t in tallies),
        events=sum(t.events for t in tallies),
        right=tuple(sum(t.right[k] for t in tallies) for k in range(len(TIOUS))),
        in_collar=sum(t.in_collar for t in tallies),
        delays_s=tuple(delay for t in tallies for delay in t.delays_s),
        length_s=length_s,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
