"""Windows to events, by hand."""

from datetime import datetime, timezone

import numpy as np
import pytest

from ppsdk import VideoError, WindowScores
from ppsdk.events import detect_events

LABELS = ("jump", "run")


def window(start_s, end_s, label, score=0.9):
    logit = np.log(score / (1 - score))
    logits = np.float32([logit, 0] if label == "jump" else [0, logit])
    return WindowScores(logits, LABELS, start_s, end_s, np.arange(16))


def spans(events):
    return [(e.label, e.start_s, e.end_s) for e in events]


def test_equal_neighbours_are_one_event_with_the_best_score():
    windows = [window(0, 2, "jump", 0.6), window(1, 3, "jump", 0.8), window(2, 4, "jump", 0.7)]
    (event,) = detect_events(windows, source="a.mp4")
    assert (event.label, event.label_id, event.source) == ("jump", 0, "a.mp4")
    assert (event.start_s, event.end_s) == (0, 4)
    assert event.score == pytest.approx(0.8)
    assert event.start_time is None


def test_where_events_overlap_they_part_in_the_middle():
    """Windows of 2 s each second; from the third on it runs: 2 to 4 says run, 1 to 3 said jump."""
    windows = [window(i, i + 2, "jump" if i < 2 else "run") for i in range(4)]
    events = detect_events(windows, source="")
    assert spans(events) == [("jump", 0, 2.5), ("run", 2.5, 5)]


def test_other_labels_and_holes_separate():
    windows = [window(0, 2, "jump"), window(2, 4, "run"), window(4, 6, "run"), window(9, 11, "run")]
    told = [("jump", 0, 2), ("run", 2, 6), ("run", 9, 11)]
    events = list(detect_events(windows, source=""))
    assert spans(events) == told
    assert len({event.id for event in events}) == 3


def test_one_event_a_window_without_merging():
    windows = [window(0, 2, "jump"), window(1, 3, "jump")]
    events = detect_events(windows, source="", merge=False)
    assert spans(events) == [("jump", 0, 2), ("jump", 1, 3)]


def test_an_event_is_given_as_soon_as_it_has_ended():
    def windows():
        yield window(0, 2, "jump")
        yield window(2, 4, "run")
        raise AssertionError("read further than the window that ends the event")

    assert next(detect_events(windows(), source="")).label == "jump"


def test_wall_clock_times_of_a_live_source():
    start = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    (event,) = detect_events([window(1.5, 3, "run")], source="", started_at=lambda: start)
    assert event.start_time == "2026-01-02T03:04:06.500000+00:00"
    assert event.end_time == "2026-01-02T03:04:08+00:00"


def test_a_lost_stream_gives_its_last_event_and_then_the_error():
    def windows():
        yield window(0, 2, "jump")
        raise VideoError("camera 0: lost")

    events = detect_events(windows(), source="")
    assert next(events).end_s == 2
    with pytest.raises(VideoError, match="lost"):
        next(events)


def test_no_windows_no_events():
    assert list(detect_events([], source="")) == []


def test_ctrl_c_gives_the_event_that_was_going_on():
    def windows():
        yield window(0, 2, "jump")
        yield window(1, 3, "jump")
        raise KeyboardInterrupt

    events = detect_events(windows(), source="")
    assert next(events).end_s == 3
    with pytest.raises(KeyboardInterrupt):
        next(events)
