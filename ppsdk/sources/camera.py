"""A local camera, by its index."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timezone

import cv2
import numpy as np

from ppsdk.errors import VideoError
from ppsdk.records import Frame
from ppsdk.sources.protocol import Source, with_size


class Camera(Source):
    """Frames as they are captured; times are those of capture."""

    live = True

    def __init__(self, index: int) -> None:
        self.name = f"camera {index}"
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(
            cv2.utils.logging.LOG_LEVEL_SILENT
        )  # OpenCV tells a dozen lines of each backend that has no such camera
        try:
            self._capture = cv2.VideoCapture(index)
        finally:
            cv2.utils.logging.setLogLevel(level)
        if not self._capture.isOpened():
            raise VideoError(f"{self.name}: cannot open; is it connected, and free?")

    def __iter__(self) -> Iterator[Frame]:
        start: float | None = None
        size: tuple[int, int] | None = None
        while self._capture.isOpened():
            ok, image = self._capture.read()
            now = time.monotonic()
            if not ok:
                if not self._capture.isOpened():
                    return
                what = "opens but delivers no frame" if start is None else "lost"
                raise VideoError(f"{self.name}: {what}")
            if start is None:
                start, self.started_at = now, datetime.now(timezone.utc)
            size = size or (image.shape[0], image.shape[1])
            rgb = np.ascontiguousarray(image[:, :, ::-1], np.uint8)
            yield Frame(with_size(rgb, size), now - start)

    def close(self) -> None:
        self._capture.release()
