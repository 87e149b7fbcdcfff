"""A local camera, by its index."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import cv2
import numpy as np

from ppsdk.errors import VideoError
from ppsdk.records import Image
from ppsdk.sources.connection import Capture, Connection, LiveOptions
from ppsdk.sources.frozen import checksum
from ppsdk.sources.live import LiveSource, open_live
from ppsdk.sources.protocol import OnStatus

_RETRY_S = 0.05


def open_camera(
    index: int, *, options: LiveOptions | None = None, on_status: OnStatus | None = None
) -> LiveSource:
    """Open it within options.open_timeout_s; VideoError where it is not there, or not free."""
    options = options or LiveOptions()
    name = f"camera {index}"

    def connect() -> CaptureConnection:
        return CaptureConnection(name, _open_capture(index), options)

    return open_live(name, connect, options=options, on_status=on_status)


class CaptureConnection(Connection):
    """What OpenCV has opened. A read that fails is tried again until the time-out."""

    def __init__(self, name: str, capture: cv2.VideoCapture, options: LiveOptions) -> None:
        self._name, self._capture, self._options = name, capture, options
        if not capture.isOpened():
            raise VideoError(f"{name}: cannot open; is it connected, and free?")

    def captures(self) -> Iterator[Capture]:
        shown_s = time.monotonic()
        failed = 0
        while self._capture.isOpened():
            ok, picture = self._capture.read()
            if ok:
                image = np.asarray(picture, np.uint8)
                shown_s = time.monotonic()
                height, width, channels = image.shape
                form = f"{width}x{height}"
                rows = image.reshape(height, width * channels)
                yield Capture(partial(_rgb, image), form, checksum(rows), failed)
                failed = 0
            elif time.monotonic() - shown_s > self._options.read_timeout_s:
                break
            else:
                failed += 1
                time.sleep(_RETRY_S)
        raise VideoError(f"{self._name}: {failed} reads in a row gave no picture")

    def close(self) -> None:
        self._capture.release()


def _open_capture(index: int) -> cv2.VideoCapture:
    # OpenCV tells a dozen lines of each backend that has no such camera.
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        # One picture in the driver's queue, or the newest comes four pictures late. It is set
        # before opening where a backend can do that, and those that cannot refuse to open so.
        capture = cv2.VideoCapture(index, cv2.CAP_ANY, [cv2.CAP_PROP_BUFFERSIZE, 1])
        if not capture.isOpened():
            capture = cv2.VideoCapture(index)
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        return capture
    finally:
        cv2.utils.logging.setLogLevel(level)


def _rgb(image: Image) -> Image:
    return np.ascontiguousarray(image[:, :, ::-1])
