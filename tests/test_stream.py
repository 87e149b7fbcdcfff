"""From sources to windows: recordings, pictures, real time, and cameras that are lost."""

import itertools
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import barcode
import numpy as np
import pytest
from conftest import SYNTH
from PIL import Image
from short_streams import clips_of
from stallserver import Camera
from waiting import SOON_S

from ppsdk import EventOptions, Frame, LiveOptions, Recognizer, VideoError, open_source
from ppsdk.stream import window_clips
from ppsdk.thinning import WindowGrid

QUICK = LiveOptions(open_timeout_s=2.0, read_timeout_s=2.0)


def write_ts(path, indices, size=(160, 120)):
    """An MPEG-TS recording; its times begin at 1.4 s, as FFmpeg writes them."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg2video", rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.bit_rate = 4_000_000
        for i in indices:
            image = barcode.make_frame(i, *size)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())
    return path


def test_a_recording_whose_clock_starts_again_is_cut_anew_there(tmp_path):
    """Two recordings joined, the second of another size: 3 s, then 2 s from the same start."""
    joined = tmp_path / "joined.ts"
    parts = [write_ts(tmp_path / "a.ts", range(75))]
    parts.append(write_ts(tmp_path / "b.ts", range(100, 150), size=(320, 240)))
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    statuses = []
    source = open_source(joined, on_status=statuses.append)
    clips = list(clips_of(source, 1.0, 1.0, 4))
    assert {status.kind for status in statuses} == {"jump", "changed"}
    jump = next(status for status in statuses if status.kind == "jump")
    assert jump.at_s == pytest.approx(3.0, abs=0.09) and "goes back by" in jump.reason
    change = next(status for status in statuses if status.kind == "changed")
    assert "160x120" in change.reason and "320x240" in change.reason
    for clip in clips:
        # A decoder may drop or repeat a frame at the change; no window has both parts.
        indices = [barcode.read(image).index for image in clip.images]
        assert indices == sorted(indices) and (max(indices) < 100 or min(indices) >= 100)
        assert clip.end_s > clip.start_s
    assert max(clip.end_s for clip in clips) == pytest.approx(5.0, abs=0.1)


def test_an_apps_clock_that_is_set_back():
    """At 10 frames/s, an hour back after 2 s, and later a minute forward."""
    times = [*np.arange(20) / 10 + 3600, *np.arange(20) / 10, *np.arange(20) / 10 + 62]
    frames = [Frame(barcode.make_frame(i, 64, 48), t) for i, t in enumerate(times)]
    statuses = []
    source = open_source(frames, on_status=statuses.append)
    spans = [(clip.start_s, clip.end_s) for clip in clips_of(source, 1.0, 1.0, 4)]
    at = [0, 1, 2, 3, 64, 65]
    assert spans == [(pytest.approx(s), pytest.approx(s + 1)) for s in at]
    assert [(status.kind, status.at_s) for status in statuses] == [
        ("jump", pytest.approx(2.0)),
        ("gap", pytest.approx(64.0)),
    ]
    assert statuses[1].to_dict()["status"] == "gap" and "60.1 s" in statuses[1].reason


@pytest.mark.parametrize(("live", "repeated"), [(True, 0), (False, 20)])
def test_a_camera_of_a_frame_a_segment_repeats_none(live, repeated):
    """At 10 frames/s, in segments of 0.1 s, every other frame 12 ms early. A file's times are
    those of its frames: none is moved for more than their rounding.
    """
    times = np.arange(41) / 10 - np.arange(41) % 2 * 0.012
    source = open_source([Frame(np.zeros((8, 8, 3), np.uint8), t) for t in times])
    source.live = live
    clips = list(clips_of(source, 0.8, 0.8))
    assert sum(clip.repeated for clip in clips) == repeated
    if live:
        indices = np.concatenate([clip.frame_indices for clip in clips])
        assert indices.tolist() == list(range(40))


@pytest.mark.parametrize("times", [[0.0, 0.1, 0.35], [*np.arange(10) / 10, 1.05, 1.3]])
def test_segments_that_repeat_a_frame_are_counted_of_the_last_window_too(times):
    source = open_source([Frame(np.zeros((8, 8, 3), np.uint8), t) for t in times])
    clips = list(clips_of(source, 0.8, 0.8))
    assert source.counters.repeated == sum(clip.repeated for clip in clips) > 0
    assert clips[-1].partial and clips[-1].repeated


def test_pictures_of_16_bits_keep_their_contrast(tmp_path):
    """Thermal and depth cameras write them; they were white."""
    ramp = np.tile(np.arange(0, 65536, 1024, dtype=np.uint16), (8, 1))
    Image.fromarray(ramp).save(tmp_path / "0.png")
    with open_source(tmp_path) as source:
        (frame,) = source
    assert frame.image.shape == (8, 64, 3)
    assert frame.image[0, :, 1].tolist() == [value >> 8 for value in ramp[0].tolist()]
    Image.fromarray(ramp.astype(np.float32)).save(tmp_path / "0.tif")
    (tmp_path / "0.png").unlink()
    with pytest.raises(VideoError, match="0.tif: has pixels of 32 bits: must be of 8 or 16"):
        with open_source(tmp_path) as source:
            [frame.image for frame in source]


@pytest.mark.parametrize("source", ["camera", "file"])
def test_closing_from_another_thread_ends_all_that_goes_on(recognizer, source):
    """Whoever takes the events has an end of each; the second of several was lost."""
    options = EventOptions(on_threshold=0.0, independent=True)
    told = []
    with Camera("live") as camera:
        given = camera.url if source == "camera" else SYNTH / "long_3000.mp4"
        with recognizer.events(given, length_s=0.8, stride_s=0.4, options=options) as events:
            for event in events:
                told.append(event)
                if len(told) == len(recognizer.labels):
                    closer = threading.Thread(target=events.close)
                    closer.start()
                    closer.join()
    phases = {phase: [e.label for e in told if e.phase == phase] for phase in ("start", "end")}
    assert sorted(phases["start"]) == sorted(phases["end"]) == sorted(recognizer.labels)


def test_a_camera_that_is_closed_before_its_first_window_gives_none(recognizer):
    """A window of what had come was made up, as if it were whole."""
    with Camera("live") as camera, recognizer.windows(camera.url, length_s=60.0) as windows:
        closer = threading.Timer(1.0, windows.close)
        closer.start()
        assert [window for window in windows if not window.partial] == []
        closer.join()


def test_a_folder_of_pictures(tmp_path):
    for i in range(12):
        Image.fromarray(barcode.make_frame(i, 64, 48)).save(tmp_path / f"a{i}.png")
    source = open_source(tmp_path, fps=4)
    frames = list(source)
    assert [barcode.read(frame.image).index for frame in frames] == list(range(12))
    assert [frame.pts_s for frame in frames] == [i / 4 for i in range(12)]
    spans = [(c.start_s, c.end_s, c.partial) for c in clips_of(source, 2.0, 1.0, 4)]
    assert spans == [(0, 2, False), (1, 3, False)]
    (tmp_path / "a5.png").write_bytes(b"none")
    with pytest.raises(VideoError, match="a5.png: cannot read the picture"):
        list(clips_of(open_source(tmp_path, fps=4), 2.0, 1.0, 16))
    shutil.copy(SYNTH / "base_64.mp4", tmp_path)
    with pytest.raises(VideoError, match="nor a folder of pictures .holds base_64.mp4"):
        open_source(tmp_path)


def test_in_real_time_no_frame_comes_before_its_time():
    start = time.monotonic()
    with open_source(SYNTH / "vfr_10_then_50.mp4", realtime=True) as source:
        for frame in itertools.islice(source, 20):
            assert time.monotonic() - start >= frame.pts_s
        assert frame.pts_s > 1.8 and not source.live and source.counters.frames >= 20
    start = time.monotonic()
    source = open_source(SYNTH / "long_3000.mp4", realtime=True)
    clips = clips_of(source, 0.5, 0.5)
    next(clips)
    assert time.monotonic() - start >= 0.5
    source.close()
    list(clips)
    assert time.monotonic() - start < 60  # of 120 s


def test_the_windows_of_a_camera_are_new_however_slow_the_model():
    with Camera("live") as camera, open_source(camera.url, live=QUICK) as source:
        behind, starts = [], []
        for clip in clips_of(source, 1.28, 0.16):
            behind.append(camera.sent - barcode.read(clip.images[-1]).index)
            starts.append(clip.start_s)
            time.sleep(0.5)
            if clip.start_s > 2.5:
                break
        counted = source.counters
    # A busy machine may hold up one of them.
    assert np.median(behind) <= 10
    assert np.diff(starts).min() > 0.15 and np.median(np.diff(starts)) > 0.3
    assert counted.skipped >= 4 and counted.kept > 16 and counted.dropped == 0


def test_no_window_spans_an_interruption():
    statuses, clips = [], []
    with Camera("live") as camera:
        with open_source(camera.url, live=QUICK, on_status=statuses.append) as source:
            for clip in clips_of(source, 0.8, 0.2, 4):
                clips.append(clip)
                if len(clips) == 3:
                    camera.inject("close")
                if len(clips) == 5:
                    camera.inject("stall")
                if len(clips) == 8:
                    break
    statuses = [status for status in statuses if status.kind != "gap"]  # of a busy machine
    assert [status.kind for status in statuses] == ["lost", "restored"] * 2
    for lost, restored in zip(statuses[::2], statuses[1::2], strict=True):
        assert any(clip.start_s >= restored.at_s - 1e-6 for clip in clips)
        for clip in clips:
            assert clip.pts_s[-1] <= lost.at_s or clip.pts_s[0] >= restored.at_s - 1e-6
    for clip in clips:
        assert (np.diff([barcode.read(image).index for image in clip.images]) >= 0).all()


def warm_up(recognizer):
    """The first stream compiles the model in parts, which is not what `close` waits for."""
    next(recognizer.windows(SYNTH / "base_64.mp4"))


def test_a_stream_can_be_closed_by_another_thread_while_it_waits(small_dir):
    with Camera("stall") as camera, Recognizer(small_dir) as recognizer:
        warm_up(recognizer)
        windows = recognizer.windows(open_source(camera.url), length_s=5)
        ended = threading.Event()

        def take_all():
            list(windows)
            ended.set()

        threading.Thread(target=take_all, daemon=True).start()
        time.sleep(0.7)
        start = time.monotonic()
        windows.close()
        assert ended.wait(SOON_S) and time.monotonic() - start < SOON_S


def test_closing_ends_a_files_windows_in_another_thread(small_dir):
    with Recognizer(small_dir) as recognizer:
        warm_up(recognizer)
        windows = recognizer.windows(SYNTH / "long_3000.mp4", stride_s=0.125)
        seen = []
        thread = threading.Thread(target=lambda: seen.extend(windows), daemon=True)
        thread.start()
        time.sleep(0.5)
        windows.close()
        thread.join(60)
    assert not thread.is_alive() and len(seen) < 900


def test_an_apps_own_frames_are_taken_in_its_own_thread():
    """They may come from a window, or a database, that no other thread may touch."""
    threads = set()

    def frames():
        for i in range(20):
            threads.add(threading.current_thread())
            yield barcode.make_frame(i, 64, 48)

    assert len(list(clips_of(open_source(frames(), fps=10), 1.0, 1.0))) == 2
    assert threads == {threading.current_thread()}


def test_only_kept_frames_are_converted():
    source = open_source(SYNTH / "base_64.mp4")
    frames = list(source.frames())
    grid = WindowGrid.from_seconds(1.28, 1.28, 4)

    class Same(type(source)):
        def frames(self):
            yield from frames

    list(window_clips(Same(SYNTH / "base_64.mp4"), grid, lambda image: image))
    converted = [frame for frame in frames if "not yet" not in repr(frame)]
    assert len(converted) == 8


@pytest.mark.slow
def test_an_hour_of_1080p_takes_little_memory(tmp_path):
    """Four seconds of it, over and over."""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs /proc: a process's own peak memory")
    part, long = tmp_path / "part.mp4", tmp_path / "long.mp4"
    write_1080p(part)
    repeat_packets(part, long, times=900, length_s=4)
    program = (
        "import re, sys\n"
        "from ppsdk import Recognizer, open_source\n"
        "from ppsdk.demo.run import BUNDLED\n"
        "source = open_source(sys.argv[1])\n"
        "windows = list(Recognizer(BUNDLED).windows(source, length_s=10, stride_s=5))\n"
        # Its own peak: what getrusage tells begins with that of the process it was forked from.
        "peak_kb = re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read()).group(1)\n"
        "print(len(windows), source.counters.frames, source.counters.kept, int(peak_kb) / 1024)\n"
    )
    command = [sys.executable, "-c", program, str(long)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    windows, frames, kept, peak_mb = done.stdout.split()
    assert (int(windows), int(frames), int(kept)) == (719, 90_000, 2880)
    assert float(peak_mb) < 400


def write_1080p(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        stream.options = {"preset": "ultrafast", "g": "50", "bf": "0", "crf": "35"}
        for i in range(100):
            image = barcode.make_frame(i, 1920, 1080)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode())


def repeat_packets(part, long, *, times, length_s):
    with av.open(str(long), "w") as out:
        copy = None
        for turn in range(times):
            with av.open(str(part)) as container:
                stream = container.streams.video[0]
                copy = copy or out.add_stream_from_template(stream)
                for packet in container.demux(stream):
                    if packet.size:
                        packet.pts += turn * round(length_s / stream.time_base)
                        packet.dts += turn * round(length_s / stream.time_base)
                        packet.stream = copy
                        out.mux(packet)


@pytest.mark.slow
def test_thinning_a_stream_costs_no_accuracy(shared, tmp_path):
    """A window as long as a labelled clip holds the very frames that centre sampling takes; where
    the clip begins elsewhere in a segment of a running stream, as many are right, or nearly.
    """
    from converters.convert import ConvertOptions, convert
    from ppsdk.manifest import read_manifest

    weights = shared / "weights"
    folder = tmp_path / "model"
    convert(weights / "ut_interaction_16f.pdparams", folder, ConvertOptions(weights / "labels.txt"))
    with Recognizer(folder) as recognizer:
        manifest = shared / "data" / "ut_interaction" / "manifest.csv"
        right = shifted_right = centre_right = 0
        clips = read_manifest(manifest, split="test", labels=recognizer.labels)
        for clip in clips:
            centre = recognizer.classify(clip.path)
            span = {"length_s": centre.end_s, "stride_s": centre.end_s}
            window = next(recognizer.windows(clip.path, **span))
            assert window.frame_indices.tolist() == centre.frame_indices.tolist()
            assert np.array_equal(window.logits, centre.logits)
            frames = list(open_source(clip.path))
            before_s = centre.end_s / 32  # half a segment
            first = [Frame(frames[0].image, 0.0)]
            moved = [Frame(frame.image, frame.pts_s + before_s) for frame in frames]
            shifted = next(recognizer.windows(first + moved, **span))
            centre_right += centre.label == clip.label
            right += window.label == clip.label
            shifted_right += shifted.label == clip.label
    assert (len(clips), right) == (36, centre_right)
    assert abs(shifted_right - centre_right) <= 3
