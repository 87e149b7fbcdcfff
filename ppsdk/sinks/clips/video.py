"""Kept frames to an mp4 that browsers play, one by one."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import Colorspace, VideoReformatter

from ppsdk.records import Image

# Ticks a second; MPEG's own.
_TICKS = 90_000
_BT709 = 1
_LIMITED_RANGE = 1
# Seconds from one frame that can be jumped to, to the next.
_KEY_S = 2.0


class ClipVideo:
    """H.264 in an mp4, each frame at its own time, index first. All are made as large as the first.

    Raises OSError or av.FFmpegError where it cannot be written; `close` does too, and has to be
    called whatever happens, once.
    """

    def __init__(self, path: Path, *, size: tuple[int, int], fps: float) -> None:
        """size: width, height; both even."""
        # "file:" keeps a colon in the name from being read as a protocol.
        self._out = av.open(f"file:{path}", "w", format="mp4", options={"movflags": "faststart"})
        self._stream = self._out.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "yuv420p"
        # Without looking ahead it takes 28 MB for 720p, not 67.
        self._stream.options = {"preset": "superfast", "crf": "23", "rc-lookahead": "0"}
        context = self._stream.codec_context
        context.max_b_frames = 0  # with them the mp4 ends, for its players, before its last frames
        context.time_base = Fraction(1, _TICKS)
        context.gop_size = max(1, round(fps * _KEY_S))
        context.thread_count = 1  # the network needs the others
        # Told, as browsers take what is not told for this where it is large, else for another.
        context.color_range = _LIMITED_RANGE
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        self._size = size
        self._reformatter = VideoReformatter()
        self._last_tick = -1

    def add(self, image: Image, after_s: float) -> None:
        """image: uint8 (H, W, 3) RGB. after_s: since the first one; rises."""
        if (image.shape[1], image.shape[0]) != self._size:
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA).astype(np.uint8)
        rgb = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        frame = self._reformatter.reformat(
            rgb, format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=_LIMITED_RANGE
        )
        self._last_tick = max(self._last_tick + 1, round(after_s * _TICKS))
        frame.pts, frame.time_base = self._last_tick, Fraction(1, _TICKS)
        self._out.mux(self._stream.encode(frame))

    def close(self) -> None:
        try:
            self._out.mux(self._stream.encode(None))
        except BaseException:
            with suppress(Exception):
                self._out.close()
            raise
        self._out.close()

    def abandon(self) -> None:
        """Instead of `close`, where nobody wants it any more."""
        with suppress(Exception):
            self._out.close()


def from_jpeg(jpeg: bytes) -> Image:
    """uint8 (H, W, 3) RGB."""
    bgr = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError("a kept frame is no JPEG")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
