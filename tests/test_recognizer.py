"""The line as a whole: files, arrays, streams, events."""

import itertools
import threading
import time

import barcode
import numpy as np
import pytest
from conftest import SYNTH
from short_streams import no_readers_left
from stallserver import Camera
from waiting import SOON_S

from ppsdk import EventOptions, Frame, Recognizer, VideoError, open_source
from ppsdk.preprocess import crop_for_model


@pytest.fixture(scope="module")
def recognizer(small_dir):
    with Recognizer(small_dir, num_threads=1) as opened:
        yield opened


def test_classify_is_sampling_then_preprocessing_then_the_network(recognizer):
    seen = recognizer.classify(SYNTH / "base_64.mp4")
    frames = list(open_source(SYNTH / "base_64.mp4"))
    # 8 segments of 8 frames, centres at 4, 12, ...
    crops = np.stack([crop_for_model(frames[8 * i + 4].image) for i in range(8)])
    assert seen.frame_indices.tolist() == [8 * i + 4 for i in range(8)]
    assert np.array_equal(seen.logits, recognizer.logits(crops))
    assert (seen.start_s, seen.end_s, seen.labels) == (0, pytest.approx(2.56), recognizer.labels)


@pytest.mark.parametrize("sampling", ["full", "paddlevideo"])
def test_frames_are_classified_as_their_file_is(recognizer, sampling):
    path = SYNTH / "ntsc_2997.mp4"
    told = recognizer.classify(path, sampling=sampling)
    frames = list(open_source(path))
    images = [frame.image for frame in frames]
    for given in (frames, iter(frames), images, np.stack(images), (image for image in images)):
        seen = recognizer.classify(given, sampling=sampling)
        assert seen.frame_indices.tolist() == told.frame_indices.tolist()
        assert np.array_equal(seen.logits, told.logits)


def test_roi_is_what_a_cropped_video_gives(recognizer):
    images = [frame.image for frame in open_source(SYNTH / "base_64.mp4")]
    told = recognizer.classify([image[:120, 80:] for image in images])
    seen = recognizer.classify(SYNTH / "base_64.mp4", roi=(0.25, 0, 1, 0.5))
    assert np.array_equal(seen.logits, told.logits)


def test_training_sampling_is_not_for_classify(recognizer):
    with pytest.raises(ValueError, match="must be one of full, paddlevideo"):
        recognizer.classify(SYNTH / "base_64.mp4", sampling="random")


def test_windows_of_a_file(recognizer):
    """64 frames at 25/s; windows of 1 s every .5 s; segments of .125 s, centres .0625, .1875, ...:
    the nearest of 0, .04, .08, ... are frames 2 (not 1, .0225 away), 5, 8, 11, ...
    """
    windows = list(recognizer.windows(SYNTH / "base_64.mp4", length_s=1.0, stride_s=0.5))
    spans = [(w.start_s, round(w.end_s, 3), w.partial) for w in windows]
    assert spans == [(0, 1, 0), (0.5, 1.5, 0), (1, 2, 0), (1.5, 2.5, 0), (2, 2.56, True)]
    assert windows[0].frame_indices.tolist() == [2, 5, 8, 11, 14, 17, 20, 23]
    images = {i: frame.image for i, frame in enumerate(open_source(SYNTH / "base_64.mp4"))}
    crops = np.stack([crop_for_model(images[i]) for i in windows[0].frame_indices])
    assert np.array_equal(windows[0].logits, recognizer.logits(crops))


def test_windows_of_arrays_at_fps(recognizer):
    images = [barcode.make_frame(i, 64, 48) for i in range(40)]
    windows = list(recognizer.windows(images, fps=20, length_s=1.0, stride_s=1.0))
    assert [(w.start_s, w.end_s, w.partial) for w in windows] == [(0, 1, False), (1, 2, False)]
    assert windows[1].frame_indices.min() >= 20


def test_a_short_file_gives_one_window(recognizer):
    (window,) = recognizer.windows(SYNTH / "short_01.mp4")
    assert window.partial and window.frame_indices.tolist() == [0] * 8
    (window,) = recognizer.windows(SYNTH / "fps_1000.mkv")
    assert window.partial and 0 < window.end_s <= 0.05


def test_the_models_own_window_is_the_default(recognizer):
    windows = list(recognizer.windows(SYNTH / "base_64.mp4"))
    assert [w.start_s for w in windows[:3]] == [0, 0.5, 1.0]
    longer = list(recognizer.windows(SYNTH / "base_64.mp4", length_s=2.0))
    assert [(w.start_s, w.end_s) for w in longer][0] == (0, 2.0)


def test_events_of_a_file(recognizer):
    path = SYNTH / "base_64.mp4"
    windows = list(recognizer.windows(path))
    single = list(recognizer.events(path, options=EventOptions(per_window=True)))
    assert [(e.label, e.start_s, e.end_s) for e in single] == [
        (w.label, w.start_s, w.end_s) for w in windows
    ]
    merged = [event for event in recognizer.events(path) if event.phase == "end"]
    labels = [label for label, _ in itertools.groupby(windows, key=lambda w: w.label)]
    assert [event.label for event in merged] == labels
    assert (merged[0].start_s, merged[-1].end_s) == (0, windows[-1].end_s)
    assert all(event.source == str(path) and event.start_time is None for event in merged)


def test_events_of_labels_that_the_model_has_not(recognizer):
    with pytest.raises(ValueError, match="background 'idle': not among the labels class_000"):
        recognizer.events(SYNTH / "base_64.mp4", options=EventOptions(background=["idle"]))


def test_events_of_a_live_camera_have_wall_clock_times(recognizer):
    options = EventOptions(per_window=True)
    with Camera("live", fps=50) as camera:
        events = recognizer.events(camera.url, length_s=0.5, stride_s=0.5, options=options)
        first = next(events)
        events.close()
    assert first.start_time is not None and first.start_time.endswith("+00:00")
    assert first.end_time > first.start_time and first.source == camera.url


def test_a_source_that_cannot_be_opened_fails_at_once(recognizer):
    for method in (recognizer.windows, recognizer.events, recognizer.classify):
        with pytest.raises(VideoError, match="missing.mp4: no such file"):
            method("missing.mp4")


def test_windows_leave_the_recognizer_usable_when_frames_fail(recognizer):
    def frames():
        for i in range(60):
            yield Frame(barcode.make_frame(i, 64, 48), i / 25)
        raise VideoError("camera 0: lost")

    windows = recognizer.windows(frames(), length_s=1.0, stride_s=1.0)
    assert [next(windows).start_s for _ in range(2)] == [0, 1]
    with pytest.raises(VideoError, match="lost"):
        next(windows)
    assert recognizer.classify(SYNTH / "base_64.mp4").label in recognizer.labels


def test_memory_stays_bounded_on_a_long_file(small_dir):
    """3000 frames of 320x240: all of them would be 691 MB."""
    import subprocess
    import sys

    program = (
        "import resource, sys\n"
        "from ppsdk import Recognizer\n"
        "with Recognizer(sys.argv[1]) as r:\n"
        "    peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "    windows = r.windows(sys.argv[2], length_s=8, stride_s=8)\n"
        "    next(windows)\n"
        "    before = peak()\n"
        "    count = 1 + sum(1 for _ in windows)\n"
        "    print(count, peak() - before)\n"
    )
    pytest.importorskip("resource")
    path = str(SYNTH / "long_3000.mp4")
    done = subprocess.run(
        [sys.executable, "-c", program, str(small_dir), path],
        capture_output=True,
        text=True,
        check=True,
    )
    count, growth_mb = done.stdout.split()
    assert int(count) == 15 and float(growth_mb) < 150


@pytest.mark.parametrize("every", [6, pytest.param(1, marks=pytest.mark.slow)])
def test_the_trained_checkpoint_reproduces_its_published_logits(shared, tmp_path, every):
    """Of every so many of the 36 clips, and of all the accuracy too."""
    import json

    from converters.convert import ConvertOptions, convert
    from ppsdk.evaluation import Evaluation
    from ppsdk.manifest import read_manifest

    weights = shared / "weights"
    told = json.loads((weights / "ut_interaction_16f.json").read_text())["sets"]["ut_interaction"]
    options = ConvertOptions(weights / "labels.txt")
    folder = convert(weights / "ut_interaction_16f.pdparams", tmp_path / "model", options).folder
    manifest = shared / "data" / "ut_interaction" / "manifest.csv"
    with Recognizer(folder, num_threads=1) as opened:
        clips = read_manifest(manifest, split="test", labels=opened.labels)[::every]
        scores = [opened.classify(clip.path, sampling="paddlevideo") for clip in clips]
        result = Evaluation(opened.labels, tuple(clips), tuple(scores))
    if every == 1:
        assert (len(clips), result.correct) == (told["clips"], told["correct"])
        assert result.top_accuracy(1) == pytest.approx(told["top1"], abs=1e-4)
    right = dict(told["logits"])
    for clip, seen in zip(clips, scores, strict=True):
        assert seen.logits == pytest.approx(right[clip.name], abs=5e-3), clip.name


def test_closing_a_stream_that_was_never_read_closes_its_source(recognizer):
    with Camera("live") as camera:
        for method in (recognizer.windows, recognizer.events):
            source = open_source(camera.url)
            method(source).close()
            assert list(source) == []


@pytest.mark.parametrize("own_thread", [False, True])
def test_closing_from_another_thread_waits_for_no_window(recognizer, own_thread):
    """Windows of ten minutes, of frames that come for half of that."""
    taken = threading.Event()

    def frames():
        for i in range(3000):
            yield Frame(np.zeros((32, 32, 3), np.uint8), i / 10)
            taken.set()
            time.sleep(0.1)

    source = open_source(frames())
    source.own_thread = own_thread
    stream = recognizer.windows(source, length_s=600)
    reading = threading.Thread(target=lambda: list(stream), daemon=True)
    reading.start()
    assert taken.wait(SOON_S)
    stream.close()
    reading.join(SOON_S)
    assert not reading.is_alive() and no_readers_left()


def test_many_large_frames_are_classified_in_little_memory(recognizer):
    """400 of 1280x720 are 1.1 GB; a crop of each is 60 MB."""
    import tracemalloc

    def frames():
        for i in range(400):
            yield Frame(np.full((720, 1280, 3), i % 256, np.uint8), i / 25)

    tracemalloc.start()
    scores = recognizer.classify(frames())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert scores.frame_indices.tolist()[-1] == 375 and peak < 200e6


@pytest.mark.parametrize("length_s", ["2", float("nan"), 0, True])
def test_a_length_that_is_no_time_is_named(recognizer, length_s):
    with pytest.raises(ValueError, match="length_s is .*: must be more than 0 seconds"):
        recognizer.windows(SYNTH / "base_64.mp4", length_s=length_s)


@pytest.mark.parametrize("roi", ["abcd", 5, (0, 0, 1), (0, 0, None, 1)])
def test_regions_that_are_none(recognizer, roi):
    with pytest.raises(ValueError, match=r"roi is .*must be \(x0, y0, x1, y1\)"):
        recognizer.classify(SYNTH / "base_64.mp4", roi=roi)


def test_a_camera_is_not_classified_for_ever(recognizer):
    with Camera("live") as camera, open_source(camera.url) as source:
        with pytest.raises(VideoError, match="has no end: `windows` and `events` take those"):
            recognizer.classify(source)


def test_what_a_notebook_shows_of_them(small_dir):
    with Recognizer(small_dir) as opened:
        assert repr(opened) == f"Recognizer({str(small_dir)!r}: 5 classes, 8 frames, FP32)"
        with opened.windows(SYNTH / "base_64.mp4") as stream:
            assert repr(stream) == f"Stream(PyavFile({str(SYNTH / 'base_64.mp4')!r}))"
    assert repr(opened).endswith("FP32, closed)")
