"""Clips of events: each has its own, and nothing harms the stream."""

import json
import threading
import time
from datetime import datetime, timezone

import pytest
from barcode import read
from conftest import SYNTH
from event_films import event, film, made, nothing_else, options, play, seen, told
from stallserver import Camera
from test_cli import run
from waiting import wait_for

from ppsdk import EventOptions, Recognizer
from ppsdk.demo.run import BUNDLED
from ppsdk.sinks.clips import EventClips
from ppsdk.sinks.clips.folder import ClipFolder


def test_events_that_overlap_have_a_clip_each(tmp_path):
    records = event(3.0, 6.0, id="a") + event(4.0, 8.0, id="b", label="run")
    with EventClips(tmp_path, options=options()) as clips:
        play(clips, film(120), records)
    indices = {path.stem.split("_")[1]: seen(path)[0] for path, _ in made(tmp_path)}
    assert indices == {"fall": list(range(20, 81)), "run": list(range(30, 101))}


def test_an_event_of_one_record_has_a_clip(tmp_path):
    """As with one event a window; and when the stream has ended."""
    records = [(6.0, told("end", 3.0, 5.0)), (99.0, told("end", 8.0, 9.0, id="b", label="run"))]
    with EventClips(tmp_path, options=options()) as clips:
        play(clips, film(100), records)
    indices = {path.stem.split("_")[1]: seen(path)[0] for path, _ in made(tmp_path)}
    assert indices == {"fall": list(range(20, 71)), "run": list(range(70, 100))}


def test_a_stream_that_comes_again_starts_anew(tmp_path):
    with EventClips(tmp_path, options=options()) as clips:
        play(clips, film(100), event(3.0, 5.0, id="a"))
        play(clips, film(100, first=500), event(3.0, 5.0, id="b"))
    assert [seen(path)[0][0] for path, _ in made(tmp_path)] == [20, 520]


def test_an_event_without_a_stream_has_no_clip(tmp_path):
    with EventClips(tmp_path, options=options()) as clips:
        play(clips, film(10))
        with pytest.raises(ValueError, match="yard: no clip of 'fall': no such stream has a tap"):
            clips(told("start", 1.0, 2.0, source="yard"))
    with pytest.raises(ValueError, match="closed"):
        clips(told("start", 1.0, 2.0, source="door"))


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
                wait_for(lambda: list(tmp_path.glob("door/.*.mp4.ppsdk-part")))
            parts.append(len(list(tmp_path.glob("door/.*.mp4.ppsdk-part"))))
            time.sleep(0.002)
        for id in "abcde":
            clips(told("end", 3.0, 5.0, id=id))
    assert 0 < max(parts) <= 2
    assert [seen(path)[0] for path, _ in made(tmp_path)] == [list(range(20, 71))] * 5


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
    assert busy.wait(60)
    play(clips, film(60), [(5.0, told("end", 3.0, 4.0))])
    wait_for(lambda: clips.counts().written == 1)
    busy.clear()
    clips.change(options())
    assert busy.wait(60)
    closing = threading.Thread(target=clips.close)
    closing.start()
    closing.join(30)
    assert not closing.is_alive()


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
