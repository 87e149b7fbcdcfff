"""Frames to clips: which frames stand for a file, and windows cut from a stream by time."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ppsdk.records import Clip, Frame, Image

log = logging.getLogger(__name__)

Sampling = Literal["full", "paddlevideo", "random"]
SAMPLINGS = ("full", "paddlevideo", "random")
# Times come from integers in units of at most a microsecond: closer than that is equal.
_TIE_S = 1e-6
SHORTEST_SEGMENT_S = 1e-4
DAY_S = 86_400


def choose_indices(
    sampling: Sampling,
    pts_s: NDArray[np.float64],
    end_s: float,
    num_segments: int,
    seed: int | None,
) -> NDArray[np.int64]:
    """int64 (num_segments,): the frames that stand for a file whose frames are shown at pts_s."""
    if sampling == "paddlevideo":
        return paddlevideo_indices(len(pts_s), num_segments)
    if sampling == "full":
        return full_indices(pts_s, end_s, num_segments)
    return random_indices(pts_s, end_s, num_segments, np.random.default_rng(seed))


def check_sampling(sampling: str, accepted: tuple[str, ...] = SAMPLINGS) -> None:
    if sampling not in accepted:
        raise ValueError(f"sampling is {sampling!r}: must be one of {', '.join(accepted)}")


def paddlevideo_indices(num_frames: int, num_segments: int) -> NDArray[np.int64]:
    """The reference's evaluation rule (PaddleVideo, `sample.py`, Sampler with valid_mode).

    With d = num_frames // num_segments, frame i * d + (d - 1) // 2; clips shorter than num_segments
    wrap. It leaves out up to half of a clip: kept for parity, "full" is the better rule.
    """
    segment = num_frames // num_segments
    if segment == 0:
        return np.arange(num_segments) % num_frames
    return np.arange(num_segments) * segment + (segment - 1) // 2


def full_indices(pts_s: NDArray[np.float64], end_s: float, num_segments: int) -> NDArray[np.int64]:
    """The frame nearest the centre of each equal segment of [0, end_s]; of two, the earlier."""
    return span_indices(pts_s, 0.0, end_s, num_segments)


def span_indices(
    pts_s: NDArray[np.float64], start_s: float, end_s: float, num_segments: int
) -> NDArray[np.int64]:
    """The same for the segments of [start_s, end_s]."""
    centres = start_s + (np.arange(num_segments) + 0.5) * (end_s - start_s) / num_segments
    after = np.searchsorted(pts_s, centres).clip(0, len(pts_s) - 1)
    before = (after - 1).clip(0)
    is_after = pts_s[after] - centres < centres - pts_s[before] - _TIE_S
    return np.where(is_after, after, before)


def random_indices(
    pts_s: NDArray[np.float64], end_s: float, num_segments: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """The training rule: a random frame of each equal segment; where a segment has none, the frame
    nearest its centre.
    """
    edges = np.searchsorted(pts_s, np.arange(num_segments + 1) * end_s / num_segments - _TIE_S)
    draws = rng.random(num_segments)
    drawn = edges[:-1] + (draws * (edges[1:] - edges[:-1])).astype(np.int64)
    return np.where(edges[1:] > edges[:-1], drawn, full_indices(pts_s, end_s, num_segments))


def check_seconds(name: str, value: float) -> None:
    """Raise ValueError, naming the value, unless it is a number above 0 and at most a day."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (is_number and 0 < value <= DAY_S):
        raise ValueError(f"{name} is {value!r}: must be more than 0 seconds, at most {DAY_S}")


@dataclass(frozen=True)
class WindowGrid:
    """A stream's time in segments: a window is num_segments of them, and so is the stride."""

    num_segments: int
    segment_s: float
    stride_segments: int

    @classmethod
    def from_seconds(cls, length_s: float, stride_s: float, num_segments: int) -> WindowGrid:
        """stride_s is rounded to whole segments, at least one. Raises ValueError unless both are
        more than 0 and at most a day, and a segment lasts a tenth of a millisecond or more.
        """
        check_seconds("length_s", length_s)
        check_seconds("stride_s", stride_s)
        segment_s = length_s / num_segments
        if segment_s < SHORTEST_SEGMENT_S:
            raise ValueError(
                f"length_s is {length_s}: must be {num_segments * SHORTEST_SEGMENT_S:g} s or more "
                f"for {num_segments} segments"
            )
        stride_segments = max(1, round(stride_s / segment_s))
        if abs(stride_segments * segment_s - stride_s) > _TIE_S:
            log.warning(
                "stride_s %g is not a whole number of segments of %g s: using %g s",
                stride_s,
                segment_s,
                stride_segments * segment_s,
            )
        return cls(num_segments, segment_s, stride_segments)


def cut_windows(
    frames: Iterable[Frame], grid: WindowGrid, shrink: Callable[[Image], Image]
) -> Iterator[Clip]:
    """Thin a stream to one frame a segment (the nearest its centre) and cut it into windows.

    Window k covers segments [k * stride, k * stride + num_segments). `shrink` is applied once to
    each frame that is kept. A segment without a frame repeats the last one; a window without any
    frame is not given. Nothing is given before the first full window; what is left at the end of
    the stream is given, marked partial, when it is more than half a window, or all there is.
    """
    cutter = _WindowCutter(grid, shrink)
    for index, frame in enumerate(frames):
        yield from cutter.push(index, frame)
    yield from cutter.finish()


@dataclass(frozen=True, eq=False)
class _Kept:
    """The one frame kept of a segment; index counts the frames of the stream."""

    segment: int
    index: int
    pts_s: float
    image: Image


class _WindowCutter:
    def __init__(self, grid: WindowGrid, shrink: Callable[[Image], Image]) -> None:
        self._grid = grid
        self._shrink = shrink
        self._kept: list[_Kept] = []
        self._start = 0  # first segment of the next window
        self._given_until = 0  # last segment of the last window given, plus one
        self._candidate: _Kept | None = None
        self._pts_s = 0.0
        self._interval_s = 0.0

    def push(self, index: int, frame: Frame) -> Iterator[Clip]:
        self._interval_s = frame.pts_s - self._pts_s
        self._pts_s = frame.pts_s
        segment = int((frame.pts_s + _TIE_S) / self._grid.segment_s)
        new = _Kept(segment, index, frame.pts_s, frame.image)
        old = self._candidate
        if old is None:
            self._candidate = new
        elif segment == old.segment:
            if self._off_centre_s(new) < self._off_centre_s(old) - _TIE_S:
                self._candidate = new
        else:
            self._keep(old)
            self._candidate = new
            yield from self._full_windows(until=segment)

    def finish(self) -> Iterator[Clip]:
        if self._candidate is None:
            return
        self._keep(self._candidate)
        # The last frame is shown for as long as the one before it was, at most a segment.
        shown_s = min(self._interval_s, self._grid.segment_s) or self._grid.segment_s
        end_s = self._pts_s + shown_s
        yield from self._full_windows(until=int((end_s + _TIE_S) / self._grid.segment_s))
        filled_s = end_s - self._start * self._grid.segment_s
        is_news = end_s > self._given_until * self._grid.segment_s + _TIE_S
        half_s = self._grid.num_segments * self._grid.segment_s / 2
        is_empty = self._kept[-1].segment < self._start
        if self._given_until == 0 or (is_news and filled_s > half_s and not is_empty):
            yield self._window(end_s=end_s)

    def _off_centre_s(self, one: _Kept) -> float:
        return abs(one.pts_s - (one.segment + 0.5) * self._grid.segment_s)

    def _keep(self, one: _Kept) -> None:
        if one.segment < self._start:
            # Between windows: only the last frame before one can be used, to fill a gap.
            self._kept.clear()
        self._kept.append(_Kept(one.segment, one.index, one.pts_s, self._shrink(one.image)))

    def _full_windows(self, *, until: int) -> Iterator[Clip]:
        grid = self._grid
        while until >= self._start + grid.num_segments:
            if self._kept[-1].segment >= self._start:
                self._given_until = self._start + grid.num_segments
                yield self._window()
                self._start += grid.stride_segments
            else:
                # Nothing came until `until`: over all windows of that hole at once.
                empty = (until - grid.num_segments - self._start) // grid.stride_segments + 1
                self._start += empty * grid.stride_segments
            self._kept = _still_needed(self._kept, self._start)

    def _window(self, *, end_s: float | None = None) -> Clip:
        grid = self._grid
        chosen: list[_Kept] = []
        position = 0
        for segment in range(self._start, self._start + grid.num_segments):
            while position + 1 < len(self._kept) and self._kept[position + 1].segment <= segment:
                position += 1
            chosen.append(self._kept[position])
        full_end_s = (self._start + grid.num_segments) * grid.segment_s
        return Clip(
            images=np.stack([one.image for one in chosen]),
            frame_indices=np.array([one.index for one in chosen], np.int64),
            pts_s=np.array([one.pts_s for one in chosen]),
            start_s=self._start * grid.segment_s,
            end_s=full_end_s if end_s is None else end_s,
            partial=end_s is not None,
        )


def _still_needed(kept: list[_Kept], start: int) -> list[_Kept]:
    """The frames from segment start on, and the last one before it, which fills a gap there."""
    first = next((i for i, one in enumerate(kept) if one.segment >= start), len(kept))
    if first == len(kept) or kept[first].segment > start:
        first = max(0, first - 1)
    return kept[first:]
