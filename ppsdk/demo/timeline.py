"""A picture of what happened and what was said, on one time axis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from ppsdk.demo.truth import match_events
from ppsdk.intervals import LabelledSpan
from ppsdk.records import ActionEvent

# Okabe and Ito's palette, which colour-blind people tell apart; a pair shares light and dark.
COLOURS = {
    "pick": "#56B4E9",
    "place": "#0072B2",
    "insert": "#F0E442",
    "remove": "#E69F00",
    "tighten": "#009E73",
    "loosen": "#CC79A7",
}
INK, GREY, WRONG = "#222222", "#999999", "#D00000"
WIDTH, LEFT, RIGHT = 1280, 110, 20
STRIP_S, LANE, GAP, HEAD = 30, 34, 58, 96


def draw_timeline(
    events: Sequence[ActionEvent], truth: Sequence[LabelledSpan], length_s: float, file: Path
) -> None:
    """Strips of half a minute, two lanes each. Events without a match have a red frame, actions
    that nothing was said of a dashed one.
    """
    strips = max(1, -(-int(length_s) // STRIP_S))
    height = HEAD + strips * (2 * LANE + GAP)
    picture = PillowImage.new("RGB", (WIDTH, height), "white")
    draw = ImageDraw.Draw(picture)
    matched = match_events(events, truth)
    found = set(matched.values())
    _draw_head(draw, len(truth), len(matched), len(events))
    for strip in range(strips):
        top = HEAD + strip * (2 * LANE + GAP)
        from_s = strip * STRIP_S
        _draw_axis(draw, top, from_s, min(length_s, from_s + STRIP_S))
        for j, span in enumerate(truth):
            _draw_block(draw, top, from_s, span, INK if j in found else WRONG, j not in found)
        for i, event in enumerate(events):
            said = LabelledSpan(event.label, event.start_s, event.end_s)
            is_right = i in matched
            _draw_block(draw, top + LANE + 4, from_s, said, INK if is_right else WRONG, False)
    picture.save(file)


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _draw_head(draw: ImageDraw.ImageDraw, actions: int, found: int, said: int) -> None:
    title = f"{found} of {actions} actions found, {said - found} events of {said} wrong"
    draw.text((LEFT, 14), title, INK, font(24))
    note = "found: right label, and the two spans share half of what they cover together or more"
    draw.text((LEFT, 44), note, GREY, font(15))
    x = float(LEFT)
    for label, colour in COLOURS.items():
        draw.rectangle((x, 72, x + 14, 86), fill=colour, outline=INK)
        draw.text((x + 20, 70), label, INK, font(15))
        x += 44 + draw.textlength(label, font(15))
    draw.rectangle((x, 72, x + 14, 86), outline=WRONG, width=3)
    draw.text((x + 20, 70), "wrong, or missed", INK, font(15))


def _draw_axis(draw: ImageDraw.ImageDraw, top: int, from_s: float, to_s: float) -> None:
    draw.text((12, top + 8), "happened", INK, font(16))
    draw.text((12, top + LANE + 12), "ppsdk said", INK, font(16))
    bottom = top + 2 * LANE + 6
    draw.line((_x(from_s, from_s), bottom, _x(to_s, from_s), bottom), GREY)
    for second in range(int(from_s), int(to_s) + 1):
        x = _x(second, from_s)
        is_major = second % 5 == 0
        draw.line((x, bottom, x, bottom + (7 if is_major else 3)), GREY)
        if is_major:
            draw.text((x, bottom + 8), f"{second} s", GREY, font(14), anchor="ma")


def _draw_block(
    draw: ImageDraw.ImageDraw,
    top: int,
    from_s: float,
    span: LabelledSpan,
    outline: str,
    missed: bool,
) -> None:
    low, high = max(span.start_s, from_s), min(span.end_s, from_s + STRIP_S)
    if high <= low:
        return
    box = (_x(low, from_s), top, _x(high, from_s), top + LANE)
    draw.rectangle(
        box,
        fill="white" if missed else COLOURS.get(span.label, GREY),
        outline=outline,
        width=3 if outline == WRONG else 1,
    )
    if draw.textlength(span.label, font(15)) < box[2] - box[0] - 6:
        middle = ((box[0] + box[2]) / 2, top + LANE / 2)
        colour = "white" if span.label == "place" and not missed else INK
        draw.text(middle, span.label, colour, font(15), anchor="mm")


def _x(time_s: float, from_s: float) -> float:
    return LEFT + (time_s - from_s) / STRIP_S * (WIDTH - LEFT - RIGHT)
