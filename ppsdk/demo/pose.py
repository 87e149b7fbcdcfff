"""Where hand, part and wrench are at a moment of an action: what is drawn, without colours."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from ppsdk.demo.cell import GRIP_SHARE, OWN_LABELS, TURNING_SHARE, Step
from ppsdk.demo.looks import TRAY_PLACES, Looks

Point = tuple[float, float]
STROKE_DEG = 100.0


@dataclass(frozen=True)
class Pose:
    """Points are in fractions of the picture. grip: 0 open, 1 closed. is_held: of the part.

    depth: 0 to 1, how far the part is down in the fixture. lift: 0 to 1, how far the hand is above
    the bench. wrench_deg: clockwise.
    """

    hand: Point
    grip: float
    part_at: Point
    is_held: bool
    depth: float
    lift: float
    wrench_at: Point
    wrench_deg: float
    wrench_held: bool


def pose_at(step: Step, time_s: float, looks: Looks) -> Pose:
    """The same for an action and its reversal, at mirrored phases."""
    phase = step.phase(time_s)
    at_rest = _at_rest(step, looks)
    if step.label in ("pick", "place"):
        return _pick(at_rest, phase, tray_point(looks, step.tray_place), looks)
    if step.label in ("insert", "remove"):
        return _insert(at_rest, phase, looks)
    if step.label in ("tighten", "loosen"):
        return _tighten(at_rest, step, phase, looks)
    if step.label in OWN_LABELS:
        return _own_action(at_rest, step, phase, looks)
    size = 0.02 * math.sin(math.pi * phase)
    sway = size * math.sin(1.7 * time_s), size * math.sin(2.3 * time_s + 1)
    hand = looks.rest_at[0] + sway[0], looks.rest_at[1] + sway[1]
    return replace(at_rest, hand=hand, part_at=hand if at_rest.is_held else at_rest.part_at)


def tray_point(looks: Looks, place: int) -> Point:
    """The places of the tray lie in two rows."""
    x, y = looks.tray_at
    return x - 0.05 + 0.1 * (place % 2), y - 0.06 + 0.12 * (place // 2 % (TRAY_PLACES // 2))


def wrench_home(looks: Looks) -> Point:
    return looks.fixture_at[0], looks.fixture_at[1] + 0.3


def _at_rest(step: Step, looks: Looks) -> Pose:
    """Hand at rest; the part where it is before the step."""
    is_held = step.part == "hand"
    where = {"tray": tray_point(looks, step.tray_place), "hand": looks.rest_at}
    return Pose(
        hand=looks.rest_at,
        grip=1.0 if is_held else 0.3,
        part_at=where.get(step.part, looks.fixture_at),
        is_held=is_held,
        depth=1.0 if step.part in ("loose", "tight") else 0.0,
        lift=0.3,
        wrench_at=wrench_home(looks),
        wrench_deg=0.0,
        wrench_held=False,
    )


def _pick(rest: Pose, u: float, place: Point, looks: Looks) -> Pose:
    """Reach out, close, carry back to rest."""
    if u < 0.42:
        hand, lift = _reach(looks.rest_at, place, u / 0.42)
        # The hand opens on its way.
        return replace(
            rest, hand=hand, lift=lift, grip=0.3 * (1 - u / 0.42), part_at=place, is_held=False
        )
    if u < 0.58:
        grip = (u - 0.42) / 0.16
        return replace(rest, hand=place, lift=0.0, grip=grip, part_at=place, is_held=grip > 0.5)
    hand, lift = _reach(place, looks.rest_at, (u - 0.58) / 0.42)
    return replace(rest, hand=hand, lift=lift, grip=1.0, part_at=hand, is_held=True)


def _insert(rest: Pose, u: float, looks: Looks) -> Pose:
    """Carry to the fixture, push down, open, go back to rest."""
    hole = looks.fixture_at
    if u < 0.42:
        hand, lift = _reach(looks.rest_at, hole, u / 0.42)
        return replace(rest, hand=hand, lift=lift, grip=1.0, part_at=hand, is_held=True, depth=0.0)
    if u < 0.62:
        pushed = (u - 0.42) / 0.2
        grip = 1 - max(0.0, pushed - 0.6) / 0.4
        return replace(
            rest, hand=hole, lift=0.0, grip=grip, part_at=hole, is_held=grip > 0.5, depth=pushed
        )
    hand, lift = _reach(hole, looks.rest_at, (u - 0.62) / 0.38)
    return replace(rest, hand=hand, lift=lift, grip=0.3, part_at=hole, is_held=False, depth=1.0)


def _tighten(rest: Pose, step: Step, u: float, looks: Looks) -> Pose:
    """Fetch the wrench, turn it, put it back. Out and back mirror each other: only the strokes tell
    the direction, for the wrench turns slowly when it grips, and goes back quickly and lifted.
    """
    home, bolt = wrench_home(looks), looks.fixture_at
    rest = replace(rest, part_at=bolt, is_held=False, depth=1.0)
    edge = min(u, 1 - u)
    fetching = (1 - TURNING_SHARE) / 2
    if edge < fetching / 2:
        hand, lift = _reach(looks.rest_at, home, 2 * edge / fetching)
        return replace(rest, hand=hand, lift=lift, grip=0.3)
    stroke = step.stroke(u)
    if stroke is None:
        carried = min(1.0, 2 * edge / fetching - 1)
        hand, lift = _reach(home, bolt, carried)
        return replace(
            rest,
            hand=hand,
            lift=lift,
            grip=1.0,
            wrench_at=hand,
            wrench_deg=-carried * STROKE_DEG / 2,  # it arrives as the first turn needs it
            wrench_held=True,
        )
    back = (stroke - GRIP_SHARE) / (1 - GRIP_SHARE)
    grips = back < 0
    turned = stroke / GRIP_SHARE if grips else 1 - back
    lifted = 0.0 if grips else 0.4 * math.sin(math.pi * back)
    return replace(
        rest,
        hand=bolt,
        grip=1.0,
        lift=lifted,
        wrench_at=bolt,
        wrench_deg=STROKE_DEG * (turned - 0.5),
        wrench_held=True,
    )


def _own_action(rest: Pose, step: Step, u: float, looks: Looks) -> Pose:
    """Go there, do it a few times, and come back."""
    edge = min(u, 1 - u) / 0.2
    turn = 2 * math.pi * step.strokes * (min(0.8, max(0.2, u)) - 0.2) / 0.6
    places = {
        "circle": _moved(looks.rest_at, 0.11 * math.sin(turn), -0.12 - 0.1 * math.cos(turn)),
        "press": _moved(looks.fixture_at, 0.0, 0.05 - 0.05 * math.cos(turn)),
        "sort": _moved(looks.tray_at, 0.06 * math.sin(turn), 0.0),
        "wipe": _moved(looks.rest_at, 0.16 * math.sin(turn), -0.05),
    }
    lift = {"press": 0.5 + 0.5 * math.cos(turn), "circle": 0.6}.get(step.label, 0.0)
    if edge < 1:
        hand, way_lift = _reach(looks.rest_at, places[step.label], edge)
        return replace(rest, hand=hand, lift=max(way_lift, lift * edge))
    return replace(rest, hand=places[step.label], lift=lift, grip=0.6)


def _moved(point: Point, x: float, y: float) -> Point:
    return point[0] + x, point[1] + y


def _reach(start: Point, end: Point, u: float) -> tuple[Point, float]:
    """A smooth way from one point to another, and how high the hand is on it."""
    u = min(1.0, max(0.0, u))
    eased = u * u * (3 - 2 * u)
    point = tuple(a + (b - a) * eased for a, b in zip(start, end, strict=True))
    return (point[0], point[1]), 0.3 * math.sin(math.pi * u)
