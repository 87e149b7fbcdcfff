"""What travels down the line: one frozen record for each hand-off between two stages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Roi = tuple[float, float, float, float]
StatusKind = Literal[
    "lost",
    "restored",
    "frozen",
    "moving",
    "gap",
    "jump",
    "changed",
    "damaged",
    "clock",
    "failed",
    "overloaded",
    "relieved",
]


class Frame:
    """A decoded picture. Immutable.

    image: uint8 (H, W, 3), RGB, upright. Sources give a function that makes it instead: it is
    called when the image is first asked for, so that frames that are passed over are not converted.
    pts_s: seconds since the first frame shown, >= 0.
    run: counts the stretches of the stream that have nothing missing within (a lost connection or a
    clock that jumps ends one): no window may hold frames of two.
    """

    __slots__ = ("_image", "_pts_s", "_run")

    def __init__(self, image: Image | Callable[[], Image], pts_s: float, *, run: int = 0) -> None:
        if not callable(image):
            _check_pictures("Frame.image", image, ndim=3)
        if not (np.isfinite(pts_s) and pts_s >= 0):
            raise ValueError(f"Frame.pts_s is {pts_s}: must be a finite time >= 0 s")
        self._image, self._pts_s, self._run = image, pts_s, run

    @property
    def image(self) -> Image:
        if callable(self._image):
            image = self._image()
            _check_pictures("Frame.image", image, ndim=3)
            self._image = image
        return self._image

    @property
    def pts_s(self) -> float:
        return self._pts_s

    @property
    def run(self) -> int:
        return self._run

    def __repr__(self) -> str:
        shape = "not yet converted" if callable(self._image) else self._image.shape
        return f"Frame(image={shape}, pts_s={self._pts_s:.3f})"


@dataclass(frozen=True, eq=False)
class Clip:
    """The frames sampled from a whole file or from one window.

    images: uint8 (num_segments, H, W, 3), RGB, upright.
    frame_indices: int64 (num_segments,), positions among the frames that decode.
    pts_s: float64 (num_segments,), seconds since the first frame.
    start_s, end_s: the span that the clip stands for, seconds.
    partial: the span ended before it was full; the last frame fills the segments that are missing.
    repeated: how many segments have no frame of their own, and repeat the one before.
    """

    images: Image
    frame_indices: NDArray[np.int64]
    pts_s: NDArray[np.float64]
    start_s: float
    end_s: float
    partial: bool = False
    repeated: int = 0

    def __post_init__(self) -> None:
        _check_pictures("Clip.images", self.images, ndim=4)
        if not len(self.images) == len(self.frame_indices) == len(self.pts_s):
            raise ValueError(
                f"Clip: {len(self.images)} images, {len(self.frame_indices)} frame_indices and "
                f"{len(self.pts_s)} pts_s: must be as many"
            )
        if not 0 <= self.start_s < self.end_s:
            raise ValueError(
                f"Clip spans {self.start_s} s to {self.end_s} s: must be 0 <= start < end"
            )

    def __repr__(self) -> str:
        return (
            f"Clip(images={self.images.shape}, start_s={self.start_s:.3f}, end_s={self.end_s:.3f})"
        )


@dataclass(frozen=True, eq=False)
class WindowScores:
    """What the model says of one clip.

    logits: float32 (classes,), before softmax. labels: the class names, in the order of logits.
    start_s, end_s, frame_indices, partial, repeated: those of the clip.
    """

    logits: NDArray[np.float32]
    labels: tuple[str, ...]
    start_s: float
    end_s: float
    frame_indices: NDArray[np.int64]
    partial: bool = False
    repeated: int = 0

    def __post_init__(self) -> None:
        if self.logits.shape != (len(self.labels),):
            raise ValueError(
                f"WindowScores: logits {self.logits.shape} for {len(self.labels)} labels: "
                "must be one a label"
            )

    @cached_property
    def scores(self) -> NDArray[np.float32]:
        """float32 (classes,): softmax of the logits, 0 to 1, summing to 1."""
        powers = np.exp(self.logits - self.logits.max())
        return (powers / powers.sum()).astype(np.float32)

    @property
    def label_id(self) -> int:
        return int(self.logits.argmax())

    @property
    def label(self) -> str:
        return self.labels[self.label_id]

    @property
    def score(self) -> float:
        return float(self.scores[self.label_id])

    def top(self, k: int) -> list[tuple[str, float]]:
        """The k best (label, score), best first; all of them where k exceeds the class count."""
        if k < 1:
            raise ValueError(f"top(k={k}): k must be 1 or more")
        order = np.argsort(-self.logits, kind="stable")[:k]
        return [(self.labels[i], float(self.scores[i])) for i in order]

    def __repr__(self) -> str:
        return (
            f"WindowScores({self.label!r} {self.score:.3f}, "
            f"start_s={self.start_s:.3f}, end_s={self.end_s:.3f})"
        )


@dataclass(frozen=True)
class StreamStatus:
    """Something that happened to a stream, other than a frame.

    kind: "lost" and "restored" (one pair an interruption, however often it is opened anew),
    "frozen" and "moving" (the picture stood still to the pixel, and does no more), "gap" (no frame
    for longer than windows can bridge), "jump" (the stream's own clock went back, and goes on from
    there), "clock" (the machine's wall clock was set, or it slept), "changed" (another size,
    rotation or pixel format), "damaged" (something did not decode and was passed over). Of several
    streams: "failed" (one could not be opened, or broke for good), "overloaded" and "relieved" (all
    together get fewer windows than asked, and all of them again).
    at_s: seconds since the first frame, 0 before it. time: the wall clock then, ISO 8601.
    After "restored", "gap", "jump" and "clock", windows start anew.
    """

    kind: StatusKind
    source: str
    at_s: float
    time: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        return {
            "status": self.kind,
            "source": self.source,
            "at_s": round(self.at_s, 6),
            "time": self.time,
            "reason": self.reason,
        }


@dataclass
class StreamCounters:
    """What a source has counted since it was opened.

    frames: decoded. dropped: not taken in time from a live source, so that newer ones could come.
    damaged: packets that did not decode, or reads that failed. opens: times that a live source was
    opened, or tried to. kept: frames kept for windows, one a segment. repeated: segments of windows
    without a frame of their own. skipped: windows of a live source passed over for newer ones.
    newest_s: the time of the last frame read for windows, seconds since the first.
    """

    frames: int = 0
    dropped: int = 0
    damaged: int = 0
    opens: int = 0
    kept: int = 0
    repeated: int = 0
    skipped: int = 0
    newest_s: float = 0.0


@dataclass(frozen=True)
class ActionEvent:
    """An action and when it took place.

    score: the best of its windows, 0 to 1. start_s, end_s: seconds since the first frame.
    start_time, end_time: ISO 8601 wall-clock times, for live sources only.
    """

    id: str
    label: str
    label_id: int
    score: float
    start_s: float
    end_s: float
    source: str
    start_time: str | None = field(default=None)
    end_time: str | None = field(default=None)

    def __post_init__(self) -> None:
        if not self.start_s < self.end_s:
            raise ValueError(
                f"ActionEvent {self.label!r} from {self.start_s} s to {self.end_s} s: "
                "must end after it starts"
            )

    def to_dict(self) -> dict[str, Any]:
        """The event as JSON-ready values; wall-clock times only where there are any."""
        times = {"start_time": self.start_time, "end_time": self.end_time}
        return {
            "id": self.id,
            "label": self.label,
            "label_id": self.label_id,
            "score": round(self.score, 6),
            "start_s": round(self.start_s, 6),
            "end_s": round(self.end_s, 6),
            "source": self.source,
            **{name: value for name, value in times.items() if value is not None},
        }


def _check_pictures(what: str, images: Image, *, ndim: int) -> None:
    if images.dtype != np.uint8 or images.ndim != ndim or images.shape[-1] != 3 or not images.size:
        shape = "(H, W, 3)" if ndim == 3 else "(num_segments, H, W, 3)"
        raise ValueError(f"{what} is {images.dtype} {images.shape}: must be uint8 {shape} RGB")
