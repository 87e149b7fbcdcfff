"""The work cell as pictures: a bench from above, an arm, a part, a fixture, a wrench."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from ppsdk.demo.cell import Step, own_step, plan_steps
from ppsdk.demo.looks import TRAY_PLACES, Colour, Looks, Split, draw_looks, scene_rng
from ppsdk.demo.pose import Point, Pose, pose_at
from ppsdk.records import Frame, Image

WIDTH, HEIGHT, FPS = 320, 240, 25
_SHIFT = 4  # fractional bits of the coordinates that OpenCV draws at
Canvas = NDArray[np.uint8]


@dataclass(frozen=True)
class Places:
    """Where things are in the picture at a moment, (x, y) in fractions of it; what is out of it is
    below 0 or above 1. wrench: its head; wrench_deg: clockwise. lift: of the hand above the bench,
    0 to 1. _held: in the hand.
    """

    hand: Point
    part: Point
    wrench: Point
    wrench_deg: float
    lift: float
    part_held: bool
    wrench_held: bool


@dataclass(frozen=True, eq=False)
class Scene:
    """steps: what happens, without gaps. bench: uint8 (HEIGHT, WIDTH, 3), all that never moves."""

    seed: int
    looks: Looks
    steps: tuple[Step, ...]
    bench: Canvas

    @classmethod
    def from_seed(cls, split: Split, seed: int, length_s: float) -> Scene:
        """The same scene for the same seed; scenes of different splits share nothing."""
        rng = scene_rng(split, seed)
        looks = draw_looks(split, rng)
        steps = plan_steps(rng, length_s, tray_places=TRAY_PLACES)
        return cls(seed, looks, tuple(steps), _draw_bench(looks))

    @classmethod
    def of_own_action(cls, seed: int, label: str) -> Scene:
        """One action that the bundled model does not know, on a bench that it has not seen."""
        rng = scene_rng("own", seed)
        looks = draw_looks("own", rng)
        return cls(seed, looks, (own_step(rng, label),), _draw_bench(looks))

    @property
    def length_s(self) -> float:
        return self.steps[-1].end_s

    def step_at(self, time_s: float) -> Step:
        return next((step for step in self.steps if time_s < step.end_s), self.steps[-1])

    def image(self, time_s: float) -> Image:
        """uint8 (HEIGHT, WIDTH, 3) RGB."""
        canvas = self.bench.copy()
        moment = np.random.default_rng([self.looks.grain_seed, round(1000 * time_s)])
        _draw_passers(canvas, self.looks, time_s)
        _draw_pose(canvas, self.looks, pose_at(self.step_at(time_s), time_s, self.looks))
        if self.looks.cable:
            _draw_cable(canvas, self.looks, time_s)
        return _through_camera(canvas, self.looks, moment)

    def places(self, time_s: float) -> Places:
        """The truth behind `image`, but for the camera's shake."""
        pose = pose_at(self.step_at(time_s), time_s, self.looks)
        points = [_hand_point(pose), pose.part_at, pose.wrench_at]
        pixels = np.array([points]) * (WIDTH, HEIGHT)
        seen = cv2.perspectiveTransform(pixels, _camera(self.looks)) / (WIDTH, HEIGHT)
        hand, part, wrench = ((float(x), float(y)) for x, y in seen[0])
        turned = pose.wrench_deg + self.looks.turn_deg
        held = pose.is_held, pose.wrench_held
        return Places(hand, part, wrench, turned, pose.lift, *held)

    def frames(self) -> Iterator[Frame]:
        for i in range(round(self.length_s * FPS)):
            yield Frame(self.image(i / FPS), i / FPS)


def _draw_bench(looks: Looks) -> Canvas:
    rng = np.random.default_rng(looks.grain_seed)
    grain = rng.normal(0, 10, (HEIGHT // 4, 8)).astype(np.float32)
    planks = cv2.resize(grain, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)[..., None]
    canvas = np.clip(np.array(looks.bench) + planks, 0, 255).astype(np.uint8)
    x, y = looks.tray_at
    _box(canvas, (x - 0.12, y - 0.15), (x + 0.12, y + 0.15), looks.tray)
    _box(canvas, (x - 0.105, y - 0.13), (x + 0.105, y + 0.13), _shaded(looks.tray, 0.8))
    x, y = looks.fixture_at
    _box(canvas, (x - 0.1, y - 0.13), (x + 0.1, y + 0.13), looks.fixture)
    _disc(canvas, looks.fixture_at, looks.part_size * 1.45, _shaded(looks.fixture, 0.45))
    for _ in range(int(rng.integers(2, 6))):  # things that lie about
        at = float(rng.uniform(0, 1)), float(rng.uniform(0.02, 0.98))
        _disc(
            canvas,
            at,
            float(rng.uniform(0.01, 0.03)),
            tuple(rng.uniform(60, 200) + rng.uniform(-20, 20, 3)),
        )
    return canvas


def _draw_pose(canvas: Canvas, looks: Looks, pose: Pose) -> None:
    if not pose.is_held:
        _draw_part(canvas, looks, pose)
    if not pose.wrench_held:
        _draw_wrench(canvas, looks, pose)
    _draw_shadow(canvas, looks, pose)
    if pose.is_held:
        _draw_part(canvas, looks, pose)
    if pose.wrench_held:
        _draw_wrench(canvas, looks, pose)
    _draw_arm(canvas, looks, pose)


def _draw_part(canvas: Canvas, looks: Looks, pose: Pose) -> None:
    size = looks.part_size * (1 - 0.3 * pose.depth)
    colour = _shaded(looks.part, 1 - 0.25 * pose.depth)
    if looks.shape == 0:
        _disc(canvas, pose.part_at, size, colour)
    else:
        corners = [
            _turned((size * 1.15, 0), 360 * i / looks.shape + 20) for i in range(looks.shape)
        ]
        _polygon(canvas, [_moved(pose.part_at, corner) for corner in corners], colour)
    _disc(canvas, pose.part_at, size * 0.4, _shaded(looks.part, 0.5))


def _draw_wrench(canvas: Canvas, looks: Looks, pose: Pose) -> None:
    """Its head at wrench_at, its handle pointing away from it, down the picture at 0 degrees."""
    angle = 90 + pose.wrench_deg
    outline = [(0.0, -0.016), (0.17, -0.012), (0.17, 0.012), (0.0, 0.016)]
    points = [_moved(pose.wrench_at, _turned(point, angle)) for point in outline]
    _polygon(canvas, points, looks.tool)
    _disc(canvas, pose.wrench_at, 0.03, _shaded(looks.tool, 0.85))
    _disc(canvas, pose.wrench_at, 0.013, _shaded(looks.tool, 0.4))


def _hand_point(pose: Pose) -> tuple[float, float]:
    """The hand holds the wrench by its handle, anything else from below."""
    if not pose.wrench_held:
        return _moved(pose.hand, (0.0, 0.045))
    return _moved(pose.wrench_at, _turned((0.13, 0.0), 90 + pose.wrench_deg))


def _draw_arm(canvas: Canvas, looks: Looks, pose: Pose) -> None:
    hand, shoulder = _hand_point(pose), looks.shoulder_at
    size = 0.042 * (1 + 0.25 * pose.lift)
    toward = math.degrees(math.atan2(0.75 * (hand[1] - shoulder[1]), hand[0] - shoulder[0]))
    wrist = _moved(hand, _turned((-0.06, 0.0), toward))
    _limb(canvas, wrist, shoulder, looks.arm_width * 0.8, looks.arm_width * 1.5, looks.sleeve)
    _limb(canvas, hand, wrist, 0.075, 0.065, looks.hand)
    _disc(canvas, hand, size, looks.hand)
    spread = 28 - 18 * pose.grip
    for finger in (-1.5, -0.5, 0.5, 1.5):
        tip = _moved(hand, _turned((0.085 - 0.02 * pose.grip, 0.0), toward + spread * finger))
        _limb(canvas, tip, hand, 0.02, 0.026, _shaded(looks.hand, 0.94))


def _draw_shadow(canvas: Canvas, looks: Looks, pose: Pose) -> None:
    offset = 0.02 + 0.06 * pose.lift
    hand = _moved(_hand_point(pose), (offset, offset))
    shoulder = _moved(looks.shoulder_at, (offset, offset))
    layer = np.zeros_like(canvas)
    _limb(layer, hand, shoulder, 0.08, looks.arm_width * 1.5, (110, 110, 110))
    _disc(layer, hand, 0.05, (110, 110, 110))
    small = cv2.resize(layer, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    soft = cv2.resize(cv2.blur(small, (3, 3)), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    np.copyto(canvas, (canvas.astype(np.uint16) * (255 - soft) // 255).astype(np.uint8))


def _draw_passers(canvas: Canvas, looks: Looks, time_s: float) -> None:
    """Things that cross the far end of the bench and have nothing to do with the work."""
    for i in range(looks.passers):
        speed, offset = 0.11 + 0.07 * i, 0.37 * i + looks.grain_seed % 97 / 97
        x = (offset + speed * time_s) % 1.6 - 0.3
        red, green, blue = ((looks.grain_seed >> (8 * k + i)) % 90 + 60.0 for k in range(3))
        _box(canvas, (x - 0.07, -0.05), (x + 0.07, 0.07 + 0.03 * i), (red, green, blue))


def _draw_cable(canvas: Canvas, looks: Looks, time_s: float) -> None:
    """Sways before everything else, hand and part too."""
    x = 0.3 + 0.4 * (looks.grain_seed % 89) / 89
    end = x + 0.05 * math.sin(0.9 * time_s)
    shade = 20.0 + looks.grain_seed % 120
    _limb(canvas, (x, -0.1), (end, 1.1), 0.02, 0.026, (shade, shade, shade))


def _camera(
    looks: Looks, shake: NDArray[np.float64] | tuple[float, float] = (0.0, 0.0)
) -> NDArray[np.float64]:
    """float64 (3, 3): pixels of the bench to pixels of the picture, shaken by (x, y) pixels."""
    corners = np.array([[0, 0], [WIDTH, 0], [WIDTH, HEIGHT], [0, HEIGHT]], np.float32)
    middle = np.array([WIDTH / 2, HEIGHT / 2], np.float32)
    turn = math.radians(looks.turn_deg)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    seen = (corners - middle) @ rotation.T * looks.zoom
    seen[:2, 0] *= 1 - looks.tilt / 2
    seen[2:, 0] *= 1 + looks.tilt / 2
    target = (seen + middle + shake).astype(np.float32)
    return np.array(cv2.getPerspectiveTransform(corners, target))


def _through_camera(canvas: Canvas, looks: Looks, rng: np.random.Generator) -> Image:
    """Perspective, shake, light, noise."""
    matrix = _camera(looks, rng.normal(0, looks.shake * WIDTH / 256, 2))
    picture = cv2.warpPerspective(
        canvas, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    x = np.linspace(-0.5, 0.5, WIDTH, dtype=np.float32)[None, :, None]
    y = np.linspace(-0.5, 0.5, HEIGHT, dtype=np.float32)[:, None, None]
    light = looks.brightness * (1 + looks.light[0] * x + looks.light[1] * y)
    noise = rng.standard_normal((HEIGHT, WIDTH, 1), np.float32) * looks.noise
    return np.clip(picture * light + noise, 0, 255).astype(np.uint8)


def _moved(point: tuple[float, float], by: tuple[float, float]) -> tuple[float, float]:
    return point[0] + by[0], point[1] + by[1]


def _turned(point: tuple[float, float], degrees: float) -> tuple[float, float]:
    """Turned clockwise, as the picture shows it: x and y are fractions of different sides."""
    angle = math.radians(degrees)
    x, y = point
    aspect = WIDTH / HEIGHT
    return (
        x * math.cos(angle) - y * math.sin(angle),
        (x * math.sin(angle) + y * math.cos(angle)) * aspect,
    )


def _shaded(colour: Colour, factor: float) -> Colour:
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def _pixels(points: list[tuple[float, float]]) -> NDArray[np.int32]:
    scaled = np.array(points) * (WIDTH, HEIGHT) * (1 << _SHIFT)
    return scaled.round().astype(np.int32)


def _polygon(canvas: Canvas, points: list[tuple[float, float]], colour: Colour) -> None:
    cv2.fillConvexPoly(canvas, _pixels(points), colour, cv2.LINE_AA, _SHIFT)


def _box(
    canvas: Canvas, low: tuple[float, float], high: tuple[float, float], colour: Colour
) -> None:
    _polygon(canvas, [low, (high[0], low[1]), high, (low[0], high[1])], colour)


def _disc(canvas: Canvas, at: tuple[float, float], radius: float, colour: Colour) -> None:
    centre = _pixels([at])[0]
    size = round(radius * WIDTH * (1 << _SHIFT))
    cv2.circle(canvas, (int(centre[0]), int(centre[1])), size, colour, -1, cv2.LINE_AA, _SHIFT)


def _limb(
    canvas: Canvas,
    start: tuple[float, float],
    end: tuple[float, float],
    start_width: float,
    end_width: float,
    colour: Colour,
) -> None:
    """A tapering limb; widths in fractions of the picture's width."""
    ends = np.array([start, end]) * (WIDTH, HEIGHT)
    along = ends[1] - ends[0]
    across = np.array([-along[1], along[0]]) / max(float(np.hypot(*along)), 1e-6) * WIDTH / 2
    offsets = (across * start_width, across * end_width)
    outline = [
        ends[0] + offsets[0],
        ends[1] + offsets[1],
        ends[1] - offsets[1],
        ends[0] - offsets[0],
    ]
    points = [(float(x / WIDTH), float(y / HEIGHT)) for x, y in outline]
    _polygon(canvas, points, colour)
