"""Frames that the app already has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from ppsdk.errors import VideoError
from ppsdk.records import Frame, Image
from ppsdk.sources.protocol import Source, with_size


class ArraySource(Source):
    """An iterable of `Frame`, or of uint8 (H, W, 3) RGB arrays that follow each other at fps."""

    def __init__(self, frames: Iterable[Frame] | Iterable[Image], *, fps: float | None) -> None:
        self.name = "frames"
        self._frames = frames
        self._fps = fps or 1.0

    def __iter__(self) -> Iterator[Frame]:
        size: tuple[int, int] | None = None
        start_s = 0.0
        last_s = -1.0
        for index, item in enumerate(self._frames):
            frame = item if isinstance(item, Frame) else self._frame(item, index)
            if index == 0:
                start_s = frame.pts_s
            pts_s = frame.pts_s - start_s
            if pts_s <= last_s:
                raise VideoError(
                    f"{self.name}: frame {index} is at {frame.pts_s} s, "
                    f"not after frame {index - 1}: times must rise"
                )
            last_s = pts_s
            size = size or frame.image.shape[:2]
            yield Frame(with_size(frame.image, size), pts_s)
        if size is None:
            raise VideoError(f"{self.name}: empty: at least one frame is needed")

    def _frame(self, item: object, index: int) -> Frame:
        try:
            # A copy: readers like OpenCV's fill the same buffer again.
            return Frame(np.array(item), index / self._fps)
        except ValueError as error:
            raise VideoError(f"{self.name}: item {index}: {error}") from None
