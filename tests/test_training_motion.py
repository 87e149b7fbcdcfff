"""Motion channels: weights that tell how much moves, before anything is learned."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")

from ppsdk.errors import ModelError  # noqa: E402
from training.cache import CachedClip  # noqa: E402
from training.device import to_network  # noqa: E402
from training.fit import fit  # noqa: E402
from training.motion import MOTION_CHANNELS, add_motion  # noqa: E402
from training.network import NetworkOptions, PPTSMv2  # noqa: E402
from training.recipe import Recipe  # noqa: E402
from training.weights import TrainedAs, save_weights  # noqa: E402

SEGMENTS, SIZE = 8, 64
CPU = torch.device("cpu")


def drifting(speed, seed, share=1.0):
    """uint8 (SEGMENTS, SIZE, SIZE, 3): blots, of which those in the upper share of the picture move
    by `speed` pixels a frame.
    """
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (SIZE // 8, SIZE // 8, 3)).astype(np.uint8)
    frames = np.stack([coarse.repeat(8, 0).repeat(8, 1)] * SEGMENTS)
    rows = round(share * SIZE)
    for k in range(SEGMENTS):
        frames[k, :rows] = np.roll(frames[0, :rows], speed * k, axis=1)
    return frames


def still(seed):
    return drifting(0, seed)


def pictures(*clips):
    return to_network(np.stack(clips), CPU)


MOVING = pictures(*(drifting(2 + k % 3, k) for k in range(6)))


@pytest.fixture(scope="module")
def seen():
    """A seeded network whose norms know what MOVING looks like, and its motion features."""
    torch.manual_seed(0)
    options = NetworkOptions(2, num_segments=SEGMENTS, lta=False, dropout=False)
    network = PPTSMv2(options).train()
    with torch.no_grad():
        for _ in range(60):
            network(MOVING)
    motion = add_motion(network.eval(), MOVING)
    return network, motion


def told(seen, *clips):
    """The mean of the motion features of each frame, (clips, SEGMENTS)."""
    network, motion = seen
    with torch.no_grad():
        return network.frame_features(pictures(*clips))[..., motion].mean(-1)


def test_as_many_features_tell_of_motion(seen):
    _, motion = seen
    assert len(set(motion.tolist())) == MOTION_CHANNELS


def test_what_stands_still_and_a_cut_are_no_motion(seen):
    cut = np.concatenate([still(20)[:4], still(21)[4:]])
    moving, *others = told(seen, drifting(2, 22), still(22), cut)
    assert moving.min() > 0.1
    for clip in others:
        assert clip.abs().max() < 1e-3


def test_noise_is_no_motion(seen):
    noisy = still(24).astype(int) + np.random.default_rng(24).integers(
        -2, 3, (SEGMENTS, SIZE, SIZE, 3)
    )
    moving, quiet = told(seen, drifting(2, 24), noisy.clip(0, 255).astype(np.uint8))
    assert quiet.mean() < 0.1 * moving.mean()


def test_it_is_told_in_the_very_frames_that_move(seen):
    stops = drifting(3, 23)
    stops[5:] = stops[4]
    (by_frame,) = told(seen, stops)
    # The fourth still moves away from the third, but no longer towards the fifth.
    assert by_frame[:4].min() > 0.1
    assert by_frame[4:].abs().max() < 1e-3


def test_the_more_moves_the_more_is_told(seen):
    shares = (0.25, 0.5, 1.0)
    by_share = [told(seen, *(drifting(2, k, share) for k in range(30, 34))) for share in shares]
    quarter, half, whole = (by_frame.mean().item() for by_frame in by_share)
    # Not in proportion: in so small a picture each place sees far into the others.
    assert half > 1.3 * quarter
    assert whole > 1.05 * half


def test_other_features_are_of_the_frame_alone(seen):
    network, motion = seen
    others = [k for k in range(1280) if k not in set(motion.tolist())]
    clip = drifting(2, 40)
    changed = clip.copy()
    changed[3] = still(41)[0]
    with torch.no_grad():
        before, after = network.frame_features(pictures(clip, changed))[..., others]
    near = [2, 4]
    assert torch.equal(before[near], after[near])
    assert not torch.allclose(before[3], after[3], atol=1e-3)


def test_in_training_they_tell_the_same(seen):
    network, motion = seen
    with torch.no_grad():
        inferred = network.frame_features(MOVING)[..., motion]
        # Batch norms measure themselves, and learn from that.
        trained = copy.deepcopy(network).train().frame_features(MOVING)[..., motion]
    assert torch.corrcoef(torch.stack([inferred.flatten(), trained.flatten()]))[0, 1] > 0.8
    assert torch.allclose(inferred.mean((0, 1)), trained.mean((0, 1)), rtol=0.1)


@pytest.mark.parametrize(
    ("segments", "shift_stages"), [(3, (3,)), (16, (3, 4)), (32, (1, 2, 3, 4))]
)
def test_of_any_number_of_segments(segments, shift_stages):
    torch.manual_seed(1)
    network = PPTSMv2(NetworkOptions(2, num_segments=segments, shift_stages=shift_stages))
    clips = torch.randn(1, segments, 3, 32, 32)
    motion = add_motion(network, clips)
    assert network.training
    # No more than the shift takes from each side.
    assert len(motion) == min(MOTION_CHANNELS, 256 // segments)


@pytest.mark.parametrize("segments", [6, pytest.param(13, marks=pytest.mark.slow)])
def test_features_of_the_frame_alone_are_so_where_the_shift_takes_uneven_parts(segments):
    """Of 256 channels over 6 segments 42 come from the frame before, and 43 from the one after."""
    torch.manual_seed(1)
    options = NetworkOptions(2, num_segments=segments, lta=False, dropout=False)
    network = PPTSMv2(options).train()
    clips = torch.randn(2, segments, 3, 64, 64)
    with torch.no_grad():
        for _ in range(40):  # until the norms know them
            network(clips)
    motion = set(add_motion(network.eval(), clips).tolist())
    clips[1, 2] = clips[0, 2]  # between others
    others = [k for k in range(1280) if k not in motion]
    with torch.no_grad():
        one, other = network.frame_features(clips)
    assert torch.equal(one[2, others], other[2, others])
    assert not torch.allclose(one[3, others], other[3, others], atol=1e-3)


@pytest.mark.parametrize("asked", [{"shift_stages": (4,)}, {"num_segments": 2}])
def test_without_frames_to_compare_a_recipe_is_refused(asked):
    with pytest.raises(ModelError, match="motion_first needs 3 in shift_stages and num_segments"):
        Recipe(motion_first=True, **asked)


def labelled(label_id, frames):
    places = np.arange(SEGMENTS)[None]
    candidates = np.repeat(places[..., None], 4, -1)
    labels = np.full(SEGMENTS, label_id)
    return CachedClip(
        label_id, frames, candidates, places, labels, np.arange(float(SEGMENTS)), SIZE
    )


@pytest.mark.slow
def test_little_and_much_motion_are_told_apart_from_the_start(tmp_path):
    """In pictures never seen, by weights that have learned nothing at all."""
    torch.manual_seed(3)
    network = PPTSMv2(NetworkOptions(1280, num_segments=SEGMENTS, lta=False))
    with torch.no_grad():
        for _ in range(30):
            network(MOVING)
    save_weights(network, tmp_path / "w.safetensors", TrainedAs((), 2.0, 0.5, "seeded"))
    clips = [labelled(k % 2, drifting(2, 100 + k, (0.125, 1.0)[k % 2])) for k in range(64)]
    right = {}
    for motion_first in (False, True):
        recipe = Recipe(
            epochs=1,
            peak_rate=1e-9,  # nothing is learned beyond the first classifier
            motion_first=motion_first,
            head_first=True,
            frozen_norms=True,
            num_segments=SEGMENTS,
            image_size=SIZE,
            scales=(1.0,),
            videomix_alpha=0.0,
        )
        out = tmp_path / str(motion_first)
        out.mkdir()
        fitted = fit(clips[:32], clips[32:], 2, recipe, out, init=tmp_path / "w.safetensors")
        right[motion_first] = fitted.history[-1].top1
    # Chance is 0.5, with a deviation of 0.09.
    assert right[True] >= 0.85
    assert right[False] <= 0.75
