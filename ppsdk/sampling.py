"""Frames to clips: which frames stand for a file, and windows cut from a stream by time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ppsdk.records import Clip, Frame, Image
from ppsdk.thinning import LIVE_EARLY, ROUNDED_S, TIE_S, Kept, OnGap, WindowGrid, thin

Sampling = Literal["full", "paddlevideo", "random"]
SAMPLINGS = ("full", "paddlevideo", "random")


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
    """The same for the segments of [start_s, end_s]. Frames that come once a segment, at its
    beginning, are as near to the centre before as to the next: one each, however they are rounded.
    """
    segment_s = (end_s - start_s) / num_segments
    edges = start_s + np.arange(num_segments) * segment_s
    first = int(np.searchsorted(pts_s, start_s - ROUNDED_S))
    own = pts_s[first : first + num_segments]
    early_s = min(2 * ROUNDED_S, LIVE_EARLY * segment_s)  # the end is rounded, too
    is_last = np.searchsorted(pts_s, end_s - early_s) <= first + num_segments
    if len(own) == num_segments and is_last and np.abs(own - edges).max() < early_s:
        return first + np.arange(num_segments)
    centres = edges + segment_s / 2
    after = np.searchsorted(pts_s, centres).clip(0, len(pts_s) - 1)
    before = (after - 1).clip(0)
    is_after = pts_s[after] - centres < centres - pts_s[before] - TIE_S
    return np.where(is_after, after, before)


def random_indices(
    pts_s: NDArray[np.float64], end_s: float, num_segments: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """The training rule: a random frame of each equal segment; where a segment has none, the frame
    nearest its centre.
    """
    edges = np.searchsorted(pts_s, np.arange(num_segments + 1) * end_s / num_segments - TIE_S)
    draws = rng.random(num_segments)
    drawn = edges[:-1] + (draws * (edges[1:] - edges[:-1])).astype(np.int64)
    return np.where(edges[1:] > edges[:-1], drawn, full_indices(pts_s, end_s, num_segments))


def cut_windows(
    frames: Iterable[Frame],
    grid: WindowGrid,
    shrink: Callable[[Image], Image],
    on_gap: OnGap = lambda from_s, to_s: None,
) -> Iterator[Clip]:
    """Thin a stream to one frame a segment, and cut it into windows: `thin`, then a WindowCutter,
    for whoever has all frames in one thread.
    """
    cutter = WindowCutter(grid)
    for kept in thin(frames, grid, shrink, on_gap):
        yield from cutter.push(kept)
    yield from cutter.finish()


class WindowCutter:
    """Windows of a thinned stream. Of each run, window k covers the segments from k * stride up to
    k * stride + num_segments, and is given once a frame behind it has come.

    A segment without a frame repeats the last one, counted; a window without any frame is not
    given, nor one whose kept frames were dropped on their way here. What is left at the end of a
    run is given, marked partial, when it is more than half a window; at the end of a stream that
    gave no window at all, however little it is.

    passed_over: windows that were not given for want of dropped frames.
    """

    def __init__(self, grid: WindowGrid) -> None:
        self.passed_over = 0
        self._grid = grid
        self._kept: list[Kept] = []
        self._run = 0
        self._start = 0  # first segment of the next window
        self._next = 0  # the segment that the next kept frame stands for
        self._given_until = 0  # last segment of the run's last window, plus one
        self._gave_any = False

    def push(self, kept: Kept) -> Iterator[Clip]:
        if kept.run != self._run:
            self._kept, self._run = [], kept.run
            self._start = self._next = self._given_until = 0
        if kept.segment > self._next:
            # Some were dropped: on with the first window that needs none of them.
            stride = self._grid.stride_segments
            start = max(self._start, -(-kept.segment // stride) * stride)
            self.passed_over += (start - self._start) // stride
            self._start = start
        if kept.segment < self._start or kept.segment > self._next:
            # Between windows: only the last frame before one can be used, to fill a gap.
            self._kept.clear()
        self._kept.append(kept)
        self._next = kept.until
        yield from self._full_windows(until=kept.until)
        if kept.end_s is not None and self._is_worth_giving(kept.origin_s, kept.end_s):
            yield self._window(end_s=kept.end_s)

    def finish(self) -> Iterator[Clip]:
        """The stream has ended: something of every file is given; what was closed has no end."""
        if self._kept and not self._gave_any and self._kept[-1].end_s is not None:
            yield self._window(end_s=self._kept[-1].end_s)

    def _is_worth_giving(self, origin_s: float, end_s: float) -> bool:
        segment_s = self._grid.segment_s
        filled_s = end_s - origin_s - self._start * segment_s
        is_news = end_s - origin_s > self._given_until * segment_s + TIE_S
        is_empty = not self._kept or self._kept[-1].segment < self._start
        return is_news and filled_s > self._grid.length_s / 2 + TIE_S and not is_empty

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
        self._gave_any = True
        chosen: list[Kept] = []
        repeated = position = 0
        for segment in range(self._start, self._start + grid.num_segments):
            while position + 1 < len(self._kept) and self._kept[position + 1].segment <= segment:
                position += 1
            chosen.append(self._kept[position])
            repeated += chosen[-1].segment != segment
        origin_s = chosen[0].origin_s
        full_end_s = origin_s + (self._start + grid.num_segments) * grid.segment_s
        return Clip(
            images=np.stack([one.image for one in chosen]),
            frame_indices=np.array([one.index for one in chosen], np.int64),
            pts_s=np.array([one.pts_s for one in chosen]),
            start_s=origin_s + self._start * grid.segment_s,
            end_s=full_end_s if end_s is None else end_s,
            partial=end_s is not None,
            repeated=repeated,
        )


def _still_needed(kept: list[Kept], start: int) -> list[Kept]:
    """The frames from segment start on, and the last one before it, which fills a gap there."""
    first = next((i for i, one in enumerate(kept) if one.segment >= start), len(kept))
    if first == len(kept) or kept[first].segment > start:
        first = max(0, first - 1)
    return kept[first:]
