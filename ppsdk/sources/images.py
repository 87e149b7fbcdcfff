"""A folder of numbered pictures, as trackers and annotation tools keep them."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageOps, UnidentifiedImageError

from ppsdk.errors import VideoError
from ppsdk.records import Frame, Image
from ppsdk.sources.protocol import OnStatus, Source

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


class ImageFolder(Source):
    """The pictures of a folder, in the order of the numbers in their names, at fps.

    Raises VideoError where there is none, or something else among them.
    """

    def __init__(
        self, folder: Path, *, fps: float | None, on_status: OnStatus | None = None
    ) -> None:
        super().__init__(os.fspath(folder), on_status)
        self._fps = fps or 1.0
        files = [file for file in folder.iterdir() if not file.name.startswith(".")]
        self._files = sorted(files, key=lambda file: _by_number(file.name))
        other = next((file for file in self._files if file.suffix.lower() not in SUFFIXES), None)
        if other is not None or not files:
            holds = "is empty" if other is None else f"holds {other.name}"
            raise VideoError(f"{self.name}: not a file, nor a folder of pictures ({holds})")

    def frames(self) -> Generator[Frame, None, None]:
        for index, file in enumerate(self._files):
            self.counters.frames += 1
            yield Frame(partial(_read, file), index / self._fps)


def _by_number(name: str) -> list[tuple[int, str]]:
    """ "a10.png" behind "a9.png"."""
    parts = re.findall(r"\d+|\D+", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def _in_8_bits(picture: PillowImage.Image, file: Path) -> PillowImage.Image:
    """Pillow cuts off what is above 255: of 16 bits the upper eight are taken. Raises VideoError
    for pixels of 32 bits and floats, of which nothing tells the range.
    """
    if picture.mode.startswith("I;16"):
        return PillowImage.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise VideoError(f"{file}: has pixels of 32 bits: must be of 8 or 16")
    return picture


def _read(file: Path) -> Image:
    try:
        with PillowImage.open(file) as picture:
            return np.array(_in_8_bits(ImageOps.exif_transpose(picture), file).convert("RGB"))
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError) as error:
        raise VideoError(f"{file}: cannot read the picture ({error})") from None
