"""One upright, RGB, zero-based stream from every kind of source."""

import gc
import itertools
import os
import shutil
import subprocess
import sys
import time
from datetime import datetime, timezone

import barcode
import numpy as np
import pytest
from conftest import SYNTH
from stallserver import Camera

from ppsdk import Frame, LiveOptions, VideoError, open_source
from ppsdk.sources import source_name
from ppsdk.sources.credentials import without_credentials
from ppsdk.sources.upright import upright


def test_a_file_gives_every_frame_with_its_time():
    with open_source(SYNTH / "vfr_10_then_50.mp4") as source:
        frames = list(source)
    assert [barcode.read(frame.image).index for frame in frames] == list(range(80))
    assert frames[0].pts_s == 0
    assert frames[40].pts_s == pytest.approx(3.2, abs=1e-6)
    assert not source.live and source.started_at is None


@pytest.mark.parametrize("decoder", ["auto", "pyav", "decord", "opencv"])
@pytest.mark.parametrize("name", ["rot90.mp4", "rot270.mp4", "starts_at_2s.mp4", "hevc.mp4"])
def test_every_decoder_gives_the_same_stream(name, decoder):
    if decoder == "decord":
        pytest.importorskip("decord")
    frames = list(open_source(str(SYNTH / name), decoder=decoder))
    told = list(open_source(SYNTH / name))
    codes = [barcode.read(frame.image) for frame in frames]
    assert [code.index for code in codes] == list(range(len(told)))
    assert {(code.turned, code.mirrored, code.order) for code in codes} == {(0, False, "RGB")}
    assert [f.pts_s for f in frames] == pytest.approx([f.pts_s for f in told], abs=2e-3)


@pytest.mark.parametrize("mirror", [1, -1])
@pytest.mark.parametrize("turns", range(4))
def test_upright_undoes_each_quarter_turn_and_flip(turns, mirror):
    """FFmpeg's matrix maps the stored picture to the display; x to the right, y down."""
    shown = barcode.make_frame(5)
    a, b = [(1, 0), (0, 1), (-1, 0), (0, -1)][turns]  # a turn clockwise takes x to y
    matrix = (mirror * a, mirror * b, -b, a)
    stored = np.rot90(shown, turns)[:, ::mirror]
    assert np.array_equal(upright(stored, tuple(65536 * m for m in matrix)), shown)


def test_sources_can_be_read_twice_and_closed_early():
    source = open_source(SYNTH / "base_64.mp4")
    first = [frame.pts_s for frame in itertools.islice(source, 5)]
    assert first == [frame.pts_s for frame in itertools.islice(source, 5)]
    source.close()


def test_arrays_follow_each_other_at_fps():
    images = [barcode.make_frame(i, 64, 48) for i in range(4)]
    assert [f.pts_s for f in open_source(iter(images), fps=10)] == pytest.approx([0, 0.1, 0.2, 0.3])
    assert [f.pts_s for f in open_source(np.stack(images))] == [0, 1, 2, 3]
    stamped = [Frame(image, 7 + i**2) for i, image in enumerate(images)]
    assert [f.pts_s for f in open_source(stamped)] == [0, 1, 4, 9]


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        ([], "empty"),
        ([np.zeros((4, 4), np.uint8)], r"must be uint8 \(H, W, 3\) RGB"),
        ([np.zeros((4, 4, 3), np.float32)], r"must be uint8 \(H, W, 3\) RGB"),
        ([Frame(np.zeros((4, 4, 3), np.uint8), 1.0)] * 2, "times must rise"),
    ],
)
def test_frames_that_are_none_are_refused(frames, says):
    with pytest.raises(VideoError, match=says):
        list(open_source(frames))


@pytest.mark.parametrize(
    ("ref", "says"),
    [
        ("nothing.mp4", "nothing.mp4: no such file"),
        (SYNTH, "not a file"),
        ("", "'': no such file"),
        (97, "camera 97: cannot open"),
        ("97", "camera 97: cannot open"),
        ("http://127.0.0.1:9/x", "http://127.0.0.1:9/x: cannot open"),
        ("rtsp://me:secret@127.0.0.1:9/x", "rtsp://127.0.0.1:9/x: cannot open"),
        ("foo://me:secret@127.0.0.1/x", "foo://127.0.0.1/x: must begin with rtsp://"),
        (3.5, "source is float"),
        (None, "source is NoneType"),
    ],
)
def test_a_source_that_cannot_be_opened_says_why_in_one_line(ref, says):
    with pytest.raises(VideoError, match=says) as caught:
        open_source(ref)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="file names of any bytes")
def test_a_name_that_is_no_utf_8_can_be_written_to_a_log(tmp_path):
    file = os.fsdecode(os.fsencode(tmp_path) + b"/film\xfc.mp4")
    shutil.copy(SYNTH / "base_64.mp4", file)
    with open_source(file) as source:
        assert source.name == source_name(file) == f"{tmp_path}/film\ufffd.mp4"
        assert next(iter(source)).pts_s == 0


def test_a_file_without_a_byte_is_told_as_such(tmp_path):
    (tmp_path / "x.mp4").touch()
    with pytest.raises(VideoError, match="x.mp4: is empty, 0 bytes"):
        open_source(tmp_path / "x.mp4")


def test_an_http_camera_is_live_and_timed_by_the_clock():
    before = datetime.now(timezone.utc)
    with Camera("live") as camera, open_source(camera.url) as source:
        frames = list(itertools.islice(source, 30))
        assert source.live and before <= source.started_at <= datetime.now(timezone.utc)
    codes = [barcode.read(frame.image) for frame in frames]
    indices = [code.index for code in codes]
    assert indices == sorted(set(indices)) and indices[-1] == 29 + source.counters.dropped
    assert {(code.turned, code.order) for code in codes} == {(0, "RGB")}
    assert frames[0].pts_s == 0 and frames[-1].pts_s < 5


def test_an_http_server_with_a_file_is_no_camera(tmp_path):
    import functools
    import http.server
    import threading

    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=SYNTH)
    handler.func.log_message = lambda *arguments: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/vfr_10_then_50.mp4"
        with open_source(url) as source:
            frames = list(source)
        assert not source.live and source.started_at is None
        with pytest.raises(VideoError, match="404"):
            open_source(url + ".gone")
        # Whoever takes the frames is slow, not the server.
        with open_source(url, live=LiveOptions(read_timeout_s=1.0)) as slow:
            later = slow.frames()
            next(later)
            time.sleep(1.2)
            assert len(list(later)) == 79
        server.shutdown()
    assert [barcode.read(frame.image).index for frame in frames] == list(range(80))
    assert frames[40].pts_s == pytest.approx(3.2, abs=1e-6)


def test_credentials_are_taken_out_of_urls():
    assert without_credentials("rtsp://u:p@10.0.0.1/a@b") == "rtsp://10.0.0.1/a@b"
    assert without_credentials("http://host/a@b") == "http://host/a@b"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_files_can_be_read_in_a_forked_process():
    """decord hangs there once it has been used in the parent; the default reader does not."""
    program = (
        "import gc, os, sys\n"
        "from ppsdk import sample_clip\n"
        "for _ in range(10):\n"
        "    sample_clip(sys.argv[1])\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        sample_clip(sys.argv[1])\n"
        "        gc.collect()\n"
        "        os._exit(7)\n"
        "    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, str(SYNTH / "base_64.mp4")],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.stdout.split() == ["7"] * 10, done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts threads in /proc")
def test_reading_leaves_no_threads_behind():
    """A thread that outlives its reading is joined, for ever, by a child forked later."""

    def threads():
        return len(os.listdir("/proc/self/task"))

    list(open_source(SYNTH / "base_64.mp4"))
    before = threads()
    gc.disable()
    try:
        for name in ("base_64.mp4", "rot90.mp4", "corrupt_middle.mp4", "hevc.mp4"):
            list(open_source(SYNTH / name))
            next(iter(open_source(SYNTH / name)))
        assert threads() <= before
    finally:
        gc.enable()


def test_a_change_of_size_keeps_the_first_size(tmp_path):
    """Two MPEG-TS recordings joined, as a camera that changes its mode would write them."""
    av = pytest.importorskip("av")
    joined = tmp_path / "joined.ts"
    with joined.open("wb") as out:
        for part, (width, height) in enumerate([(160, 120), (320, 240)]):
            path = tmp_path / f"{part}.ts"
            with av.open(str(path), "w") as container:
                stream = container.add_stream("mpeg2video", rate=25)
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                stream.bit_rate = 4_000_000
                for i in range(12):
                    image = barcode.make_frame(12 * part + i, width, height)
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
                container.mux(stream.encode())
            out.write(path.read_bytes())
    frames = list(open_source(joined))
    indices = [barcode.read(frame.image).index for frame in frames]
    # The decoder drops one frame at the change; none is out of order or of another size.
    assert indices == sorted(set(indices)) and len(indices) >= 23 and indices[-1] == 23
    assert {frame.image.shape for frame in frames} == {(120, 160, 3)}
    assert (np.diff([frame.pts_s for frame in frames]) > 0).all()


@pytest.mark.parametrize("ref", [-1, -5, "99999999999999999999", True])
def test_indices_that_no_camera_has(ref):
    """OpenCV crashes the interpreter on a negative one."""
    with pytest.raises(VideoError, match="must be an index from 0 to 99"):
        open_source(ref)


def test_a_camera_can_be_closed_while_it_is_read():
    """By the reading thread, by another one, and before a further read: it just ends."""
    import threading

    with Camera("live", fps=100) as camera:
        source = open_source(camera.url)
        frames = iter(source)
        next(frames)
        source.close()
        assert len(list(frames)) <= 1 and list(source) == []

        source = open_source(camera.url)
        threading.Timer(0.3, source.close).start()
        start = time.monotonic()
        count = sum(1 for _ in source)
        assert count > 5 and time.monotonic() - start < 60

        with open_source(camera.url) as source:
            next(iter(source))
            with pytest.raises(VideoError, match="has been read: open it again"):
                next(iter(source))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("rtsp://admin:p@ssw0rd@10.0.0.1/s", "rtsp://10.0.0.1/s"),
        ("rtsp://admin:pa/ss@10.0.0.1:554/s", "rtsp://10.0.0.1:554/s"),
        (
            "rtsp://10.0.0.1:554/user=admin&password=x/1",
            "rtsp://10.0.0.1:554/user=***&password=***/1",
        ),
        ("http://h/a.mp4?token=x&n=1", "http://h/a.mp4?token=***&n=1"),
        ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
        ("http://10.0.0.1:80/a@b", "http://10.0.0.1:80/a@b"),
        ("rtsp://admin:2024#cam@10.0.0.5/stream", "rtsp://10.0.0.5/stream"),
        ("rtsp://admin:123/456@cam/stream", "rtsp://cam/stream"),
        ("rtsp://a.dot:12#3@cam/stream", "rtsp://cam/stream"),
        ("http://nvr:8080/cam@1", "http://nvr:8080/cam@1"),
        ("http://nvr:1984/api/stream?src=cam@hd", "http://nvr:1984/api/stream?src=cam@hd"),
        ("rtsp://cam/stream?user=admin&password=pa#ss1", "rtsp://cam/stream?user=***&password=***"),
        ("rtsp://10.0.0.1:554/user=me_password=ab?cd_1.sdp", "rtsp://10.0.0.1:554/user=***"),
        ("http://cam/v?token=ab/cd+EF==&n=1", "http://cam/v?token=***&n=1"),
        ("http://cam/user=a/pwd=b/v?key=c/d", "http://cam/user=***/pwd=***/v?key=***"),
    ],
)
def test_secrets_of_all_shapes_are_taken_out_of_urls(url, told):
    assert without_credentials(url) == told


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "http://host/" + "x" * 5000])
def test_names_that_no_file_can_have(name):
    with pytest.raises(VideoError, match="cannot open|no such file") as caught:
        open_source(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fps", [0, -5, float("nan"), "25"])
def test_fps_is_a_number_above_0(fps):
    with pytest.raises(ValueError, match="fps is .* must be a number above 0"):
        open_source(SYNTH / "base_64.mp4", fps=fps)


def test_arrays_may_share_a_buffer():
    buffer = np.zeros((48, 64, 3), np.uint8)

    def refilled():
        for i in range(3):
            buffer[:] = i
            yield buffer

    assert [frame.image[0, 0, 0] for frame in list(open_source(refilled()))] == [0, 1, 2]


def test_a_long_last_gap_does_not_stretch_a_file():
    from ppsdk.sources.protocol import FrameTimes

    times = FrameTimes.from_pts([10.0, 10.04, 10.08, 70.0])
    assert times.pts_s.tolist() == pytest.approx([0, 0.04, 0.08, 60])
    assert times.end_s == pytest.approx(60.04)
