"""From a source to the clips of its windows: read and thinned in one thread, cut in another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing

from ppsdk.records import Clip, Frame, Image, NoWindow
from ppsdk.sampling import WindowCutter
from ppsdk.sources import Source
from ppsdk.sources.reader import Reader
from ppsdk.thinning import Kept, WindowGrid, thin

Shrink = Callable[[Image], Image]

# A camera that is lost is told of so often.
LOOK_S = 0.25


def window_clips(
    source: Source, grid: WindowGrid, shrink: Shrink
) -> Generator[Clip | NoWindow, None, None]:
    """The clips of a source's windows: all of a file's; of a camera the newest there is, whenever
    one is asked for. Waits for the next one, and tells while a camera is lost; `source.close()`
    ends it.
    """
    cutter = WindowCutter(grid)
    if source.own_thread:
        with read_kept(source, grid, shrink) as reader:
            while not reader.ended:
                batch = reader.take(LOOK_S)
                yield from cut_batch(source, cutter, batch)
                until_s = source.lost_until_s
                if until_s is not None and not batch:
                    yield NoWindow(until_s)
    else:
        with closing(_thinned(source, grid, shrink)) as thinned:
            for kept in thinned:
                yield from cut_batch(source, cutter, [kept])
    yield from cutter.finish()


def read_kept(
    source: Source,
    grid: WindowGrid,
    shrink: Shrink,
    *,
    ready: threading.Condition | None = None,
) -> Reader[Kept]:
    """Read and thin a source in a thread of its own, ahead of whoever takes the kept frames: of a
    camera the last ones, enough for its newest window; of a file as many are read ahead.
    """
    return Reader(
        _thinned(source, grid, shrink),
        capacity=grid.num_segments + min(grid.stride_segments, grid.num_segments),
        on_drop=source.count_drop if source.live else None,
        keep_waiting=source.keep_waiting,
        ready=ready,
    )


def cut_batch(source: Source, cutter: WindowCutter, batch: list[Kept]) -> list[Clip]:
    """The windows that a batch completes; of a camera only the newest, the others are counted."""
    passed_over = cutter.passed_over
    clips = [clip for kept in batch for clip in cutter.push(kept)]
    wanted = clips[-1:] if source.live else clips
    source.counters.kept += len(batch)
    source.counters.skipped += len(clips) - len(wanted) + cutter.passed_over - passed_over
    source.counters.repeated += sum(clip.repeated for clip in wanted)
    return wanted


def _thinned(source: Source, grid: WindowGrid, shrink: Shrink) -> Generator[Kept, None, None]:
    def on_gap(from_s: float, to_s: float) -> None:
        source.report("gap", to_s, f"no frame for {to_s - from_s:.1f} s")

    return thin(_timed(source), grid, shrink, on_gap)


def _timed(source: Source) -> Iterator[Frame]:
    for frame in source.frames():
        source.counters.newest_s = frame.pts_s
        yield frame
