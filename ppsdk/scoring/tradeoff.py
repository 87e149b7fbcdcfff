"""A picture of what each trial buys: recall against false alarms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image as PillowImage
from PIL import ImageDraw

from ppsdk.scoring.figures import Tally
from ppsdk.scoring.timeline import GREY, INK, PALETTE, WRONG, font
from ppsdk.scoring.tuning import Tuning

WIDTH, HEIGHT = 900, 600
LEFT, TOP, RIGHT, BOTTOM = 96, 118, 30, 70
# Of rings, so that those at one place are all seen.
RADII = (18, 12, 6)
FAINT, CURVE, CHOSEN, HELD_OUT = "#C8C8C8", PALETTE[1], PALETTE[4], PALETTE[3]


def best_curve(tallies: Sequence[Tally]) -> list[tuple[float, float]]:
    """(false alarms an hour, recall), rising: no other has more recall at no more false alarms."""
    points = sorted({(t.false_alarms_per_hour, -t.recall) for t in tallies})
    curve: list[tuple[float, float]] = []
    for false_alarms, minus_recall in points:
        if not curve or -minus_recall > curve[-1][1]:
            curve.append((false_alarms, -minus_recall))
    return curve


def draw_tradeoff(tuning: Tuning, file: Path) -> None:
    """A dot a trial, the curve of the best ones, and rings where the chosen options are. A trial
    with more false alarms than fit is counted in words.
    """
    seen = [trial.all for trial in tuning.trials]
    curve = best_curve(seen)
    rings = [("chosen, all videos", tuning.best.all, CHOSEN)]
    if tuning.held_out is not None:
        rings.append(("chosen likewise, on videos held out", tuning.held_out, HELD_OUT))
    rings.append(("before", tuning.before.all, WRONG))
    most = max([1.0, curve[-1][0], *(tally.false_alarms_per_hour for _, tally, _ in rings)])
    canvas = PillowImage.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(canvas)
    reach = 1.15 * most
    draw.text((LEFT, 14), f"What each of {len(seen)} trials buys", INK, font(22))
    _draw_axes(draw, reach)
    _draw_limit(draw, tuning.goal.max_false_alarms, reach)
    within = [tally for tally in seen if tally.false_alarms_per_hour <= reach]
    for tally in within:
        x, y = _at(tally.false_alarms_per_hour, tally.recall, reach)
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), fill=FAINT)
    if len(within) < len(seen):
        more = f"{len(seen) - len(within)} more trials: further right"
        draw.text((WIDTH - RIGHT, TOP - 30), more, GREY, font(14), anchor="ra")
    corners: list[tuple[float, float]] = []
    for false_alarms, recall in curve:
        x, y = _at(false_alarms, recall, reach)
        corners += [(x, corners[-1][1]), (x, y)] if corners else [(x, y)]
    draw.line([*corners, (_at(reach, 0, reach)[0], corners[-1][1])], CURVE, 2)
    key_x = float(LEFT)
    for (name, tally, colour), radius in zip(rings, RADII, strict=False):
        x, y = _at(tally.false_alarms_per_hour, tally.recall, reach)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=4)
        draw.ellipse((key_x, 50, key_x + 14, 64), outline=colour, width=4)
        text = f"{name}: F1 {tally.f1_at(0.5):.2f}"
        draw.text((key_x + 20, 48), text, INK, font(15))
        key_x += 44 + draw.textlength(text, font(15))
    canvas.save(file, format="PNG")


def _draw_axes(draw: ImageDraw.ImageDraw, reach: float) -> None:
    for tenth in range(0, 11, 2):
        _, y = _at(0, tenth / 10, reach)
        draw.line((LEFT, y, WIDTH - RIGHT, y), "#EEEEEE")
        draw.text((LEFT - 24, y), f"{10 * tenth} %", GREY, font(14), anchor="rm")
    step = next(s * 10**p for p in range(-1, 9) for s in (1, 2, 5) if reach / (s * 10**p) <= 8)
    for i in range(int(reach / step) + 1):
        x, y = _at(i * step, 0, reach)
        draw.line((x, y, x, y + 6), GREY)
        draw.text((x, y + 16), f"{i * step:g}", GREY, font(14), anchor="ma")
    draw.line((LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM), GREY)
    middle = (LEFT + WIDTH - RIGHT) / 2
    draw.text((middle, HEIGHT - 30), "false alarms an hour", INK, font(15), anchor="ma")
    draw.text((12, TOP - 30), "actions noticed", INK, font(15))


def _draw_limit(draw: ImageDraw.ImageDraw, false_alarms: float | None, reach: float) -> None:
    if false_alarms is None or false_alarms > reach:
        return
    x, y = _at(false_alarms, 1, reach)
    draw.line((x, y, x, HEIGHT - BOTTOM), WRONG)
    draw.text((x + 6, HEIGHT - BOTTOM - 20), "at most", WRONG, font(14))


def _at(false_alarms: float, recall: float, reach: float) -> tuple[float, float]:
    x = LEFT + false_alarms / reach * (WIDTH - LEFT - RIGHT)
    return x, HEIGHT - BOTTOM - recall * (HEIGHT - TOP - BOTTOM - 10)
