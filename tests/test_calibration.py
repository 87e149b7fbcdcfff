"""What calibrates is read as inference reads it, spread evenly, and refused where it spoils."""

import logging
import shutil

import numpy as np
import pytest
from conftest import SYNTH

from converters.calibration import (
    FEWEST_CLIPS,
    checked,
    held_out_of,
    list_clips,
    read_calibration,
    read_held_out,
    read_recording,
    spread,
)
from ppsdk import ModelError, Recognizer, VideoError
from ppsdk.manifest import LabelledClip, by_recording
from ppsdk.model import load_model

CLIP = SYNTH / "base_64.mp4"


@pytest.fixture(scope="module")
def facts(tiny_dir):
    return load_model(tiny_dir)[1]


def noise(count, facts, seed=0):
    rng = np.random.default_rng(seed)
    shape = (facts.num_segments, facts.image_size, facts.image_size, 3)
    return [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(count)]


def labelled(label, group, number):
    return LabelledClip(f"{label}{group}{number}", CLIP, label, group=group)


def test_clips_are_taken_by_turns_from_classes_and_groups():
    """Class a has 8 clips of group x and 1 of y, class b has 2: the first four are two of each."""
    many = [labelled("a", "x", i) for i in range(8)] + [labelled("a", "y", 0)]
    few = [labelled("b", "", i) for i in range(2)]
    taken = [clip.name for clip in spread(many + few, 4)]
    assert taken == ["ax0", "b0", "ay0", "b1"]
    # Of the long group the ends and the middle come first: 0, 4, 2, 6, then the odd ones.
    rest = [clip.name for clip in spread(many, 9) if "x" in clip.name]
    assert rest == ["ax0", "ax4", "ax2", "ax6", "ax1", "ax5", "ax3", "ax7"]
    with pytest.raises(ModelError, match="0: must be 1 or more"):
        spread(many, 0)


def test_a_manifest_gives_its_training_split_and_judges_by_another(facts, tmp_path):
    shutil.copy(CLIP, tmp_path / "a.mp4")
    rows = ["path,label,split", "a.mp4,class_000,train", "a.mp4,class_001,test"]
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    assert [clip.label for clip in list_clips(tmp_path, facts)] == ["class_000"]
    assert [c.label for c in list_clips(tmp_path, facts, split="test")] == ["class_001"]
    assert held_out_of(tmp_path) == tmp_path / "manifest.csv"
    held_out = read_held_out(tmp_path / "manifest.csv", facts)
    assert held_out.label_ids.tolist() == [1] and len(held_out.crops) == 1
    (tmp_path / "other.csv").write_text("path,label\na.mp4,class_000")
    assert held_out_of(tmp_path / "other.csv") is None
    (tmp_path / "other.csv").write_text("path,label\na.mp4,jump")
    with pytest.raises(VideoError, match="'jump' are not among the model's"):
        read_held_out(tmp_path / "other.csv", facts)


def test_a_folder_gives_its_videos_and_a_recording_its_windows(facts, tmp_path):
    (tmp_path / "kick").mkdir()
    shutil.copy(CLIP, tmp_path / "kick" / "a.mp4")
    (tmp_path / "notes.txt").write_text("not a video")
    (clip,) = list_clips(tmp_path, facts)
    assert (clip.name, clip.label) == ("kick/a.mp4", "kick")
    # 64 frames at 25 a second, windows of 1 s: two whole ones.
    windows = list_clips(CLIP, facts)
    assert [window.span_s for window in windows] == [(0.0, 1.0), (1.0, 2.0)]
    (tmp_path / "empty").mkdir()
    with pytest.raises(VideoError, match="has no videos"):
        list_clips(tmp_path / "empty", facts)


def test_crops_are_those_that_inference_sees(tiny_dir, facts):
    clip = LabelledClip("x", CLIP, "class_000", span_s=(0.5, 1.5), roi=(0, 0, 0.5, 1))
    with Recognizer(tiny_dir) as recognizer:
        seen = recognizer.classify(CLIP, span_s=(0.5, 1.5), roi=(0, 0, 0.5, 1)).logits
        (crops,) = read_recording([clip], facts)
        assert np.array_equal(recognizer.logits(crops), seen)


def test_unreadable_files_are_left_out_with_a_warning(facts, tmp_path, caplog):
    (tmp_path / "bad.mp4").write_bytes(b"not a video at all")
    with pytest.raises(VideoError, match="none of its 1 clips can be read"):
        read_calibration(tmp_path, facts)
    shutil.copy(CLIP, tmp_path / "good.mp4")
    with caplog.at_level(logging.WARNING):
        assert len(read_calibration(tmp_path, facts)) == 1
    assert "bad.mp4" in caplog.text


def test_flat_clips_are_left_out_with_their_names(facts, tmp_path, caplog):
    """A lens cap at one time of a recording, which nobody can take out, refused all of it."""
    from ppsdk.demo.film import write_video

    noise = np.random.default_rng(0).integers(0, 256, (25, 64, 64, 3), dtype=np.uint8)
    write_video([*noise, *np.zeros_like(noise)], tmp_path / "half.mp4", fps=25)
    assert len(read_calibration(tmp_path / "half.mp4", facts)) == 1
    assert "half.mp4 from 1 s: is flat, 0 grey levels" in caplog.text
    write_video(np.zeros_like(noise), tmp_path / "dark.mp4", fps=25)
    with pytest.raises(ModelError, match="calibration clip 0 is flat"):
        checked(read_calibration(tmp_path / "dark.mp4", facts), facts)


def test_repeated_clips_count_once_and_order_does_not_matter(facts, caplog):
    clips = noise(FEWEST_CLIPS, facts)
    once = checked(clips, facts)
    with caplog.at_level(logging.WARNING):
        again = checked([*clips[::-1], *clips[:5]], facts)
    assert "5 of 21 calibration clips are repeated" in caplog.text
    assert len(once) == FEWEST_CLIPS
    assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))


def test_what_is_held_out_is_not_calibrated_with(facts, caplog):
    clips = noise(FEWEST_CLIPS + 2, facts)
    with caplog.at_level(logging.WARNING):
        left = checked(clips, facts, held_out=[clips[5].copy(), clips[0], *noise(1, facts, seed=1)])
    assert "2 calibration clips are held out too" in caplog.text
    assert len(left) == FEWEST_CLIPS
    kept = {clip.tobytes() for clip in left}
    assert kept == {clip.tobytes() for i, clip in enumerate(clips) if i not in (0, 5)}
    with pytest.raises(ModelError, match="15 different calibration clips: 16 or more"):
        checked(clips, facts, held_out=clips[:3])
    with pytest.raises(ModelError, match="every calibration clip is held out too"):
        checked(clips, facts, held_out=clips, force=True)


def test_too_few_are_refused_unless_forced(facts):
    clips = noise(1, facts) * 300  # a repeated clip is one
    with pytest.raises(ModelError, match="1 different calibration clips: 16 or more"):
        checked(clips, facts)
    assert len(checked(clips, facts, force=True)) == 1
    with pytest.raises(ModelError, match="no calibration clips"):
        checked([], facts, force=True)


def test_what_would_spoil_the_ranges_is_refused(facts):
    good = noise(FEWEST_CLIPS, facts)
    levels = good[0].astype(np.float32)
    holes = levels.copy()
    holes[0, 0, 0] = np.nan
    cases = {
        "0 to 255: must be uint8": levels,
        "0 to 1: must be uint8": levels / 255,
        "3 values not finite": holes,
        "nothing finite": np.full_like(levels, np.nan),
        "is flat, 0 ": (levels / 255).astype(np.uint8),
        "is flat, 128 ": np.full_like(good[0], 128),
        r"is \(3, 64, 64, 3\): must be \(4,": good[0][1:],
        r"is \(4, 32, 64, 3\)": good[0][:, ::2],
        r"is \(4, 3, 64, 64\)": good[0].transpose(0, 3, 1, 2),
    }
    for message, clip in cases.items():
        with pytest.raises(ModelError, match=f"calibration clip 16 .*{message}|clip 16 {message}"):
            checked([*good, clip], facts)


def test_clips_of_a_recording_are_read_some_at_a_time():
    """Not all at once: their pictures are held meanwhile."""
    clips = [labelled("a", "", 0) for _ in range(70)]
    clips.insert(1, LabelledClip("b", SYNTH / "gray.mp4", "b"))
    assert [len(places) for places in by_recording(clips)] == [32, 32, 6, 1]
    assert sorted(i for places in by_recording(clips) for i in places) == list(range(71))
