"""What is said, written into the picture in which it is seen."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from ppsdk.records import ActionEvent, Image

# Of the picture's height.
_BAND = 1 / 18
_LEAST = 14
_DURING, _AROUND = "#D00000", "#444444"


def with_overlay(image: Image, event: ActionEvent, pts_s: float) -> Image:
    """uint8 (H, W, 3) RGB, a copy with a band at the bottom: the label, red while the event lasts,
    and when that was: wall-clock time (UTC) where it is known, else seconds.
    """
    height, width = image.shape[:2]
    band = min(height, max(_LEAST, round(_BAND * height)))
    # How far one reaches that goes on is not known yet.
    is_during = event.start_s <= pts_s and (event.phase != "end" or pts_s <= event.end_s)
    strip = PillowImage.new("RGB", (width, band), _DURING if is_during else _AROUND)
    draw, font = ImageDraw.Draw(strip), ImageFont.load_default(0.7 * band)
    draw.text((band / 3, band / 2), event.label, "white", font, anchor="lm")
    draw.text((width - band / 3, band / 2), _time(event, pts_s), "white", font, anchor="rm")
    return np.concatenate([image[: height - band], np.asarray(strip)])


def _time(event: ActionEvent, pts_s: float) -> str:
    if event.start_time is None:
        return f"{pts_s:.2f} s"
    start = datetime.fromisoformat(event.start_time)
    return f"{start + timedelta(seconds=pts_s - event.start_s):%Y-%m-%d %H:%M:%SZ}"
