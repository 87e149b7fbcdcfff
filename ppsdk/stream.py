"""From a source to the clips of its windows: read and thinned in one thread, cut in another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from itertools import takewhile
from typing import Protocol

from ppsdk.records import Clip, Frame, Image, NoWindow
from ppsdk.sampling import WindowCutter
from ppsdk.sources import Source
from ppsdk.sources.reader import Reader
from ppsdk.thinning import LIVE_EARLY, ROUNDED_S, Kept, WindowGrid, thin

Shrink = Callable[[Image], Image]

# A camera that is lost is told of so often.
LOOK_S = 0.25


class Tap(Protocol):
    """Sees each frame of a stream, in the thread that reads it, and gives it on."""

    def __call__(
        self, name: str, frames: Iterator[Frame], *, live: bool
    ) -> Generator[Frame, None, None]: ...


def window_clips(
    source: Source,
    grid: WindowGrid,
    shrink: Shrink,
    *,
    tap: Tap | None = None,
    is_over: Callable[[], bool] = lambda: False,
) -> Generator[Clip | NoWindow, None, None]:
    """The clips of a source's windows: all of a file's; of a camera the newest there is, whenever
    one is asked for. Waits for the next one, and tells while a camera is lost. is_over: asked now
    and then; True ends it, as `source.close()` ends that of a camera.
    """
    frames = tapped_frames(source, source.name, tap)
    cutter = WindowCutter(grid)
    if source.own_thread:
        with read_kept(source, frames, grid, shrink) as reader:
            while not reader.ended:
                batch = reader.take(LOOK_S)
                if is_over():
                    return
                yield from _given(source, cut_batch(source, cutter, batch))
                nothing = no_window(source)
                if nothing is not None and not batch:
                    yield nothing
    else:
        wanted = takewhile(lambda frame: not is_over(), frames)
        with closing(_thinned(source, wanted, grid, shrink)) as thinned:
            for kept in thinned:
                if is_over():
                    return
                yield from _given(source, cut_batch(source, cutter, [kept]))
    yield from _given(source, cutter.finish())


def no_window(source: Source) -> NoWindow | None:
    """None for what is not lost."""
    until_s = source.lost_until_s
    return None if until_s is None else NoWindow(until_s, source.counters.newest_s)


def tapped_frames(source: Source, name: str, tap: Tap | None) -> Generator[Frame, None, None]:
    """Not read before the first one is asked for."""
    frames = source.frames()
    return frames if tap is None else tap(name, frames, live=source.live)


def read_kept(
    source: Source,
    frames: Iterator[Frame],
    grid: WindowGrid,
    shrink: Shrink,
    *,
    ready: threading.Condition | None = None,
) -> Reader[Kept]:
    """Read and thin a source's frames in a thread of its own, ahead of whoever takes the kept ones:
    of a camera the last ones, enough for its newest window; of a file as many are read ahead.
    """
    closed = threading.Event()
    wanted = takewhile(lambda frame: not closed.is_set(), frames)  # of a long segment, too
    return Reader(
        _thinned(source, wanted, grid, shrink),
        capacity=grid.num_segments + min(grid.stride_segments, grid.num_segments),
        on_drop=source.count_drop if source.live else None,
        keep_waiting=source.keep_waiting,
        ready=ready,
        closed=closed,
    )


def cut_batch(source: Source, cutter: WindowCutter, batch: list[Kept]) -> list[Clip]:
    """The windows that a batch completes; of a camera only the newest, the others are counted."""
    passed_over = cutter.passed_over
    clips = [clip for kept in batch for clip in cutter.push(kept)]
    wanted = clips[-1:] if source.live else clips
    source.counters.kept += len(batch)
    source.counters.skipped += len(clips) - len(wanted) + cutter.passed_over - passed_over
    return wanted


def _given(source: Source, clips: Iterable[Clip]) -> Iterator[Clip]:
    for clip in clips:
        source.counters.repeated += clip.repeated
        yield clip


def _thinned(
    source: Source, frames: Iterator[Frame], grid: WindowGrid, shrink: Shrink
) -> Generator[Kept, None, None]:
    def on_gap(from_s: float, to_s: float) -> None:
        source.report("gap", to_s, f"no frame for {to_s - from_s:.1f} s")

    early_s = LIVE_EARLY * grid.segment_s if source.live else ROUNDED_S
    return thin(_timed(source, frames), grid, shrink, on_gap, early_s=early_s)


def _timed(source: Source, frames: Iterator[Frame]) -> Iterator[Frame]:
    for frame in frames:
        source.counters.newest_s = frame.pts_s
        yield frame
