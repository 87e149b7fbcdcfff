"""Streams that cannot be opened, break or are lost: the others go on, and it is told."""

import itertools
import threading
import time
from contextlib import ExitStack

import pytest
from short_streams import QUICK, SPAN, pictures
from stallserver import Camera
from waiting import SOON_S, free_port, wait_for

from ppsdk import LiveOptions, StreamOptions, open_source
from ppsdk.sources.connection import Capture, Connection
from ppsdk.sources.live import LiveSource


def test_dead_sources_harm_no_other_and_are_reported(recognizer):
    statuses = []
    live = LiveOptions(open_timeout_s=3.0, read_timeout_s=3.0)
    with Camera("live") as living, Camera("never") as dead, Camera("flaky") as flaky:
        secret = dead.url.replace("http://", "http://me:secret@")
        sources = [living.url, secret, StreamOptions(flaky.url, name="door"), "missing.mp4"]
        with recognizer.streams(
            [*sources, StreamOptions(broken(), name="app")],
            **SPAN,
            live=live,
            on_status=statuses.append,
        ) as streams:
            given = []
            for window in streams:
                given.append(window)
                if streams.statistics()[dead.url].state == "failed":
                    break
            fares = streams.statistics()
    failed = {s.source: s.reason for s in statuses if s.kind == "failed"}
    assert failed == {
        dead.url: "cannot open (no answer for 3 s)",
        "missing.mp4": "no such file",
        "app": "the app's camera is gone",
    }
    assert {name: fare.error for name, fare in fares.items() if fare.state == "failed"} == failed
    door = [status.kind for status in statuses if status.source == "door"]
    assert door[:2] == ["lost", "restored"]
    # Of six in 3 s: if the dead camera held it up, there would be none.
    assert sum(window.name == living.url for window in given) >= 3
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
    options = LiveOptions(open_timeout_s=0.5, wait=True)
    with Camera("never") as dead, Camera("live") as living:
        with recognizer.streams(
            [dead.url, living.url], **SPAN, live=options, on_status=statuses.append
        ) as streams:
            first = list(itertools.islice(streams, 4))
    assert {window.name for window in first} == {living.url}
    assert [(status.kind, status.source) for status in statuses] == [("lost", dead.url)]


def take_events(stack, recognizer, camera, statuses, *, alone):
    """In a thread of its own; among other streams or by itself."""
    if alone:
        source = open_source(camera.url, on_status=statuses.append)
        events = stack.enter_context(recognizer.events(source, **SPAN))
    else:
        other = stack.enter_context(Camera("live"))
        streams = recognizer.streams([camera.url, other.url], **SPAN, on_status=statuses.append)
        events = stack.enter_context(streams).events()
    told = []

    def take():
        for event in events:
            told.append(event)

    threading.Thread(target=take, daemon=True).start()
    return told


@pytest.mark.parametrize("alone", [True, False])
def test_what_goes_on_when_a_camera_is_lost_ends_while_it_is_away(recognizer, alone):
    statuses = []
    with ExitStack() as stack:
        port = stack.enter_context(free_port())
        camera = Camera("live", port=port)
        first = stack.enter_context(ExitStack())
        first.enter_context(camera)
        told = take_events(stack, recognizer, camera, statuses, alone=alone)

        def of_camera():
            return [event for event in told if event.source == camera.url]

        wait_for(lambda: of_camera() and camera.sent > 25)
        first.close()
        wait_for(lambda: of_camera()[-1].phase == "end")
        (lost,) = [status for status in statuses if status.source == camera.url]
        end = of_camera()[-1]
        assert (lost.kind, end.ended_by) == ("lost", "gap")
        assert end.end_s <= lost.at_s <= end.decided_s <= lost.at_s + SOON_S
        stack.enter_context(Camera("live", port=port))
        count = len(of_camera())
        wait_for(lambda: len(of_camera()) > count)
        start = of_camera()[count]
        restored = next(status for status in statuses if status.kind == "restored")
        assert start.phase == "start" and start.start_s >= restored.at_s
    ids = [event.id for event in of_camera() if event.phase == "end"]
    assert len(ids) == len(set(ids)), "once"


def test_so_it_is_when_a_driver_does_not_come_back_from_a_read(recognizer):
    hang, told = threading.Event(), []
    options = LiveOptions(read_timeout_s=0.5)
    source = LiveSource("camera 0", lambda: Hanging(hang), options=options)
    with recognizer.events(source, **SPAN) as events:
        for event in events:
            told.append(event)
            if event.phase == "end":
                break
    hang.set()
    # The driver comes back after 30 s.
    assert told[-1].ended_by == "gap" and told[-1].end_s < told[-1].decided_s < 20


class Hanging(Connection):
    """1.2 s of frames, and a driver that does not come back from the next read."""

    def __init__(self, hang):
        self._hang = hang

    def captures(self):
        for frame in pictures(13, moving_from=0):
            yield Capture(lambda frame=frame: frame.image, "112x112", int(10 * frame.pts_s), 0)
            time.sleep(0.1)
        self._hang.wait(30)

    def close(self):
        pass
