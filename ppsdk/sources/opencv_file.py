"""Files read by OpenCV: only where it is asked for."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from functools import partial

import cv2
import numpy as np

from ppsdk.errors import VideoError
from ppsdk.records import Image
from ppsdk.sources.clocks import RisingClock
from ppsdk.sources.protocol import FrameTimes, OnStatus, Picture, VideoFile
from ppsdk.sources.pyav_file import PyavFile

log = logging.getLogger(__name__)

# Reads that fail one behind the other until it is the end: damage is no end.
_FAILED_READS = 30


class OpencvFile(VideoFile):
    """OpenCV applies the rotation itself. It opens AV1 and delivers nothing; the colours that it
    gives to HDR are its own.
    """

    def __init__(self, path: str | os.PathLike[str], *, on_status: OnStatus | None = None) -> None:
        super().__init__(path, on_status=on_status)
        # OpenCV takes a still image for a video, and the first video stream for the main one.
        if PyavFile(path).video_number:
            raise VideoError(
                f"{self.name}: OpenCV reads another of its video streams than the main one; use "
                "decoder='auto'"
            )
        self._open().release()

    def expected_times(self) -> FrameTimes | None:
        return None

    def pictures(self) -> Iterator[Picture]:
        capture = self._open()
        clock = RisingClock(1 / (capture.get(cv2.CAP_PROP_FPS) or 25.0))
        count = failed = self.damaged = 0
        try:
            while failed < _FAILED_READS:
                if not capture.grab():
                    failed += 1
                    continue
                self.damaged += failed
                failed = 0
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
            claimed = capture.get(cv2.CAP_PROP_FRAME_COUNT)
            capture.release()
        if not count:
            raise VideoError(f"{self.name}: OpenCV opens it but reads no frame; use decoder='auto'")
        if count < claimed:
            log.warning(
                "%s: OpenCV reads %d of %d frames that the file claims: it is damaged, or trimmed",
                self.name,
                count,
                claimed,
            )

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
