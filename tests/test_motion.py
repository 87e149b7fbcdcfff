"""Scenes in which nothing changes are not computed again, and what was seen in them goes on."""

import numpy as np
from short_streams import SPAN, alone, pictures

from ppsdk import Frame, StreamOptions
from ppsdk.motion import MotionGate
from ppsdk.records import Clip


def gated(recognizer, frames):
    """Windows, and how many of them were not computed."""
    source = StreamOptions(frames, name="app")
    with recognizer.streams([source], **SPAN, still_below=8) as streams:
        windows = [window.scores for window in streams]
        fare = streams.statistics()["app"]
    assert fare.windows == len(windows)
    return windows, fare.still


def test_a_still_scene_costs_its_first_window(recognizer):
    told = alone(recognizer, list(pictures(60)))
    windows, still = gated(recognizer, pictures(60))
    assert still == len(told) - 1
    assert [w.start_s for w in windows] == [w.start_s for w in told]
    assert all(np.array_equal(window.logits, windows[0].logits) for window in windows)


def test_a_start_after_stillness_is_seen_as_early_as_without_a_gate(recognizer):
    """One frame a segment; the square is there from frame 30 on. Window k has the frames 4k to
    4k + 7: those from 6 on, which begins with frame 24, have some of it.
    """
    told = alone(recognizer, list(pictures(60, moving_from=30)))
    windows, still = gated(recognizer, pictures(60, moving_from=30))
    assert still == 5 and len(windows) == len(told)
    for one, other in zip(told[6:], windows[6:], strict=True):
        assert (one.start_s, one.frame_indices.tolist()) == (
            other.start_s,
            other.frame_indices.tolist(),
        )
        assert np.abs(one.logits - other.logits).max() <= 1e-5


def moving_then_still():
    """The square moves for 3 s and then stays where it is for 3 s, without noise."""
    moving = [Frame(frame.image, frame.pts_s) for frame in pictures(30, moving_from=0)]
    last = moving[-1].image
    return moving + [Frame(last, i / 10) for i in range(30, 60)]


def test_what_was_seen_goes_on_in_a_scene_that_stands_still(recognizer):
    """Window 7 begins with frame 28, which moves still; 8 is the first with one picture alone."""
    told = alone(recognizer, moving_then_still())
    windows, still = gated(recognizer, moving_then_still())
    assert still == len(told) - 9 >= 4
    for one, other in zip(told, windows, strict=True):
        assert np.abs(one.logits - other.logits).max() <= 1e-5

    def facts_of(events):
        return [(e.phase, e.label, e.start_s, e.end_s, e.ended_by) for e in events]

    with recognizer.events(moving_then_still(), **SPAN) as events:
        without = facts_of(events)
    source = StreamOptions(moving_then_still(), name="app")
    with recognizer.streams([source], **SPAN, still_below=8) as streams:
        assert facts_of(streams.events()) == without
    assert without[-1][-1] == "end", "none ends as a gap"


def test_light_that_changes_slowly_is_a_change_in_the_end():
    """A level a window, none to be seen within one: by the eighth it is 8 levels."""
    gate = MotionGate(8)
    seen = []
    for k in range(20):
        images = np.full((4, 16, 16, 3), 100 + k, np.uint8)
        indices = np.arange(4 * k, 4 * k + 4)
        seen.append(gate.is_still(Clip(images, indices, indices / 10, float(k), k + 1.0)))
    assert [k for k, still in enumerate(seen) if not still] == [0, 8, 16]
