"""The clip of one event: the right frames, at the right times."""

from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import pytest
from barcode import make_frame, read
from event_films import event, film, made, nothing_else, options, play, seen, told
from hypothesis import given, settings
from hypothesis import strategies as st

from ppsdk import ActionEvent, Frame
from ppsdk.sinks.clips import EventClips


def test_a_clip_has_the_frames_around_the_event_at_their_times(tmp_path):
    """10 frames a second: 1 s before second 3 is frame 20, 2 s behind second 5 is frame 70."""
    with EventClips(tmp_path, options=options()) as clips:
        play(clips, film(100), event(3.0, 5.0))
    ((path, record),) = made(tmp_path)
    indices, times = seen(path)
    assert indices == list(range(20, 71))
    assert times == pytest.approx([i / 10 for i in range(51)], abs=1e-4)
    assert path.parent.name == "door" and path.name == "00h00m03.000s_fall_a.mp4"
    assert (record["start_s"], record["end_s"], record["frames"]) == (2.0, 7.0, 51)
    assert [record[f"missing_{what}"] for what in ("start_s", "end_s", "frames")] == [0, 0, 0]
    assert ActionEvent.from_dict(record["event"]) == told("end", 3.0, 5.0)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.duration * stream.time_base == pytest.approx(5.1, abs=0.05)
    assert path.read_bytes().index(b"moov") < path.read_bytes().index(b"mdat")
    assert clips.counts().written == 1 and clips.counts().incomplete == 0
    assert nothing_else(tmp_path)


def test_the_snapshot_is_from_when_it_was_seen_best(tmp_path):
    """Told at the start (0.6), and better between seconds 4 and 6."""
    records = [
        (4.0, told("start", 3.0, 4.0, score=0.6)),
        (6.0, told("update", 3.0, 6.0, score=0.9)),
        (9.0, told("end", 3.0, 9.0, score=0.9)),
    ]
    with EventClips(tmp_path, options=options()) as clips:
        play(clips, film(150), records)
    ((path, record),) = made(tmp_path)
    with av.open(str(path.with_suffix(".jpg"))) as picture:
        (image,) = (frame.to_ndarray(format="rgb24") for frame in picture.decode(video=0))
    assert read(image).index == 50 and record["snapshot_s"] == 5.0


def test_times_are_those_of_the_frames(tmp_path):
    """Frames that come unevenly, and none for 8 s while a camera was lost during the event."""
    times = [0.0, 0.1, 0.4, 0.5, 1.5, 1.6, 1.7, 9.7, 9.9, 10.0, 10.4, 11.0, 12.0, 13.0]
    frames = [Frame(make_frame(i, 64, 48), time_s) for i, time_s in enumerate(times)]
    records = [(1.5, told("start", 1.4, 1.5)), (10.4, told("end", 1.4, 9.8, ended_by="gap"))]
    with EventClips(tmp_path, options=options()) as clips:
        play(clips, frames, records, live=True)
    ((path, record),) = made(tmp_path)
    indices, shown = seen(path)
    assert indices == list(range(2, 12))  # 0.4 s to 11.8 s
    assert shown == pytest.approx([time_s - 0.4 for time_s in times[2:12]], abs=1e-4)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert 10.6 < stream.duration * stream.time_base < 11.3
    assert record["missing_frames"] == 0


def test_what_the_stream_does_not_have_is_said(tmp_path):
    """It begins 0.5 s before the event, which is no loss, and ends 1.1 s behind it."""
    with EventClips(tmp_path, options=options()) as clips:
        play(clips, film(40), event(0.5, 2.8))
    ((path, record),) = made(tmp_path)
    assert seen(path)[0] == list(range(40))
    assert record["missing_start_s"] == 0 and record["missing_end_s"] == pytest.approx(0.9)
    assert clips.counts().incomplete == 1


def test_a_long_event_is_written_as_it_goes_on(tmp_path):
    """60 s of it, of which memory holds 3: a recording waits for what is written."""
    with EventClips(tmp_path, options=options(look_back_s=2.0, fps=10)) as clips:
        play(clips, film(700), event(5.0, 65.0))
    ((path, record),) = made(tmp_path)
    assert seen(path)[0] == list(range(40, 671)) and record["missing_frames"] == 0


def test_a_clip_that_would_be_too_long_is_cut(tmp_path):
    """Once, though more is told of its event."""
    records = [*event(3.0, 30.0), (20.0, told("update", 3.0, 19.0))]
    with EventClips(tmp_path, options=options(longest_s=10.0)) as clips:
        play(clips, film(400), records)
    ((path, _),) = made(tmp_path)
    assert seen(path)[0] == list(range(20, 121))


SPANS = st.tuples(st.integers(0, 120), st.integers(1, 60), st.integers(1, 30), st.booleans())


@settings(max_examples=12, deadline=None)
@given(
    spans=st.lists(SPANS, min_size=1, max_size=3),
    steps=st.lists(st.integers(1, 3), min_size=60, max_size=150),
    pre=st.integers(0, 20),
    post=st.integers(0, 20),
)
def test_whatever_happens_when_a_clip_has_its_frames(spans, steps, pre, post):
    """In tenths of a second, events in between: whenever they are told of, and however many."""
    times = np.cumsum([0, *steps])
    records = []
    for id, (start, lasts, late, has_start) in enumerate(spans):
        both = event(start / 10 + 0.05, (start + lasts) / 10 + 0.05, late_s=late / 10, id=str(id))
        records += both if has_start else both[1:]
    frames = [Frame(make_frame(i, 64, 48), time_s / 10) for i, time_s in enumerate(times)]
    with TemporaryDirectory() as folder:
        chosen = options(pre_s=pre / 10, post_s=post / 10, look_back_s=40)
        with EventClips(folder, options=chosen) as clips:
            play(clips, frames, records)
        films = {record["event"]["id"]: seen(path)[0] for path, record in made(Path(folder))}
        failed = clips.counts().failed
    wanted = {}
    for id, (start, lasts, _, _) in enumerate(spans):
        inside = (start - pre + 0.5 <= times) & (times <= start + lasts + post + 0.5)
        wanted[str(id)] = np.flatnonzero(inside).tolist()
    assert films == {id: indices for id, indices in wanted.items() if indices}
    assert failed == len(wanted) - len(films)
