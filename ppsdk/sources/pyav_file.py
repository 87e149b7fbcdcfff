"""Files read in sequence by PyAV: the reader that is right on every undamaged file we know."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import av
from av.stream import Disposition

from ppsdk.errors import VideoError
from ppsdk.sources.clocks import RisingClock
from ppsdk.sources.protocol import FrameTimes, OnStatus, Picture, VideoFile
from ppsdk.sources.rgb import RgbConverter, form_of, reason

if TYPE_CHECKING:
    from av import Packet
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

log = logging.getLogger(__name__)

# PyAV raises UnicodeDecodeError for some tags, whatever metadata_errors says.
OPEN_ERRORS = (av.FFmpegError, OSError, UnicodeDecodeError)


class PyavFile(VideoFile):
    """The default reader. Damaged packets are passed over, counted and logged.

    video_number: which of the file's video streams it reads, from 0.
    """

    def __init__(self, path: str | os.PathLike[str], *, on_status: OnStatus | None = None) -> None:
        super().__init__(path, on_status=on_status)
        with self._open() as container:
            stream = video_stream(container, self.name)
            self.video_number = [one.index for one in container.streams.video].index(stream.index)

    def expected_times(self) -> FrameTimes | None:
        shown: list[float] = []
        with self._open() as container:
            stream = video_stream(container, self.name)
            try:
                for packet in packets_of(container, stream):
                    by_dts = packet.pts is None or orders_by_dts(stream)
                    ticks = packet.dts if by_dts else packet.pts
                    if packet.size and ticks is not None and not packet.is_discard:
                        shown.append(float(ticks * (stream.time_base or 0)))
            except av.FFmpegError:
                pass  # a truncated file: what decodes counts, and reading it tells
        return FrameTimes.from_pts(sorted(shown)) if shown else None

    def pictures(self) -> Iterator[Picture]:
        self.damaged = self._packets = count = 0
        with self._open() as container:
            stream = video_stream(container, self.name)
            stream.thread_type = "AUTO"
            for picture in timed_pictures(self._decode(container, stream), stream, self.name):
                count += 1
                yield picture
            missing = max(0, stream.frames - self._packets)
        if not count:
            raise VideoError(
                f"{self.name}: no frame of it decodes ({self.damaged} damaged packets)"
            )
        if self.damaged or missing:
            log.warning(
                "%s: damaged: %d packets do not decode, %d are missing, %d frames can be read",
                self.name,
                self.damaged,
                missing,
                count,
            )

    def _open(self) -> InputContainer:
        try:
            # "file:" keeps a colon or a dash in the name from being read as a protocol or option.
            return av.open(f"file:{self.path}", metadata_errors="replace")
        except OPEN_ERRORS as error:
            # FFmpeg's log would say more. But while PyAV listens to it, the threads of all decoders
            # wait for Python's lock to log, and whoever closes a file holds that while it waits for
            # them: of several damaged files at a time the process stood still.
            cut_off = not isinstance(error, OSError) and _has_no_moov(self.path)
            why = "moov atom not found" if cut_off else reason(error)
            raise VideoError(f"{self.name}: cannot open as video ({why})") from None

    def _decode(self, container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
        packets = packets_of(container, stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except av.FFmpegError:
                self.damaged += 1
                return
            self._packets += packet.size > 0
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                if isinstance(error, av.error.DecoderNotFoundError):
                    raise VideoError(f"{self.name}: no decoder for {stream.name}") from None
                self.damaged += 1
                continue
            yield from frames


def _has_no_moov(path: str | os.PathLike[str]) -> bool:
    """Of an MP4 or MOV file, whose recording was cut off: its boxes end without a moov."""
    with open(path, "rb") as file:
        end = os.fstat(file.fileno()).st_size
        start, is_first = 0, True
        while start + 8 <= end:
            file.seek(start)
            header = file.read(16)
            size, kind = int.from_bytes(header[:4], "big"), header[4:8]
            if kind == b"moov" or (is_first and kind != b"ftyp"):
                return False
            if size == 1:
                size = int.from_bytes(header[8:16], "big")
            if size < 8:  # 0 is up to the end
                break
            start, is_first = start + size, False
        return not is_first


def packets_of(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream]]:
    """The packets of one stream, beyond those of streams that begin within the file (as they may
    in MPEG-TS), at which PyAV's demux fails for it has no object for them.
    """
    while True:
        try:
            yield from container.demux(stream)
            return
        except IndexError:
            continue  # its packet has been read: the next demux begins behind it


def video_stream(container: InputContainer, name: str) -> VideoStream:
    """The default or best video stream; VideoError where there is none, or but a still image."""
    stream = container.streams.best("video")
    if stream is None or stream.disposition & Disposition.attached_pic:
        raise VideoError(f"{name}: has no video stream")
    if container.format.name == "image2" or container.format.name.endswith("_pipe"):
        raise VideoError(f"{name}: is a still image ({stream.name}), not a video")
    if stream.codec_context is None:
        raise VideoError(f"{name}: its video codec is not supported by this build of FFmpeg")
    return stream  # type: ignore[return-value]


def timed_pictures(
    frames: Iterator[VideoFrame], stream: VideoStream, name: str
) -> Iterator[Picture]:
    """Give each frame its time since the first one."""
    to_rgb = RgbConverter(name)
    unit = float(stream.time_base or 0)
    clock = RisingClock(float(1 / stream.average_rate) if stream.average_rate else 0.04)
    ordered_by_dts = orders_by_dts(stream)
    for frame in frames:
        ticks = frame.dts if ordered_by_dts else frame.pts
        yield Picture(
            clock.time_of(None if ticks is None else ticks * unit),
            partial(to_rgb, frame),
            jumped_back_s=clock.jumped_back_s,
            form=form_of(frame),
        )


def orders_by_dts(stream: VideoStream) -> bool:
    """AVI has no presentation times. FFmpeg makes some up, and gets those of packed B-frames (of
    DivX and Xvid) wrong by a frame or more; the decoding times of what comes out are right.
    """
    return stream.container.format.name == "avi"
