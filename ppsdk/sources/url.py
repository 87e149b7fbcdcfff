"""RTSP and HTTP: cameras, which are live, and recordings behind a web server, which are not."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING

import av
import numpy as np

from ppsdk.errors import VideoError
from ppsdk.records import Frame
from ppsdk.sources.connection import Capture, Connection, LiveOptions, connect_within
from ppsdk.sources.credentials import without_credentials
from ppsdk.sources.frozen import checksum
from ppsdk.sources.live import LiveSource
from ppsdk.sources.protocol import OnStatus, Source, same_size
from ppsdk.sources.pyav_file import OPEN_ERRORS, packets_of, timed_pictures, video_stream
from ppsdk.sources.reader import Reader
from ppsdk.sources.rgb import RgbConverter, form_of, reason

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

# Reads that fail one behind the other, without a frame between them, until a stream is lost.
_FAILED_READS = 20
_RETRY_S = 0.01
_READ_AHEAD = 8


def open_url(
    url: str, *, options: LiveOptions | None = None, on_status: OnStatus | None = None
) -> Source:
    """Connect within options.open_timeout_s; VideoError names the URL without its credentials.

    A recording behind HTTP has a duration, and its own times; all else is live. What is waited for
    (options.wait) is taken for a camera, whose times are those of arrival.
    """
    options = options or LiveOptions()
    name = without_credentials(url)
    connect = partial(UrlConnection, url, name, options)
    if options.wait:
        return LiveSource(name, connect, options=options, on_status=on_status)
    connection = connect_within(name, connect, options)
    if connection.is_recording:
        return RecordingSource(name, connection, on_status=on_status)
    return LiveSource(name, connect, options=options, on_status=on_status, connection=connection)


class UrlConnection(Connection):
    """What FFmpeg has opened. PyAV interrupts what takes longer than the time-outs.

    damaged: packets and reads that have failed since the last capture.
    """

    def __init__(self, url: str, name: str, options: LiveOptions) -> None:
        self._url, self._name, self._options = url, name, options
        self.damaged = 0
        since_s = time.monotonic()
        try:
            self._container = av.open(
                url,
                timeout=(options.open_timeout_s, options.read_timeout_s),
                options={"rtsp_transport": "tcp"} if url.lower().startswith("rtsp") else {},
                metadata_errors="replace",
            )
        except OPEN_ERRORS as error:
            why = self._why(error, since_s, options.open_timeout_s)
            raise VideoError(f"{name}: cannot open ({why})") from None
        try:
            self.stream = video_stream(self._container, name)
        except VideoError:
            self._container.close()
            raise
        self.is_recording = url.lower().startswith("http") and bool(self._container.duration)

    def captures(self) -> Iterator[Capture]:
        to_rgb = RgbConverter(self._name)
        for frame in self.decoded():
            damaged, self.damaged = self.damaged, 0
            yield Capture(partial(to_rgb, frame), form_of(frame), _checksum(frame), damaged)

    def decoded(self) -> Iterator[VideoFrame]:
        """Frames until the stream ends; VideoError where it is lost. What does not decode is
        counted and passed over.
        """
        packets = packets_of(self._container, self.stream)
        shown_s = time.monotonic()
        failed = 0
        while failed < _FAILED_READS:
            if time.monotonic() - shown_s > self._options.read_timeout_s:
                raise VideoError(
                    f"{self._name}: no picture decodes for {self._options.read_timeout_s:g} s"
                )
            asked_s = time.monotonic()
            try:
                packet = next(packets)
            except StopIteration:
                return
            except (av.error.InvalidDataError, BlockingIOError):
                failed += 1
                self.damaged += 1
                packets = packets_of(self._container, self.stream)
                time.sleep(_RETRY_S)
                continue
            except OPEN_ERRORS as error:
                why = self._why(error, asked_s, self._options.read_timeout_s)
                raise VideoError(f"{self._name}: {why}") from None
            try:
                frames = packet.decode()
            except av.FFmpegError:
                self.damaged += 1
                continue
            for frame in frames:
                shown_s, failed = time.monotonic(), 0
                self.damaged += frame.is_corrupt
                yield frame
                shown_s = time.monotonic()  # whoever took it may have been slow
        raise VideoError(f"{self._name}: {failed} reads in a row failed")

    def close(self) -> None:
        self._container.close()

    def _why(self, error: Exception, since_s: float, timeout_s: float) -> str:
        # An interrupted RTSP handshake is "invalid data" to FFmpeg.
        if time.monotonic() - since_s >= timeout_s:
            return f"no answer for {timeout_s:g} s"
        return reason(error).replace(self._url, self._name)


class RecordingSource(Source):
    """A file behind a web server: every frame, with its own time. It can be read once."""

    def __init__(
        self, name: str, connection: UrlConnection, *, on_status: OnStatus | None = None
    ) -> None:
        super().__init__(name, on_status)
        # Whoever takes it closes it: closing what another thread reads crashes the interpreter.
        self._unread: queue.SimpleQueue[UrlConnection] = queue.SimpleQueue()
        self._unread.put(connection)
        self._closing = threading.Event()

    def __iter__(self) -> Generator[Frame, None, None]:
        reader = Reader(self.frames(), capacity=_READ_AHEAD, keep_waiting=self.keep_waiting)
        with reader:
            for frame in same_size(reader):
                if self._closing.is_set():
                    return
                yield frame

    def frames(self) -> Generator[Frame, None, None]:
        try:
            connection = self._unread.get_nowait()
        except queue.Empty:
            if self._closing.is_set():
                return
            raise VideoError(f"{self.name}: has been read: open it again") from None
        with closing(connection):
            pictures = timed_pictures(connection.decoded(), connection.stream, self.name)
            for frame in self.timed_frames(pictures):
                if self._closing.is_set():
                    return
                yield frame
        self.counters.damaged += connection.damaged

    def keep_waiting(self) -> bool:
        return not self._closing.is_set()

    def close(self) -> None:
        self._closing.set()
        with suppress(queue.Empty):
            self._unread.get_nowait().close()


def _checksum(frame: VideoFrame) -> int:
    """Of the plane with the brightness, or of all channels where they are interleaved."""
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, abs(plane.line_size))
    return checksum(rows[:, : plane.width])
