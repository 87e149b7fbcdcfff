"""When there is no time for all windows of all cameras."""

import contextlib
import itertools
import time
from collections import Counter

import numpy as np
import pytest
from stallserver import Camera

from ppsdk import StreamOptions
from ppsdk.overload import OverloadWatch, OverloadWatches


def test_under_overload_cameras_get_the_newest_windows_in_even_turns_and_it_is_said_once(
    recognizer,
):
    """The app takes 0.1 s for a window; four cameras have ten a second each."""
    statuses, counts, behind = [], Counter(), []
    with contextlib.ExitStack() as stack:
        cameras = [stack.enter_context(Camera("live")) for _ in range(4)]
        of_url = {camera.url: camera for camera in cameras}
        streams = stack.enter_context(
            recognizer.streams(of_url, length_s=0.8, stride_s=0.1, on_status=statuses.append)
        )
        # A clock that goes four times as fast: overload is told after 5 s of it.
        streams._watches = OverloadWatches(clock=lambda: 4 * time.monotonic())
        while {fare.state for fare in streams.statistics().values()} != {"running"}:
            next(streams)
        for window in itertools.islice(streams, 24):
            counts[window.name] += 1
            behind.append(of_url[window.name].sent - int(window.scores.frame_indices[-1]))
            time.sleep(0.1)
        fares = streams.statistics()
        assert streams.overloads == 1
    assert len(counts) == 4 and max(counts.values()) - min(counts.values()) <= 2
    assert np.median(behind) <= 10, "frames; it takes 0.4 s, or 10 frames, until it is its turn"
    assert [(status.kind, status.source) for status in statuses] == [("overloaded", "streams")]
    assert "windows of the 4 live streams come" in statuses[0].reason
    for fare in fares.values():
        assert fare.skipped > 2 * fare.windows and fare.state == "running"


@pytest.mark.slow
def test_under_overload_turns_are_even_whatever_the_strides(recognizer):
    """The app takes 0.1 s for a window; two cameras have ten a second, and two have five. What
    there is time for is less than any of them has: 2.5.
    """
    counts = Counter()
    with contextlib.ExitStack() as stack:
        cameras = [stack.enter_context(Camera("live")) for _ in range(4)]
        strides_s = (0.1, 0.1, 0.2, 0.2)
        sources = [
            StreamOptions(camera.url, stride_s=stride_s)
            for camera, stride_s in zip(cameras, strides_s, strict=True)
        ]
        streams = stack.enter_context(recognizer.streams(sources, length_s=0.8))
        while {fare.state for fare in streams.statistics().values()} != {"running"}:
            next(streams)
        for window in itertools.islice(streams, 65):
            counts[window.name] += 1
            time.sleep(0.1)
        assert streams.overloads == 1
    assert len(counts) == 4 and max(counts.values()) - min(counts.values()) <= 2


def test_overload_is_told_when_it_begins_and_when_it_ends():
    """Two streams at a stride of half a second; time for 4 windows a second, 2, and 4 again."""
    now, told = [0.0], []
    watch = OverloadWatch(0.5, clock=lambda: now[0])
    for tick in range(1, 301):
        now[0] = tick / 4
        if 80 < tick <= 160 and tick % 2:
            watch.note_skipped(1)
        else:
            watch.note_given()
        if watch.changed():
            told.append((now[0], watch.overloaded, round(watch.stretch, 1)))
    begin, end = told
    assert 20 < begin[0] <= 22.5 and begin[1]
    assert 45 <= end[0] <= 46 and end[1:] == (False, 1.0), "five seconds after the last one"


def test_overload_shows_in_the_shortest_stride_and_ends_with_the_last_one():
    """A window a second and one in five; from second 20 on the quick ones come half, until 60."""
    now, told = [0.0], []
    watches = OverloadWatches(clock=lambda: now[0])
    for second in range(1, 121):
        now[0] = float(second)
        if 20 < second <= 60 and second % 2:
            watches.note_skipped(1.0, 1)
        else:
            watches.note_given(1.0)
        if second % 5 == 0:
            watches.note_given(5.0)
        if watches.changed():
            told.append((second, watches.overloaded, round(watches.stretch, 1)))
    begin, end = told
    assert 20 < begin[0] <= 23 and begin[1], "within a look of five seconds, not of twenty"
    assert 60 < end[0] <= 66 and end[1:] == (False, 1.0)


def test_a_hiccup_is_no_overload():
    now = [0.0]
    watch = OverloadWatch(0.5, clock=lambda: now[0])
    for tick in range(1, 101):
        now[0] = tick / 4
        watch.note_given()
        if tick == 50:
            watch.note_skipped(2)
        assert not watch.changed()
