"""The work cell: its truth, its reversals, and that training and demo share nothing."""

import colorsys
from dataclasses import replace

import numpy as np
import pytest

from ppsdk.demo.cell import (
    CHANGES,
    LABELS,
    OWN_LABELS,
    PARTS,
    REVERSE_OF,
    TURNING_SHARE,
    plan_steps,
)
from ppsdk.demo.looks import draw_looks, scene_rng
from ppsdk.demo.pose import pose_at
from ppsdk.demo.render import FPS, HEIGHT, WIDTH, Scene


@pytest.mark.parametrize("seed", range(20))
def test_steps_follow_from_each_other_without_gaps(seed):
    steps = plan_steps(np.random.default_rng(seed), 60.0, tray_places=4)
    assert steps[0].start_s == 0 and steps[-1].end_s == 60
    part = steps[0].part
    for earlier, later in zip(steps, steps[1:], strict=False):
        assert earlier.end_s == later.start_s
        assert (earlier.label, later.label) != ("idle", "idle")
    for step in steps:
        assert step.part == part and step.end_s > step.start_s
        if step.label != "idle":
            before, part = CHANGES[step.label]
            assert before == step.part


def test_scenes_begin_anywhere_in_the_work():
    begun = {plan_steps(np.random.default_rng(s), 9.0, tray_places=4)[0].part for s in range(40)}
    assert begun == set(PARTS)


def test_every_action_occurs_about_as_often_as_its_reversal():
    steps = plan_steps(np.random.default_rng(0), 6000.0, tray_places=4)
    counts = {label: sum(step.label == label for step in steps) for label in LABELS}
    assert min(counts.values()) > 50
    for label, reverse in REVERSE_OF.items():
        assert counts[label] == pytest.approx(counts[reverse], rel=0.35, abs=2)


@pytest.mark.parametrize("label", ["pick", "insert", "tighten"])
def test_an_action_backwards_is_its_reversal(label):
    """The same pictures in the other order, so that none of them alone tells which it is."""
    looks = draw_looks("train", scene_rng("train", 7))
    steps = plan_steps(np.random.default_rng(3), 600.0, tray_places=4)
    step = replace(next(s for s in steps if s.label == label), start_s=10.0, end_s=12.0)
    after = CHANGES[label][1]
    back = replace(step, label=REVERSE_OF[label], part=after)
    for time_s in np.linspace(10, 12, 41):
        one, other = pose_at(step, time_s, looks), pose_at(back, 22 - time_s, looks)
        for name in one.__dataclass_fields__:
            assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-9), name


@pytest.mark.parametrize("seed", range(8))
def test_nothing_jumps(seed):
    """At 100 moments a second nothing moves by more than 3 % of the picture, across actions too."""
    scene = Scene.from_seed("train", seed, 30.0)
    times = np.arange(0, 30, 0.01)
    poses = [pose_at(scene.step_at(t), t, scene.looks) for t in times]
    for name in ("hand", "part_at", "wrench_at"):
        places = np.array([getattr(pose, name) for pose in poses])
        steps = np.hypot(*np.diff(places, axis=0).T)
        assert steps.max() < 0.03, (name, times[steps.argmax()])
    assert np.abs(np.diff([pose.wrench_deg for pose in poses])).max() < 8


def test_phases_rise_even_when_the_hand_hesitates():
    steps = plan_steps(np.random.default_rng(1), 60.0, tray_places=4)
    for step in steps:
        phases = [step.phase(t) for t in np.linspace(step.start_s, step.end_s, 50)]
        rising = phases if phases[0] < phases[-1] else phases[::-1]
        assert rising == sorted(rising)
        assert rising[0] == pytest.approx(0, abs=1e-9) and rising[-1] == pytest.approx(1)


def test_a_seed_is_a_scene():
    one, two = (Scene.from_seed("demo", 4, 10.0) for _ in range(2))
    other = Scene.from_seed("demo", 5, 10.0)
    assert one.steps == two.steps and np.array_equal(one.image(3.2), two.image(3.2))
    assert one.steps != other.steps
    assert one.image(3.2).shape == (HEIGHT, WIDTH, 3) and one.image(3.2).dtype == np.uint8


def test_frames_have_their_times():
    frames = list(Scene.from_seed("train", 1, 2.0).frames())
    assert len(frames) == 2 * FPS
    assert [frame.pts_s for frame in frames[:3]] == pytest.approx([0, 0.04, 0.08])


def test_training_cannot_draw_a_scene_of_the_demo():
    """Cameras and colours come from ranges that do not overlap, whatever the seeds."""

    def hue(colour):
        return 360 * colorsys.rgb_to_hsv(*(value / 255 for value in colour))[0]

    splits = ("train", "demo", "own")
    looks = {
        split: [draw_looks(split, scene_rng(split, s)) for s in range(300)] for split in splits
    }
    for split in ("demo", "own"):
        for of in (
            lambda look: look.turn_deg,
            lambda look: hue(look.part),
            lambda look: hue(look.tray),
            lambda look: (hue(look.tool) + 90) % 360,
        ):
            train = np.array([of(look) for look in looks["train"]])
            assert min(np.abs(train - of(look)).min() for look in looks[split]) > 0.1
    draws = {scene_rng(split, 3).random() for split in splits}
    assert len(draws) == 3


def test_own_actions_are_others_and_each_has_its_movement():
    assert not set(OWN_LABELS) & set(LABELS)
    for label in OWN_LABELS:
        scene = Scene.of_own_action(5, label)
        times = np.arange(0, scene.length_s, 0.01)
        hands = np.array([pose_at(scene.steps[0], t, scene.looks).hand for t in times])
        assert np.hypot(*np.diff(hands, axis=0).T).max() < 0.03, label
        assert np.abs(hands - scene.looks.rest_at).max() > 0.1, label


def test_the_movements_of_an_action_follow_each_other_and_turn_round_in_its_middle():
    """Half-way a pick closes its hand; a wrench is on the bolt between its way out and back."""
    for seed in range(20):
        for step in plan_steps(np.random.default_rng(seed), 30.0, tray_places=4):
            parts = step.parts()
            edges = [(start_s, end_s) for _, start_s, end_s in parts]
            assert edges[0][0] == step.start_s and edges[-1][1] == step.end_s
            assert all(one[1] == other[0] for one, other in zip(edges, edges[1:], strict=False))
            names = [name for name, _, _ in parts]
            if step.label in ("tighten", "loosen"):
                strokes = [f"{step.label} turns", f"{step.label} returns"] * step.strokes
                if step.label == "loosen":  # everything backwards, so that it begins with a return
                    strokes.reverse()
                assert names == ["wrench out", *strokes, "wrench back"]
                for time_s in (edges[1][0], edges[-1][0]):
                    phase = step.phase(time_s)
                    assert min(phase, 1 - phase) == pytest.approx((1 - TURNING_SHARE) / 2, abs=5e-3)
            elif step.label != "idle":
                assert names == [f"{step.label} out", f"{step.label} back"]
                assert step.phase(edges[0][1]) == pytest.approx(0.5)
