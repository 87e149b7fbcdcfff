"""Where frames come from: `open_source` gives one upright, RGB, zero-based stream of any."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from ppsdk.errors import VideoError
from ppsdk.records import Frame, Image
from ppsdk.sources.connection import LiveOptions
from ppsdk.sources.credentials import without_credentials
from ppsdk.sources.protocol import OnStatus, Source, VideoFile, existing_file, tellable
from ppsdk.sources.realtime import Realtime

Decoder = Literal["auto", "pyav", "decord", "opencv"]
SourceRef = str | int | os.PathLike[str] | Source | Iterable[Frame] | Iterable[Image]

LAST_CAMERA = 99
DECODERS = ("auto", "pyav", "decord", "opencv")
_URL = re.compile(r"(rtsps?|rtmps?|https?|udp|tcp|srt|rtp)://", re.IGNORECASE)

__all__ = [
    "LiveOptions",
    "Source",
    "SourceRef",
    "VideoFile",
    "check_source",
    "open_file",
    "open_source",
    "source_name",
]


def open_source(
    ref: SourceRef,
    *,
    decoder: Decoder = "auto",
    fps: float | None = None,
    realtime: bool = False,
    live: LiveOptions | None = None,
    on_status: OnStatus | None = None,
) -> Source:
    """Open a source; use it as a context manager and iterate it for `Frame(image, pts_s)`.

    ref: a video file, a camera index (0 or "0"), an RTSP/HTTP URL, a folder of pictures, an open
    source (given back as it is), or an iterable of `Frame` or of uint8 (H, W, 3) RGB arrays.
    Pictures and bare arrays follow each other at `fps` (1 unless given, so that times then count
    frames).
    decoder: "auto", or "pyav", "decord", "opencv" to force one for a file.
    realtime: no frame of a recording comes before its time; cameras always are.
    live: time-outs of a camera, and whether it is waited for; see `LiveOptions`.
    on_status: called with each `StreamStatus`, in the thread that reads, or waits for frames.
    Images come as uint8 (H, W, 3) RGB, upright, all of the first one's size; times start at 0 and
    rise. A camera is read in a thread of its own and gives the newest frames; when it is lost, it
    is opened again for as long as it takes.
    Raises VideoError where there is nothing to read, ValueError for an unknown decoder.
    """
    _check_decoder(decoder)
    if isinstance(ref, Source):
        return ref
    if fps is not None and not (isinstance(fps, (int, float)) and 0 < fps < float("inf")):
        raise ValueError(f"fps is {fps!r}: must be a number above 0")
    source = _open(ref, decoder, fps, live, on_status)
    return Realtime(source) if realtime and not source.live else source


def check_source(ref: str) -> None:
    """Raise VideoError for a file that is not there, and for an address or an index that cannot be
    one. Nothing is opened but files.
    """
    if _URL.match(ref):
        if ref.partition("://")[2][:1] in ("", "/", "?", "#"):
            raise VideoError(f"{without_credentials(ref)}: has no host")
        return
    if "://" in ref:
        raise VideoError(
            f"{without_credentials(ref)}: must begin with rtsp://, http:// or another of rtsps, "
            "rtmp, rtmps, https, udp, tcp, srt, rtp"
        )
    if ref.isdecimal() and not _exists(ref):
        _check_camera(int(ref))
    elif not (ref and Path(ref).is_dir()):
        existing_file(ref)


def source_name(ref: SourceRef) -> str:
    """What the source that is opened for it calls itself."""
    if isinstance(ref, Source):
        return ref.name
    if isinstance(ref, int) or (isinstance(ref, str) and ref.isdecimal() and not _exists(ref)):
        return f"camera {int(ref)}"
    if isinstance(ref, str) and _URL.match(ref):
        return without_credentials(ref)
    return tellable(os.fspath(ref)) if isinstance(ref, (str, os.PathLike)) else "frames"


def _open(
    ref: SourceRef,
    decoder: Decoder,
    fps: float | None,
    live: LiveOptions | None,
    on_status: OnStatus | None,
) -> Source:
    if isinstance(ref, str) and "://" in ref:
        from ppsdk.sources.url import open_url

        check_source(ref)
        return open_url(ref, options=live, on_status=on_status)
    if isinstance(ref, int) or (isinstance(ref, str) and ref.isdecimal() and not _exists(ref)):
        from ppsdk.sources.camera import open_camera

        _check_camera(ref if isinstance(ref, bool) else int(ref))
        return open_camera(int(ref), options=live, on_status=on_status)
    if isinstance(ref, (str, os.PathLike)):
        if ref and _exists(ref) and Path(ref).is_dir():
            from ppsdk.sources.images import ImageFolder

            return ImageFolder(Path(ref), fps=fps, on_status=on_status)
        return open_file(ref, decoder=decoder, on_status=on_status)
    if isinstance(ref, Iterable):
        from ppsdk.sources.arrays import ArraySource

        return ArraySource(ref, fps=fps, on_status=on_status)
    raise VideoError(
        f"source is {type(ref).__name__}: must be a path, a camera index, an RTSP/HTTP URL "
        "or an iterable of frames"
    )


def open_file(
    path: str | os.PathLike[str],
    *,
    decoder: Decoder = "auto",
    on_status: OnStatus | None = None,
) -> VideoFile:
    """Open a video file. "auto" is PyAV read in sequence: right on every undamaged file that we
    know, and as fast as the others there (`benchmarks/decoders.py`), while decord returns wrong
    frames from MPEG-TS, trimmed mp4 and some AVI, and OpenCV cannot read AV1.
    """
    _check_decoder(decoder)
    if decoder == "decord":
        from ppsdk.sources.decord_file import DecordFile

        return DecordFile(path, on_status=on_status)
    if decoder == "opencv":
        from ppsdk.sources.opencv_file import OpencvFile

        return OpencvFile(path, on_status=on_status)
    from ppsdk.sources.pyav_file import PyavFile

    return PyavFile(path, on_status=on_status)


def _exists(name: str | os.PathLike[str]) -> bool:
    """A file may be named like a camera's index."""
    try:
        return Path(name).exists()
    except (OSError, ValueError):
        return False


def _check_camera(index: int) -> None:
    if isinstance(index, bool) or not 0 <= index <= LAST_CAMERA:
        raise VideoError(f"camera {index}: must be an index from 0 to {LAST_CAMERA}")


def _check_decoder(decoder: str) -> None:
    if decoder not in DECODERS:
        raise ValueError(f"decoder is {decoder!r}: must be one of {', '.join(DECODERS)}")
