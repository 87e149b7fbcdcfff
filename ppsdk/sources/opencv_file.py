"""Files read by OpenCV: only where it is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial

import cv2
import numpy as np

from ppsdk.errors import VideoError
from ppsdk.records import Image
from ppsdk.sources.clocks import RisingClock
from ppsdk.sources.protocol import FrameTimes, OnStatus, Picture, VideoFile


class OpencvFile(VideoFile):
    """OpenCV applies the rotation itself. It opens AV1 and delivers nothing."""

    def __init__(self, path: str | os.PathLike[str], *, on_status: OnStatus | None = None) -> None:
        super().__init__(path, on_status=on_status)
        self._open().release()

    def expected_times(self) -> FrameTimes | None:
        return None

    def pictures(self) -> Iterator[Picture]:
        capture = self._open()
        clock = RisingClock(1 / (capture.get(cv2.CAP_PROP_FPS) or 25.0))
        count = 0
        try:
            while capture.grab():
                count += 1
                stamp_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                time_s = clock.time_of(stamp_s)
                yield Picture(
                    time_s,
                    partial(self._retrieve, capture),
                    lasts=False,
                    jumped_back_s=clock.jumped_back_s,
                )
        finally:
            capture.release()
        if not count:
            raise VideoError(f"{self.name}: OpenCV opens it but reads no frame; use decoder='auto'")

    def _retrieve(self, capture: cv2.VideoCapture) -> Image:
        ok, image = capture.retrieve()
        if not ok:
            raise VideoError(f"{self.name}: OpenCV reads a frame that it cannot convert")
        return np.ascontiguousarray(image[:, :, ::-1])

    def _open(self) -> cv2.VideoCapture:
        # CAP_FFMPEG, or OpenCV takes a name that ends in digits for an image sequence.
        capture = cv2.VideoCapture(str(self.path), cv2.CAP_FFMPEG)
        if not capture.isOpened():
            raise VideoError(f"{self.name}: cannot open as video with OpenCV")
        return capture
