"""How a scene looks: everything that is drawn at random once, from the scene's seed.

Scenes for training, for the demo and for somebody's own actions come from seeds, colours and
cameras that do not overlap: no training can have seen what `ppsdk demo --seed` shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Split = Literal["train", "demo", "own"]
Colour = tuple[float, float, float]

TRAY_PLACES = 4
# Hues in degrees of each thing that is told apart by its colour, as on benches where it has to be:
# disjoint ranges a split, with a bench and a sleeve of little saturation that may have any hue.
_HUES: dict[str, dict[Split, tuple[tuple[float, float], ...]]] = {
    "tray": {"train": ((200, 217), (233, 250)), "demo": ((220, 230),), "own": ((255, 265),)},
    "part": {"train": ((80, 110), (130, 165)), "demo": ((114, 126),), "own": ((60, 75),)},
    "tool": {"train": ((340, 349), (357, 372)), "demo": ((351, 355),), "own": ((325, 335),)},
    "glove": {"train": ((22, 32), (42, 52)), "demo": ((35, 39),), "own": ((56, 60),)},
    "plain": {"train": ((0, 170), (190, 320)), "demo": ((172, 188),), "own": ((322, 358),)},
}
_SKINS: dict[Split, tuple[Colour, ...]] = {
    "train": ((236, 188, 160), (198, 134, 94), (124, 80, 56), (84, 56, 42)),
    "demo": ((220, 164, 130), (160, 106, 74), (104, 68, 50)),
    "own": ((245, 205, 180), (70, 48, 36)),
}
_TURNS_DEG: dict[Split, tuple[tuple[float, float], ...]] = {
    "train": ((-14.0, -5.0), (-2.0, 7.0), (11.0, 15.0)),
    "demo": ((-4.5, -2.5), (7.5, 10.5)),
    "own": ((-19.0, -15.0), (16.0, 20.0)),
}


@dataclass(frozen=True)
class Looks:
    """Colours are RGB, 0 to 255. Places are in fractions of the picture, (x, y).

    turn_deg, zoom, tilt: of the camera. light: (dx, dy) of a gradient. shake: pixels at 256 wide.
    noise: standard deviation in grey levels. hand: skin, or a glove.
    shape: corners of a part, 0 for a disc. passers: things that move and mean nothing.
    """

    bench: Colour
    tray: Colour
    fixture: Colour
    part: Colour
    sleeve: Colour
    hand: Colour
    tool: Colour
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
    cable: bool
    grain_seed: int


def scene_rng(split: Split, seed: int) -> np.random.Generator:
    """Seed spaces that share no draw."""
    return np.random.default_rng([{"train": 1, "demo": 2, "own": 3}[split], seed])


def draw_looks(split: Split, rng: np.random.Generator) -> Looks:
    mirrored = bool(rng.random() < 0.5)

    def place(x: tuple[float, float], y: tuple[float, float]) -> tuple[float, float]:
        across = float(rng.uniform(*x))
        return (1 - across if mirrored else across, float(rng.uniform(*y)))

    skin = _SKINS[split][int(rng.integers(len(_SKINS[split])))]
    glove = _colour(_HUES["glove"][split], rng, (0.7, 0.95), (0.75, 1.0))
    return Looks(
        bench=_colour(_HUES["plain"][split], rng, (0.02, 0.22), (0.35, 0.8)),
        tray=_colour(_HUES["tray"][split], rng, (0.4, 0.8), (0.3, 0.75)),
        fixture=_colour(_HUES["plain"][split], rng, (0.0, 0.15), (0.2, 0.4)),
        part=_colour(_HUES["part"][split], rng, (0.75, 1.0), (0.8, 1.0)),
        sleeve=_colour(_HUES["plain"][split], rng, (0.1, 0.45), (0.15, 0.6)),
        hand=glove if rng.random() < 0.4 else skin,
        tool=_colour(_HUES["tool"][split], rng, (0.6, 0.9), (0.7, 1.0)),
        shape=int(rng.choice([0, 4, 6])),
        part_size=float(rng.uniform(0.035, 0.05)),
        arm_width=float(rng.uniform(0.075, 0.11)),
        # Within the middle 0.66 of the width, which is what the network is shown of a 4:3 picture.
        tray_at=place((0.33, 0.39), (0.27, 0.45)),
        fixture_at=place((0.61, 0.67), (0.27, 0.45)),
        rest_at=place((0.42, 0.58), (0.62, 0.78)),
        shoulder_at=place((0.3, 0.75), (1.15, 1.3)),
        turn_deg=float(rng.uniform(*_pick(rng, _TURNS_DEG[split]))),
        zoom=float(rng.uniform(1.15, 1.35)),
        tilt=float(rng.uniform(0.0, 0.22)),
        brightness=float(rng.uniform(0.75, 1.15)),
        light=(float(rng.uniform(-0.35, 0.35)), float(rng.uniform(-0.35, 0.35))),
        shake=float(rng.choice([0.0, 0.3, 0.8])),
        noise=float(rng.uniform(1.0, 5.0)),
        passers=int(rng.choice([0, 0, 1, 2])),
        cable=bool(rng.random() < 0.25),
        grain_seed=int(rng.integers(2**31)),
    )


def _colour(
    hues: tuple[tuple[float, float], ...],
    rng: np.random.Generator,
    saturation: tuple[float, float],
    value: tuple[float, float],
) -> Colour:
    import colorsys

    hue = float(rng.uniform(*_pick(rng, hues))) / 360 % 1
    red, green, blue = colorsys.hsv_to_rgb(hue, rng.uniform(*saturation), rng.uniform(*value))
    return 255 * red, 255 * green, 255 * blue


def _pick(rng: np.random.Generator, ranges: tuple[tuple[float, float], ...]) -> tuple[float, float]:
    return ranges[int(rng.integers(len(ranges)))]
