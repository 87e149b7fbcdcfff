"""What every source offers, and what files offer beside it."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from ppsdk.errors import VideoError
from ppsdk.records import Frame, Image
from ppsdk.sources.credentials import without_credentials


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


class RisingClock:
    """Times since the first frame; one interval after the frame before where a time is missing or
    does not rise.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._first_s: float | None = None
        self._last_s = -interval_s

    def time_of(self, stamp_s: float | None) -> float:
        """stamp_s: seconds from any origin, as the container has it."""
        if self._first_s is None:
            self._first_s = stamp_s or 0.0
            self._last_s = 0.0
        elif stamp_s is None or stamp_s - self._first_s <= self._last_s:
            self._last_s += self._interval_s
        else:
            self._last_s = stamp_s - self._first_s
        return self._last_s


@dataclass(frozen=True)
class Picture:
    """A decoded frame that is not yet converted: most frames of a file are passed over.

    to_image is good until the next picture is asked for.
    """

    pts_s: float
    to_image: Callable[[], Image]


class Source(ABC):
    """A context manager and iterator of frames.

    name: for messages and events, without credentials. live: times are those of capture.
    started_at: wall-clock time of the first frame of a live source, None before it and for files.
    """

    name: str
    live: bool = False
    started_at: datetime | None = None

    @abstractmethod
    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Let go of the device or connection; reading on ends the iteration."""

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class VideoFile(Source):
    """A file: it can be read more than once, and frames can be passed over unconverted.

    damaged: packets that did not decode in the last reading.
    """

    damaged: int = 0

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.name = os.fspath(path)
        self.path = existing_file(path)

    @abstractmethod
    def pictures(self) -> Iterator[Picture]:
        """The frames that decode, from the first; times from 0, rising."""

    @abstractmethod
    def expected_times(self) -> FrameTimes | None:
        """Frame times by the container, without decoding; None where it does not tell."""

    def __iter__(self) -> Iterator[Frame]:
        size: tuple[int, int] | None = None
        for picture in self.pictures():
            image = picture.to_image()
            size = size or image.shape[:2]
            yield Frame(with_size(image, size), picture.pts_s)


def existing_file(path: str | os.PathLike[str]) -> Path:
    """The absolute path; raises VideoError unless it is a file that can be there."""
    file, name = Path(path), os.fspath(path)
    if "://" in name:
        raise VideoError(f"{without_credentials(name)}: is a URL, not a file: `run` takes those")
    try:
        if not name or not file.exists():
            raise VideoError(f"{name or repr(name)}: no such file")
        if not file.is_file():
            raise VideoError(f"{name}: not a file")
        file.open("rb").close()
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
