"""Records check themselves when built and print shapes, not pixels."""

import math

import numpy as np
import pytest

from ppsdk import ActionEvent, Clip, Frame, WindowScores

IMAGE = np.zeros((4, 6, 3), np.uint8)


def scores(logits):
    labels = tuple(f"class_{i}" for i in range(len(logits)))
    return WindowScores(np.float32(logits), labels, 1.0, 2.0, np.arange(16))


def test_scores_are_the_softmax_of_the_logits():
    one = scores([0.0, math.log(3), -1000.0])
    assert one.scores == pytest.approx([0.25, 0.75, 0.0])
    assert (one.label, one.label_id, one.score) == ("class_1", 1, pytest.approx(0.75))
    assert one.top(2) == [("class_1", pytest.approx(0.75)), ("class_0", pytest.approx(0.25))]
    assert len(one.top(99)) == 3
    assert scores([1e30, 0]).scores.tolist() == [1, 0]


def test_top_of_nothing_is_refused():
    with pytest.raises(ValueError, match="k must be 1 or more"):
        scores([1, 2]).top(0)


@pytest.mark.parametrize("pts_s", [-0.1, math.nan, math.inf])
def test_a_frame_has_a_finite_time(pts_s):
    with pytest.raises(ValueError, match="finite time >= 0"):
        Frame(IMAGE, pts_s)


@pytest.mark.parametrize(
    "image", [IMAGE[..., 0], IMAGE[..., :2], IMAGE.astype(float), np.zeros((0, 4, 3), np.uint8)]
)
def test_a_frame_is_a_colour_picture(image):
    with pytest.raises(ValueError, match=r"uint8 \(H, W, 3\) RGB"):
        Frame(image, 0.0)


def test_a_clip_has_as_many_times_as_images():
    with pytest.raises(ValueError, match="must be as many"):
        Clip(np.stack([IMAGE] * 3), np.arange(3), np.arange(2.0), 0.0, 1.0)
    with pytest.raises(ValueError, match="0 <= start < end"):
        Clip(np.stack([IMAGE] * 3), np.arange(3), np.arange(3.0), 1.0, 1.0)


def test_records_print_shapes():
    assert repr(Frame(IMAGE, 1 / 3)) == "Frame(image=(4, 6, 3), pts_s=0.333)"
    clip = Clip(np.stack([IMAGE] * 2), np.arange(2), np.arange(2.0), 0.0, 2.0)
    assert repr(clip) == "Clip(images=(2, 4, 6, 3), start_s=0.000, end_s=2.000)"
    assert repr(scores([0, 9])).startswith("WindowScores('class_1' 1.000")


def test_an_event_ends_after_it_starts():
    with pytest.raises(ValueError, match="must end after it starts"):
        ActionEvent("id", "jump", 0, 0.5, 2.0, 2.0, "camera 0")


def test_an_event_tells_wall_clock_times_only_where_it_has_them():
    told = ActionEvent("id", "jump", 0, 0.5, 1.0, 2.0, "a.mp4").to_dict()
    assert told == {
        "version": 1,
        "id": "id",
        "phase": "end",
        "sequence": 0,
        "label": "jump",
        "label_id": 0,
        "score": 0.5,
        "start_s": 1.0,
        "end_s": 2.0,
        "source": "a.mp4",
    }


def test_scores_from_elsewhere_stay_as_they_are():
    one = WindowScores.from_scores([0.2, 0.9, 0.9], labels=["a", "b", "c"], start_s=0, end_s=1)
    assert one.scores.tolist() == [0.2, 0.9, 0.9]
    assert (one.label, one.score, one.labels) == ("b", 0.9, ("a", "b", "c"))
    assert one.top(2) == [("b", 0.9), ("c", 0.9)]


@pytest.mark.parametrize("span", [(1, 1), (2, 1), (0, math.inf), (math.nan, 1)])
def test_a_window_has_a_length(span):
    with pytest.raises(ValueError, match="must be finite, and end after it starts"):
        WindowScores.from_scores([0.5], labels=["a"], start_s=span[0], end_s=span[1])
