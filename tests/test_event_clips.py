"""Clips of events: the right frames at the right times, and nothing that harms the stream."""

import base64
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import pytest
from barcode import BLUE, MARKS, RED, colour, make_frame, read
from conftest import SYNTH
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from stallserver import Camera
from test_cli import run
from test_sinks import alone

from ppsdk import ActionEvent, EventOptions, Frame, Recognizer
from ppsdk.demo.run import BUNDLED
from ppsdk.sinks.clips import ClipOptions, EventClips, look_back_s
from ppsdk.sinks.clips.folder import ClipFolder, safe_name

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs signals and RLIMIT_FSIZE")


def told(phase, start_s, end_s, *, id="a", score=0.9, source="door", label="fall", **others):
    sequence = 0 if phase == "start" else 9
    return ActionEvent(
        id, label, 4, score, start_s, end_s, source, phase=phase, sequence=sequence, **others
    )


def event(start_s, end_s, *, late_s=1.0, **others):
    """What is told of an event, and when, in seconds of the stream."""
    first = told("start", start_s, start_s + 0.1, **others)
    return [(start_s + late_s, first), (end_s + late_s, told("end", start_s, end_s, **others))]


def film(count, *, fps=10.0, first=0, width=64, height=48):
    for i in range(first, first + count):
        yield Frame(make_frame(i, width, height), (i - first) / fps)


def play(clips, frames, events=(), *, name="door", live=False):
    """A stream with its events, each told as soon as a frame of its time has been read; those that
    are later, when the stream has ended.
    """
    waiting = sorted(events, key=lambda each: each[0])
    for frame in clips.tap(name, iter(frames), live=live):
        while waiting and waiting[0][0] <= frame.pts_s:
            clips(waiting.pop(0)[1])
    for _, each in waiting:
        clips(each)


def options(**others):
    return ClipOptions(**{"pre_s": 1.0, "post_s": 2.0, **others})


def wait_for(condition):
    until_s = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until_s, "never came"
        time.sleep(0.01)


def seen(path):
    """The numbers and times of the frames of an mp4."""
    with av.open(f"file:{path}") as container:
        frames = [
            (read(frame.to_ndarray(format="rgb24")).index, frame.time)
            for frame in container.decode(video=0)
        ]
    return [index for index, _ in frames], [time_s for _, time_s in frames]


def made(folder):
    """The clips, the oldest first: paths of the mp4s, and their records."""
    records = sorted(folder.glob("*/*.json"), key=lambda path: path.stat().st_mtime_ns)
    return [(file.with_suffix(".mp4"), json.loads(file.read_text())) for file in records]


def nothing_else(folder):
    """Each clip has its three files, and there is nothing half-written."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != ".ppsdk-clips"]
    stems = {path.with_suffix("") for path, _ in made(folder)}
    endings = (".mp4", ".jpg", ".json")
    return sorted(files) == sorted(
        stem.with_name(stem.name + ending) for stem in stems for ending in endings
    )


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


def test_no_more_frames_a_second_than_asked(tmp_path):
    """25 a second: every second one is less than 15 a second."""
    with EventClips(tmp_path, options=options(fps=15)) as clips:
        play(clips, film(200, fps=25.0), event(3.0, 5.0))
    ((path, _),) = made(tmp_path)
    assert seen(path)[0] == list(range(50, 176, 2))


def test_events_that_overlap_have_a_clip_each(tmp_path):
    records = event(3.0, 6.0, id="a") + event(4.0, 8.0, id="b", label="run")
    with EventClips(tmp_path, options=options()) as clips:
        play(clips, film(120), records)
    indices = {path.stem.split("_")[1]: seen(path)[0] for path, _ in made(tmp_path)}
    assert indices == {"fall": list(range(20, 81)), "run": list(range(30, 101))}


def test_what_the_stream_does_not_have_is_said(tmp_path):
    """It begins 0.5 s before the event, which is no loss, and ends 1.1 s behind it."""
    with EventClips(tmp_path, options=options()) as clips:
        play(clips, film(40), event(0.5, 2.8))
    ((path, record),) = made(tmp_path)
    assert seen(path)[0] == list(range(40))
    assert record["missing_start_s"] == 0 and record["missing_end_s"] == pytest.approx(0.9)
    assert clips.counts().incomplete == 1


def test_an_event_of_one_record_has_a_clip(tmp_path):
    """As with one event a window; and when the stream has ended."""
    records = [(6.0, told("end", 3.0, 5.0)), (99.0, told("end", 8.0, 9.0, id="b", label="run"))]
    with EventClips(tmp_path, options=options()) as clips:
        play(clips, film(100), records)
    indices = {path.stem.split("_")[1]: seen(path)[0] for path, _ in made(tmp_path)}
    assert indices == {"fall": list(range(20, 71)), "run": list(range(70, 100))}


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


def test_a_stream_that_comes_again_starts_anew(tmp_path):
    with EventClips(tmp_path, options=options()) as clips:
        play(clips, film(100), event(3.0, 5.0, id="a"))
        play(clips, film(100, first=500), event(3.0, 5.0, id="b"))
    assert [seen(path)[0][0] for path, _ in made(tmp_path)] == [20, 520]


def test_what_comes_while_the_disk_is_busy_is_not_slept_over(tmp_path, monkeypatch):
    """Its end, too: `close` does not wait for somebody who sleeps."""
    busy = threading.Event()

    def keep_within(folder, budget_bytes, look=ClipFolder.keep_within):
        busy.set()
        time.sleep(0.1)
        look(folder, budget_bytes)

    clips = EventClips(tmp_path, options=options())
    monkeypatch.setattr(ClipFolder, "keep_within", keep_within)
    clips.change(options())
    assert busy.wait(10)
    play(clips, film(60), [(5.0, told("end", 3.0, 4.0))])
    wait_for(lambda: clips.counts().written == 1)
    busy.clear()
    clips.change(options())
    assert busy.wait(10)
    closing = threading.Thread(target=clips.close)
    closing.start()
    closing.join(30)
    assert not closing.is_alive()


def test_pictures_of_any_size(tmp_path):
    """Odd ones, and a camera that changes its own."""
    frames = [Frame(make_frame(i, 101, 77), i / 10) for i in range(30)]
    frames += [Frame(make_frame(i, 160, 120), i / 10) for i in range(30, 60)]
    with EventClips(tmp_path, options=options(max_height=64)) as clips:
        play(clips, frames, event(2.0, 3.0))
    ((path, _),) = made(tmp_path)
    assert seen(path)[0] == list(range(10, 51))
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (84, 64)


def test_a_frame_that_cannot_be_read_harms_nobody(tmp_path, caplog):
    def broken():
        raise OSError("no picture")

    frames = [Frame(broken if i in (31, 32) else make_frame(i, 64, 48), i / 10) for i in range(80)]
    with EventClips(tmp_path, options=options()) as clips:
        play(clips, frames, event(3.0, 4.0))
    ((path, _),) = made(tmp_path)
    assert seen(path)[0] == [i for i in range(20, 61) if i not in (31, 32)]
    assert clips.counts().unreadable == 2
    assert caplog.text.count("door: a frame cannot be kept for clips: no picture") == 1


def test_an_event_without_a_stream_has_no_clip(tmp_path):
    with EventClips(tmp_path, options=options()) as clips:
        play(clips, film(10))
        with pytest.raises(ValueError, match="yard: no clip of 'fall': no such stream has a tap"):
            clips(told("start", 1.0, 2.0, source="yard"))
    with pytest.raises(ValueError, match="closed"):
        clips(told("start", 1.0, 2.0, source="door"))


def test_the_overlay_says_what_and_when(tmp_path):
    """Red while the event lasts, grey around it; the picture above stays."""
    start = told("start", 3.0, 3.1, start_time="2026-11-26T10:00:00+00:00")
    end = told("end", 3.0, 5.0, start_time="2026-11-26T10:00:00+00:00")
    with EventClips(tmp_path, options=options(overlay=True)) as clips:
        play(clips, film(100, width=320, height=240), [(4.0, start), (6.0, end)])
    ((path, _),) = made(tmp_path)
    assert path.name == "2026-11-26_10-00-00Z_fall_a.mp4"
    with av.open(str(path)) as container:
        images = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for number, image in enumerate(images, 20):
        assert read(image).index == number
        band = image[-14:, 120:150].reshape(-1, 3).mean(0)
        assert (band[0] > 150) == (30 <= number <= 50) and band[1:].max() < 100
        assert image[-14:].max() > 200  # letters
    assert np.abs(colour(images[0], MARKS[RED]) - RED).max() < 25
    assert np.abs(colour(images[0], MARKS[BLUE]) - BLUE).max() < 25


def test_the_oldest_clips_give_way(tmp_path):
    """And nothing else: not what somebody has put there."""
    (tmp_path / "door").mkdir()
    others = [tmp_path / "door" / name for name in ("mine.mp4", "mine.json", "x.jpg")]
    for other in others:
        other.write_text(json.dumps({"mine": "x" * 50_000}))
    with EventClips(tmp_path, options=options()) as clips:
        play(clips, film(300), [(29.0, told("end", 3.0, 5.0, id=id)) for id in "abcd"])
    sizes = [
        sum(path.with_suffix(end).stat().st_size for end in (".mp4", ".jpg", ".json"))
        for path, _ in made_by_us(tmp_path)
    ]
    assert len(sizes) == 4
    room = options(budget_bytes=sum(sizes) - sizes[0] + 10)
    with EventClips(tmp_path, options=room) as clips:
        assert clips.counts().deleted == 1
        play(clips, film(300), event(3.0, 5.0, id="e"))
    assert clips.counts().deleted == 2
    assert [record["event"]["id"] for _, record in made_by_us(tmp_path)] == ["c", "d", "e"]
    with EventClips(tmp_path, options=options(budget_bytes=1)) as clips:
        play(clips, film(300), event(3.0, 5.0, id="f"))
    assert [record["event"]["id"] for _, record in made_by_us(tmp_path)] == ["f"]
    assert all(other.exists() for other in others)


def made_by_us(folder):
    return [(path, record) for path, record in made(folder) if "ppsdk_clip" in record]


FULL_DISK = """
import resource, sys
from test_event_clips import event, film, options, play
from ppsdk.sinks.clips import EventClips
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, resource.RLIM_INFINITY))
with EventClips(sys.argv[1], options=options()) as clips:
    seen = 0
    play(clips, film(100), event(3.0, 5.0, id="lost"))
    while not clips.counts().failed:
        pass
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    play(clips, film(100), event(3.0, 5.0, id="kept"))
print(clips.counts().written, clips.counts().failed)
"""


@posix
def test_a_full_disk_costs_the_clip_and_nothing_else(tmp_path):
    assert alone(FULL_DISK, tmp_path) == "1 1\n"
    ((path, record),) = made(tmp_path)
    assert record["event"]["id"] == "kept" and seen(path)[0] == list(range(20, 71))
    assert nothing_else(tmp_path)


KILLED = """
import os, signal, sys, time
from pathlib import Path
from test_event_clips import event, film, options, play, told
from ppsdk.sinks.clips import EventClips
clips = EventClips(sys.argv[1], options=options())
play(clips, film(100), event(3.0, 5.0, id="whole"))
while not clips.counts().written:
    time.sleep(0.01)
for frame in clips.tap("door", film(100), live=True):
    if frame.pts_s == 4.0:
        clips(told("start", 3.0, 3.9, id="half"))
while not list(Path(sys.argv[1]).glob("door/.*half.mp4.ppsdk-part")):
    time.sleep(0.01)
print("there", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@posix
def test_what_a_killed_process_left_is_removed(tmp_path, caplog):
    path = os.pathsep.join([str(SYNTH.parents[2]), str(SYNTH.parents[1])])
    command = [sys.executable, "-c", KILLED, tmp_path]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.stdout == "there\n" and done.returncode == -9, done.stderr
    assert not nothing_else(tmp_path)
    EventClips(tmp_path).close()
    assert nothing_else(tmp_path)
    ((clip, _),) = made(tmp_path)
    assert seen(clip)[0] == list(range(20, 71))
    assert "1 files of clips that were not whole" in caplog.text


def test_killed_between_its_files_a_clip_is_whole_or_gone(tmp_path):
    with EventClips(tmp_path, options=options()) as clips:
        play(clips, film(100), event(3.0, 5.0, id="a") + event(3.0, 5.0, id="b"))
    (named, _), (unnamed, _) = made(tmp_path)
    for path in (named, unnamed):
        record = path.with_suffix(".json")
        record.rename(record.with_name(f".{record.name}.ppsdk-part"))
    unnamed.rename(unnamed.with_name(f".{unnamed.name}.ppsdk-part"))
    EventClips(tmp_path).close()
    assert [path for path, _ in made(tmp_path)] == [named] and nothing_else(tmp_path)


@posix
def test_a_folder_is_for_one_process(tmp_path):
    with EventClips(tmp_path):
        with pytest.raises(OSError, match="clips are being written there already"):
            EventClips(tmp_path)
    EventClips(tmp_path).close()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        EventClips(tmp_path / "file")


def test_a_silent_stream_is_not_waited_for(tmp_path, monkeypatch):
    """A camera that is lost behind an event; and one that went while nobody said how it ended."""
    monkeypatch.setattr("ppsdk.sinks.clips.clip._SILENT_S", 0.2)
    monkeypatch.setattr("ppsdk.sinks.clips.clip.LINGER_S", 0.2)
    with EventClips(tmp_path, options=options()) as clips:
        stream = clips.tap("door", film(60), live=True)
        for _ in range(60):
            next(stream)
        clips(told("end", 3.0, 5.0))
        wait_for(lambda: clips.counts().written == 1)
        play(clips, film(60), [(4.0, told("start", 3.0, 3.5, id="b", source="yard"))], name="yard")
        wait_for(lambda: clips.counts().written == 2)
        stream.close()
    (one, said), (other, _) = made(tmp_path)
    assert seen(one)[0] == seen(other)[0] == list(range(20, 60))
    assert said["missing_end_s"] == pytest.approx(1.1)


def test_so_many_are_written_at_once(tmp_path):
    """The others wait for their turn."""
    parts = []
    with EventClips(tmp_path, options=options(at_once=2)) as clips:
        for frame in clips.tap("door", film(100), live=False):
            if frame.pts_s == 4.0:
                for id in "abcde":
                    clips(told("start", 3.0, 3.5, id=id))
            parts.append(len(list(tmp_path.glob("door/.*.mp4.ppsdk-part"))))
            time.sleep(0.002)
        for id in "abcde":
            clips(told("end", 3.0, 5.0, id=id))
    assert 0 < max(parts) <= 2
    assert [seen(path)[0] for path, _ in made(tmp_path)] == [list(range(20, 71))] * 5


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


def test_clips_of_a_camera_have_its_clock(tmp_path):
    span = {"length_s": 0.8, "stride_s": 0.4}
    every = EventOptions(per_window=True, on_threshold=0.0)
    clips = EventClips(tmp_path, options=options(pre_s=0.2, post_s=0.2, fps=100))
    kept = []

    def tap(name, frames, *, live):
        for frame in clips.tap(name, frames, live=live):
            if not kept or frame.pts_s - kept[-1][1] > 0.01 - 1e-6:  # not what comes in a burst
                kept.append((read(frame.image).index, frame.pts_s))
            yield frame

    with clips, Recognizer(BUNDLED, num_threads=1) as recognizer, Camera("live") as camera:
        with recognizer.events(camera.url, **span, options=every, tap=tap) as events:
            records = []
            for each in events:
                clips(each)
                records.append(each)
                if len(records) == 2:
                    break
            wait_for(lambda: clips.counts().written == 2)
    for record, (path, said) in zip(records, made(tmp_path), strict=True):
        started = datetime.fromisoformat(record.start_time).astimezone(timezone.utc)
        assert path.name.startswith(started.strftime("%Y-%m-%d_%H-%M-%SZ_"))
        indices, times = seen(path)
        around = [
            (index, time_s)
            for index, time_s in kept
            if record.start_s - 0.2 <= time_s <= record.end_s + 0.2
        ]
        assert indices == [index for index, _ in around]
        assert times == pytest.approx([time_s - around[0][1] for _, time_s in around], abs=1e-4)
        assert said["missing_frames"] == said["missing_end_s"] == 0


def test_ppsdk_run_films_what_it_tells(tmp_path):
    """25 frames a second, of which every second one is kept."""
    command = ["run", SYNTH / "base_64.mp4", "--model", BUNDLED, "--per-window"]
    command += ["--on-threshold", 0, "--clips", tmp_path, "--statistics"]
    done = run(*command, "--clips-pre-s", 0, "--clips-post-s", 0.2, "--clips-overlay")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    films = {record["event"]["id"]: seen(path)[0] for path, record in made(tmp_path)}
    assert done.returncode == 0 and len(events) > 2 and nothing_else(tmp_path)
    assert films == {
        each["id"]: [i for i in range(0, 64, 2) if each["start_s"] <= i / 25 <= each["end_s"] + 0.2]
        for each in events
    }
    told = [json.loads(line) for line in done.stderr.splitlines() if line.startswith('{"sink"')]
    assert told[0]["clips"]["written"] == len(events)


def test_names_are_safe_everywhere():
    names = {
        "rtsp://camera.local/stream": "rtsp_camera.local_stream",
        "../../etc/passwd": "etc_passwd",
        "con": "_con",
        "Lager 2 (Tor)": "Lager_2_Tor",
        "视频": "视频",
        "..": "_",
        "/" + "long/" * 60 + "end.mp4": ("long_" * 20)[-73:] + "end.mp4",
    }
    assert {name: safe_name(name) for name in names} == names
    assert all(len(safe_name(name).encode()) <= 80 for name in names)


def test_options_are_checked():
    faults = {"pre_s": -1, "fps": 0, "jpeg_quality": 96, "budget_bytes": 0, "longest_s": 5.0}
    for name, value in faults.items():
        with pytest.raises(ValueError, match=f"{name} is {value}: must be"):
            ClipOptions(**{name: value})


def test_how_far_memory_has_to_reach_back():
    """Two lengths, two strides, 10 s; and what the detector waits for."""
    assert look_back_s(2.0, 0.5, EventOptions()) == 15.0
    chosen = EventOptions(
        on_threshold=0.5,
        merge_gap_s=1.0,
        smoothing="mean",
        smoothing_windows=4,
        per_class={"fall": {"min_duration_s": 3.0}},
    )
    assert look_back_s(2.0, 0.5, chosen) == 15.0 + 3.0 + 2.0


PAGE = """<script>
const video = document.createElement("video"), times = %s, told = [];
function look() {
  const canvas = document.createElement("canvas");
  canvas.width = video.videoWidth; canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  told.push(canvas.toDataURL().split(",")[1]);
  if (told.length < times.length) video.currentTime = times[told.length];
  else tell({seconds: video.duration, pictures: told});
}
function tell(what) { fetch("/told", {method: "POST", body: JSON.stringify(what)}); }
video.onerror = () => tell({error: video.error.message});
video.onseeked = look;
video.onloadeddata = () => { video.currentTime = times[0]; };
video.src = "data:video/mp4;base64,%s";
</script>"""


def shown_by_chromium(mp4, times, tmp_path):
    """What a page says that has the film: its length, and the pictures at some times."""
    page = PAGE % (json.dumps(times), base64.b64encode(mp4).decode())
    told = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def do_POST(self):
            told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *told):
            pass

    browser = shutil.which("chromium")
    if browser is None:
        pytest.skip("needs chromium")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu"]
        command += [f"--user-data-dir={tmp_path / 'profile'}"]
        process = subprocess.Popen(
            [*command, f"http://127.0.0.1:{server.server_port}/"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return told.get(timeout=60)
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # its helpers too
            process.wait()
            server.shutdown()


@pytest.mark.slow
@posix
def test_a_browser_plays_it(tmp_path):
    """At second 2.55 of the clip, which begins with frame 20, frame 45 is shown."""
    with EventClips(tmp_path, options=options()) as clips:
        play(clips, film(100, width=160, height=120), event(3.0, 5.0))
    ((path, _),) = made(tmp_path)
    told = shown_by_chromium(path.read_bytes(), [0.05, 2.55, 5.05], tmp_path)
    assert told["seconds"] == pytest.approx(5.1, abs=0.05), told
    images = [
        np.asarray(Image.open(BytesIO(base64.b64decode(png))).convert("RGB"))
        for png in told["pictures"]
    ]
    assert [read(image).index for image in images] == [20, 45, 70]
    for image in images:
        for right, cell in MARKS.items():
            assert np.abs(colour(image, cell) - right).max() < 20


@pytest.mark.slow
@posix
def test_a_real_disk_that_is_full(tmp_path):
    """Needs root: 4 MB of tmpfs, of which 20 kB are left."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    try:
        with EventClips(disk, options=options()) as clips:
            (disk / "film").write_bytes(b"x" * 4_160_000)
            noise = np.random.default_rng(1).integers(0, 256, (100, 120, 160, 3), np.uint8)
            noisy = [Frame(image, i / 10) for i, image in enumerate(noise)]
            play(clips, noisy, event(3.0, 5.0, id="lost"))
            wait_for(lambda: clips.counts().failed == 1)
            (disk / "film").unlink()
            play(clips, noisy, event(3.0, 5.0, id="kept"))
        assert [record["event"]["id"] for _, record in made(disk)] == ["kept"]
        assert nothing_else(disk) and clips.counts().written == 1
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
