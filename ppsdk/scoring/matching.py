"""Which event is which action."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Span(Protocol):
    """LabelledSpan, ToldEvent, ActionEvent."""

    @property
    def label(self) -> str: ...

    @property
    def start_s(self) -> float: ...

    @property
    def end_s(self) -> float: ...


def tiou(events: Sequence[Span], truth: Sequence[Span]) -> NDArray[np.float64]:
    """Temporal intersection over union, 0 to 1, float64 (events, truth); 0 for other labels."""
    (starts, ends), (true_starts, true_ends) = _times(events), _times(truth)
    shared = np.minimum.outer(ends, true_ends) - np.maximum.outer(starts, true_starts)
    joined = np.maximum.outer(ends, true_ends) - np.minimum.outer(starts, true_starts)
    return np.maximum(shared, 0) / joined * _same_label(events, truth)


def within_collar(
    events: Sequence[Span], truth: Sequence[Span], *, collar_s: float, end_share: float = 0.5
) -> NDArray[np.bool_]:
    """Whether the start is right to collar_s, and the end to collar_s or end_share of the action,
    whichever is more; bool (events, truth), False for other labels.

    The rule of Mesaros, Heittola, Virtanen, "Metrics for polyphonic sound event detection" (2016),
    as `sed_eval` has it.
    """
    (starts, ends), (true_starts, true_ends) = _times(events), _times(truth)
    slack = np.maximum(collar_s, end_share * (true_ends - true_starts))
    starts_right = np.abs(np.subtract.outer(starts, true_starts)) <= collar_s
    ends_right = np.abs(np.subtract.outer(ends, true_ends)) <= slack
    return starts_right & ends_right & _same_label(events, truth)


def most_pairs(
    allowed: NDArray[np.bool_], preferred: NDArray[np.float64] | None = None
) -> dict[int, int]:
    """As many pairs (event -> action) as can be, each of both once; the preferred ones first.

    Augmenting paths (Kuhn's algorithm).
    """
    order = -(allowed.astype(np.float64) if preferred is None else preferred)
    choices = [[int(j) for j in np.argsort(row, kind="stable")] for row in order]
    choices = [[j for j in js if allowed[i, j]] for i, js in enumerate(choices)]
    event_of: dict[int, int] = {}

    for i in sorted(range(len(choices)), key=lambda i: order[i].min(initial=0.0)):
        _place(i, choices, event_of)
    return {i: j for j, i in event_of.items()}


def _place(i: int, choices: list[list[int]], event_of: dict[int, int]) -> None:
    """Give event i an action, others another one for it where need be. Depth first, without
    recursion: a path may be as long as there are events.
    """
    tried: set[int] = set()
    path = [(i, iter(choices[i]))]
    taken: list[int] = []  # the action that each event of the path takes
    while path:
        action = next((j for j in path[-1][1] if j not in tried), None)
        if action is None:
            path.pop()
            del taken[-1:]
            continue
        tried.add(action)
        taken.append(action)
        if action not in event_of:
            event_of.update({j: event for (event, _), j in zip(path, taken, strict=True)})
            return
        path.append((event_of[action], iter(choices[event_of[action]])))


def match_events(
    events: Sequence[Span], truth: Sequence[Span], *, at_tiou: float = 0.5
) -> dict[int, int]:
    """Event number -> truth number: same label, so much overlap, each at most once."""
    overlap = tiou(events, truth)
    # Not quite: 0.5 of binary fractions may be 0.49999999.
    return most_pairs(overlap >= at_tiou - 1e-9, overlap)


def _times(spans: Sequence[Span]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    starts = np.array([span.start_s for span in spans], np.float64)
    return starts, np.array([span.end_s for span in spans], np.float64)


def _same_label(events: Sequence[Span], truth: Sequence[Span]) -> NDArray[np.bool_]:
    said, true = (np.array([span.label for span in spans], object) for spans in (events, truth))
    return np.equal.outer(said, true).astype(bool)
