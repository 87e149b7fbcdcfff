"""The work cell: its truth, its reversals, and that training and demo share nothing."""

from dataclasses import replace

import numpy as np
import pytest

from ppsdk.demo.cell import CHANGES, LABELS, REVERSE_OF, plan_steps
from ppsdk.demo.looks import draw_looks, scene_rng
from ppsdk.demo.pose import pose_at
from ppsdk.demo.render import FPS, HEIGHT, WIDTH, Scene


@pytest.mark.parametrize("seed", range(20))
def test_steps_follow_from_each_other_without_gaps(seed):
    steps = plan_steps(np.random.default_rng(seed), 60.0, tray_places=4)
    assert steps[0].start_s == 0 and steps[-1].end_s == 60
    part = "tray"
    for earlier, later in zip(steps, steps[1:], strict=False):
        assert earlier.end_s == later.start_s
        assert (earlier.label, later.label) != ("idle", "idle")
    for step in steps:
        assert step.part == part and step.end_s > step.start_s
        if step.label != "idle":
            before, part = CHANGES[step.label]
            assert before == step.part


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
    """Cameras and hues come from ranges that do not overlap, whatever the seeds."""
    turns = {
        split: np.array([draw_looks(split, scene_rng(split, s)).turn_deg for s in range(400)])
        for split in ("train", "demo")
    }
    for turn in turns["demo"]:
        assert np.abs(turns["train"] - turn).min() > 0.1
    assert scene_rng("train", 3).random() != scene_rng("demo", 3).random()
