"""RTSP and HTTP: cameras, which are live, and files behind a web server, which are not."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import av

from ppsdk.errors import VideoError
from ppsdk.records import Frame
from ppsdk.sources.protocol import Source, with_size
from ppsdk.sources.pyav_file import OPEN_ERRORS, packets_of, timed_pictures, video_stream
from ppsdk.sources.rgb import reason

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

TIMEOUT_S = 10.0


def open_url(url: str, *, timeout_s: float = TIMEOUT_S) -> Source:
    """Connect within timeout_s; VideoError names the URL without its credentials."""
    return UrlSource(url, timeout_s=timeout_s)


class UrlSource(Source):
    """A recording behind HTTP has a duration, and its own times; all else is live, with the times
    of capture.
    """

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self.name = without_credentials(url)
        options = {"rtsp_transport": "tcp"} if url.lower().startswith("rtsp") else {}
        try:
            self._container = av.open(
                url, timeout=timeout_s, options=options, metadata_errors="replace"
            )
        except OPEN_ERRORS as error:
            raise VideoError(f"{self.name}: cannot open ({self._why(error, url)})") from None
        self._url = url
        try:
            self._stream = video_stream(self._container, self.name)
        except VideoError:
            self._container.close()
            raise
        self.live = not url.lower().startswith("http") or not self._container.duration

    def __iter__(self) -> Iterator[Frame]:
        size: tuple[int, int] | None = None
        start: float | None = None
        for picture in timed_pictures(self._decode(), self._stream, self.name):
            now = time.monotonic()
            if start is None:
                start = now
                self.started_at = datetime.now(timezone.utc) if self.live else None
            image = picture.to_image()
            size = size or image.shape[:2]
            yield Frame(with_size(image, size), now - start if self.live else picture.pts_s)
        if start is None:
            raise VideoError(f"{self.name}: opens but delivers no frame")

    def close(self) -> None:
        self._container.close()

    def _decode(self) -> Iterator[VideoFrame]:
        try:
            for packet in packets_of(self._container, self._stream):
                try:
                    yield from packet.decode()
                except av.error.InvalidDataError:
                    continue  # one damaged packet is not the end of a stream
        except (av.FFmpegError, OSError) as error:
            raise VideoError(f"{self.name}: lost ({self._why(error, self._url)})") from None

    def _why(self, error: Exception, url: str) -> str:
        return reason(error).replace(url, self.name)


def without_credentials(url: str) -> str:
    """rtsp://user:secret@host/path -> rtsp://host/path"""
    return re.sub(r"(?<=://)[^/@]*@", "", url)
