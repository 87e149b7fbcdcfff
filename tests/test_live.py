"""Cameras that stall, hang up, freeze, change and come back: what the consumer sees of it."""

import contextlib
import itertools
import signal
import subprocess
import sys
import threading
import time

import barcode
import cv2
import numpy as np
import pytest
from conftest import HERE, SYNTH
from stallserver import Camera
from waiting import SOON_S, free_port, wait_for

from ppsdk import VideoError, open_source
from ppsdk.sources import LiveOptions
from ppsdk.sources.backoff import LONGEST_S, SHORTEST_S, Backoff
from ppsdk.sources.camera import CaptureConnection
from ppsdk.sources.clocks import CaptureClock, RisingClock
from ppsdk.sources.connection import Capture, Connection
from ppsdk.sources.live import LiveSource
from ppsdk.sources.reader import Reader

QUICK = LiveOptions(open_timeout_s=1.0, read_timeout_s=1.0, frozen_s=0.5)


def index_of(frame):
    return barcode.read(frame.image).index


def kinds(statuses):
    return [status.kind for status in statuses]


def test_a_camera_that_hangs_up_is_opened_again():
    statuses = []
    with Camera("flaky") as camera:
        with open_source(camera.url, on_status=statuses.append) as source:
            frames = list(itertools.islice(source, 35))
    indices = [index_of(frame) for frame in frames]
    assert indices == sorted(set(indices)) and indices[-1] >= 34
    # One pair an interruption, each of which begins another run. The source reads ahead of what is
    # taken of it, so that it may know of another one.
    pairs = frames[-1].run
    statuses = statuses[: 2 * pairs]
    assert kinds(statuses) == ["lost", "restored"] * pairs and pairs >= 3
    assert [frame.run for frame in frames] == [index // 10 for index in indices]
    first = [next(frame.pts_s for frame in frames if frame.run == run) for run in range(pairs + 1)]
    lost, restored = [s.at_s for s in statuses[::2]], [s.at_s for s in statuses[1::2]]
    assert all(a < b <= c for a, b, c in zip(lost, restored, first[1:], strict=True))
    assert (np.diff([frame.pts_s for frame in frames]) > 0).all()
    assert (np.diff(camera.opened) > SHORTEST_S - 0.02).all()


def test_a_camera_that_goes_silent_is_lost_after_the_time_out_and_opened_again():
    statuses = []
    with Camera("stall") as camera:
        with open_source(camera.url, live=QUICK, on_status=statuses.append) as source:
            frames = list(itertools.islice(source, 15))
    assert kinds(statuses) == ["lost", "restored"]
    assert "no answer for 1 s" in statuses[0].reason or "no picture" in statuses[0].reason
    gap_s = next(b.pts_s - a.pts_s for a, b in itertools.pairwise(frames) if b.run > a.run)
    assert 1.0 <= gap_s < SOON_S


class RtspServer:
    """A real RTSP server, GStreamer's, run by the system's own Python; at the same port again."""

    def __init__(self, port):
        self._port, self._process = str(port), None

    def start(self):
        command = ["/usr/bin/python3", HERE / "rtsp_server.py", SYNTH / "long_gop_300.mp4"]
        self._process = subprocess.Popen(
            [*command, self._port], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        return self._process.stdout.readline().strip()

    def kill(self):
        with self._process:
            self._process.kill()


@pytest.fixture
def rtsp_server():
    with free_port() as port:
        server = RtspServer(port)
        try:
            url = server.start()
        except OSError:
            url = ""
        try:
            if not url:
                pytest.skip("needs GStreamer's RTSP server: see tests/rtsp_server.py")
            yield server, url
        finally:
            server.kill()


def test_an_rtsp_camera_plays_is_killed_and_comes_back(rtsp_server):
    server, url = rtsp_server
    statuses = []
    secret = url.replace("rtsp://", "rtsp://me:secret@")
    with open_source(secret, on_status=statuses.append) as source:
        frames = iter(source)
        first = list(itertools.islice(frames, 40))
        indices = [index_of(frame) for frame in first]
        assert source.live and source.started_at is not None and source.name == url
        # More may be dropped while the test looks.
        assert indices == sorted(set(indices)) and 39 <= indices[-1] <= 39 + source.counters.dropped
        server.kill()
        threading.Timer(1.5, server.start).start()
        again = next(frame for frame in frames if frame.run)
    assert again.pts_s > first[-1].pts_s + 1.5 and index_of(again) < 20
    assert kinds(statuses) == ["lost", "restored"] and "secret" not in str(statuses)


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_camera_that_never_answers_is_an_error_in_time(scheme):
    start = time.monotonic()
    with Camera("never") as camera:
        url = camera.url.replace("http://", f"{scheme}://me:secret@")
        with pytest.raises(VideoError, match="cannot open .no answer for 1 s") as caught:
            open_source(url, live=QUICK)
    assert time.monotonic() - start < SOON_S and "secret" not in str(caught.value)


def test_a_camera_that_is_not_there_is_waited_for():
    statuses = []
    options = LiveOptions(wait=True)
    with free_port() as port, open_source(
        f"http://127.0.0.1:{port}/camera.mjpg", live=options, on_status=statuses.append
    ) as source:
        frames = iter(source)
        threading.Timer(1.5, lambda: cameras.enter_context(Camera("live", port=port))).start()
        with contextlib.ExitStack() as cameras:
            assert next(frames).pts_s == 0
            # The camera ends before the source is closed: that it is lost then is another matter.
            opens, statuses = source.counters.opens, list(statuses)
    assert kinds(statuses) == ["lost", "restored"] and "cannot open" in statuses[0].reason
    assert statuses[0].at_s == 0 and 2 <= opens <= 8


def test_waiting_costs_little_of_the_processor():
    options = LiveOptions(wait=True)
    with open_source("http://127.0.0.1:9/x", live=options) as source:
        threading.Thread(target=lambda: list(source), daemon=True).start()
        before = time.process_time()
        time.sleep(2)
        assert time.process_time() - before < 0.4
        assert source.counters.opens <= 10


@pytest.mark.parametrize("mode", ["never", "stall", "live"])
def test_closing_waits_for_no_camera_whatever_is_being_read(mode):
    options = LiveOptions(wait=True)
    with Camera(mode) as camera:
        source = open_source(camera.url, live=options)
        ended = threading.Event()

        def read():
            list(source)
            ended.set()

        threading.Thread(target=read, daemon=True).start()
        time.sleep(1)
        start = time.monotonic()
        source.close()
        assert time.monotonic() - start < SOON_S
        assert ended.wait(SOON_S)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("mode", ["never", "stall"])
def test_ctrl_c_ends_a_program_that_waits_for_a_camera(mode):
    program = (
        "import sys\n"
        "from ppsdk import open_source\n"
        "from ppsdk.sources import LiveOptions\n"
        "with open_source(sys.argv[1], live=LiveOptions(wait=True)) as source:\n"
        "    print('open', flush=True)\n"
        "    for frame in source:\n"
        "        pass\n"
    )
    with Camera(mode) as camera:
        process = subprocess.Popen(
            [sys.executable, "-c", program, camera.url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "open\n"
        time.sleep(1)
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert time.monotonic() - start < SOON_S and errors.strip().endswith("KeyboardInterrupt")


def test_a_picture_that_stands_still_is_reported_once_and_so_is_its_end():
    statuses = []
    options = LiveOptions(frozen_s=0.5)
    with Camera("black") as camera:
        with open_source(camera.url, live=options, on_status=statuses.append) as source:
            for frame in source:
                if frame.pts_s > 2 and statuses:
                    break
            assert kinds(statuses) == ["frozen"] and 0.8 <= statuses[0].at_s <= frame.pts_s
            assert source.status is statuses[0]


def test_a_slow_consumer_gets_the_newest_frames_and_the_others_are_counted():
    with Camera("live") as camera, open_source(camera.url, live=QUICK) as source:
        seen = []
        for frame in source:
            seen.append((index_of(frame), camera.sent))
            time.sleep(0.4)
            if len(seen) == 6:
                break
        counted = source.counters
        assert counted.frames - counted.dropped - len(seen) <= 5
    # The four that may wait, and what was sent while the test looked. A busy machine may hold up
    # one of them.
    assert np.median([sent - index for index, sent in seen]) <= 10
    assert counted.dropped > 20


def test_other_sizes_and_garbage_are_reported_and_survived():
    statuses = []
    with Camera("live") as camera:
        with open_source(camera.url, live=QUICK, on_status=statuses.append) as source:
            shapes = set()
            due = ["resize", "garbage"]
            for frame in source:
                shapes.add(frame.image.shape)
                if due and frame.pts_s > 0.7 * (3 - len(due)):
                    camera.inject(due.pop(0))
                if "changed" in kinds(statuses) and {"damaged", "lost"} & {*kinds(statuses)}:
                    break
    assert statuses[0].kind == "changed"
    assert "160x120" in statuses[0].reason and "320x240" in statuses[0].reason
    assert shapes == {(120, 160, 3)}, "as large as the first one, for whoever iterates"
    assert set(kinds(statuses)) & {"damaged", "lost"}


def test_delays_double_up_to_a_bound_and_start_again_after_a_good_connection():
    now = [0.0]
    backoff = Backoff(clock=lambda: now[0])
    delays = []
    for _ in range(12):
        backoff.try_now()
        delays.append(backoff.next_delay_s())
        now[0] += delays[-1]
    for n, delay in enumerate(delays):
        full = min(LONGEST_S, SHORTEST_S * 2**n)
        assert full <= delay <= min(LONGEST_S, 1.5 * full)
    backoff.lived(LONGEST_S - 1)
    assert backoff.next_delay_s() > 5
    backoff.lived(LONGEST_S)
    for _ in range(5):
        assert SHORTEST_S <= backoff.next_delay_s() <= 1.5 * SHORTEST_S
        backoff.lived(1.6 * SHORTEST_S)  # longer than it was waited for


def test_capture_times_do_not_follow_the_wall_clock():
    now, wall = [100.0], [5000.0]
    clock = CaptureClock(monotonic=lambda: now[0], wall=lambda: wall[0])
    assert clock.started_at is None and clock.now() == 0
    assert clock.capture() == (0, 0)
    assert clock.started_at.timestamp() == 5000
    now[0], wall[0] = 102.0, 5002.0
    assert clock.capture() == (2, 0)
    now[0], wall[0] = 103.0, 4003.0  # set back by 1000 s
    assert clock.capture() == (3, -1000)
    assert clock.started_at.timestamp() == 4000
    again, stepped = clock.capture()  # the same instant
    assert again > 3 and stepped == 0


def test_file_times_rise_over_disorder_and_jumps_by_hand():
    clock = RisingClock(0.04)
    stamps = [5.0, 5.04, 5.02, 5.12, None, 65.0, 1.0, 1.04]
    times, jumps = [], []
    for stamp in stamps:
        times.append(clock.time_of(stamp))
        jumps.append(clock.jumped_back_s)
    # .08 stands for 5.02, which is too early; 1.0 comes a frame after 60.0, and 1.04 after that.
    assert times == pytest.approx([0, 0.04, 0.08, 0.12, 0.16, 60, 60.04, 60.08])
    assert jumps == pytest.approx([0, 0, 0, 0, 0, 0, 64, 0])


def test_a_local_camera_is_read_in_rgb_and_lost_after_failed_reads():
    """OpenCV reads a file as it reads a camera; at its end, reads fail."""
    options = LiveOptions(read_timeout_s=0.3)

    def connect():
        capture = cv2.VideoCapture(str(SYNTH / "base_64.mp4"), cv2.CAP_FFMPEG)
        return CaptureConnection("camera 0", capture, options)

    statuses = []
    source = LiveSource("camera 0", connect, options=options, on_status=statuses.append)
    with source:
        frames = list(itertools.islice(source.frames(), 70))
    codes = [barcode.read(frame.image) for frame in frames]
    assert [code.index for code in codes] == [*range(64), *range(6)]
    assert {(code.turned, code.order) for code in codes} == {(0, "RGB")}
    assert kinds(statuses) == ["lost", "restored"]
    assert "reads in a row gave no picture" in statuses[0].reason


def test_a_reader_keeps_to_its_capacity_and_hands_errors_on():
    made = []

    def numbers():
        for i in range(6):
            made.append(i)
            yield i
        raise VideoError("lost")

    with Reader(numbers(), capacity=2) as reader:
        wait_for(lambda: len(made) >= 3)
        time.sleep(0.1)
        assert made == [0, 1, 2] and reader.waiting == 2, "the third waits to be taken"
        assert reader.take() == [0, 1]
        assert [next(reader) for _ in range(4)] == [2, 3, 4, 5]
        with pytest.raises(VideoError, match="lost"):
            next(reader)
        assert reader.ended and list(reader) == []


def test_several_readers_can_be_waited_for_at_once():
    ready = threading.Condition()
    gates = [threading.Event() for _ in range(3)]

    def after(gate, number):
        gate.wait()
        yield number

    readers = [Reader(after(g, i), capacity=1, ready=ready) for i, g in enumerate(gates)]
    for i in (2, 0, 1):
        gates[i].set()
        with ready:
            assert ready.wait_for(lambda: any(one.waiting for one in readers), timeout=60)
        (came,) = [one for one in readers if one.waiting]
        assert came.take() == [i]
        readers.remove(came)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), "10", 1e6])
def test_time_outs_are_seconds(value):
    with pytest.raises(ValueError, match="read_timeout_s is .*: must be more than 0 seconds"):
        LiveOptions(read_timeout_s=value)


class Hanging(Connection):
    """A camera whose driver does not come back from a read, whatever time-outs there are."""

    def __init__(self, hang, count):
        self._hang, self._count = hang, count

    def captures(self):
        for i in range(self._count):
            yield Capture(lambda i=i: barcode.make_frame(i, 64, 48), "64x48", i, 0)
        self._hang.wait(30)

    def close(self):
        pass


def test_a_driver_that_never_comes_back_is_noticed_and_does_not_hold_up_closing():
    hang, statuses = threading.Event(), []
    options = LiveOptions(read_timeout_s=0.5)
    source = LiveSource(
        "camera 0", lambda: Hanging(hang, 3), options=options, on_status=statuses.append
    )
    frames = iter(source)
    assert [index_of(next(frames)) for _ in range(3)] == [0, 1, 2]
    threading.Timer(2.0, source.close).start()
    start = time.monotonic()
    assert list(frames) == [] and 1.5 < time.monotonic() - start < 20
    assert kinds(statuses) == ["lost"] and "no picture for" in statuses[0].reason
    hang.set()


def test_who_is_told_of_a_loss_holds_up_nobody():
    """A handler that takes its time, in the thread that reads."""
    telling, go_on = threading.Event(), threading.Event()

    def slow(status):
        telling.set()
        go_on.wait(30)

    with Camera("close") as camera:
        with open_source(camera.url, live=QUICK, on_status=slow) as source:
            reader = Reader(source.frames(), capacity=50, keep_waiting=source.keep_waiting)
            assert telling.wait(SOON_S)
            start = time.monotonic()
            while time.monotonic() - start < 2.5:  # longer than a camera may be silent
                assert source.keep_waiting() and source.lost_until_s is not None
                time.sleep(0.05)
            source.close()
            assert time.monotonic() - start < 5
            go_on.set()
            reader.close()


def test_a_first_connection_that_takes_long_is_no_silence():
    """The camera answers after two seconds; one that is open may be silent for a half."""
    statuses = []

    def connect():
        time.sleep(2.0)
        return Hanging(hang, 3)

    hang = threading.Event()
    options = LiveOptions(open_timeout_s=20.0, read_timeout_s=0.5, wait=True)
    source = LiveSource("camera 0", connect, options=options, on_status=statuses.append)
    with source:
        assert index_of(next(iter(source))) == 0 and statuses == []
    hang.set()


def test_a_driver_that_never_gives_a_picture_is_an_error():
    hang = threading.Event()
    options = LiveOptions(read_timeout_s=0.5)
    with LiveSource("camera 0", lambda: Hanging(hang, 0), options=options) as source:
        with pytest.raises(VideoError, match="camera 0: opens but delivers no frame .no picture"):
            next(iter(source))
    hang.set()
