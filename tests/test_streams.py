"""Several streams through one model: turns, changes while they run, and what is said."""

import itertools
import json
import socket
import subprocess
import sys
import threading
import time
from collections import Counter

import numpy as np
import pytest
from conftest import SYNTH
from short_streams import QUICK, SPAN, alone, no_readers_left, pictures, readers
from stallserver import Camera
from waiting import SOON_S, wait_for

from ppsdk import EventOptions, LiveOptions, StreamOptions, open_source


def by_name(streams):
    given = {}
    for window in streams:
        given.setdefault(window.name, []).append(window.scores)
    return given


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
            wait_for(lambda: abs(streams.statistics()[camera.url].frames - camera.sent) <= 5)
            fares = streams.statistics()
    assert given["file"] == len(told) and fares["file"].skipped == 0


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


class OneViewer(Camera):
    """A camera that hangs up on whoever comes while another one watches."""

    def __init__(self):
        super().__init__("live")
        self._viewer, self.refused = None, 0

    def _serve(self, connection):
        if self._viewer is not None and self._is_there(self._viewer):
            self.refused += 1
            connection.close()
            return
        self._viewer = connection
        super()._serve(connection)

    @staticmethod
    def _is_there(viewer):
        try:
            return viewer.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True  # has said nothing
        except OSError:
            return False


@pytest.mark.skipif(sys.platform == "win32", reason="its sockets cannot be looked at so")
def test_a_camera_for_one_viewer_is_let_go_before_it_is_opened_anew(recognizer):
    """As one for which a site's file gives another region is."""
    with OneViewer() as camera:
        with recognizer.streams([StreamOptions(camera.url, name="door")], **SPAN) as streams:
            assert next(streams).name == "door"
            cut = StreamOptions(camera.url, name="door", roi=(0, 0, 0.5, 1))
            streams.add(cut, replace=True)
            while streams.statistics()["door"].windows < 2:
                next(streams)
            assert streams.statistics()["door"].state == "running"
    assert camera.refused == 0 and len(camera.opened) == 2


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
            wait_for(lambda: len(readers()) == 1)  # the camera's
    assert no_readers_left()


@pytest.mark.parametrize("mode", ["never", "stall", "live"])
def test_closing_from_another_thread_waits_for_no_camera(recognizer, mode):
    options = LiveOptions(wait=True)
    with Camera(mode) as camera, Camera("never") as silent:
        streams = recognizer.streams([camera.url, silent.url], **SPAN, live=options)
        ended = threading.Event()

        def read():
            list(streams.events())
            ended.set()

        threading.Thread(target=read, daemon=True).start()
        wait_for(lambda: camera.opened and silent.opened)
        time.sleep(0.5)
        start_s = time.monotonic()
        streams.close()
        assert time.monotonic() - start_s < SOON_S and ended.wait(SOON_S)
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


@pytest.mark.parametrize("kind", [str, StreamOptions, open_source])
def test_one_source_in_place_of_a_list_is_refused(recognizer, kind):
    """The letters of a path would be streams, its digits cameras."""
    with pytest.raises(ValueError, match="base_64.mp4'.*: must be a list of sources"):
        recognizer.streams(kind(str(SYNTH / "base_64.mp4")))


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


CTRL_C = """
import json, os, signal, sys, threading, time
from ppsdk import LiveOptions, Recognizer
from ppsdk.demo.run import BUNDLED
signal.signal(signal.SIGINT, signal.default_int_handler)
camera, dead = sys.argv[1:]
told = []
with Recognizer(BUNDLED, num_threads=1) as recognizer:
    options = LiveOptions(wait=True)
    with recognizer.streams([camera, dead], length_s=0.8, stride_s=0.4, live=options) as streams:
        def interrupt():
            while streams.statistics()[camera].windows < 3:
                time.sleep(0.02)
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=interrupt, daemon=True).start()
        try:
            for event in streams.events():
                told.append(event)
        except KeyboardInterrupt:
            print(json.dumps([event.to_dict() for event in told]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_gives_what_is_open():
    """In a process of its own: a signal that comes too late would end all tests."""
    with Camera("live") as camera, Camera("never") as dead:
        command = [sys.executable, "-c", CTRL_C, camera.url, dead.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    last = json.loads(done.stdout)[-1]
    assert last["source"] == camera.url and last["end_s"] >= 1.5
