"""Several streams through one model: turns, faults, changes while they run, and what is said."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import numpy as np
import pytest
from conftest import SYNTH
from stallserver import Camera

from ppsdk import EventOptions, Frame, LiveOptions, Recognizer, StreamOptions, open_source
from ppsdk.demo.run import BUNDLED
from ppsdk.overload import OverloadWatch, OverloadWatches
from ppsdk.statistics import StreamMeter
from ppsdk.status import StreamCounters

QUICK = LiveOptions(open_timeout_s=1.0, read_timeout_s=1.0)
SPAN = {"length_s": 0.8, "stride_s": 0.4}  # 8 segments of 0.1 s, 4 of them between windows


@pytest.fixture(scope="module")
def recognizer():
    with Recognizer(BUNDLED, num_threads=1) as recognizer:
        yield recognizer


def pictures(count, *, moving_from=None, fps=10.0):
    """Grey with noise of one level; from a frame on, a square of 16 x 16 in 112 x 112 moves."""
    rng = np.random.default_rng(3)
    for i in range(count):
        image = rng.integers(100, 102, (112, 112, 3)).astype(np.uint8)
        if moving_from is not None and i >= moving_from:
            x = 4 * (i - moving_from) % 90
            image[40:56, x : x + 16] = 220
        yield Frame(image, i / fps)


def alone(recognizer, source, **options):
    return list(recognizer.windows(source, **SPAN, **options))


def by_name(streams):
    given = {}
    for window in streams:
        given.setdefault(window.name, []).append(window.scores)
    return given


def readers():
    return [thread for thread in threading.enumerate() if thread.name == "ppsdk reader"]


def no_readers_left():
    deadline_s = time.monotonic() + 5
    while readers() and time.monotonic() < deadline_s:
        time.sleep(0.05)
    return not readers()


def test_each_stream_has_the_windows_that_it_has_alone(recognizer):
    names = ["base_64.mp4", "vfr_10_then_50.mp4", "rot90.mp4"]
    roi = (0.0, 0.0, 0.5, 1.0)
    told = {name: alone(recognizer, SYNTH / name) for name in names}
    told["left half"] = alone(recognizer, SYNTH / "base_64.mp4", roi=roi)
    told["app"] = alone(recognizer, list(pictures(40, moving_from=0)))
    sources = [StreamOptions(SYNTH / name, name=name) for name in names]
    sources.append(StreamOptions(SYNTH / "base_64.mp4", name="left half", roi=roi))
    sources.append(StreamOptions(pictures(40, moving_from=0), name="app"))
    with recognizer.streams(sources, **SPAN) as streams:
        given = by_name(streams)
        fares = streams.statistics()
    assert set(given) == set(told) == set(fares)
    for name, windows in told.items():
        assert len(windows) == len(given[name]) >= 2
        for one, other in zip(windows, given[name], strict=True):
            assert (one.start_s, one.end_s, one.partial) == (
                other.start_s,
                other.end_s,
                other.partial,
            )
            assert one.frame_indices.tolist() == other.frame_indices.tolist()
            assert np.abs(one.logits - other.logits).max() <= 1e-5
        fare = fares[name]
        assert (fare.state, fare.windows, fare.skipped) == ("ended", len(windows), 0)
        assert 0 < fare.latency_p50_ms <= fare.latency_p95_ms
    # 64 frames of 0.04 s in segments of 0.1 s, the last one of which is not full.
    assert (fares["base_64.mp4"].frames, fares["base_64.mp4"].kept) == (64, 26)
    assert fares["base_64.mp4"].lag_s == 0, "its last frame is in the last window"
    differ = np.abs(told["left half"][0].logits - told["base_64.mp4"][0].logits).max()
    assert differ > 0.01, "the region matters"


def test_a_stream_may_have_a_window_of_its_own(recognizer):
    """The second one takes its length from all, the third its stride."""
    video = SYNTH / "base_64.mp4"
    spans = [(0.8, 0.4), (0.8, 0.2), (1.6, 0.4)]
    told = [list(recognizer.windows(video, length_s=l_s, stride_s=s_s)) for l_s, s_s in spans]
    sources = [
        StreamOptions(video, name="0"),
        StreamOptions(video, name="1", stride_s=0.2),
        StreamOptions(video, name="2", length_s=1.6),
    ]
    with recognizer.streams(sources, **SPAN) as streams:
        given = by_name(streams)
    for name, windows in enumerate(told):
        assert [w.start_s for w in given[str(name)]] == [w.start_s for w in windows]
        for one, other in zip(windows, given[str(name)], strict=True):
            assert np.abs(one.logits - other.logits).max() <= 1e-5
    # Of 2.56 s: 5, 9 and 3 whole ones, and one that is more than half full.
    assert [len(windows) for windows in told] == [6, 10, 4]


def test_a_stream_may_have_event_options_of_its_own(recognizer):
    """One window, one event: so many in one, and none in the other, which nothing can start."""
    video = SYNTH / "base_64.mp4"
    windows = alone(recognizer, video)
    sources = [
        StreamOptions(video, name="all", events=EventOptions(per_window=True)),
        StreamOptions(video, name="none"),
    ]
    with recognizer.streams(sources, **SPAN) as streams:
        told = list(streams.events(options=EventOptions(on_threshold=1.0)))
        with pytest.raises(ValueError, match="'dance': not among the labels"):
            streams.add(StreamOptions(video, events=EventOptions(background=["dance"])))
    assert [event.source for event in told] == ["all"] * len(windows)


def test_what_a_polygon_leaves_out_is_the_mean_colour(recognizer):
    """A short side of 128 is not scaled. The polygon has the columns up to 80 of 160."""
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (16, 128, 160, 3)).astype(np.uint8)
    painted = images.copy()
    painted[:, :, 80:] = (124, 116, 104)  # 255 * (0.485, 0.456, 0.406)
    left_half = [(0, 0), (0.5, 0), (0.5, 1), (0, 1)]
    sources = [
        StreamOptions(list(images), name="whole", fps=10),
        StreamOptions(list(images), name="left", fps=10, polygon=left_half),
        StreamOptions(list(painted), name="painted", fps=10),
        # The same again, of a picture that is cut first: points stay those of the whole one.
        StreamOptions(list(images), name="cut", fps=10, roi=(0, 0, 0.8, 1), polygon=left_half),
        StreamOptions(list(painted), name="cut painted", fps=10, roi=(0, 0, 0.8, 1)),
        StreamOptions(list(images), name="corner", fps=10, polygon=[(0, 0), (0.06, 0), (0, 0.06)]),
    ]
    with recognizer.streams(sources, **SPAN) as streams:
        given = by_name(streams)
        error = streams.statistics()["corner"].error
    pairs = (("left", "painted"), ("cut", "cut painted"), ("left", "whole"), ("left", "cut"))
    differ = [np.abs(given[one][0].logits - given[other][0].logits).max() for one, other in pairs]
    assert max(differ[:2]) <= 1e-5 and min(differ[2:]) > 0.01
    assert error == "the polygon shows nothing of what the network sees of 160 x 128"


def test_events_are_those_of_each_stream_alone(recognizer):
    names = ["base_64.mp4", "vfr_10_then_50.mp4"]

    def facts_of(events):
        return [(e.source, e.label, e.start_s, e.end_s, e.score) for e in events]

    told = [facts_of(recognizer.events(str(SYNTH / name), **SPAN)) for name in names]
    with recognizer.streams([str(SYNTH / name) for name in names], **SPAN) as streams:
        events = facts_of(streams.events())
    for one, name in zip(told, names, strict=True):
        assert [e[:4] for e in events if e[0].endswith(name)] == [e[:4] for e in one]
    assert len(events) == sum(map(len, told))


def test_under_overload_cameras_get_the_newest_windows_in_even_turns_and_it_is_said_once(
    recognizer,
):
    """The app takes 0.1 s for a window; four cameras have ten a second each."""
    statuses, counts, behind = [], Counter(), []
    with contextlib.ExitStack() as stack:
        cameras = [stack.enter_context(Camera("live")) for _ in range(4)]
        of_url = {camera.url: camera for camera in cameras}
        streams = stack.enter_context(
            recognizer.streams(
                of_url, length_s=0.8, stride_s=0.1, live=QUICK, on_status=statuses.append
            )
        )
        while {fare.state for fare in streams.statistics().values()} != {"running"}:
            next(streams)
        for window in itertools.islice(streams, 65):
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
        streams = stack.enter_context(recognizer.streams(sources, length_s=0.8, live=QUICK))
        while {fare.state for fare in streams.statistics().values()} != {"running"}:
            next(streams)
        for window in itertools.islice(streams, 65):
            counts[window.name] += 1
            time.sleep(0.1)
        assert streams.overloads == 1
    assert len(counts) == 4 and max(counts.values()) - min(counts.values()) <= 2


def test_files_wait_for_their_turn_beside_a_camera(recognizer):
    told = alone(recognizer, SYNTH / "base_64.mp4")
    with Camera("live") as camera:
        sources = [StreamOptions(SYNTH / "base_64.mp4", name="file"), camera.url]
        with recognizer.streams(sources, **SPAN, live=QUICK) as streams:
            given = Counter()
            for window in streams:
                given[window.name] += 1
                time.sleep(0.2)
                if given[camera.url] == 5 and given["file"] >= len(told):
                    break
            fares = streams.statistics()
            assert abs(fares[camera.url].frames - camera.sent) <= 5
    assert given["file"] == len(told) and fares["file"].skipped == 0


def test_dead_sources_harm_no_other_and_are_reported(recognizer):
    statuses = []
    with Camera("live") as living, Camera("never") as dead, Camera("flaky") as flaky:
        secret = dead.url.replace("http://", "http://me:secret@")
        sources = [living.url, secret, StreamOptions(flaky.url, name="door"), "missing.mp4"]
        with recognizer.streams(
            [*sources, StreamOptions(broken(), name="app")],
            **SPAN,
            live=QUICK,
            on_status=statuses.append,
        ) as streams:
            given = []
            for window in streams:
                given.append(window)
                if window.name == living.url and window.scores.start_s >= 2.8:
                    break
            fares = streams.statistics()
    failed = {s.source: s.reason for s in statuses if s.kind == "failed"}
    assert failed == {
        dead.url: "cannot open (no answer for 1 s)",
        "missing.mp4": "no such file",
        "app": "the app's camera is gone",
    }
    assert {name: fare.error for name, fare in fares.items() if fare.state == "failed"} == failed
    door = [status.kind for status in statuses if status.source == "door"]
    assert door[:2] == ["lost", "restored"]
    # Of 8: if the others held it up, there would be two less for the dead camera alone.
    assert sum(window.name == living.url for window in given) >= 7
    assert sum(window.name == "app" for window in given) == 2, "of what came before the error"
    assert "secret" not in str(statuses) + str(fares)


def broken():
    """1.3 s of an app's frames, whose last two tenths it never completes."""
    yield from pictures(14, moving_from=0)
    raise RuntimeError("the app's camera is gone")


def test_statuses_have_the_name_of_the_stream(caplog):
    """Those that are told, and those that are logged."""
    statuses = []
    with Camera("flaky") as camera:
        with StreamOptions(camera.url, name="door").open(QUICK, statuses.append) as source:
            for _ in source:
                if "restored" in [status.kind for status in statuses]:
                    break
    assert {status.source for status in statuses} == {"door"}
    assert {record.source for record in caplog.records if "status" in vars(record)} == {"door"}


def test_a_camera_that_is_waited_for_holds_up_nobody(recognizer):
    statuses = []
    options = LiveOptions(open_timeout_s=0.5, read_timeout_s=0.5, wait=True)
    with Camera("never") as dead, Camera("live") as living:
        with recognizer.streams(
            [dead.url, living.url], **SPAN, live=options, on_status=statuses.append
        ) as streams:
            first = list(itertools.islice(streams, 4))
    assert {window.name for window in first} == {living.url}
    assert [(status.kind, status.source) for status in statuses] == [("lost", dead.url)]


def test_streams_come_and_go_while_others_run(recognizer):
    with Camera("live") as one, Camera("live") as other:
        with recognizer.streams([one.url], **SPAN, live=QUICK) as streams:
            events = streams.events()
            threading.Thread(target=change, args=(streams, one, other), daemon=True).start()
            told = list(events)
    spans = {event.source: (event.start_s, event.end_s) for event in reversed(told)}
    assert set(spans) == {one.url, other.url}, "what is open when a stream goes is given"
    assert not streams.statistics() and no_readers_left()


@pytest.mark.slow
def test_a_stream_is_replaced_without_an_end_of_them_all(recognizer):
    """What is open of the one before ends, and its place is never empty."""
    with Camera("live") as one, Camera("live") as other:
        first = StreamOptions(one.url, name="door")
        with recognizer.streams([first], **SPAN, live=QUICK) as streams:

            def replace():
                while streams.statistics()["door"].windows < 3:
                    time.sleep(0.02)
                with pytest.raises(ValueError, match="two streams are called 'door'"):
                    streams.add(first)
                streams.add(StreamOptions(other.url, name="door"), replace=True)
                while streams.statistics()["door"].windows < 3:
                    time.sleep(0.02)
                streams.remove("door")

            threading.Thread(target=replace, daemon=True).start()
            told = list(streams.events())
    ends = [event for event in told if event.phase == "end" and event.ended_by == "end"]
    assert len(ends) == 2 and ends[0].start_time < ends[1].start_time
    assert len(one.opened) == len(other.opened) == 1 and no_readers_left()


def change(streams, one, other):
    def wait_for(name):
        while streams.statistics()[name].windows < 3:
            time.sleep(0.02)

    wait_for(one.url)
    streams.add(other.url)
    wait_for(other.url)
    streams.remove(one.url)
    wait_for(other.url)
    streams.remove(other.url)


def test_adding_and_removing_streams_leaves_no_thread_behind(recognizer):
    long = SYNTH / "long_3000.mp4"
    with Camera("live") as camera:
        with recognizer.streams([camera.url], **SPAN, live=QUICK) as streams:
            for i in range(50):
                name = streams.add(StreamOptions(long, name=f"file {i}"))
                if i % 10 == 0:
                    assert any(window.name == name for window in itertools.islice(streams, 30))
                streams.remove(name)
            assert set(streams.statistics()) == {camera.url}
            assert len(list(itertools.islice(streams, 2))) == 2
            deadline_s = time.monotonic() + 5
            while len(readers()) > 1 and time.monotonic() < deadline_s:
                time.sleep(0.05)
            assert len(readers()) == 1, "the camera's"
    assert no_readers_left()


@pytest.mark.parametrize("mode", ["never", "stall", "live"])
def test_closing_from_another_thread_ends_it_within_a_second(recognizer, mode):
    options = LiveOptions(wait=True)
    with Camera(mode) as camera, Camera("never") as silent:
        streams = recognizer.streams([camera.url, silent.url], **SPAN, live=options)
        ended = threading.Event()

        def read():
            list(streams.events())
            ended.set()

        threading.Thread(target=read, daemon=True).start()
        time.sleep(1)
        start_s = time.monotonic()
        streams.close()
        assert time.monotonic() - start_s < 1 and ended.wait(1)
        assert list(streams) == []
        with pytest.raises(ValueError, match="the streams are closed"):
            streams.add("a.mp4")


def test_a_source_that_the_app_closes_ends_by_itself(recognizer):
    with Camera("live") as camera:
        source = open_source(camera.url, live=QUICK)
        with recognizer.streams([source], **SPAN) as streams:
            assert next(streams).name == camera.url
            threading.Timer(0.5, source.close).start()
            list(streams)
            assert streams.statistics()[camera.url].state == "ended"


def test_a_still_scene_costs_nothing(recognizer):
    told = alone(recognizer, list(pictures(60)))
    still = StreamOptions(pictures(60), name="still")
    with recognizer.streams([still], **SPAN, still_below=8) as streams:
        assert list(streams) == []
        fare = streams.statistics()["still"]
    assert (fare.windows, fare.still, fare.frames) == (0, len(told), 60)


def test_a_start_after_stillness_is_seen_as_early_as_without_a_gate(recognizer):
    """One frame a segment; the square is there from frame 30 on. Window k has the frames 4k to
    4k + 7: those from 6 on, which begins with frame 24, have some of it.
    """
    told = alone(recognizer, list(pictures(60, moving_from=30)))
    source = StreamOptions(pictures(60, moving_from=30), name="app")
    with recognizer.streams([source], **SPAN, still_below=8) as streams:
        given = [window.scores for window in streams]
        fare = streams.statistics()["app"]
    assert given[0].frame_indices.tolist() == list(range(24, 32))
    assert fare.still == 6 and len(given) == len(told) - 6
    for one, other in zip(told[6:], given, strict=True):
        assert one.start_s == other.start_s
        assert np.abs(one.logits - other.logits).max() <= 1e-5


def test_what_contradicts_itself_is_refused(recognizer):
    video = SYNTH / "base_64.mp4"
    with pytest.raises(ValueError, match="two streams are called .*base_64.mp4'"):
        recognizer.streams([video, str(video)])
    with pytest.raises(ValueError, match="still_below is 300: must be more than 0 grey levels"):
        recognizer.streams([video], still_below=300)
    with pytest.raises(ValueError, match="roi is"):
        StreamOptions(video, roi=(0, 0, 2, 1))
    with recognizer.streams([StreamOptions(video, name="a"), 97]) as streams:
        with pytest.raises(ValueError, match="no stream 'b': there are a, camera 97"):
            streams.remove("b")
    assert no_readers_left()


def test_a_stream_that_has_ended_gives_way_to_another_of_its_name(recognizer):
    video = SYNTH / "base_64.mp4"
    with Camera("live") as camera:
        with recognizer.streams([camera.url, "missing.mp4"], **SPAN, live=QUICK) as streams:
            next(streams)
            assert streams.statistics()["missing.mp4"].state == "failed"
            streams.add(StreamOptions(video, name="missing.mp4"))
            assert any(window.name == "missing.mp4" for window in itertools.islice(streams, 20))


def test_rates_are_of_the_last_ten_seconds_and_latencies_percentiles():
    now = [0.0]
    meter = StreamMeter(clock=lambda: now[0])
    counters = StreamCounters()
    for second in range(1, 41):
        now[0] = float(second)
        counters.frames += 10 if second <= 20 else 25
        meter.note_frames(counters.frames)
    for i in range(1, 101):
        meter.note_window(latency_s=i / 1000, lag_s=0.3)
    told = meter.statistics("a", "running", counters, None)
    assert told.frames_per_s == 25 and told.windows == 100 and told.lag_s == 0.3
    assert told.latency_p50_ms == pytest.approx(50.5)
    assert told.latency_p95_ms == pytest.approx(95.05)
    assert told.latency_counts == (10, 15, 25, 50, 0, 0, 0, 0, 0, 0, 0)
    assert told.latency_sum_s == pytest.approx(5.05)
    assert json.loads(json.dumps(told.to_dict()))["frames"] == 20 * 10 + 20 * 25


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


def run(*arguments):
    command = [sys.executable, "-m", "ppsdk", "run", "--model", BUNDLED, *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True)


def test_run_with_several_sources(recognizer):
    video = str(SYNTH / "base_64.mp4")
    roi = (0.0, 0.0, 0.5, 1.0)
    told = [
        e.label for e in recognizer.events(video, roi=roi, options=EventOptions(per_window=True))
    ]
    done = run(video, "missing.mp4", "--per-window", "--statistics", "--roi", video, *roi)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["label"] for event in events] == told
    assert {event["source"] for event in events} == {video}
    error, *fares = done.stderr.splitlines()
    assert done.returncode == 1 and error == "ERROR: missing.mp4: failed: no such file"
    states = {fare["name"]: fare["state"] for fare in map(json.loads, fares)}
    assert states == {video: "ended", "missing.mp4": "failed"}


def test_a_region_for_a_source_that_is_not_there_is_refused():
    done = run("a.mp4", "b.mp4", "--roi", "c.mp4", 0, 0, 1, 1)
    assert done.returncode == 2 and "must be one of the sources" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_gives_what_is_open(recognizer):
    told = []
    with Camera("live") as camera, Camera("never") as dead:
        options = LiveOptions(wait=True)
        with recognizer.streams([camera.url, dead.url], **SPAN, live=options) as streams:

            def interrupt():
                while streams.statistics()[camera.url].windows < 3:
                    time.sleep(0.02)
                os.kill(os.getpid(), signal.SIGINT)

            threading.Thread(target=interrupt, daemon=True).start()
            with pytest.raises(KeyboardInterrupt):
                for event in streams.events():
                    told.append(event)
    assert told[-1].source == camera.url and told[-1].end_s >= 1.5


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_ends_a_run_of_several():
    with Camera("live") as camera, Camera("never") as dead:
        command = [sys.executable, "-m", "ppsdk", "run", camera.url, dead.url, "--wait"]
        process = subprocess.Popen(
            [*command, "--model", str(BUNDLED)], stdout=-1, stderr=-1, text=True
        )
        while camera.sent < 30 or not dead.opened:
            time.sleep(0.05)
        start_s = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == 130 and "Traceback" not in errors
    assert time.monotonic() - start_s < 3
