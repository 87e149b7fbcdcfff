"""The work cell: what happens at a bench, as truth, before anything is drawn.

A part is in the tray, in the hand, or in the fixture, where it is loose or tight. Each action but
idle has its time reversal among the others: pick and place, insert and remove, tighten and loosen
are the same movement, forwards and backwards. No single frame tells the two apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Part = Literal["tray", "hand", "loose", "tight"]
PARTS: tuple[Part, ...] = ("tray", "hand", "loose", "tight")

LABELS = ("idle", "insert", "loosen", "pick", "place", "remove", "tighten")
# Not known to the bundled model: what somebody else's bench would be taught.
OWN_LABELS = ("circle", "press", "sort", "wipe")
REVERSE_OF = {
    "pick": "place",
    "place": "pick",
    "insert": "remove",
    "remove": "insert",
    "tighten": "loosen",
    "loosen": "tighten",
}
# Where the part is before and after each action.
CHANGES: dict[str, tuple[Part, Part]] = {
    "pick": ("tray", "hand"),
    "place": ("hand", "tray"),
    "insert": ("hand", "loose"),
    "remove": ("loose", "hand"),
    "tighten": ("loose", "tight"),
    "loosen": ("tight", "loose"),
}
# The movements that are drawn backwards are those of another action.
BACKWARDS = ("place", "remove", "loosen")

MOVE_S = (1.4, 3.0)
WRENCH_S = (2.6, 4.6)
IDLE_S = (0.6, 3.0)
IDLE_SHARE = 0.5
TURNING_SHARE = 0.56  # of an action with the wrench; the rest fetches it and puts it back
STROKE_S = (1.0, 1.7)  # of one turn of the wrench and back
GRIP_SHARE = 0.7  # of a stroke, that the wrench grips and turns; then it goes back, lifted


@dataclass(frozen=True)
class Step:
    """One action and when. tray_place: which place of the tray is picked from or placed on.
    strokes: turns of the wrench. hesitation: 0 to 1, how much the hand slows down half-way.
    part: where the part is before it.
    """

    label: str
    start_s: float
    end_s: float
    part: Part
    tray_place: int
    strokes: int
    hesitation: float

    def phase(self, time_s: float) -> float:
        """0 at the start of the movement as it is drawn forwards, 1 at its end; a reversed action
        runs from 1 to 0.
        """
        progress = min(1.0, max(0.0, (time_s - self.start_s) / (self.end_s - self.start_s)))
        # Monotonic for hesitation <= 1: the slope 1 - h cos(2 pi (u - 1/2)) is lowest half-way.
        wave = np.sin(2 * np.pi * (progress - 0.5)) / (2 * np.pi)
        progress = float(progress - self.hesitation * wave)
        return 1 - progress if self.label in BACKWARDS else progress

    def parts(self) -> list[tuple[str, float, float]]:
        """Its movements one by one, (name, start_s, end_s): the way out and the way back, and with
        the wrench, which is fetched alike for both, each turn and the way back for the next one:
        the turns of one action go the way of the other's returns, and only the pace is another.
        """
        if self.label == "idle":
            return [(self.label, self.start_s, self.end_s)]
        middle_s = (self.start_s + self.end_s) / 2  # half of the movement, whatever the hesitation
        if self.label not in ("tighten", "loosen"):
            out, back = f"{self.label} out", f"{self.label} back"
            return [(out, self.start_s, middle_s), (back, middle_s, self.end_s)]
        times_s = np.linspace(self.start_s, self.end_s, 2001)
        names = [self._wrench_part(time_s) for time_s in times_s.tolist()]
        starts = [0] + [i for i in range(1, len(names)) if names[i] != names[i - 1]]
        starts_s = [float(times_s[i]) for i in starts]
        ends_s = [*starts_s[1:], self.end_s]
        return list(zip([names[i] for i in starts], starts_s, ends_s, strict=True))

    def stroke(self, phase: float) -> float | None:
        """0 to 1 within a stroke of the wrench, forwards; None while it is fetched or put back."""
        turning = (phase - (1 - TURNING_SHARE) / 2) / TURNING_SHARE
        return turning * self.strokes % 1.0 if 0 <= turning < 1 else None

    def _wrench_part(self, time_s: float) -> str:
        stroke = self.stroke(self.phase(time_s))
        if stroke is None:
            return "wrench out" if time_s < (self.start_s + self.end_s) / 2 else "wrench back"
        return f"{self.label} turns" if stroke < GRIP_SHARE else f"{self.label} returns"


def own_step(rng: np.random.Generator, label: str) -> Step:
    """One of OWN_LABELS, alone."""
    strokes, hesitation = int(rng.integers(1, 3)), float(rng.uniform(0, 0.4))
    return Step(label, 0.0, float(rng.uniform(2.0, 3.2)), "tray", 0, strokes, hesitation)


def plan_steps(rng: np.random.Generator, length_s: float, *, tray_places: int) -> list[Step]:
    """Actions that follow from each other, without a gap, from 0 to length_s; the last one takes
    what time is left.
    """
    steps: list[Step] = []
    time_s = 0.0
    # Work may be going on when one comes to look; so that no action is rarer than others.
    part: Part = PARTS[int(rng.integers(len(PARTS)))]
    place = int(rng.integers(tray_places))
    while time_s < length_s:
        idles = not steps or (steps[-1].label != "idle" and rng.random() < IDLE_SHARE)
        if idles:
            label, after = "idle", part
        else:
            possible = [name for name, (before, _) in CHANGES.items() if before == part]
            label = str(rng.choice(possible))
            after = CHANGES[label][1]
        if label == "place":
            place = int(rng.integers(tray_places))
        end_s = time_s + float(rng.uniform(*_duration_s(label)))
        if length_s - end_s < WRENCH_S[0]:
            end_s = length_s
        strokes = max(1, round(TURNING_SHARE * (end_s - time_s) / float(rng.uniform(*STROKE_S))))
        hesitation = float(rng.uniform(0, 0.8))
        steps.append(Step(label, time_s, end_s, part, place, strokes, hesitation))
        time_s, part = end_s, after
    return steps


def _duration_s(label: str) -> tuple[float, float]:
    if label == "idle":
        return IDLE_S
    return WRENCH_S if label in ("tighten", "loosen") else MOVE_S
