"""How the demo is scored, by hand; and its pictures and films."""

import csv

import av
import numpy as np
import pytest

from ppsdk import ActionEvent, WindowScores
from ppsdk.demo.annotate import write_annotated
from ppsdk.demo.film import write_video
from ppsdk.demo.render import Scene
from ppsdk.demo.truth import event_f1, window_top1, write_truth
from ppsdk.intervals import LabelledSpan
from ppsdk.scoring.matching import match_events

TRUTH = [LabelledSpan("pick", 0, 4), LabelledSpan("place", 4, 8), LabelledSpan("pick", 8, 12)]


def event(label, start_s, end_s):
    return ActionEvent("id", label, 0, 0.9, start_s, end_s, "")


def test_an_action_is_found_once_and_by_its_best_event():
    events = [event("pick", 0, 2.5), event("pick", 0.5, 4), event("place", 6.5, 8)]
    assert match_events(events, TRUTH) == {1: 0}
    # One of three events is right, one of three actions is found.
    assert event_f1(events, TRUTH) == pytest.approx(2 / 6)
    assert event_f1([], []) == 1 and event_f1([], TRUTH) == 0


def test_windows_count_by_what_covers_them():
    def window(start_s, label):
        logits = np.float32([label == "pick", label == "place"])
        return WindowScores(logits, ("pick", "place"), start_s, start_s + 2, np.arange(16))

    windows = [window(1, "pick"), window(2.5, "pick"), window(3.4, "place"), window(3.2, "pick")]
    # The first two are covered to 100 and 75 %; the third to 70 % by "place", the last to 60 %.
    assert window_top1(windows, TRUTH) == (2, 2, 1, 2)


def test_truth_is_written(tmp_path):
    write_truth(TRUTH[:1], tmp_path / "t.csv")
    with (tmp_path / "t.csv").open() as file:
        assert list(csv.DictReader(file)) == [
            {"label": "pick", "start_s": "0.000", "end_s": "4.000"}
        ]


def test_a_film_and_its_annotation(tmp_path):
    """The lanes below the picture hold the colour of what goes on, left of the red line too."""
    scene = Scene.from_seed("demo", 1, 2.0)
    write_video((frame.image for frame in scene.frames()), tmp_path / "s.mp4", fps=25, quality=18)
    events = [event("pick", 0, 2)]
    truth = [LabelledSpan("tighten", 0, 2)]
    write_annotated(tmp_path / "s.mp4", events, truth, tmp_path / "a.mp4", lambda items, _: items)
    with av.open(str(tmp_path / "a.mp4")) as file:
        assert file.streams.video[0].codec_context.name == "h264"
        pictures = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    assert len(pictures) == 50 and pictures[0].shape == (576, 640, 3)
    below = pictures[25][480:].astype(int)
    green, blue = below[12, 380], below[54, 380]
    assert green[1] > green[0] + 60 and green[1] > green[2], "tighten happens"
    assert blue[2] > 180 and blue[0] < 120, "pick is said"
    assert not list(tmp_path.glob(".*")), "nothing half-written stays"
