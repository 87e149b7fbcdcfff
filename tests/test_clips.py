"""Sampled frames are the right ones: the pixels of rendered clips tell which frame they are."""

import hashlib
import logging
import shutil
import subprocess
import sys
import time
from pathlib import Path

import av
import barcode
import numpy as np
import pytest
from conftest import SYNTH, synth_cases

from ppsdk import VideoError, sample_clip
from ppsdk.clips import sample_spans
from ppsdk.sources import open_file

CASES = synth_cases()
READABLE = [case for case in CASES if case["true_frames"] is not None]
REFUSED = [case for case in CASES if case["true_frames"] is None]
# What is left of a damaged file, and what an encoder dropped, is not a plain count.
EXACT = [case for case in READABLE if not case.get("approx") and "first_index" not in case]


def case_file(case):
    return SYNTH.parent / case["file"]


def case_name(case):
    return Path(case["file"]).name


@pytest.mark.parametrize("case", EXACT, ids=case_name)
def test_paddlevideo_sampling_gives_the_listed_frames(case):
    clip = sample_clip(case_file(case), sampling="paddlevideo")
    codes = [barcode.read(image) for image in clip.images]
    assert clip.frame_indices.tolist() == case["paddle_sampler_16"]
    assert [code.index for code in codes] == [i % 1024 for i in case["paddle_sampler_16"]]
    order = "GRAY" if case.get("gray") else "RGB"
    assert {(code.turned, code.mirrored, code.order) for code in codes} == {(0, False, order)}
    assert clip.images.shape == (16, case["size"][1], case["size"][0], 3)


def test_a_trimmed_clip_rises_from_its_edit_list_start():
    clip = sample_clip(SYNTH / "trim_both.mp4", sampling="paddlevideo")
    indices = [barcode.read(image).index for image in clip.images]
    assert indices == [33 + i for i in clip.frame_indices.tolist()]
    assert clip.pts_s[0] < 0.1


def test_a_matroska_file_of_16_frames_gives_them_all(tmp_path):
    """Its times are whole milliseconds, by which the next frame was the nearer one now and then."""
    path = tmp_path / "short.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for i in range(16):
            frame = av.VideoFrame.from_ndarray(barcode.make_frame(i, 160, 120), "rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    clip = sample_clip(path)
    assert [barcode.read(image).index for image in clip.images] == list(range(16))


def test_a_packed_bitstream_rises_and_is_the_same_each_time():
    first, second = (
        sample_clip(SYNTH / "xvid_packed.avi", sampling="paddlevideo") for _ in range(2)
    )
    indices = [barcode.read(image).index for image in first.images]
    assert indices == [1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 34, 37, 40, 43, 46]
    assert np.array_equal(first.images, second.images)


@pytest.mark.parametrize("sampling", ["full", "paddlevideo"])
def test_a_truncated_file_gives_the_frames_that_decode_and_a_warning(sampling, caplog):
    with caplog.at_level(logging.WARNING):
        clip = sample_clip(SYNTH / "trunc_half_faststart.mp4", sampling=sampling)
    indices = [barcode.read(image).index for image in clip.images]
    assert indices == clip.frame_indices.tolist() == sorted(set(indices))
    # Whether the last of 25 packets, cut in half, gives a picture is up to FFmpeg's version.
    assert indices[-1] in ((22, 23) if sampling == "full" else (15,))
    assert "trunc_half_faststart.mp4: damaged: " in caplog.text
    assert "39 are missing" in caplog.text


@pytest.mark.parametrize("sampling", ["full", "paddlevideo"])
def test_frames_around_damage_keep_their_place(sampling, caplog):
    with caplog.at_level(logging.WARNING):
        clip = sample_clip(SYNTH / "corrupt_middle.mp4", sampling=sampling)
    indices = [barcode.read(image).index for image in clip.images]
    # Those of the undamaged file; packets 18 to 32 are noise.
    wanted = np.arange(16) * 4 + (2 if sampling == "full" else 1)
    told = clip.frame_indices
    there = (wanted < 17) | (wanted > 33)
    assert told[there] == pytest.approx(wanted[there])
    assert set(told[~there].tolist()) <= {17, 33}
    # Until 40 the decoder shows what is left of the picture before the damage.
    whole = (told < 17) | (told > 39)
    assert [index for index, ok in zip(indices, whole, strict=True) if ok] == told[whole].tolist()
    assert "corrupt_middle.mp4: damaged: 15 packets do not decode" in caplog.text


@pytest.mark.parametrize("case", REFUSED, ids=case_name)
@pytest.mark.parametrize("decoder", ["auto", "decord"])
def test_what_is_no_video_is_refused_in_one_line(case, decoder):
    if decoder == "decord":
        pytest.importorskip("decord")
    start = time.monotonic()
    with pytest.raises(VideoError) as caught:
        sample_clip(case_file(case), decoder=decoder)
    assert time.monotonic() - start < 60
    assert case_name(case) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_reason_of_a_refusal_is_named():
    for name, reason in [
        ("trunc_moov_missing.mp4", "moov atom not found"),
        ("audio_only.mp4", "no video stream"),
        ("still.jpg", "still image"),
        ("png_renamed.mp4", "still image"),
        ("missing.mp4", "no such file"),
        ("", "not a file"),
    ]:
        with pytest.raises(VideoError, match=reason):
            sample_clip(SYNTH / name)


def test_colours_of_full_range_bt709():
    image = sample_clip(SYNTH / "fullrange_709.mp4").images[0]
    assert np.abs(barcode.colour(image, barcode.MARKS[barcode.RED]) - barcode.RED).max() <= 12
    assert np.abs(barcode.colour(image, barcode.MARKS[barcode.GREEN]) - barcode.GREEN).max() <= 12
    assert abs(image[5, 5].astype(int) - 96).max() <= 12


def test_ten_bit_pictures_keep_their_contrast():
    image = sample_clip(SYNTH / "hevc_10bit.mp4", sampling="paddlevideo").images[-1]
    index = barcode.read(image).index
    for bit, cell in enumerate(barcode.bit_cells()):
        seen = barcode.colour(image, cell).mean()
        assert seen > 240 if index >> bit & 1 else seen < 15


def test_times_of_a_variable_frame_rate():
    clip = sample_clip(SYNTH / "vfr_10_then_50.mp4", sampling="paddlevideo")
    case = next(case for case in CASES if case["file"].endswith("vfr_10_then_50.mp4"))
    told = [case["pts_ms"][i] / 1000 for i in case["paddle_sampler_16"]]
    assert clip.pts_s == pytest.approx(told, abs=1e-6)
    assert clip.end_s == pytest.approx(4.0, abs=1e-6)


@pytest.mark.parametrize("decoder", ["auto", "decord", "opencv"])
def test_times_of_packed_b_frames_in_avi(decoder):
    """AVI has a constant rate, and the made-up presentation times of packed frames go back and
    forth; frames 47 and 61 were never encoded, so the ones after them come a frame early.
    """
    if decoder == "decord":
        pytest.importorskip("decord")
    clip = sample_clip(SYNTH / "xvid_packed.avi", num_segments=62, decoder=decoder)
    assert clip.frame_indices.tolist() == list(range(62))
    assert clip.pts_s == pytest.approx(np.arange(62) / 25, abs=0.041)
    assert clip.end_s == pytest.approx(62 / 25, abs=0.081)


def test_full_sampling_is_by_time_not_by_count():
    clip = sample_clip(SYNTH / "vfr_10_then_50.mp4")
    # Segments of 0.25 s, centres at 0.125, 0.375, ...: 30 frames in 3 s, then 50 in 1 s.
    assert clip.frame_indices.tolist()[:4] == [1, 4, 6, 9]
    assert clip.pts_s == pytest.approx((np.arange(16) + 0.5) * 0.25, abs=0.05)


def test_times_start_at_zero_where_the_stream_does_not():
    assert sample_clip(SYNTH / "starts_at_2s.mp4").pts_s[0] == pytest.approx(0.08, abs=1e-6)


def test_ntsc_times():
    clip = sample_clip(SYNTH / "ntsc_2997.mp4", num_segments=60)
    assert clip.pts_s[-1] == pytest.approx(1.968633, abs=1e-6)


@pytest.mark.parametrize("length", [1, 2, 5, 8, 15, 16, 31, 32])
def test_full_sampling_of_short_clips(length):
    clip = sample_clip(SYNTH / f"short_{length:02d}.mp4")
    indices = [barcode.read(image).index for image in clip.images]
    assert indices == clip.frame_indices.tolist() == sorted(indices)
    assert len(set(indices)) == min(length, 16)
    # Each is the nearest to the centre of its segment, in frames; there is none after the last.
    centres = (np.arange(16) + 0.5) * length / 16
    assert np.array_equal(indices, np.ceil(centres - 0.5).clip(0, length - 1))


def test_random_sampling_repeats_with_its_seed_and_stays_in_its_segments():
    path = SYNTH / "base_64.mp4"
    one, two, other = (sample_clip(path, sampling="random", seed=s) for s in (3, 3, 4))
    assert one.frame_indices.tolist() == two.frame_indices.tolist()
    assert one.frame_indices.tolist() != other.frame_indices.tolist()
    assert (one.frame_indices // 4).tolist() == list(range(16))
    assert [barcode.read(image).index for image in one.images] == one.frame_indices.tolist()


def test_roi_is_cut_before_anything_else():
    whole = sample_clip(SYNTH / "base_64.mp4")
    part = sample_clip(SYNTH / "base_64.mp4", roi=(0.25, 0.5, 0.75, 1.0))
    assert np.array_equal(part.images, whole.images[:, 120:240, 80:240])


@pytest.mark.parametrize(
    ("arguments", "accepted"),
    [
        ({"sampling": "uniform"}, "full, paddlevideo, random"),
        ({"num_segments": 0}, "1 or more"),
        ({"roi": (0.5, 0, 0.5, 1)}, "0 <= x0 < x1 <= 1"),
        ({"roi": (0, 0, 1.5, 1)}, "0 <= x0 < x1 <= 1"),
        ({"decoder": "ffmpeg"}, "auto, pyav, decord, opencv"),
    ],
)
def test_arguments_out_of_range_are_refused_with_what_is_accepted(arguments, accepted):
    with pytest.raises(ValueError, match=accepted):
        sample_clip(SYNTH / "base_64.mp4", **arguments)


@pytest.mark.parametrize("decoder", ["pyav", "decord", "opencv"])
@pytest.mark.parametrize("name", ["base_64.mp4", "rot90.mp4", "rot270.mp4", "starts_at_2s.mp4"])
def test_decoders_agree_where_all_of_them_are_right(name, decoder):
    if decoder == "decord":
        pytest.importorskip("decord")
    wanted = sample_clip(SYNTH / name)
    clip = sample_clip(SYNTH / name, decoder=decoder)
    assert clip.frame_indices.tolist() == wanted.frame_indices.tolist()
    assert clip.pts_s == pytest.approx(wanted.pts_s, abs=1e-3)
    codes = [barcode.read(image) for image in clip.images]
    assert [code.index for code in codes] == wanted.frame_indices.tolist()
    assert {(code.turned, code.order) for code in codes} == {(0, "RGB")}


@pytest.mark.parametrize(
    ("decoder", "name", "says"),
    [
        ("decord", "av1.mp4", "decord cannot read it"),
        ("decord", "w48_48x64.mp4", "decord"),
        ("opencv", "av1.mp4", "OpenCV"),
    ],
)
def test_a_forced_decoder_that_cannot_says_so(decoder, name, says):
    pytest.importorskip(decoder if decoder == "decord" else "cv2")
    with pytest.raises(VideoError, match=says):
        sample_clip(SYNTH / name, decoder=decoder)


@pytest.mark.skipif(sys.platform == "win32", reason="names that Windows does not allow")
def test_file_names_do_not_matter(tmp_path, monkeypatch):
    told = hashlib.sha256(sample_clip(SYNTH / "clip_0001.mp4").images).hexdigest()
    monkeypatch.chdir(tmp_path)
    for name in ("%03d.mp4", "no_extension", "-i", "rtsp:x.mp4", "a b'c\".mp4", "0", "视频.mp4"):
        shutil.copy(SYNTH / "clip_0001.mp4", tmp_path / name)
        for path in (name, Path(name), tmp_path / name):
            assert hashlib.sha256(sample_clip(path).images).hexdigest() == told, path


def test_real_files_from_bug_reports_are_read_whole(shared):
    """Counts, shapes and turns as a full sequential decode gives them: see cases/real.json."""
    import json

    from ppsdk import open_source

    for case in json.loads((shared / "cases" / "real.json").read_text("utf-8")):
        path = shared / "cases" / case["file"]
        if case["pyav_frames"] == 0 or path.suffix == ".png":
            with pytest.raises(VideoError):
                list(open_source(path))
            continue
        frames = list(open_source(path))
        height, width = case["shape"]
        if abs(case["rotation"]) == 90:
            height, width = width, height
        assert len(frames) == case["pyav_frames"], path.name
        assert frames[0].image.shape == (height, width, 3), path.name
        assert frames[0].pts_s == 0 and all(
            later.pts_s > earlier.pts_s for earlier, later in zip(frames, frames[1:], strict=False)
        ), path.name


@pytest.mark.parametrize("sampling", ["full", "random"])
def test_a_part_of_a_file(sampling):
    """25 pictures a second: from 10 s to 12 s are those from 250 to 299, 12.5 a segment."""
    options = {"sampling": sampling, "num_segments": 4, "seed": 1}
    clip = sample_clip(SYNTH / "long_3000.mp4", span_s=(10, 12), **options)
    codes = [barcode.read(image).index for image in clip.images]
    assert codes == clip.frame_indices.tolist()
    assert (clip.start_s, clip.end_s) == (10, 12)
    if sampling == "full":
        assert codes == [256, 269, 281, 294]
    assert all(249.5 + 12.5 * i <= code <= 263 + 12.5 * i for i, code in enumerate(codes))


def test_a_part_ends_with_the_file_and_must_have_frames():
    clip = sample_clip(SYNTH / "base_64.mp4", span_s=(2, 9), num_segments=2)
    assert clip.end_s == pytest.approx(2.56) and clip.frame_indices.tolist() == [53, 60]
    with pytest.raises(VideoError, match="no frame from 3 s to 4 s: it ends at 2.56 s"):
        sample_clip(SYNTH / "base_64.mp4", span_s=(3, 4))
    with pytest.raises(ValueError, match="must be 0 <= start < end"):
        sample_clip(SYNTH / "base_64.mp4", span_s=(2, 1))


@pytest.mark.parametrize("name", ["long_3000.mp4", "vfr_10_then_50.mp4"])
def test_parts_of_a_file_are_those_that_are_sampled_one_by_one(name):
    spans = [(0.0, 1.0), None, (0.5, 1.5), (9000.0, 9001.0), (1.0, 1.2)]
    sizes: list[tuple[int, ...]] = []

    def shrink(image):
        sizes.append(image.shape)
        return image[::2, ::2]

    read = sample_spans(SYNTH / name, spans, shrink, num_segments=4)
    assert len(sizes) <= 17, "a frame is decoded and shrunk once"
    for clip, span_s in zip(read, spans, strict=True):
        if span_s == (9000.0, 9001.0):
            assert isinstance(clip, VideoError) and "no frame from 9000 s" in str(clip)
            continue
        alone = sample_clip(SYNTH / name, num_segments=4, span_s=span_s)
        assert np.array_equal(clip.images, alone.images[:, ::2, ::2])
        assert clip.frame_indices.tolist() == alone.frame_indices.tolist()
        assert (clip.start_s, clip.end_s) == (alone.start_s, alone.end_s)


def test_a_window_that_reaches_over_the_end_is_moved_back():
    """base_64.mp4 lasts 2.56 s. What is cut there would be seen in another pace."""
    spans = [(2.0, 3.0), (0.2, 1.2), (0.0, 4.0), (2.2, 3.2)]
    read = sample_spans(
        SYNTH / "base_64.mp4", spans, lambda image: image, num_segments=4, move_inside=True
    )
    told = [(clip.start_s, clip.end_s) for clip in read]
    assert told[:3] == [(pytest.approx(1.56), pytest.approx(2.56)), (0.2, 1.2), (0.0, 2.56)]
    assert told[3][0] == 2.2, "its middle is not in the file"
    inside = sample_clip(SYNTH / "base_64.mp4", num_segments=4, span_s=(1.56, 2.56))
    assert read[0].frame_indices.tolist() == inside.frame_indices.tolist()


@pytest.mark.parametrize("name", ["corrupt_middle.mp4", "trunc_half_faststart.mp4"])
def test_parts_of_a_damaged_file_are_too(name):
    spans = [None, (0.2, 1.1)]
    read = sample_spans(SYNTH / name, spans, lambda image: image, num_segments=8)
    for clip, span_s in zip(read, spans, strict=True):
        alone = sample_clip(SYNTH / name, num_segments=8, span_s=span_s)
        # What threads of the decoder make of what is missing differs a little each time.
        assert np.abs(clip.images.astype(int) - alone.images).mean() < 1
        assert clip.frame_indices.tolist() == alone.frame_indices.tolist()


DAMAGED_AND_UNREADABLE = """
import itertools, logging, sys, threading
from ppsdk import VideoError, open_source
logging.disable(logging.CRITICAL)
damaged, unreadable = sys.argv[1:]

def read_a_little():
    for count in itertools.islice(itertools.cycle([3, 10, 40]), 60):
        with open_source(damaged) as source:
            for _ in itertools.islice(source, count):
                pass

def open_in_vain():
    while any(reader.is_alive() for reader in readers):
        try:
            open_source(unreadable)
        except VideoError:
            pass

readers = [threading.Thread(target=read_a_little, daemon=True) for _ in range(2)]
for thread in [*readers, threading.Thread(target=open_in_vain, daemon=True)]:
    thread.start()
for reader in readers:
    reader.join()
"""


def test_a_file_that_cannot_be_opened_does_not_stop_those_that_are_read(tmp_path):
    """FFmpeg's log was listened to, for which its threads waited, and all for each other."""
    (tmp_path / "cut.mp4").write_bytes((SYNTH / "base_64.mp4").read_bytes()[:3000])
    files = [SYNTH / "corrupt_middle.mp4", tmp_path / "cut.mp4"]
    command = [sys.executable, "-c", DAMAGED_AND_UNREADABLE, *map(str, files)]
    subprocess.run(command, check=True, timeout=90)


def test_a_file_that_is_gone_when_it_is_read_is_a_bad_video(tmp_path):
    path = Path(shutil.copy(SYNTH / "short_16.mp4", tmp_path))
    file = open_file(path)
    path.unlink()
    with pytest.raises(VideoError, match="short_16.mp4: cannot open as video .No such file"):
        next(iter(file.pictures()))
