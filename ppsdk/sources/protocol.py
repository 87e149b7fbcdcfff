"""What every source offers, and what files offer beside it."""

from __future__ import annotations

import logging
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from ppsdk.errors import VideoError
from ppsdk.records import Frame, Image
from ppsdk.sources.at_exit import close_at_exit
from ppsdk.sources.credentials import without_credentials
from ppsdk.status import StatusKind, StreamCounters, StreamStatus

log = logging.getLogger(__name__)

# What Python makes of bytes in a file's name that are no UTF-8.
_NO_UTF8 = re.compile("[\udc80-\udcff]+")

OnStatus = Callable[[StreamStatus], None]


@dataclass(frozen=True, eq=False)
class FrameTimes:
    """When the frames of a file are shown.

    pts_s: float64 (frames,), rising, from 0. end_s: when the last frame stops being shown.
    """

    pts_s: NDArray[np.float64]
    end_s: float

    @classmethod
    def from_pts(cls, pts_s: list[float]) -> FrameTimes:
        """Times from 0. The last frame lasts as long as the one before it, at most as long as most
        do (what files say of it is often an artefact of the muxer); a single one 0.04 s.
        """
        times = np.asarray(pts_s, np.float64) - pts_s[0]
        gaps = np.diff(times)
        last_s = min(float(gaps[-1]), float(np.median(gaps))) if len(gaps) else 0.0
        return cls(times, float(times[-1]) + (last_s if last_s > 0 else 0.04))


@dataclass(frozen=True)
class Picture:
    """A decoded frame that is not yet converted: most frames of a file are passed over.

    to_image: good for ever where it lasts, else until the next picture is asked for.
    jumped_back_s: the container's clock went back by so much before it; pts_s rises all the same.
    form: size, pixel format and rotation, for people; "" where they are not known.
    """

    pts_s: float
    to_image: Callable[[], Image]
    lasts: bool = True
    jumped_back_s: float = 0.0
    form: str = ""


class Source(ABC):
    """A context manager and iterator of frames, all of the first one's size.

    name: for messages and events, without credentials. called: what the log calls it instead, if
    anything. live: times are those of capture.
    started_at: wall-clock time of second 0 of a live source, None before it and for files.
    own_thread: `frames` may be run in a thread of its own; not so what an app iterates itself.
    counters: what it has read and lost so far.
    """

    name: str
    called: str | None = None
    live: bool = False
    own_thread: bool = True

    def __init__(self, name: str, on_status: OnStatus | None = None) -> None:
        """on_status: called with each StreamStatus, in the thread that reads, or waits for it."""
        self.name = tellable(name)
        self.counters = StreamCounters()
        self._status: StreamStatus | None = None
        self.on_status = on_status
        close_at_exit(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @property
    def status(self) -> StreamStatus | None:
        """The last one; None before any."""
        return self._status

    @property
    def trouble(self) -> Literal["lost", "frozen"] | None:
        """What a camera is now, if not well."""
        return None

    @property
    def started_at(self) -> datetime | None:
        return None

    @property
    def lost_until_s(self) -> float | None:
        """Of a camera that is lost: the time now, seconds since its first frame; else None."""
        return None

    @abstractmethod
    def frames(self) -> Generator[Frame, None, None]:
        """Every frame, as large as it is, read in the caller's thread, and converted only when its
        image is looked at.
        """

    def __iter__(self) -> Iterator[Frame]:
        return same_size(self.frames())

    def timed_frames(self, pictures: Iterator[Picture]) -> Generator[Frame, None, None]:
        """Pictures as frames, not yet converted; what is odd about them is reported."""
        form, run = "", 0
        for picture in pictures:
            if picture.jumped_back_s:
                run += 1
                told = f"its clock goes back by {picture.jumped_back_s:.1f} s; times go on"
                self.report("jump", picture.pts_s, told)
            if picture.form != form and form:
                self.report("changed", picture.pts_s, f"from {form} to {picture.form}")
            form = picture.form
            self.counters.frames += 1
            image = picture.to_image if picture.lasts else picture.to_image()
            yield Frame(image, picture.pts_s, run=run)

    def report(self, kind: StatusKind, at_s: float, reason: str) -> None:
        """Log a status, keep it, and hand it on."""
        now = datetime.now(timezone.utc).isoformat()
        status = self._status = StreamStatus(kind, self.name, at_s, now, reason)
        replace(status, source=self.called or self.name).log(log)
        if self.on_status is not None:
            self.on_status(status)

    def count_drop(self) -> None:
        """To be called by whoever drops a frame for a newer one."""
        self.counters.dropped += 1

    def keep_waiting(self) -> bool:
        """To be asked now and then by whoever waits for a frame in another thread than reads."""
        return True

    def close(self) -> None:
        """Let go of the device or connection, within a second; reading on ends the iteration."""

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class VideoFile(Source):
    """A file: it can be read more than once, and frames can be passed over unconverted.

    damaged: packets that did not decode in the last reading.
    """

    damaged: int = 0

    def __init__(self, path: str | os.PathLike[str], *, on_status: OnStatus | None = None) -> None:
        super().__init__(os.fspath(path), on_status)
        self.path = existing_file(path)

    @abstractmethod
    def pictures(self) -> Iterator[Picture]:
        """The frames that decode, from the first; times from 0, rising."""

    @abstractmethod
    def expected_times(self) -> FrameTimes | None:
        """Frame times by the container, without decoding; None where it does not tell."""

    def frames(self) -> Generator[Frame, None, None]:
        yield from self.timed_frames(self.pictures())
        self.counters.damaged += self.damaged


def same_size(frames: Iterator[Frame]) -> Generator[Frame, None, None]:
    """Frames of the first one's size: those of another are resized, when they are looked at."""
    size: tuple[int, int] | None = None
    for frame in frames:
        if size is None:
            size = frame.image.shape[:2]
        yield Frame(partial(_sized, frame, size), frame.pts_s, run=frame.run)


def _sized(frame: Frame, size: tuple[int, int]) -> Image:
    return with_size(frame.image, size)


def tellable(name: str) -> str:
    """A file's name may have bytes that are no UTF-8; events and logs cannot have them."""
    return _NO_UTF8.sub(
        lambda odd: odd[0].encode(errors="surrogateescape").decode(errors="replace"), name
    )


def existing_file(path: str | os.PathLike[str]) -> Path:
    """The absolute path; raises VideoError unless it is a file that can be there."""
    file, name = Path(path), os.fspath(path)
    if "://" in name:
        raise VideoError(f"{without_credentials(name)}: is a URL, not a file: `run` takes those")
    try:
        if not name or not file.exists():
            raise VideoError(f"{name or repr(name)}: no such file")
        if file.is_dir():
            raise VideoError(f"{name}: is a folder, not a file: `run` takes those of pictures")
        if not file.is_file():
            raise VideoError(f"{name}: not a file")
        file.open("rb").close()
        if not file.stat().st_size:
            raise VideoError(f"{name}: is empty, 0 bytes")
    except (OSError, ValueError) as error:
        if isinstance(error, VideoError):
            raise
        what = getattr(error, "strerror", None) or str(error)
        raise VideoError(f"{name[:80]}: cannot open ({what})") from None
    return file.absolute()


def with_size(image: Image, size: tuple[int, int]) -> Image:
    """(H, W, 3) resized to size (height, width) where it differs."""
    if image.shape[:2] == size:
        return image
    picture = PillowImage.fromarray(np.ascontiguousarray(image))
    resized = picture.resize((size[1], size[0]), PillowImage.Resampling.BILINEAR)
    return np.asarray(resized).copy()
