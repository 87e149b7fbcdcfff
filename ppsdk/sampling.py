"""Frames to clips: which frames stand for a file, and windows cut from a stream by time."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ppsdk.records import Clip, Frame

log = logging.getLogger(__name__)

Sampling = Literal["full", "paddlevideo", "random"]
SAMPLINGS = ("full", "paddlevideo", "random")
# Times come from integers in units of at most a microsecond: closer than that is equal.
_TIE_S = 1e-6


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


def full_indices(
    pts_s: NDArray[np.float64], end_s: float, num_segments: int
) -> NDArray[np.int64]:
    """The frame nearest the centre of each equal segment of [0, end_s]; of two, the earlier."""
    centres = (np.arange(num_segments) + 0.5) * end_s / num_segments
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


@dataclass(frozen=True)
class WindowGrid:
    """A stream's time in segments: a window is num_segments of them, and so is the stride."""

    num_segments: int
    segment_s: float
    stride_segments: int

    @classmethod
    def from_seconds(cls, length_s: float, stride_s: float, num_segments: int) -> WindowGrid:
        """stride_s is rounded to whole segments (at least one); ValueError unless both are > 0."""
        for name, value in (("length_s", length_s), ("stride_s", stride_s)):
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"{name} is {value}: must be more than 0 seconds")
        segment_s = length_s / num_segments
        stride_segments = max(1, round(stride_s / segment_s))
        if abs(stride_segments * segment_s - stride_s) > _TIE_S:
            log.warning(
                "stride_s %g is not a whole number of segments of %g s: using %g s",
                stride_s,
                segment_s,
                stride_segments * segment_s,
            )
        return cls(num_segments, segment_s, stride_segments)


@dataclass(frozen=True, eq=False)
class _Kept:
    """The one frame kept of a segment; index counts the frames of the stream."""

    segment: int
    index: int
    frame: Frame
    off_centre_s: float


def cut_windows(frames: Iterable[Frame], grid: WindowGrid) -> Iterator[Clip]:
    """Thin a stream to one frame a segment (the nearest its centre) and cut it into windows.

    Window k covers segments [k * stride, k * stride + num_segments). A segment without a frame
    repeats the last one. Nothing is given before the first full window; what is left at the end of
    the stream is given, marked partial, when more than half full, or when it is all there is.
    """
    kept: list[_Kept] = []
    start = 0  # first segment of the next window
    windows = 0
    best: _Kept | None = None
    last_pts_s = previous_pts_s = 0.0
    for index, frame in enumerate(frames):
        previous_pts_s, last_pts_s = last_pts_s, frame.pts_s
        segment = int((frame.pts_s + _TIE_S) / grid.segment_s)
        off_centre_s = abs(frame.pts_s - (segment + 0.5) * grid.segment_s)
        if best is not None and segment == best.segment:
            if off_centre_s < best.off_centre_s - _TIE_S:
                best = _Kept(segment, index, frame, off_centre_s)
            continue
        if best is not None:
            kept.append(best)
        best = _Kept(segment, index, frame, off_centre_s)
        while segment >= start + grid.num_segments:
            yield _window(kept, start, grid)
            windows += 1
            start += grid.stride_segments
            kept = _still_needed(kept, start)
    if best is None:
        return
    kept.append(best)
    # The last frame is shown for as long as the one before it was.
    end_s = last_pts_s + (last_pts_s - previous_pts_s or grid.segment_s)
    while (start + grid.num_segments) * grid.segment_s <= end_s + _TIE_S:
        yield _window(kept, start, grid)
        windows += 1
        start += grid.stride_segments
    filled_s = end_s - start * grid.segment_s
    if filled_s > grid.num_segments * grid.segment_s / 2 or windows == 0:
        yield _window(_still_needed(kept, start), start, grid, end_s=end_s)


def _window(kept: list[_Kept], start: int, grid: WindowGrid, *, end_s: float | None = None) -> Clip:
    chosen: list[_Kept] = []
    position = 0
    for segment in range(start, start + grid.num_segments):
        while position + 1 < len(kept) and kept[position + 1].segment <= segment:
            position += 1
        chosen.append(kept[position])
    return Clip(
        images=np.stack([one.frame.image for one in chosen]),
        frame_indices=np.array([one.index for one in chosen], np.int64),
        pts_s=np.array([one.frame.pts_s for one in chosen]),
        start_s=start * grid.segment_s,
        end_s=(start + grid.num_segments) * grid.segment_s if end_s is None else end_s,
        partial=end_s is not None,
    )


def _still_needed(kept: list[_Kept], start: int) -> list[_Kept]:
    """The frames from segment start on, and the last one before it, which fills a gap there."""
    first = next((i for i, one in enumerate(kept) if one.segment >= start), len(kept))
    if first == len(kept) or kept[first].segment > start:
        first = max(0, first - 1)
    return kept[first:]
