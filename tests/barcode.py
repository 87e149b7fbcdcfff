"""The frame number that every rendered clip in cases/synth carries in its pixels, read back.

In fractions of the picture: rows .22-.32 are red (left of the middle) and blue, .35-.50 hold bits
0 to 4 and .50-.65 bits 5 to 9 (columns .25-.75, five cells, white is 1), .68-.78 are green and
yellow; the rest is gray 96. The colours tell rotation, mirroring and channel order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RED, BLUE, GREEN, YELLOW = (230, 20, 20), (20, 20, 230), (20, 200, 20), (220, 220, 20)
MARKS = {
    RED: (0.25, 0.50, 0.22, 0.32),
    BLUE: (0.50, 0.75, 0.22, 0.32),
    GREEN: (0.25, 0.50, 0.68, 0.78),
    YELLOW: (0.50, 0.75, 0.68, 0.78),
}


@dataclass(frozen=True)
class Barcode:
    """index: 0 to 1023. turned: degrees clockwise. order: "RGB", "BGR" or "GRAY"."""

    index: int
    turned: int
    mirrored: bool
    order: str


def bit_cells() -> list[tuple[float, float, float, float]]:
    return [
        (0.25 + 0.1 * column, 0.35 + 0.1 * column, 0.35 + 0.15 * row, 0.50 + 0.15 * row)
        for row in range(2)
        for column in range(5)
    ]


def make_frame(index: int, width: int = 320, height: int = 240) -> np.ndarray:
    frame = np.full((height, width, 3), 96, np.uint8)

    def fill(cell, colour):
        left, right, top, bottom = cell
        rows = slice(round(top * height), round(bottom * height))
        frame[rows, round(left * width) : round(right * width)] = colour

    for colour, cell in MARKS.items():
        fill(cell, colour)
    for bit, cell in enumerate(bit_cells()):
        fill(cell, (255,) * 3 if index >> bit & 1 else (0,) * 3)
    return frame


def read(frame: np.ndarray) -> Barcode:
    """uint8 (H, W, 3), whole picture, of any size above some 40 pixels."""
    candidates = []
    for mirrored in (False, True):
        for turns in range(4):
            seen = np.rot90(frame[:, ::-1] if mirrored else frame, turns)
            for order, channels in (("RGB", [0, 1, 2]), ("BGR", [2, 1, 0])):
                candidates.append((_error(seen[..., channels]), turns, mirrored, order, seen))
    _, turns, mirrored, order, seen = min(candidates, key=lambda one: one[0])
    if max(np.ptp(colour(seen, cell)) for cell in MARKS.values()) < 25:
        order = "GRAY"
    bits = [colour(seen, cell).mean() > 128 for cell in bit_cells()]
    return Barcode(sum(1 << k for k, bit in enumerate(bits) if bit), 90 * turns, mirrored, order)


def colour(frame: np.ndarray, cell: tuple[float, float, float, float]) -> np.ndarray:
    """Mean RGB of the middle of a cell."""
    left, right, top, bottom = cell
    height, width = frame.shape[:2]
    dx, dy = 0.3 * (right - left), 0.3 * (bottom - top)
    x0, x1 = int((left + dx) * width), int(np.ceil((right - dx) * width))
    y0, y1 = int((top + dy) * height), int(np.ceil((bottom - dy) * height))
    patch = frame[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1)]
    return patch.reshape(-1, 3).astype(float).mean(0)


def _error(frame: np.ndarray) -> float:
    gray = np.ptp(frame, axis=2).max() < 25
    weights = np.array([0.299, 0.587, 0.114])
    total = 0.0
    for mark, cell in MARKS.items():
        seen = colour(frame, cell)
        total += abs(seen.mean() - weights @ mark) if gray else np.abs(seen - mark).sum()
    return total
