"""A picture of what happened and what was said, on one time axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from ppsdk.scoring.matching import Span, match_events
from ppsdk.scoring.recordings import Recording

# Okabe and Ito's palette, which colour-blind people tell apart.
PALETTE = ("#56B4E9", "#0072B2", "#F0E442", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#BBBBBB")
DARK = ("#0072B2", "#D55E00", "#009E73")  # white letters can be read on them
INK, GREY, WRONG = "#222222", "#999999", "#D00000"
WIDTH, LEFT, RIGHT = 1280, 110, 20
LANE, GAP = 34, 58
STRIPS_S = (30, 60, 120, 300, 600, 1800, 3600)
AT_MOST_STRIPS = 40


def colours_of(labels: Sequence[str]) -> dict[str, str]:
    """A colour for each, in order; the palette starts anew where there are more than it has."""
    return {label: PALETTE[i % len(PALETTE)] for i, label in enumerate(labels)}


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def draw_timeline(
    recordings: Sequence[Recording], file: Path, *, colours: Mapping[str, str] | None = None
) -> None:
    """Strips of half a minute, or longer ones where that gives too many, two lanes each. Events
    without a match have a red frame, and actions that nothing was said of are empty, framed in red.

    colours: label -> colour; by `colours_of` unless given.
    """
    if colours is None:
        colours = colours_of(sorted(set[str]().union(*(r.labels for r in recordings))))
    strip_s = next((s for s in STRIPS_S if _count(recordings, s) <= AT_MOST_STRIPS), STRIPS_S[-1])
    matches = [match_events(r.events, r.truth) for r in recordings]
    key = _key_lines(colours)
    top = 72 + 24 * len(key)
    height = top + _count(recordings, strip_s) * (2 * LANE + GAP)
    canvas = PillowImage.new("RGB", (WIDTH, height), "white")
    picture = _Picture(ImageDraw.Draw(canvas), colours, strip_s)
    picture.head(recordings, matches, key)
    for recording, match in zip(recordings, matches, strict=True):
        top = picture.recording(recording, match, top)
    canvas.save(file)


class _Picture:
    def __init__(self, draw: ImageDraw.ImageDraw, colours: Mapping[str, str], strip_s: int) -> None:
        self.draw, self.colours, self.strip_s = draw, colours, strip_s

    def head(
        self,
        recordings: Sequence[Recording],
        matches: Sequence[dict[int, int]],
        key: Sequence[Sequence[str]],
    ) -> None:
        found, actions = sum(map(len, matches)), sum(len(r.truth) for r in recordings)
        said = sum(len(r.events) for r in recordings)
        title = f"{found} of {actions} actions found, {said - found} events of {said} wrong"
        self.draw.text((LEFT, 14), title, INK, font(24))
        note = "found: right label, and the two spans share half of what they cover together"
        self.draw.text((LEFT, 44), f"{note} or more", GREY, font(15))
        for i, labels in enumerate(key):
            x, y = float(LEFT), 70 + 24 * i
            for label in labels:
                is_wrong = label not in self.colours
                fill, edge = (None, WRONG) if is_wrong else (self.colours[label], INK)
                self.draw.rectangle((x, y + 2, x + 14, y + 16), fill, edge, 3 if is_wrong else 1)
                self.draw.text((x + 20, y), label, INK, font(15))
                x += _key_width(label)

    def recording(self, recording: Recording, match: dict[int, int], top: int) -> int:
        """Returns where the next one starts."""
        found = set(match.values())
        for strip in range(_count([recording], self.strip_s)):
            from_s = strip * self.strip_s
            self._axis(top, from_s, min(recording.length_s, from_s + self.strip_s), recording.name)
            for j, span in enumerate(recording.truth):
                self._block(top, from_s, span, is_right=j in found, is_truth=True)
            for i, event in enumerate(recording.events):
                self._block(top + LANE + 4, from_s, event, is_right=i in match, is_truth=False)
            top += 2 * LANE + GAP
        return top

    def _axis(self, top: int, from_s: float, to_s: float, name: str) -> None:
        self.draw.text((12, top + 8), "happened", INK, font(16))
        self.draw.text((12, top + LANE + 12), "ppsdk said", INK, font(16))
        bottom = top + 2 * LANE + 6
        self.draw.text((12, bottom + 6), _tail(name), GREY, font(12))
        end = self._x(to_s, from_s)
        self.draw.line((LEFT, bottom, end, bottom), GREY)
        minor_s = self.strip_s // 30
        for i in range(int((to_s - from_s) / minor_s + 1e-9) + 1):
            x = self._x(from_s + i * minor_s, from_s)
            self.draw.line((x, bottom, x, bottom + (3 if i % 5 else 7)), GREY)
            if i % 5 == 0:
                text = f"{int(from_s + i * minor_s)} s"
                self.draw.text((x, bottom + 8), text, GREY, font(14), anchor="ma")

    def _block(
        self, top: int, from_s: float, span: Span, *, is_right: bool, is_truth: bool
    ) -> None:
        low, high = max(span.start_s, from_s), min(span.end_s, from_s + self.strip_s)
        if high <= low:
            return
        box = (self._x(low, from_s), top, self._x(high, from_s), top + LANE)
        colour = self.colours.get(span.label, GREY)
        fill = colour if is_right or not is_truth else "white"
        edge, width = (INK, 1) if is_right else (WRONG, 3)
        self.draw.rectangle(box, fill=fill, outline=edge, width=width)
        if self.draw.textlength(span.label, font(15)) < box[2] - box[0] - 6:
            ink = "white" if fill in DARK else INK
            middle = ((box[0] + box[2]) / 2, top + LANE / 2)
            self.draw.text(middle, span.label, ink, font(15), anchor="mm")

    def _x(self, time_s: float, from_s: float) -> float:
        return LEFT + (time_s - from_s) / self.strip_s * (WIDTH - LEFT - RIGHT)


def _count(recordings: Sequence[Recording], strip_s: int) -> int:
    return sum(max(1, -(-int(recording.length_s) // strip_s)) for recording in recordings)


def _key_lines(colours: Mapping[str, str]) -> list[list[str]]:
    """The key, broken into lines that fit."""
    lines: list[list[str]] = [[]]
    used = 0.0
    for label in [*colours, "wrong, or missed"]:
        if lines[-1] and used + _key_width(label) > WIDTH - LEFT - RIGHT:
            lines.append([])
            used = 0.0
        lines[-1].append(label)
        used += _key_width(label)
    return lines


def _key_width(label: str) -> float:
    return 44 + font(15).getlength(label)


def _tail(name: str) -> str:
    return name if len(name) <= 15 else f"…{name[-14:]}"
