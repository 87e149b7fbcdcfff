"""Labelled clips for training: divided rightly, and all that is wrong with them told at once."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from conftest import SYNTH

torch = pytest.importorskip("torch", reason="needs the extra 'train'")

from ppsdk import ModelError, VideoError  # noqa: E402
from training.data import read_clip_sets  # noqa: E402
from training.network import NetworkOptions, PPTSMv2  # noqa: E402
from training.pictures import draw_confusion  # noqa: E402
from training.recipe import Recipe  # noqa: E402
from training.train import train  # noqa: E402
from training.weights import TrainedAs, save_weights  # noqa: E402


def written(folder, *rows, files=()):
    for name in files:
        (folder / name).write_bytes(b"x")
    (folder / "manifest.csv").write_text("\n".join(rows))
    return folder / "manifest.csv"


def test_all_that_is_wrong_with_the_data_is_listed_at_once(tmp_path):
    rows = ["path,label,group,split"]
    rows += ["base_64.mp4,a,g1,train", "short_16.mp4,b,g1,test", "gone.mp4,a,g2,test"]
    rows += ["junk.mp4,a,g3,train"]
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    (tmp_path / "junk.mp4").write_bytes(b"junk")
    for name in ("base_64.mp4", "short_16.mp4"):
        shutil.copy(SYNTH / name, tmp_path / name)
    with pytest.raises(VideoError) as caught:
        read_clip_sets(tmp_path)
    for part in (
        "split 'train' has no clips of 'b'",
        "groups in both splits: g1",
        "1 files are missing: gone.mp4",
        "junk.mp4: cannot open as video",
    ):
        assert part in str(caught.value)


def test_without_splits_whole_groups_are_held_out(tmp_path):
    rows = ["path,label,group"]
    for i in range(20):
        rows.append(f"{i}.mp4,{'ab'[i % 2]},g{i // 4}")
        (tmp_path / f"{i}.mp4").write_bytes(b"x")
    (tmp_path / "manifest.csv").write_text("\n".join(rows))
    sets = read_clip_sets(tmp_path / "manifest.csv")
    assert {clip.group for clip in sets.held_out} == {"g4"}
    assert len(sets.train) == 16 and len(sets.held_out) == 4


def test_names_of_folders_as_macos_writes_them_and_what_is_no_video(tmp_path, caplog):
    """Ö as O and two dots; ten clips of a suffix that nothing takes were passed over in silence."""
    for folder in ("O\u0308ffnen", "b"):
        (tmp_path / folder).mkdir()
        for i, suffix in enumerate([".mp4", ".FLV", ".mp4", ".mp4", ".mp4", ".xyz"]):
            shutil.copy(SYNTH / "base_64.mp4", tmp_path / folder / f"{i}{suffix}")
    sets = read_clip_sets(tmp_path, length_s=2.0, background="")
    assert sets.labels == ("b", "\u00d6ffnen")
    assert len(sets.train) + len(sets.held_out) == 10
    assert "b: 1 are no videos by their names: .xyz" in caplog.text


def test_every_fifth_clip_of_a_class_is_held_out_beside_recordings_too(tmp_path):
    """Clips without a group were taken for one group, and none of them was held out."""
    rows = ["path,label,start_s,end_s"]
    rows += [f"r{i}.mp4,{label},{i},{i + 1}" for i in range(6) for label in "ab"]
    rows += [f"w{i}.mp4,wave,," for i in range(20)]
    sets = read_clip_sets(written(tmp_path, *rows, files=[row.split(",")[0] for row in rows[1:]]))
    held_out = [clip.name for clip in sets.held_out]
    assert held_out == ["r4.mp4"] * 2 + ["w4.mp4", "w9.mp4", "w14.mp4", "w19.mp4"]


def test_a_file_is_not_learned_from_and_looked_at(tmp_path):
    rows = ["path,label,split"]
    rows += [f"{i}.mp4,{'ab'[i % 2]},{split}" for i in range(4) for split in ("train", "test")]
    manifest = written(tmp_path, *rows, files=[f"{i}.mp4" for i in range(4)])
    with pytest.raises(VideoError, match="files in both splits: 0.mp4, 1.mp4, 2.mp4, 3.mp4"):
        read_clip_sets(manifest)


def test_labels_that_could_not_be_converted_are_not_learned(tmp_path):
    rows = ["path,label,split", "0.mp4,walk,train", "1.mp4, walk ,test", "2.mp4,run,train"]
    files = [f"{i}.mp4" for i in range(5)]
    manifest = written(tmp_path, *rows, "3.mp4,run,test", files=files)
    assert read_clip_sets(manifest).labels == ("run", "walk")
    written(tmp_path, *rows, "3.mp4,,test", "4.mp4, ,train")
    with pytest.raises(VideoError, match="without a label: 4.mp4, 3.mp4"):
        read_clip_sets(manifest)


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_NOFILE")
def test_there_may_be_more_recordings_than_files_that_may_be_open(tmp_path):
    rows = ["path,label,split"]
    for i in range(60):
        shutil.copy(SYNTH / "short_16.mp4", tmp_path / f"{i}.mp4")
        rows.append(f"{i}.mp4,{'ab'[i % 2]},{'test' if i < 6 else 'train'}")
    written(tmp_path, *rows)
    code = """
import os, resource, sys
os.cpu_count = lambda: 2  # each thread has files open too
from pathlib import Path
from training.cache import cache_clips
from training.data import read_clip_sets
from training.recipe import Recipe
folder = Path(sys.argv[1])
sets = read_clip_sets(folder)
opened = len(os.listdir("/dev/fd"))
resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 30, opened + 30))
recipe = Recipe(num_segments=4, image_size=32)
clips = cache_clips(sets.train + sets.held_out, sets.labels, recipe, folder / "cache")
print(sum(clip.crops(0).shape == (4, 32, 32, 3) for clip in clips))
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True)
    assert done.stdout == "60\n", done.stderr


def test_weights_for_pictures_of_another_size_are_told(tmp_path, caplog):
    network = PPTSMv2(NetworkOptions(2, num_segments=4))
    weights = tmp_path / "w.safetensors"
    save_weights(network, weights, TrainedAs(("a", "b"), 1, 1, "seeded", image_size=112))
    data = written(
        tmp_path, "path,label,split", *(f"{k}.mp4,{l},{s}" for k, l, s in FOUR), files=NAMES
    )
    for size, is_told in ((112, False), (64, True)):
        caplog.clear()
        with pytest.raises(VideoError, match="4 clips cannot be read"):
            recipe = Recipe(image_size=size, num_segments=4, frozen_stages=2)
            train(data, tmp_path / "out", recipe, init=weights)
        says = "learned from pictures of 112 pixels, these have 64: image_size 112 is meant for it"
        assert (says in caplog.text) == is_told


FOUR = [(0, "a", "train"), (1, "b", "train"), (2, "a", "test"), (3, "b", "test")]
NAMES = [f"{k}.mp4" for k, *_ in FOUR]


@pytest.mark.parametrize("changes", [{"frozen_stages": 2}, {"frozen_norms": True}])
def test_what_weights_know_cannot_be_kept_where_there_are_none(tmp_path, changes):
    rows = [f"{k}.mp4,{label},{split}" for k, label, split in FOUR]
    data = written(tmp_path, "path,label,split", *rows, files=NAMES)
    with pytest.raises(ModelError, match="keep what weights know: they need --init"):
        train(data, tmp_path / "out", Recipe(**changes))
    assert not (tmp_path / "out").exists()


def test_the_confusion_of_odd_and_of_many_labels_can_be_drawn(tmp_path):
    from PIL import Image

    draw_confusion(("a", "$b_ $ ^", "$"), np.eye(3, dtype=np.int64), tmp_path / "odd.png")
    draw_confusion(tuple(map(str, range(400))), np.eye(400, dtype=np.int64), tmp_path / "many.png")
    assert max(Image.open(tmp_path / "many.png").size) < 4000
