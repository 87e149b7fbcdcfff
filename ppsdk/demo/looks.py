"""How a scene looks: everything that is drawn at random once, from the scene's seed.

Scenes for training and for the demo come from seeds, colours and cameras that do not overlap, so
that no training can have seen what `ppsdk demo --seed` shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Split = Literal["train", "demo"]
Colour = tuple[float, float, float]

TRAY_PLACES = 4
# Hues of bench, sleeve and parts in degrees, and how far the camera is turned: disjoint ranges.
_HUES = {
    "train": ((0, 35), (60, 155), (180, 275), (300, 335)),
    "demo": ((40, 55), (160, 175), (280, 295)),
}
_TURNS_DEG = {
    "train": ((-14.0, -5.0), (-2.0, 7.0), (11.0, 15.0)),
    "demo": ((-4.5, -2.5), (7.5, 10.5)),
}


@dataclass(frozen=True)
class Looks:
    """Colours are RGB, 0 to 255. Places are in fractions of the picture, (x, y).

    turn_deg, zoom, tilt: of the camera. light: (dx, dy) of a gradient. shake: pixels at 256 wide.
    noise: standard deviation in grey levels. glove: the hand has the sleeve's colour.
    shape: corners of a part, 0 for a disc. passers: things that move and mean nothing.
    """

    bench: Colour
    tray: Colour
    fixture: Colour
    part: Colour
    sleeve: Colour
    skin: Colour
    tool: Colour
    glove: bool
    shape: int
    part_size: float
    arm_width: float
    tray_at: tuple[float, float]
    fixture_at: tuple[float, float]
    rest_at: tuple[float, float]
    shoulder_at: tuple[float, float]
    turn_deg: float
    zoom: float
    tilt: float
    brightness: float
    light: tuple[float, float]
    shake: float
    noise: float
    passers: int
    grain_seed: int


def scene_rng(split: Split, seed: int) -> np.random.Generator:
    """Two seed spaces that share no draw."""
    return np.random.default_rng([{"train": 1, "demo": 2}[split], seed])


def draw_looks(split: Split, rng: np.random.Generator) -> Looks:
    mirrored = bool(rng.random() < 0.5)

    def place(x: tuple[float, float], y: tuple[float, float]) -> tuple[float, float]:
        across = float(rng.uniform(*x))
        return (1 - across if mirrored else across, float(rng.uniform(*y)))

    skin = rng.choice([(236, 188, 160), (198, 134, 94), (124, 80, 56), (84, 56, 42)])
    return Looks(
        bench=_colour(split, rng, (0.05, 0.4), (0.35, 0.8)),
        tray=_colour(split, rng, (0.1, 0.6), (0.2, 0.85)),
        fixture=_colour(split, rng, (0.0, 0.3), (0.2, 0.5)),
        part=_colour(split, rng, (0.5, 0.9), (0.6, 1.0)),
        sleeve=_colour(split, rng, (0.1, 0.8), (0.15, 0.85)),
        skin=tuple(float(value) for value in skin),  # type: ignore[arg-type]
        tool=_colour(split, rng, (0.3, 0.9), (0.5, 0.9)),
        glove=bool(rng.random() < 0.4),
        shape=int(rng.choice([0, 4, 6])),
        part_size=float(rng.uniform(0.035, 0.05)),
        arm_width=float(rng.uniform(0.075, 0.11)),
        tray_at=place((0.16, 0.3), (0.2, 0.45)),
        fixture_at=place((0.66, 0.82), (0.2, 0.45)),
        rest_at=place((0.42, 0.58), (0.62, 0.78)),
        shoulder_at=place((0.3, 0.75), (1.15, 1.3)),
        turn_deg=float(rng.uniform(*_pick(rng, _TURNS_DEG[split]))),
        zoom=float(rng.uniform(1.05, 1.22)),
        tilt=float(rng.uniform(0.0, 0.22)),
        brightness=float(rng.uniform(0.7, 1.2)),
        light=(float(rng.uniform(-0.35, 0.35)), float(rng.uniform(-0.35, 0.35))),
        shake=float(rng.choice([0.0, 0.3, 0.8])),
        noise=float(rng.uniform(1.0, 7.0)),
        passers=int(rng.choice([0, 0, 1, 2])),
        grain_seed=int(rng.integers(2**31)),
    )


def _colour(
    split: Split,
    rng: np.random.Generator,
    saturation: tuple[float, float],
    value: tuple[float, float],
) -> Colour:
    import colorsys

    hue = float(rng.uniform(*_pick(rng, _HUES[split]))) / 360
    red, green, blue = colorsys.hsv_to_rgb(hue, rng.uniform(*saturation), rng.uniform(*value))
    return 255 * red, 255 * green, 255 * blue


def _pick(rng: np.random.Generator, ranges: tuple[tuple[float, float], ...]) -> tuple[float, float]:
    return ranges[int(rng.integers(len(ranges)))]
