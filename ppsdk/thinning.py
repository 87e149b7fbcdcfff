"""A stream thinned to one frame a segment, shrunk on arrival: all that windows are made of."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from statistics import median

from ppsdk.records import Frame, Image

# Times come from integers in units of at most a microsecond: closer than that is equal.
TIE_S = 1e-6
# Matroska, WebM and FLV have whole milliseconds: of two times, each is off by half a one.
ROUNDED_S = 1.1e-3
# Live frames come up to so much of a segment before their time. A camera that gives one a segment
# gives it just where segments meet: 10 ms of jitter would repeat, and lose, a quarter of them.
LIVE_EARLY = 0.25
SHORTEST_SEGMENT_S = 1e-4
DAY_S = 86_400
# Longer than all of these without a frame is a gap: a slow camera has none, and a network that
# hangs for a moment (at most half a window) does not cost the windows around it.
_GAP_WINDOWS = 0.25
_GAP_INTERVALS = 4.0
_HICCUP_S = 0.5

OnGap = Callable[[float, float], None]


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
        return cls(num_segments, segment_s, max(1, round(stride_s / segment_s)))

    @property
    def length_s(self) -> float:
        return self.num_segments * self.segment_s

    @property
    def stride_s(self) -> float:
        return self.stride_segments * self.segment_s


@dataclass(frozen=True, eq=False)
class Kept:
    """The one frame kept of a segment.

    run: counts the stretches of the stream without a gap; origin_s: when this one began.
    segment: whose frame it is, from 0 at origin_s. until: the next one that has a frame of its own;
    those between repeat this one.
    index: position among the frames of the stream. image: as `shrink` gave it.
    end_s: for the last one of a run, when its last frame stops being shown; None for the others.
    """

    run: int
    origin_s: float
    segment: int
    until: int
    index: int
    pts_s: float
    image: Image
    end_s: float | None


def thin(
    frames: Iterable[Frame],
    grid: WindowGrid,
    shrink: Callable[[Image], Image],
    on_gap: OnGap = lambda from_s, to_s: None,
    *,
    early_s: float = ROUNDED_S,
) -> Generator[Kept, None, None]:
    """Keep of each segment the frame nearest its centre; only its image is looked at, and shrunk.
    Of streams with less than two frames a segment, one that comes at most early_s before a segment,
    and is not the first of its own, counts among that segment's.

    Segments are counted anew from the first frame after a gap: where the frames' run changes, or
    where none came for a quarter of a window, half a second (or half a window, if that is less) and
    four times as long as usual. on_gap is called for the latter, with the times of the frames
    around it.
    """
    run: _Run | None = None
    pace = _Pace(grid.length_s)
    for index, frame in enumerate(frames):
        if run is None:
            run = _Run(0, index, frame, grid, shrink, early_s)
            continue
        goes_on = frame.run == run.stream_run
        is_hole = goes_on and pace.is_hole(frame.pts_s - run.last_s)
        if goes_on and not is_hole:
            kept = run.add(index, frame)
            if kept is not None:
                yield kept
            continue
        yield run.last()
        if is_hole:
            on_gap(run.last_s, frame.pts_s)
        run = _Run(run.number + 1, index, frame, grid, shrink, early_s)
    if run is not None:
        yield run.last()


class _Pace:
    """How often frames come: a slow camera has no holes."""

    def __init__(self, length_s: float) -> None:
        self._length_s = length_s
        self._intervals_s: deque[float] = deque(maxlen=9)

    def is_hole(self, interval_s: float) -> bool:
        bridged_s = self._length_s  # where nothing is known yet
        if self._intervals_s:
            usual_s = median(self._intervals_s)
            hiccup_s = min(_HICCUP_S, self._length_s / 2)
            bridged_s = max(hiccup_s, _GAP_WINDOWS * self._length_s, _GAP_INTERVALS * usual_s)
        self._intervals_s.append(interval_s)
        return interval_s > bridged_s + TIE_S


class _Run:
    """A stretch of a stream without a gap, as it comes."""

    def __init__(
        self,
        number: int,
        index: int,
        first: Frame,
        grid: WindowGrid,
        shrink: Callable[[Image], Image],
        early_s: float,
    ) -> None:
        self.number, self.stream_run = number, first.run
        self.last_s = first.pts_s
        self._origin_s = first.pts_s
        self._grid, self._shrink = grid, shrink
        self._early_s = min(early_s, LIVE_EARLY * grid.segment_s)
        self._interval_s = grid.segment_s
        self._candidate, self._index, self._segment = first, index, 0

    def add(self, index: int, frame: Frame) -> Kept | None:
        """The frame kept of the segment before, once there is a frame of another."""
        self._interval_s = frame.pts_s - self.last_s
        self.last_s = frame.pts_s
        # The one before may have been early: there is no way back.
        segment = max(self._segment, self._segment_at(frame.pts_s))
        if segment == self._segment and self._interval_s > self._grid.segment_s / 2:
            segment = max(segment, self._segment_at(frame.pts_s + self._early_s))
        kept = None
        if segment > self._segment:
            kept = self._keep(until=segment)
        elif self._off_centre_s(frame) >= self._off_centre_s(self._candidate) - TIE_S:
            return None
        self._candidate, self._index, self._segment = frame, index, segment
        return kept

    def last(self) -> Kept:
        """What is left; the last frame is shown as long as the one before it, at most a segment."""
        segment_s = self._grid.segment_s
        end_s = self.last_s + (min(self._interval_s, segment_s) or segment_s)
        rounded_s = min(ROUNDED_S, self._early_s)
        until = max(self._segment, self._segment_at(end_s + rounded_s))
        return self._keep(until=until, end_s=end_s)

    def _segment_at(self, time_s: float) -> int:
        return int((time_s - self._origin_s + TIE_S) / self._grid.segment_s)

    def _off_centre_s(self, frame: Frame) -> float:
        centre_s = self._origin_s + (self._segment + 0.5) * self._grid.segment_s
        return abs(frame.pts_s - centre_s)

    def _keep(self, *, until: int, end_s: float | None = None) -> Kept:
        return Kept(
            run=self.number,
            origin_s=self._origin_s,
            segment=self._segment,
            until=until,
            index=self._index,
            pts_s=self._candidate.pts_s,
            image=self._shrink(self._candidate.image),
            end_s=end_s,
        )
