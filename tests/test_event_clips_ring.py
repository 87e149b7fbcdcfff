"""What is kept of a stream for its clips: bounded, and what falls out of it is accounted for."""

import time
from itertools import pairwise

import pytest
from barcode import make_frame
from event_films import event, film, made, options, play, seen, told

from ppsdk import Frame
from ppsdk.sinks.clips import EventClips


def test_no_more_frames_a_second_than_asked(tmp_path):
    """25 a second: every second one is less than 15 a second."""
    with EventClips(tmp_path, options=options(fps=15)) as clips:
        play(clips, film(200, fps=25.0), event(3.0, 5.0))
    ((path, _),) = made(tmp_path)
    assert seen(path)[0] == list(range(50, 176, 2))


def test_where_memory_does_not_reach_back_the_clip_says_so(tmp_path):
    """The ring has 3 s (and two frames) when the start, 5 s ago, is told of."""
    records = [(10.0, told("start", 5.0, 8.5)), (10.5, told("end", 5.0, 9.0))]
    with EventClips(tmp_path, options=options(look_back_s=2.0, fps=10)) as clips:
        play(clips, film(150), records)
    ((path, record),) = made(tmp_path)
    indices, _ = seen(path)
    # At second 10: frame 100 and 31 before it.
    assert indices[0] == 69 and record["missing_start_s"] == pytest.approx(2.9)
    assert indices == list(range(69, 111)) and record["missing_frames"] == 0
    assert clips.counts().incomplete == 1


def test_memory_is_bounded_by_bytes(tmp_path):
    chosen = options(ring_bytes=40_000)
    with EventClips(tmp_path, options=chosen) as clips:
        ring_sizes = []
        for frame in clips.tap("door", film(200), live=True):
            ring_sizes.append(clips.kept_bytes)
            if frame.pts_s == 15.0:
                clips(told("end", 2.0, 14.0))
            if frame.pts_s >= 15.0:
                time.sleep(0.02)  # a camera takes its time
    ((_, record),) = made(tmp_path)
    assert 20_000 < max(ring_sizes) <= 40_000
    assert record["missing_start_s"] > 1
    assert record["start_s"] == pytest.approx(1.0 + record["missing_start_s"])


def test_a_camera_does_not_wait_for_its_clips(tmp_path):
    """As fast as they can be read, with little memory: frames fall out of it before they are
    written, and each is accounted for.
    """
    with EventClips(tmp_path, options=options(look_back_s=1.0, fps=10)) as clips:
        play(clips, film(900), event(5.0, 80.0), live=True)
    ((path, record),) = made(tmp_path)
    indices, _ = seen(path)
    assert all(one < next_one for one, next_one in pairwise(indices))
    assert len(indices) == record["frames"]
    assert record["missing_start_s"] == pytest.approx(indices[0] / 10 - 4)
    assert len(indices) + record["missing_frames"] == indices[-1] - indices[0] + 1
    assert record["missing_end_s"] == pytest.approx(82 - indices[-1] / 10)
    assert len(indices) < 781 and clips.counts().incomplete == 1
    assert clips.counts().missing_frames == record["missing_frames"]


def test_a_frame_that_cannot_be_read_harms_nobody(tmp_path, caplog):
    def broken():
        raise OSError("no picture")

    frames = [Frame(broken if i in (31, 32) else make_frame(i, 64, 48), i / 10) for i in range(80)]
    with EventClips(tmp_path, options=options()) as clips:
        play(clips, frames, event(3.0, 4.0))
        assert clips.counts().unreadable == 2
        play(clips, frames)  # when the stream comes again, it goes on counting
    ((path, _),) = made(tmp_path)
    assert seen(path)[0] == [i for i in range(20, 61) if i not in (31, 32)]
    assert clips.counts().unreadable == 4
    assert caplog.text.count("door: a frame cannot be kept for clips: no picture") == 2
