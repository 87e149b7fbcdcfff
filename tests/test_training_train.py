"""Training end to end on a tiny rendered set: it learns, resumes exactly, names what is wrong."""

import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from fading_lamps import write_set

torch = pytest.importorskip("torch", reason="needs the extra 'train'")
pytest.importorskip("matplotlib", reason="needs the extra 'train'")

from converters.checkpoint import read_checkpoint  # noqa: E402
from ppsdk import ModelError, Recognizer, VideoError, sample_clip  # noqa: E402
from ppsdk.preprocess import crop_for_model  # noqa: E402
from training.augment import augment, draw_frames, multi_scale_crop, recolour  # noqa: E402
from training.cache import CachedClip, cache_clips  # noqa: E402
from training.data import read_clip_sets  # noqa: E402
from training.network import NetworkOptions, PPTSMv2, load_network  # noqa: E402
from training.recipe import Recipe, read_recipe  # noqa: E402
from training.start import start_from  # noqa: E402
from training.train import _warn_of_other_lengths, sided_labels, train  # noqa: E402
from training.weights import TrainedAs, save_weights  # noqa: E402

# Small enough for two cores; videomix is for sets that are not learned in ten epochs.
TINY = Recipe(
    epochs=10,
    batch_size=8,
    peak_rate=0.05,
    num_segments=8,
    image_size=64,
    flip=False,
    videomix_alpha=0.0,
    scales=(1.0, 0.875),
)


# What takes hold from every seed: SGD is left with chance now and then, by the last bit of a sum.
LEARNS = {"optimizer": "adamw", "peak_rate": 0.004, "epochs": 12}


def tiny(**changes):
    from dataclasses import replace

    return replace(TINY, **changes)


@pytest.fixture(scope="module")
def lamps(tmp_path_factory):
    """80 clips of which every fifth is held out: 16."""
    return write_set(tmp_path_factory.mktemp("data") / "lamps", 40)


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp("data") / "few", 5, seed=1)


@pytest.mark.slow
def test_it_learns_what_only_the_order_of_frames_tells(lamps, tmp_path):
    """Chance is 8 of 16. 14 or more by chance has a probability of 0.2 %."""
    done = train(lamps, tmp_path / "out", tiny(**LEARNS))
    assert done.top1 * 16 >= 14
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"best.safetensors", "last.safetensors", "log.csv", "recipe.json"} <= names
    assert {"curves.png", "confusion.png"} <= names
    with (tmp_path / "out" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(1, 13))
    assert max(float(row["top1"]) for row in rows) == done.top1

    from converters.convert import ConvertOptions, convert

    convert(done.best_weights, tmp_path / "model", ConvertOptions())
    with Recognizer(tmp_path / "model") as recognizer:
        assert recognizer.labels == ("lamp_off", "lamp_on")
        assert (recognizer.facts.image_size, recognizer.facts.length_s) == (64, 2.0)
        held_out = read_clip_sets(lamps).held_out
        right = sum(recognizer.classify(clip.path).label == clip.label for clip in held_out)
    assert right == round(done.top1 * 16), "training and runtime see the same pixels"


@pytest.mark.slow
def test_without_shift_and_attention_it_is_left_with_chance(lamps, tmp_path):
    """No frame tells the classes apart; 13 or more of 16 by chance has a probability of 1 %, and
    the last epoch is taken, not the best of ten.
    """
    done = train(lamps, tmp_path / "out", tiny(**LEARNS, lta=False, shift_stages=()))
    assert done.history[-1].top1 * 16 < 13


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"videomix_alpha": 0.2, "label_smoothing": 0.1}, marks=pytest.mark.slow),
        {"dml": "self", "colour_jitter": 0.1},
        pytest.param({"ema_decay": 0.9, "flip": True, "bf16": True}, marks=pytest.mark.slow),
        {"optimizer": "adamw", "peak_rate": 1e-3, "frame_loss": 0.5},
    ],
    ids=["mix", "dml", "ema", "adamw"],
)
def test_a_run_that_is_killed_goes_on_to_the_same_result(changes, few, tmp_path, monkeypatch):
    from training import fit as module

    recipe = tiny(epochs=3, batch_size=4, num_segments=4, **changes)
    train(few, tmp_path / "straight", recipe)

    saves = []

    def save_and_die(*arguments):
        save(*arguments)
        saves.append(1)
        if len(saves) == 2:
            raise KeyboardInterrupt

    save = module.save
    monkeypatch.setattr(module, "SAVE_EVERY_S", 0.0)
    monkeypatch.setattr(module, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        train(few, tmp_path / "killed", recipe)
    monkeypatch.undo()
    assert not (tmp_path / "killed" / "best.safetensors").exists()
    train(few, tmp_path / "killed", recipe)
    straight, resumed = tmp_path / "straight", tmp_path / "killed"
    assert (straight / "log.csv").read_bytes() == (resumed / "log.csv").read_bytes()
    for name in ("best.safetensors", "last.safetensors"):
        one, other = read_checkpoint(straight / name), read_checkpoint(resumed / name)
        assert one.metadata == other.metadata
        assert all(np.array_equal(one.arrays[k], other.arrays[k]) for k in one.arrays)


def test_frozen_stages_stay_as_they_are(few, tmp_path):
    given = PPTSMv2(NetworkOptions(2, num_segments=4))
    weights = tmp_path / "given.safetensors"
    save_weights(given, weights, TrainedAs(("a", "b"), 1, 1, "seeded", image_size=64))
    recipe = tiny(epochs=1, num_segments=4, frozen_stages=2)
    done = train(few, tmp_path / "out", recipe, init=weights)
    before, after = given.state_dict(), load_network(done.best_weights).state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert not any(name.startswith(("stem.", "stages.0.", "stages.1.")) for name in moved)
    assert {name.split(".")[1] for name in moved if name.startswith("stages.")} == {"2", "3"}


def test_weights_that_are_not_there_are_told_before_clips_decode(few, tmp_path):
    with pytest.raises(ModelError, match="none.safetensors: no such file"):
        train(few, tmp_path / "out", tiny(epochs=1), init=tmp_path / "none.safetensors")
    assert not (tmp_path / "out").exists()


def test_frozen_norms_keep_their_statistics(few, tmp_path):
    given = PPTSMv2(NetworkOptions(2, num_segments=4))
    with torch.no_grad():  # statistics of something: with those that are seeded it sees nothing
        for _ in range(20):
            given(torch.randn(2, 4, 3, 64, 64))
    weights = tmp_path / "given.safetensors"
    save_weights(given, weights, TrainedAs(("a", "b"), 1, 1, "seeded", image_size=64))
    recipe = tiny(epochs=1, num_segments=4, frozen_norms=True, warmup_epochs=0.0)
    done = train(few, tmp_path / "out", recipe, init=weights)
    before, after = given.state_dict(), load_network(done.best_weights).state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert not any(name.endswith(("._mean", "._variance")) for name in moved)
    assert any(name.endswith(".bn.weight") for name in moved)


def test_an_attention_that_is_new_changes_nothing_at_first(tmp_path):
    """It halves every frame, which the batch norms behind it are told."""
    torch.manual_seed(0)
    given = PPTSMv2(NetworkOptions(2, num_segments=4, lta=False))
    clips = torch.randn(2, 4, 3, 64, 64)
    with torch.no_grad():  # statistics of something, not zeros and ones
        for _ in range(5):
            given(clips)
        weights = tmp_path / "given.safetensors"
        save_weights(given, weights, TrainedAs(("a", "b"), 1, 1, "seeded", image_size=64))
        network = PPTSMv2(NetworkOptions(2, num_segments=4))
        start_from(network, weights)
        network.global_attention.fc.weight.zero_()  # as drawn, it is 0.5 but for some thousandths
        before, after = given.eval()(clips), network.eval()(clips)
    assert before.abs().max() > 1e-3
    assert after == pytest.approx(before, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("asked", [{"num_segments": 8}, {"lta": False}])
def test_an_attention_that_is_renewed_or_left_out_changes_little(tmp_path, asked, caplog):
    """It let frames through at 0.88, and the batch norms behind it know them so."""
    torch.manual_seed(0)
    given = PPTSMv2(NetworkOptions(2, num_segments=4, shift_stages=(), dropout=False))
    clips = torch.randn(2, 4, 3, 64, 64)
    with torch.no_grad():
        given.global_attention.fc.weight.zero_()
        given.global_attention.fc.bias.fill_(2.0)
        for _ in range(40):  # until the norms know the clips
            given(clips)
        weights = tmp_path / "given.safetensors"
        save_weights(given, weights, TrainedAs(("a", "b"), 1, 1, "seeded", image_size=64))
        options = NetworkOptions(
            **{"num_classes": 2, "num_segments": 4, "shift_stages": ()} | asked
        )
        network = PPTSMv2(options)
        start_from(network, weights)
        # Without a shift frames are alone: twice as many, repeated, have the same mean.
        seen = clips.repeat_interleave(options.num_segments // 4, 1)
        before, after = given.eval()(clips), network.eval()(seen)
    assert (before[0] - before[1]).abs().max() > 5e-3, "told apart"
    assert after == pytest.approx(before, rel=1e-3, abs=1e-4)
    assert ("left out: global_attention" in caplog.text) == ("lta" in asked)


def test_it_learns_with_any_peer(few, tmp_path):
    """The peer moves too, by its own loss."""
    peers = []

    def make_peer(num_classes, recipe):
        pixels = recipe.num_segments * 3 * recipe.image_size**2
        peer = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(pixels, num_classes))
        peers.append((peer, peer[1].weight.detach().clone()))
        return peer

    train(few, tmp_path, tiny(epochs=1, num_segments=4, dml="peer"), make_peer=make_peer)
    ((peer, before),) = peers
    assert not torch.equal(peer[1].weight, before)


def test_logs_for_tensorboard(few, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    done = train(few, tmp_path, tiny(epochs=2, num_segments=4))
    board = EventAccumulator(str(tmp_path / "tensorboard"))
    board.Reload()
    told = [(event.step, event.value) for event in board.Scalars("train_loss")]
    assert told == [(row.epoch, pytest.approx(row.train_loss)) for row in done.history]


def test_a_folder_of_another_recipe_is_not_gone_on_with(few, tmp_path):
    train(few, tmp_path / "out", tiny(epochs=1, num_segments=4))
    before = sorted(path.name for path in (tmp_path / "out" / "cache").iterdir())
    with pytest.raises(ModelError, match="state.pt: is of another recipe or data"):
        train(few, tmp_path / "out", tiny(epochs=1, num_segments=8))
    assert read_recipe(tmp_path / "out" / "recipe.json") == tiny(epochs=1, num_segments=4)
    assert before == sorted(path.name for path in (tmp_path / "out" / "cache").iterdir())
    with pytest.raises(ModelError, match="init was '', is '"):
        weights = tmp_path / "out" / "last.safetensors"
        train(few, tmp_path / "out", tiny(epochs=1, num_segments=4), init=weights)
    (tmp_path / "out" / "state.pt").write_bytes(b"junk")
    with pytest.raises(ModelError, match="state.pt: cannot go on from it"):
        train(few, tmp_path / "out", tiny(epochs=1, num_segments=4))


def test_a_folder_of_other_clips_is_not_gone_on_with(few, tmp_path):
    """What was learned of ten clips was told as if it had been of eleven."""
    train(few, tmp_path / "out", tiny(epochs=1, num_segments=4))
    more = tmp_path / "more"
    shutil.copytree(few, more)
    clip = next(more.rglob("*.mp4"))
    shutil.copy(clip, clip.with_stem("zz"))
    with pytest.raises(ModelError, match="of another recipe or data .*clips was '"):
        train(more, tmp_path / "out", tiny(epochs=1, num_segments=4))


def test_cached_crops_are_those_of_inference(few, tmp_path):
    sets = read_clip_sets(few)
    cached = cache_clips(sets.held_out, sets.labels, TINY, tmp_path)
    clip = sample_clip(sets.held_out[0].path, num_segments=8)
    crops = [crop_for_model(image, image_size=64, short_side=73) for image in clip.images]
    assert np.array_equal(cached[0].crops(0), np.stack(crops))
    assert cached[0].candidates.shape == (1, 8, 4) and cached[0].frames.shape[1:] == (73, 97, 3)
    assert [clip.label_id for clip in cached] == [0, 1]
    before = sorted(path.stat().st_mtime_ns for path in tmp_path.iterdir())
    cache_clips(sets.held_out, sets.labels, TINY, tmp_path)
    assert before == sorted(path.stat().st_mtime_ns for path in tmp_path.iterdir())


def test_augmentation_draws_one_frame_of_each_segment_and_one_crop_of_all():
    def clip(frames, candidates):
        return CachedClip(
            0,
            frames,
            candidates,
            candidates[:, :, 0],
            np.arange(len(frames)),
            np.arange(len(frames)) / 25,
            32,
        )

    frames = (
        np.zeros((24, 40, 60, 3), np.uint8) + np.arange(24, dtype=np.uint8)[:, None, None, None]
    )
    candidates = np.arange(24).reshape(2, 4, 3)  # two windows of four segments
    rng = np.random.default_rng(0)
    drawn = np.array([draw_frames(clip(frames, candidates), rng, even=False) for _ in range(300)])
    assert (np.diff(drawn // 3, axis=1) == 1).all() and set(drawn.ravel()) == set(range(24))
    assert set(drawn[:, 0] // 12) == {0, 1}
    assert len({tuple(row % 3) for row in drawn}) > 20
    even = np.array([draw_frames(clip(frames, candidates), rng, even=True) for _ in range(100)])
    assert (np.diff(even, axis=1) == 3).all() and set(even[:, 0] % 3) == {0, 1, 2}
    ramp = np.tile(np.arange(60, dtype=np.uint8), (4, 40, 1))[..., None].repeat(3, -1)
    for _ in range(50):
        crop = multi_scale_crop(ramp, 32, (1.0, 0.75), rng)
        assert crop.shape == (4, 32, 32, 3) and (crop == crop[:1]).all()
        # 30 or 40 of the 60 columns, less what the resize rounds off at both ends.
        assert 26 <= int(crop[0, 0, -1, 0]) - int(crop[0, 0, 0, 0]) <= 39
    still = clip(ramp, np.arange(4).reshape(1, 4, 1))
    seen = {
        bool(c[0, 0, 0, 0] > c[0, 0, -1, 0])
        for c, _ in (augment(still, Recipe(scales=(1.0,)), rng) for _ in range(50))
    }
    assert seen == {True, False}
    crops, frame_labels = augment(clip(frames, candidates), Recipe(scales=(1.0,), flip=False), rng)
    assert frame_labels.tolist() == crops[:, 0, 0, 0].tolist()


def test_another_light_is_the_same_on_all_frames_and_bounded():
    crops = np.random.default_rng(0).integers(60, 196, (2, 8, 8, 3)).astype(np.uint8)
    crops[1] = crops[0]
    for seed in range(20):
        seen = recolour(crops, 0.2, np.random.default_rng(seed))
        assert seen.dtype == np.uint8 and np.array_equal(seen[0], seen[1])
        # Gains of at most 1.2 x 1.2, then contrast of at most 1.2 around 128.
        extremes = [
            ((g * gain - 128) * c + 128)
            for g in (60, 195)
            for gain in (0.64, 1.44)
            for c in (0.8, 1.2)
        ]
        assert min(extremes) - 1 <= seen.min() and seen.max() <= max(extremes)
    assert np.array_equal(recolour(crops, 0.0, np.random.default_rng(0)), crops)


def test_unreadable_clips_are_listed_before_training(few, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(few, data)
    for label in ("lamp_off", "lamp_on"):
        (data / label / "000.mp4").write_bytes(b"junk")
    with pytest.raises(VideoError, match="2 clips cannot be read: .*lamp_off.*lamp_on"):
        train(data, tmp_path / "out", TINY)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda d: None, "has neither a manifest.csv nor folders"),
        (lambda d: (d / "a").mkdir(), "classes without clips: 'a'"),
        (
            lambda d: (d / "manifest.csv").write_text("path,label\nx.mp4,a\n"),
            "1 files are missing: x.mp4; split 'test' has no clips of 'a'; 1 classes: at least two",
        ),
    ],
)
def test_folders_without_data(tmp_path, make, says):
    make(tmp_path)
    with pytest.raises(VideoError, match=says):
        read_clip_sets(tmp_path)


def test_training_starts_from_weights_of_other_classes(tmp_path):
    given = PPTSMv2(NetworkOptions(7, num_segments=16))
    save_weights(
        given, tmp_path / "x.safetensors", TrainedAs(tuple("abcdefg"), 1, 1, "seven classes")
    )
    network = PPTSMv2(NetworkOptions(3, num_segments=8))
    fresh = network.fc.weight.clone()
    start_from(network, tmp_path / "x.safetensors")
    assert torch.equal(network.stem[0].conv.weight, given.stem[0].conv.weight)
    assert torch.equal(network.fc.weight, fresh)
    same = PPTSMv2(NetworkOptions(7, num_segments=16))
    start_from(same, tmp_path / "x.safetensors")
    assert torch.equal(same.fc.weight, given.fc.weight)
    assert load_network(tmp_path / "x.safetensors").options.num_classes == 7


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"epoch": 3}', "'epoch' is unknown.*accepted are epochs, "),
        ('{"epochs": "3"}', "'epochs' = '3'"),
        ('{"epochs": 0}', "out of range: epochs = 0"),
        ('{"dml": "teacher"}', "out of range: dml = teacher"),
        ('{"frozen_stages": 5}', "out of range: frozen_stages = 5"),
        ('{"image_size": 16}', "out of range: image_size = 16"),
        ("[]", "must be a JSON object"),
        ("{", "cannot read the recipe"),
    ],
)
def test_recipes_that_are_wrong(tmp_path, content, says):
    (tmp_path / "recipe.json").write_text(content)
    with pytest.raises(ModelError, match=says):
        read_recipe(tmp_path / "recipe.json")


def test_clips_that_last_longer_than_windows_are_told_of(few, tmp_path, caplog):
    """They are learned from end to end, at another pace than that of streams."""
    clips = read_clip_sets(few)
    for length_s, is_told in ((2.0, False), (0.5, True)):
        caplog.clear()
        recipe = tiny(length_s=length_s, stride_s=0.25)
        cached = cache_clips(clips.train, clips.labels, recipe, tmp_path)
        _warn_of_other_lengths(clips.train, cached, recipe)
        said = "clips usually last 2.0 s, windows of streams will last 0.5 s" in caplog.text
        assert said == is_told


def test_labels_with_a_side():
    labels = ("turn_left", "Right hook", "bright", "leftover")
    assert sided_labels(labels) == ["turn_left", "Right hook"]


def test_the_command_says_how_to_go_on(few, tmp_path):
    recipe = {"epochs": 1, "batch_size": 4, "num_segments": 4, "image_size": 64}
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    command = [sys.executable, "-m", "ppsdk", "train", few, tmp_path / "out"]
    command += ["--recipe", tmp_path / "recipe.json", "--no-flip"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
    (following,) = (line for line in done.stdout.splitlines() if line.startswith("next: ppsdk "))
    convert = [sys.executable, "-m", *following.removeprefix("next: ").split()]
    assert subprocess.run(convert, capture_output=True).returncode == 0
    with Recognizer(tmp_path / "out" / "model") as recognizer:
        assert recognizer.num_segments == 4
