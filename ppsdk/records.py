"""What travels down the line: one frozen record for each hand-off between two stages."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Roi = tuple[float, float, float, float]
Polygon = Sequence[Sequence[float]]
Phase = Literal["start", "update", "end"]
# over: its scores fell, or another class took over. gap: no windows for a while (a camera that is
# lost), or times that jumped back. end: of the stream. error: the stream broke. interrupted: the
# process was, and its next start tells.
EndedBy = Literal["over", "max_duration", "gap", "end", "error", "interrupted"]
EVENT_VERSION = 1


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
    are_scores: there are no logits, what stands for them are scores already: see `from_scores`.
    """

    logits: NDArray[np.floating[Any]]
    labels: tuple[str, ...]
    start_s: float
    end_s: float
    frame_indices: NDArray[np.int64]
    partial: bool = False
    repeated: int = 0
    are_scores: bool = False

    @classmethod
    def from_scores(
        cls,
        scores: Sequence[float] | NDArray[np.floating[Any]],
        *,
        labels: Sequence[str],
        start_s: float,
        end_s: float,
    ) -> WindowScores:
        """Scores from elsewhere, one a label; they need not sum to one."""
        given = np.array(scores, np.float64)
        no_frames = np.zeros(0, np.int64)
        return cls(given, tuple(labels), start_s, end_s, no_frames, are_scores=True)

    def __post_init__(self) -> None:
        if not (np.isfinite([self.start_s, self.end_s]).all() and self.start_s < self.end_s):
            raise ValueError(
                f"WindowScores from {self.start_s} s to {self.end_s} s: must be finite, and end "
                "after it starts"
            )
        if self.logits.shape != (len(self.labels),):
            raise ValueError(
                f"WindowScores: logits {self.logits.shape} for {len(self.labels)} labels: "
                "must be one a label"
            )

    def held_over(self, clip: Clip) -> WindowScores:
        """The same scores for another window."""
        return replace(
            self,
            start_s=clip.start_s,
            end_s=clip.end_s,
            frame_indices=clip.frame_indices,
            partial=clip.partial,
            repeated=clip.repeated,
        )

    @cached_property
    def scores(self) -> NDArray[np.floating[Any]]:
        """float32 (classes,): softmax of the logits, 0 to 1, summing to 1; or those given."""
        if self.are_scores:
            return self.logits
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
class NoWindow:
    """Instead of a window of a camera that is lost: none comes that begins before until_s, the time
    now, but for one of frames up to seen_s, the time of the last; seconds since the first frame.
    """

    until_s: float
    seen_s: float = -math.inf


@dataclass(frozen=True)
class ActionEvent:
    """One record of an action: that it started, goes on, or ended.

    id: the same in all its records. sequence: 0 for the first of them, one more for each.
    score: the best of its windows, 0 to 1. start_s, end_s: seconds since the first frame, of the
    action; end_s of one that goes on is how far it reaches at least. decided_s: the end of the
    window that settled it, or when it was clear that none comes. ended_by: why, for "end" only.
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
    phase: Phase = "end"
    sequence: int = 0
    decided_s: float | None = None
    ended_by: EndedBy | None = None

    def __post_init__(self) -> None:
        if not self.start_s <= self.end_s or (self.phase == "end" and self.start_s == self.end_s):
            raise ValueError(
                f"ActionEvent {self.label!r} from {self.start_s} s to {self.end_s} s: "
                "must end after it starts"
            )
        if self.phase not in get_args(Phase):
            choices = ", ".join(get_args(Phase))
            raise ValueError(f"ActionEvent.phase is {self.phase!r}: must be one of {choices}")

    def with_wall_clock(self, started_at: datetime | None) -> ActionEvent:
        """With start_time and end_time where the time of second 0 is known."""
        if started_at is None:
            return self
        times = (started_at + timedelta(seconds=s) for s in (self.start_s, self.end_s))
        start_time, end_time = (time.isoformat() for time in times)
        return replace(self, start_time=start_time, end_time=end_time)

    def to_dict(self) -> dict[str, Any]:
        """The event as JSON-ready values, see event.schema.json; those that are None left out."""
        told = {
            "version": EVENT_VERSION,
            "id": self.id,
            "phase": self.phase,
            "sequence": self.sequence,
            "label": self.label,
            "label_id": self.label_id,
            "score": round(self.score, 6),
            "start_s": round(self.start_s, 6),
            "end_s": round(self.end_s, 6),
            "decided_s": None if self.decided_s is None else round(self.decided_s, 6),
            "ended_by": self.ended_by,
            "source": self.source,
            "start_time": self.start_time,
            "end_time": self.end_time,
        }
        return {name: value for name, value in told.items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ActionEvent:
        """What `to_dict` gave. Raises ValueError for another version, and for what is no event."""
        fields = dict(values)
        version = fields.pop("version", None)
        if version != EVENT_VERSION:
            raise ValueError(f"event version is {version!r}: must be {EVENT_VERSION}")
        try:
            return cls(**fields)
        except TypeError as error:
            raise ValueError(f"no event: {error}") from None


def _check_pictures(what: str, images: Image, *, ndim: int) -> None:
    if images.dtype != np.uint8 or images.ndim != ndim or images.shape[-1] != 3 or not images.size:
        shape = "(H, W, 3)" if ndim == 3 else "(num_segments, H, W, 3)"
        raise ValueError(f"{what} is {images.dtype} {images.shape}: must be uint8 {shape} RGB")
