"""Long recordings with marked intervals: the right frames of the right windows are learned from."""

import barcode
import numpy as np
import pytest
from conftest import SYNTH

torch = pytest.importorskip("torch", reason="needs the extra 'train'")

from ppsdk import VideoError  # noqa: E402
from training.cache import cache_clips  # noqa: E402
from training.data import read_clip_sets  # noqa: E402
from training.recipe import Recipe  # noqa: E402

RECIPE = Recipe(num_segments=4, image_size=224, length_s=2.0, stride_s=1.0)
LONG = SYNTH / "long_3000.mp4"  # 25 pictures a second, numbered from 0 to 1023 and again


def written(tmp_path, *rows):
    (tmp_path / "m.csv").write_text("\n".join(["path,label,split,start_s,end_s,roi", *rows]))
    return tmp_path / "m.csv"


def numbers(cached, places):
    return [barcode.read(cached.frames[place]).index for place in np.ravel(places)]


@pytest.fixture
def manifest(tmp_path):
    return written(
        tmp_path,
        f"{LONG},run,train,10,12,",
        f"{LONG},jump,train,12,13,",
        f"{SYNTH / 'base_64.mp4'},run,test,0,1,",
        f"{SYNTH / 'base_64.mp4'},jump,test,1,2.5,",
    )


def test_windows_hold_the_frames_of_their_seconds(manifest, tmp_path):
    sets = read_clip_sets(manifest)
    assert sets.labels == ("jump", "run")
    run, jump = cache_clips(sets.train, sets.labels, RECIPE, tmp_path / "cache")
    assert run.frames is jump.frames, "a recording is decoded and kept once"
    told = {
        number: label
        for number, label in zip(numbers(run, range(len(run.frames))), run.frame_labels)
    }
    assert {told[n] for n in told if n < 250} == {-1}
    assert {told[n] for n in told if 250 <= n < 300} == {sets.labels.index("run")}
    assert {told[n] for n in told if 300 <= n < 325} == {sets.labels.index("jump")}
    # Room of a second: windows from 9.5 s and 10.5 s. Segments of half a second, 12.5 frames.
    assert [numbers(run, window) for window in run.centres] == [
        [244, 256, 269, 281],
        [269, 281, 294, 306],
    ]
    for window, first in zip(run.candidates, (237.5, 262.5), strict=True):
        for segment, drawn in enumerate(window):
            told = np.array(numbers(run, drawn)) - first - 12.5 * segment
            assert (-0.5 <= told).all() and (told <= 13).all() and len(set(told)) == 4
    # 12 to 13 s: windows that "run" covers more are left out.
    assert len(jump.centres) == 1
    assert numbers(jump, jump.centres[0])[0] >= 25 * 11.25 - 1


def test_what_no_interval_covers_is_background(manifest, tmp_path, caplog):
    """The recording to be tested with is too short for any: it must not stop the training."""
    assert read_clip_sets(manifest, background="none").labels == ("jump", "run")
    assert "no class 'none': one of the splits leaves nothing free for it" in caplog.text
    free = written(
        tmp_path, f"{LONG},run,train,10,12,", f"{SYNTH / 'vfr_10_then_50.mp4'},run,test,0,0.5,"
    )
    sets = read_clip_sets(free, background="none", length_s=1.0)
    assert sets.labels == ("none", "run")
    (span,) = (clip.span_s for clip in sets.train if clip.label == "none")
    assert span[1] - span[0] == pytest.approx(1) and (span[1] <= 10 or span[0] >= 12)


def test_a_recording_is_one_group(tmp_path):
    manifest = written(tmp_path, f"{LONG},run,train,1,2,", f"{LONG},run,test,3,4,")
    with pytest.raises(VideoError, match="groups in both splits: .*long_3000"):
        read_clip_sets(manifest)


def test_an_interval_behind_the_end_is_told(tmp_path):
    manifest = written(
        tmp_path,
        *(
            f"{SYNTH / 'base_64.mp4'},{label},train,{start},9,"
            for label, start in (("a", 1), ("b", 5))
        ),
        *(f"{LONG},{label},test,1,2," for label in "ab"),
    )
    sets = read_clip_sets(manifest)
    with pytest.raises(VideoError, match="an interval starts at 5 s, it ends at 2.56 s"):
        cache_clips(sets.train, sets.labels, RECIPE, tmp_path / "cache")


def test_only_the_region_is_learned_from(tmp_path):
    name = SYNTH / "base_64.mp4"
    rows = [f"{name},{label},train,,,0.5 0 1 1" for label in "ab"]
    rows += [f"{SYNTH / 'short_16.mp4'},{label},test,,," for label in "ab"]
    sets = read_clip_sets(written(tmp_path, *rows))
    cached, _ = cache_clips(sets.train, sets.labels, RECIPE, tmp_path / "cache")
    # The right half has the blue mark at its left, and no red one.
    height, width = cached.frames.shape[1:3]
    patch = cached.frames[0, round(0.27 * height), round(0.25 * width)].astype(int)
    assert patch[2] > 180 and patch[0] < 80
