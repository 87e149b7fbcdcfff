"""RTSP and HTTP: cameras, which are live, and files behind a web server, which are not."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import av

from ppsdk.errors import VideoError
from ppsdk.records import Frame
from ppsdk.sources.credentials import without_credentials
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
    of capture. It can be read once.
    """

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self.name = without_credentials(url)
        self._url = url
        # Closing a container that another thread is reading crashes the interpreter.
        self._reading = threading.Lock()
        self._closed = False
        self._was_read = False
        options = {"rtsp_transport": "tcp"} if url.lower().startswith("rtsp") else {}
        try:
            self._container = av.open(
                url, timeout=timeout_s, options=options, metadata_errors="replace"
            )
        except OPEN_ERRORS as error:
            raise VideoError(f"{self.name}: cannot open ({self._why(error)})") from None
        try:
            self._stream = video_stream(self._container, self.name)
        except VideoError:
            self._container.close()
            raise
        self.live = not url.lower().startswith("http") or not self._container.duration

    def __iter__(self) -> Iterator[Frame]:
        if self._was_read and not self._closed:
            raise VideoError(f"{self.name}: has been read: open it again")
        self._was_read = True
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
        if self._closed:
            return
        if start is None:
            raise VideoError(f"{self.name}: opens but delivers no frame")
        if self.live:
            raise VideoError(f"{self.name}: lost (the stream ended)")

    def close(self) -> None:
        """Ends the iteration, in whichever thread it runs: at once, or when its read returns."""
        self._closed = True
        if self._reading.acquire(blocking=False):
            self._container.close()
            self._reading.release()

    def _decode(self) -> Iterator[VideoFrame]:
        packets = packets_of(self._container, self._stream)
        while True:
            with self._reading:
                if self._closed:
                    self._container.close()
                    return
                try:
                    frames = next(packets).decode()
                except StopIteration:
                    return
                except av.error.InvalidDataError:
                    continue  # one damaged packet is not the end of a stream
                except (av.FFmpegError, OSError) as error:
                    raise VideoError(f"{self.name}: lost ({self._why(error)})") from None
            yield from frames

    def _why(self, error: Exception) -> str:
        return reason(error).replace(self._url, self.name)
