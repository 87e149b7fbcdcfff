"""A picture of what happened and what was said, on one time axis."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from math import ceil
from pathlib import Path

from PIL import Image as PillowImage
from PIL import ImageColor, ImageDraw, ImageFont

from ppsdk.scoring.matching import Span, match_events
from ppsdk.scoring.recordings import Recording

# Okabe and Ito's palette, which colour-blind people tell apart.
PALETTE = ("#56B4E9", "#0072B2", "#F0E442", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#BBBBBB")
INK, GREY, WRONG = "#222222", "#999999", "#D00000"
WIDTH, LEFT, RIGHT = 1280, 110, 40
NAME, LANE, GAP = 22, 34, 46
SMALLEST_LETTERS = 7  # pixels; where more overlap, colours have to do
STRIPS_S = (6, 12, 30, 60, 120, 300, 600, 1800, 3600)
# Shorter strips are for recordings that fit on one.
USUAL_STRIP_S = 30
AT_MOST_STRIPS, AT_MOST_LETTERS = 40, 160
LITTLE = 0.01  # of a strip: not worth another one


def colours_of(labels: Sequence[str]) -> dict[str, str]:
    """A colour for each, in order: the palette, the same darker, and so on."""
    palette = [*PALETTE, *(_mixed(colour, "black", 0.45) for colour in PALETTE)]
    return {label: palette[i % len(palette)] for i, label in enumerate(labels)}


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def draw_timeline(
    recordings: Sequence[Recording], file: Path, *, colours: Mapping[str, str] | None = None
) -> None:
    """Strips of half a minute, or longer ones where that gives too many, two lanes each. Events
    without a match have a red frame, and actions that nothing was said of are pale, framed in red.

    colours: label -> colour; by `colours_of` unless given.
    """
    if colours is None:
        colours = colours_of(sorted(set[str]().union(*(r.labels for r in recordings))))
    strip_s = _strip_s(recordings)
    matches = [match_events(r.events, r.truth) for r in recordings]
    key = _key_lines(colours)
    top = 78 + 24 * len(key)
    height = top + NAME * len(recordings) + _count(recordings, strip_s) * (2 * LANE + GAP)
    canvas = PillowImage.new("RGB", (WIDTH, height), "white")
    picture = _Picture(ImageDraw.Draw(canvas), colours, strip_s)
    picture.head(recordings, matches, key)
    for recording, match in zip(recordings, matches, strict=True):
        top = picture.recording(recording, match, top)
    canvas.save(file, format="PNG")


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
        title = f"{found} of {actions} actions found, {said - found} of {said} events wrong"
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
        self.draw.text((12, top), recording.name[-AT_MOST_LETTERS:], INK, font(14))
        top += NAME
        for strip in range(_count([recording], self.strip_s)):
            from_s = strip * self.strip_s
            self._axis(top, from_s, min(recording.length_s, from_s + self.strip_s))
            self._lane(top, from_s, recording.truth, found, pale=0.75)
            self._lane(top + LANE + 4, from_s, recording.events, set(match), pale=0.0)
            top += 2 * LANE + GAP
        return top

    def _axis(self, top: int, from_s: float, to_s: float) -> None:
        self.draw.text((12, top + 8), "happened", INK, font(16))
        self.draw.text((12, top + LANE + 12), "ppsdk said", INK, font(16))
        bottom = top + 2 * LANE + 6
        end = self._x(to_s, from_s)
        self.draw.line((LEFT, bottom, end, bottom), GREY)
        minor_s = self.strip_s / 30
        for i in range(int((to_s - from_s) / minor_s + 1e-9) + 1):
            x = self._x(from_s + i * minor_s, from_s)
            self.draw.line((x, bottom, x, bottom + (3 if i % 5 else 7)), GREY)
            if i % 5 == 0:
                text = self._time(round(from_s + i * minor_s))
                self.draw.text((x, bottom + 8), text, GREY, font(14), anchor="ma")

    def _lane(
        self, top: int, from_s: float, spans: Sequence[Span], right: Collection[int], *, pale: float
    ) -> None:
        """right: the positions of those that have a match; the others are so pale."""
        for i, (span, row, rows) in enumerate(_in_rows(spans)):
            low, high = max(span.start_s, from_s), min(span.end_s, from_s + self.strip_s)
            if high > low:
                height = LANE / rows
                y = top + row * height
                box = (self._x(low, from_s), y, self._x(high, from_s), y + height)
                colour = self.colours.get(span.label, GREY)
                fill = colour if i in right else _mixed(colour, "white", pale)
                self._block(box, span.label, fill, is_right=i in right)

    def _block(
        self, box: tuple[float, float, float, float], label: str, fill: str, *, is_right: bool
    ) -> None:
        left, top, right, bottom = box
        # Of a narrow one, something is to be left within its frame.
        width = 1 if is_right else max(1, min(3, round((right - left) / 4)))
        self.draw.rectangle(box, fill, INK if is_right else WRONG, width)
        size = round(min(15, bottom - top - 2))
        if size < SMALLEST_LETTERS:
            return
        letters = font(size)
        if self.draw.textlength(label, letters) < right - left - 6:
            middle = ((left + right) / 2, (top + bottom) / 2)
            self.draw.text(middle, label, _ink_on(fill), letters, anchor="mm")

    def _x(self, time_s: float, from_s: float) -> float:
        return LEFT + (time_s - from_s) / self.strip_s * (WIDTH - LEFT - RIGHT)

    def _time(self, time_s: int) -> str:
        if self.strip_s <= 60:
            return f"{time_s} s"
        return f"{time_s // 3600}:{time_s // 60 % 60:02}:{time_s % 60:02}"


def _in_rows(spans: Sequence[Span]) -> Iterator[tuple[Span, int, int]]:
    """Each with its row, and how many rows there are: more than one where some overlap."""
    start = 0
    while start < len(spans):
        ends: list[float] = []  # of the rows
        rows: list[int] = []
        for span in spans[start:]:
            if ends and span.start_s >= max(ends):
                break
            row = next((i for i, end_s in enumerate(ends) if end_s <= span.start_s), len(ends))
            ends[row : row + 1] = [span.end_s]
            rows.append(row)
        for span, row in zip(spans[start:], rows, strict=False):
            yield span, row, len(ends)
        start += len(rows)


def _strip_s(recordings: Sequence[Recording]) -> int:
    longest_s = max((recording.length_s for recording in recordings), default=0.0)
    for strip_s in STRIPS_S:
        is_short = strip_s < USUAL_STRIP_S and longest_s > strip_s
        if not is_short and _count(recordings, strip_s) <= AT_MOST_STRIPS:
            return strip_s
    return STRIPS_S[-1]


def _count(recordings: Sequence[Recording], strip_s: int) -> int:
    return sum(max(1, ceil(recording.length_s / strip_s - LITTLE)) for recording in recordings)


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


def _mixed(colour: str, other: str, share: float) -> str:
    """share: of the other."""
    parts = zip(ImageColor.getrgb(colour), ImageColor.getrgb(other), strict=True)
    return "#" + "".join(f"{round(a + share * (b - a)):02X}" for a, b in parts)


def _ink_on(fill: str) -> str:
    """What can be read on it; brightness by ITU-R BT.601."""
    red, green, blue = ImageColor.getrgb(fill)[:3]
    return INK if 0.299 * red + 0.587 * green + 0.114 * blue > 115 else "white"
