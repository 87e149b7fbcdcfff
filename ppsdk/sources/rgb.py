"""FFmpeg's frames as upright RGB arrays."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import av
import numpy as np
from av.sidedata.sidedata import Type as SideData
from av.video.reformatter import VideoReformatter

from ppsdk.errors import VideoError
from ppsdk.records import Image
from ppsdk.sources.upright import Matrix, parse_display_matrix, upright

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


class RgbConverter:
    """One for each reading of a stream: it keeps FFmpeg's scaler, where `VideoFrame.to_ndarray`
    makes one anew for every frame. The scaler has no threads of its own: more are not quicker, and
    cameras are many. Threads may share it.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._reformatter = VideoReformatter()
        self._rotation: float | None = None
        self._matrix: Matrix | None = None

    def __call__(self, frame: VideoFrame) -> Image:
        """uint8 (H, W, 3), upright; 10-bit, gray, alpha and full-range pictures included."""
        with self._lock:
            return self._convert(frame)

    def _convert(self, frame: VideoFrame) -> Image:
        if frame.rotation != self._rotation:
            self._rotation, self._matrix = frame.rotation, _display_matrix(frame)
        try:
            rgb = self._reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
        except (av.FFmpegError, ValueError) as error:
            raise VideoError(
                f"{self._name}: cannot convert {frame.format.name} to RGB ({reason(error)})"
            ) from None
        return upright(np.asarray(rgb, np.uint8), self._matrix)


def form_of(frame: VideoFrame) -> str:
    turned = f" turned by {frame.rotation}" if frame.rotation else ""
    return f"{frame.width}x{frame.height} {frame.format.name}{turned}"


def _display_matrix(frame: VideoFrame) -> Matrix | None:
    """Looked up once, not for each frame: PyAV's side data and its frame keep each other alive."""
    data = frame.side_data.get(SideData.DISPLAYMATRIX)  # type: ignore[call-overload]
    return None if data is None else parse_display_matrix(bytes(data))


def reason(error: Exception) -> str:
    """FFmpeg's own words, in one line: the last thing it logged if any, else the error's."""
    logged = getattr(error, "log", None)
    text = logged[2] if logged else getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split())
