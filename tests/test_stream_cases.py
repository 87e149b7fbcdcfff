"""Every clip of the cases through the stream path: which frames are kept, and what of damage."""

import json
from pathlib import Path

import av
import barcode
import numpy as np
import pytest
from conftest import SYNTH, synth_cases
from short_streams import clips_of

from ppsdk import VideoError, open_source


def times_of(case):
    if "pts_ms" in case:
        return np.array(case["pts_ms"]) / 1000
    return np.arange(case["true_frames"]) / case["fps"]


EXACT = [c for c in synth_cases() if c["true_frames"] and "approx" not in c]
REFUSED = [case for case in synth_cases() if case["true_frames"] is None]


@pytest.mark.parametrize("case", EXACT, ids=lambda case: case["file"])
def test_each_kept_frame_lies_in_its_segment(case):
    """By the manifest's times; where a segment has no frame, the last one before it stands in."""
    check_kept_frames(case, open_source(SYNTH.parent / case["file"]))


@pytest.mark.parametrize(
    "case", [case for case in EXACT if case["true_frames"] < 1000], ids=lambda case: case["file"]
)
def test_opencv_keeps_the_same_frames(case):
    """Its pictures are gone when the next one is asked for."""
    refused = {"av1.mp4": "reads no frame", "two_video_streams.mkv": "another of its video streams"}
    name = Path(case["file"]).name
    if name in refused:
        with pytest.raises(VideoError, match=refused[name]):
            list(open_source(SYNTH / name, decoder="opencv"))
    else:
        check_kept_frames(case, open_source(SYNTH / name, decoder="opencv"))


def check_kept_frames(case, source):
    times = times_of(case)
    length_s = max(0.04, min(2.0, times[-1] / 2), 2 * float(np.diff(times).max(initial=0)))
    segment_s = length_s / 8
    stride_s = length_s / 2 if len(times) < 1000 else 4 * length_s
    read = {}
    count = 0
    for count, clip in enumerate(clips_of(source, length_s, stride_s), 1):
        assert clip.start_s == pytest.approx((count - 1) * stride_s)
        assert clip.end_s == pytest.approx(clip.start_s + length_s) or clip.partial
        indices = clip.frame_indices.tolist()
        read |= {i: clip.images[k] for k, i in enumerate(indices) if i not in read}
        least = most = 0  # segments that repeat a frame; one that was rounded may be early
        for segment, index in enumerate(indices):
            low, high = clip.start_s + segment * segment_s, clip.start_s + (segment + 1) * segment_s
            own = (times > low - 1.5e-3) & (times < high + 1.5e-3)  # WebM rounds times to 1 ms
            surely = (times > low + 1.5e-3) & (times < high - 1.5e-3)
            assert own[index] or not surely.any()
            assert own[index] or indices[segment - 1] == index or segment == 0
            least += not low - 1.5e-3 <= clip.pts_s[segment] <= high + 1e-5
            most += not low - 1e-5 <= clip.pts_s[segment] <= high + 1e-5
        assert least <= clip.repeated <= most
    assert count >= 1 and source.counters.frames == len(times)
    shown = SHOWN.get(case["file"], [i + case.get("first_index", 0) for i in range(len(times))])
    for index, image in read.items():
        assert barcode.read(image).index == shown[index] % 1024


# By the manifest: FFmpeg shows one of the frames behind the edit list's end; and the encoder of the
# other dropped two frames, for one of which it shows the one before twice.
SHOWN = {
    "synth/trim_both.mp4": [*range(33, 84), 85],
    "synth/xvid_packed.avi": [*range(46), 46, 46, *range(48, 61), 62],
}


def test_packed_frames_of_xvid():
    (case,) = [case for case in synth_cases() if case["file"] == "synth/xvid_packed.avi"]
    check_kept_frames(case, open_source(SYNTH / "xvid_packed.avi"))


@pytest.mark.parametrize("decoder", ["pyav", "opencv"])
def test_damage_is_passed_over_and_no_window_spans_it(decoder):
    """Noise in the place of the frames from 17 to about 32; a key frame every 8, the next is 40."""
    statuses = []
    source = open_source(SYNTH / "corrupt_middle.mp4", decoder=decoder, on_status=statuses.append)
    clips = list(clips_of(source, 0.32, 0.16))
    spoilt = range(17, 40)
    for clip in clips:
        numbers = np.rint(clip.pts_s * 25).astype(int).tolist()
        for number, image in zip(numbers, clip.images, strict=True):
            assert number in spoilt or barcode.read(image).index == number
        assert max(numbers) <= 17 or min(numbers) > 17
    assert {clip.start_s for clip in clips} >= {0.0, 0.16} and clips[-1].end_s > 2.5
    assert [status.kind for status in statuses] == ["gap"]
    assert source.counters.frames == 49 and source.counters.damaged == 15


@pytest.mark.parametrize("decoder", ["pyav", "opencv", "decord"])
@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case["file"])
def test_what_is_no_video_is_refused(case, decoder):
    if decoder == "decord":
        pytest.importorskip("decord")
    with pytest.raises(VideoError) as caught:
        list(clips_of(open_source(SYNTH.parent / case["file"], decoder=decoder), 1.0, 1.0))
    assert "\n" not in str(caught.value)


# What other decoders cannot read, and say so; and what decord reads beyond an edit list.
CANNOT = {
    "pyav": [],
    "opencv": ["tc_av1_video.mkv"],
    "decord": ["tc_av1_video.mkv", "tc_animated.gif"],
}
DECORD_GIVES = {"tc_discard_first_keyframe.mp4": 30}


@pytest.mark.parametrize(
    "decoder",
    ["pyav", *(pytest.param(other, marks=pytest.mark.slow) for other in ("opencv", "decord"))],
)
def test_real_files_from_bug_reports(shared, decoder):
    """As real.json says, and as PyAV reads them in sequence."""
    if decoder == "decord":
        pytest.importorskip("decord")
    cases = json.loads((shared / "cases" / "real.json").read_text("utf-8"))
    for case in cases:
        path = shared / "cases" / case["file"]
        is_video = case["pyav_frames"] and path.suffix != ".png"
        if not is_video or path.name in CANNOT[decoder]:
            with pytest.raises(VideoError):
                list(clips_of(open_source(path, decoder=decoder), 1.0, 1.0))
        elif decoder != "decord" or path.name not in DECORD_GIVES:
            check_real(
                case, path, open_source(path, decoder=decoder), same_colours=decoder == "pyav"
            )
        else:
            source = open_source(path, decoder=decoder)
            list(clips_of(source, 1.0, 1.0))
            assert source.counters.frames == DECORD_GIVES[path.name]
    assert len(cases) >= 20


def check_real(case, path, source, *, same_colours):
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == case["pyav_frames"] and frames[0].time == pytest.approx(case["t0"])
    times = np.array([frame.time - case["t0"] for frame in frames])
    length_s = max(0.04, min(2.0, times[-1] / 2))
    before_s = -1.0
    for clip in clips_of(source, length_s, length_s / 2):
        assert clip.pts_s == pytest.approx(times[clip.frame_indices], abs=2e-3)
        assert clip.start_s > before_s and (np.diff(clip.pts_s) >= 0).all()
        before_s = clip.start_s
        for segment, index in enumerate(clip.frame_indices):
            low = clip.start_s + segment * length_s / 8
            is_own = low - 2e-3 <= times[index] <= low + length_s / 8 + 2e-3
            assert is_own or segment == 0 or index == clip.frame_indices[segment - 1]
        index = int(clip.frame_indices[0])
        turned = np.rot90(frames[index].to_ndarray(format="rgb24"), case["rotation"] // 90)
        assert clip.images[0].shape == turned.shape
        if same_colours:
            assert np.array_equal(clip.images[0], turned)
    assert before_s >= 0 and source.counters.frames == len(frames)
