"""The scene as a film with what happens and what is said below it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw

from ppsdk.demo.film import write_video
from ppsdk.demo.render import FPS
from ppsdk.intervals import LabelledSpan
from ppsdk.records import ActionEvent, Image
from ppsdk.scoring.timeline import GREY, INK, font
from ppsdk.sources import open_file

# Okabe and Ito's palette, which colour-blind people tell apart; a pair shares light and dark.
COLOURS = {
    "pick": "#56B4E9",
    "place": "#0072B2",
    "insert": "#F0E442",
    "remove": "#E69F00",
    "tighten": "#009E73",
    "loosen": "#CC79A7",
}
WIDTH, HEIGHT, BAND = 640, 480, 96
SHOWN_S = 10.0  # the part of the time axis below the picture, the present in its middle
LEFT = 84


def write_annotated(
    scene: Path,
    events: Sequence[ActionEvent],
    truth: Sequence[LabelledSpan],
    file: Path,
    progress: Callable[[Iterable[Any], str], Iterable[Any]],
) -> None:
    said = [LabelledSpan(event.label, event.start_s, event.end_s) for event in events]
    write_video(_annotated(scene, said, truth, progress), file, fps=FPS)


def _annotated(
    scene: Path,
    said: Sequence[LabelledSpan],
    truth: Sequence[LabelledSpan],
    progress: Callable[[Iterable[Any], str], Iterable[Any]],
) -> Iterator[Image]:
    for picture in progress(open_file(scene).pictures(), "annotating"):
        size = (WIDTH, HEIGHT)
        large = cv2.resize(picture.to_image(), size, interpolation=cv2.INTER_LINEAR)
        band = _band(picture.pts_s, (("happens", truth), ("ppsdk says", said)))
        yield np.concatenate([large.astype(np.uint8), band])


def _band(now_s: float, lanes: Sequence[tuple[str, Sequence[LabelledSpan]]]) -> Image:
    """uint8 (BAND, WIDTH, 3): the lanes move to the left, the present stands still."""
    picture = PillowImage.new("RGB", (WIDTH, BAND), "white")
    draw = ImageDraw.Draw(picture)
    for number, (name, spans) in enumerate(lanes):
        top = 8 + 42 * number
        for span in spans:
            low, high = max(LEFT, _x(span.start_s, now_s)), min(WIDTH - 1, _x(span.end_s, now_s))
            if high > low:
                draw.rectangle((low, top, high, top + 36), COLOURS.get(span.label, GREY), INK)
                colour = "white" if span.label == "place" else INK
                middle = ((low + high) / 2, top + 18)
                draw.text(middle, span.label, colour, font(16), anchor="mm")
        draw.text((6, top + 9), name, INK, font(14))
    now = _x(now_s, now_s)
    draw.line((now, 2, now, BAND - 2), "#D00000", 2)
    return np.asarray(picture)


def _x(time_s: float, now_s: float) -> float:
    return LEFT + (0.5 + (time_s - now_s) / SHOWN_S) * (WIDTH - LEFT)
