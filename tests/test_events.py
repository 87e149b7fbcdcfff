"""Windows to events, by hand: intervals that a reader can count off."""

import json
from datetime import datetime, timezone

import numpy as np
import pytest
from conftest import HERE

from ppsdk import ActionEvent, EventDetector, EventOptions, VideoError, WindowScores, detect_events

LABELS = ("A", "B", "C")
CASES = json.loads((HERE / "cases" / "events.json").read_text("utf-8"))["cases"]


def case(name):
    """One window a second, or at t0, each of one second."""
    rows = CASES[name]["p"]
    starts = CASES[name].get("t0", range(len(rows)))
    return [window(start, start + 1, row) for start, row in zip(starts, rows, strict=True)]


def window(start_s, end_s, scores):
    return WindowScores.from_scores(scores, labels=LABELS, start_s=start_s, end_s=end_s)


def row(label, score=0.9):
    """All others are at 0.05."""
    return [score if name == label else 0.05 for name in LABELS]


def detect(windows, **options):
    return list(detect_events(windows, labels=LABELS, options=EventOptions(**options)))


def ends(records):
    return [(r.label, r.start_s, r.end_s) for r in records if r.phase == "end"]


def phases(records):
    return [(r.phase, r.label) for r in records]


@pytest.mark.parametrize("threshold", [0.41, 0.5, 0.59])
class TestSharedCases:
    """What events.json says is right, for every threshold that it names."""

    def test_steady(self, threshold):
        records = detect(case("steady"), on_threshold=threshold)
        assert phases(records) == [("start", "A"), ("end", "A")]
        assert ends(records) == [("A", 3, 9)]
        assert [r.decided_s for r in records] == [4, 10]

    def test_one_dip(self, threshold):
        windows = case("one_dip")
        assert ends(detect(windows, on_threshold=threshold)) == [("A", 0, 4), ("A", 5, 9)]
        merged = detect(windows, on_threshold=threshold, merge_gap_s=1)
        assert ends(merged) == [("A", 0, 9)] and len(merged) == 2
        assert len(ends(detect(windows, on_threshold=threshold, merge_gap_s=0.9))) == 2

    def test_switch(self, threshold):
        records = detect(case("switch"), on_threshold=threshold)
        assert phases(records) == [("start", "A"), ("end", "A"), ("start", "B"), ("end", "B")]
        assert ends(records) == [("A", 0, 3), ("B", 3, 6)]

    def test_switch_of_independent_classes(self, threshold):
        records = detect(case("switch"), on_threshold=threshold, independent=True)
        assert phases(records) == [("start", "A"), ("end", "A"), ("start", "B"), ("end", "B")]

    def test_short_blip(self, threshold):
        windows = case("short_blip")
        assert ends(detect(windows, on_threshold=threshold)) == [("A", 3, 4)]
        told = detect(windows, on_threshold=threshold, min_duration_s=1)
        assert phases(told) == [("start", "A"), ("end", "A")] and ends(told) == [("A", 3, 4)]
        assert detect(windows, on_threshold=threshold, min_duration_s=1.1) == []

    def test_time_back(self, threshold):
        records = detect(case("time_back"), on_threshold=threshold)
        assert ends(records) == [("A", 0, 3), ("A", 0, 3)]
        assert phases(records) == 2 * [("start", "A"), ("end", "A")]
        assert [r.ended_by for r in records] == [None, "gap", None, "end"]
        assert len({r.id for r in records}) == 2

    def test_gap(self, threshold):
        for gap_s in (None, 1, 56):
            records = detect(case("gap"), on_threshold=threshold, merge_gap_s=gap_s)
            assert ends(records) == [("A", 0, 3), ("A", 60, 63)]
            assert records[1].ended_by == "gap"

    def test_dup_window(self, threshold):
        records = detect(case("dup_window"), on_threshold=threshold)
        assert phases(records) == [("start", "A"), ("end", "A")]
        assert ends(records) == [("A", 0, 3)]


def test_flapping_is_one_event_with_hysteresis():
    assert ends(detect(case("flap"), on_threshold=0.5, off_threshold=0.4)) == [("A", 1, 13)]
    without = detect(case("flap"), on_threshold=0.5)
    assert ends(without) == [("A", start, start + 1) for start in (1, 3, 5, 7, 9, 11)]
    assert phases(without) == 6 * [("start", "A"), ("end", "A")]


def test_all_options_off_is_the_best_label_of_every_window():
    windows = [window(i, i + 1, row("A" if i < 2 else "B", 0.2)) for i in range(4)]
    assert ends(detect(windows)) == [("A", 0, 2), ("B", 2, 4)]


def test_where_windows_overlap_they_part_in_the_middle():
    """Windows of 2 s each second; from the third on it is B: 2 to 4 says B, 1 to 3 said A."""
    windows = [window(i, i + 2, row("A" if i < 2 else "B")) for i in range(4)]
    assert ends(detect(windows)) == [("A", 0, 2.5), ("B", 2.5, 5)]
    background = detect(windows, background=["B"])
    assert ends(background) == [("A", 0, 2.5)]


def test_records_of_an_event():
    windows = [window(i, i + 1, row("A", score)) for i, score in enumerate([0.6, 0.8, 0.7, 0.7])]
    records = detect(windows, on_threshold=0.5, update_interval_s=2)
    assert [(r.phase, r.sequence, r.score, r.decided_s) for r in records] == [
        ("start", 0, 0.6, 1),
        ("update", 1, 0.8, 3),
        ("end", 2, 0.8, 4),
    ]
    assert len({r.id for r in records}) == 1
    assert [r.start_s for r in records] == [0, 0, 0]
    assert [r.end_s for r in records] == [0.5, 2.5, 4], "at least to the middle of the last window"


def test_smoothing_decides_and_windows_give_the_times():
    """Means of two: .05 .05 .475 .9 .475 .05: it starts a window late and ends one late."""
    windows = [window(i, i + 1, row("A" if i in (2, 3) else "B")) for i in range(7)]
    records = detect(windows, on_threshold=0.6, smoothing="mean", smoothing_windows=2)
    a = [r for r in records if r.label == "A"]
    assert [(r.phase, r.start_s, r.decided_s) for r in a] == [("start", 2, 4), ("end", 2, 5)]
    assert ends(records) == [("B", 0, 2), ("A", 2, 4), ("B", 4, 7)]


def test_smoothing_bridges_a_dip_and_drops_a_blip():
    dip = [window(i, i + 1, row("A" if i != 3 else "B", 0.9)) for i in range(7)]
    for smoothing in ("mean", "ema"):
        assert ends(detect(dip, on_threshold=0.45, smoothing=smoothing)) == [("A", 0, 7)]
    assert len(ends(detect(dip, on_threshold=0.5))) == 3


def test_smoothing_finds_what_no_window_says_alone():
    """Means of two: C, then A with .45, then B; of the windows the second says B already, but by
    then its time is A's.
    """
    rows = [[0.45, 0, 0.55], [0.45, 0.55, 0], [0, 0.9, 0.1]]
    windows = [window(i, i + 1, scores) for i, scores in enumerate(rows)]
    records = detect(windows, smoothing="mean", smoothing_windows=2)
    assert ends(records) == [("C", 0, 1), ("A", 1, 2), ("B", 2, 3)]


def test_an_exponential_average_by_hand():
    """Weight 2 / (3 + 1): .8, .4, .6, .3, .15: at or above .35 in the first three."""
    rows = [[0.8, 0, 0], [0, 0, 0], [0.8, 0, 0], [0, 0, 0], [0, 0, 0]]
    windows = [window(i, i + 1, scores) for i, scores in enumerate(rows)]
    records = detect(windows, on_threshold=0.35, smoothing="ema", smoothing_windows=3)
    assert ends(records) == [("A", 0, 3)] and records[-1].decided_s == 4


def test_a_hole_is_bridged_by_the_classes_that_may():
    """Nothing was seen from 1 to 3 s."""
    options = {"merge_gap_s": 2, "per_class": {"A": {"merge_gap_s": 1}}}
    b = [window(start, start + 1, row("B")) for start in (0, 3)]
    assert ends(detect(b, **options)) == [("B", 0, 4)]
    a = [window(start, start + 1, row("A")) for start in (0, 3)]
    assert ends(detect(a, **options)) == [("A", 0, 1), ("A", 3, 4)]


def test_where_no_window_comes_an_event_ends_without_one():
    """A camera that is lost at 2.3 s, and comes back at 60."""
    detector = EventDetector(LABELS, options=EventOptions(on_threshold=0.5))
    (start,) = detector.update(window(0, 2, row("A")))
    assert detector.no_window(2.0) == [], "no hole yet"
    (end,) = detector.no_window(2.3)
    assert (end.id, end.phase, end.ended_by) == (start.id, "end", "gap")
    assert (end.start_s, end.end_s, end.decided_s) == (0, 2, 2.3)
    assert detector.no_window(2.5) == [], "once"
    assert detector.update(window(1, 2.2, row("A"))) == [], "what was left of it comes too late"
    records = detector.update(window(60, 62, row("A"))) + detector.close()
    assert [(r.phase, r.start_s, r.ended_by) for r in records] == [
        ("start", 60, None),
        ("end", 60, "end"),
    ]
    assert records[0].id != start.id


def test_a_camera_that_is_back_in_time_goes_on_with_its_event():
    detector = EventDetector(LABELS, options=EventOptions(on_threshold=0.5, merge_gap_s=3))
    records = detector.update(window(0, 2, row("A")))
    assert detector.no_window(5.0) == [] and detector.no_window(4.0) == []
    records += detector.update(window(5, 7, row("A")))
    assert detector.no_window(10.0) == []
    records += detector.no_window(10.1)
    assert ends(records) == [("A", 0, 7)] and len(records) == 2


def test_a_gap_is_counted_from_the_last_frame_not_from_the_last_window():
    """Windows of 10 s every 5, lost at 104.8 s for half a second."""
    detector = EventDetector(LABELS, options=EventOptions(on_threshold=0.5, merge_gap_s=5))
    records = detector.update(window(90, 100, row("A")))
    records += detector.no_window(105.05, seen_s=104.8)
    records += detector.update(window(95, 104.8, row("A")))  # what was left
    records += detector.update(window(105.3, 115.3, row("A")))
    records += detector.no_window(120.4, seen_s=115.3)
    assert ends(records) == [("A", 90, 115.3)] and len(records) == 2


def test_a_stream_that_starts_anew_is_not_taken_for_late():
    detector = EventDetector(LABELS, options=EventOptions(on_threshold=0.5))
    detector.update(window(0, 2, row("A")))
    detector.no_window(100)
    assert detector.close() == []
    assert phases(detector.update(window(0, 2, row("B")))) == [("start", "B")]


def test_a_long_event_is_cut():
    windows = [window(i, i + 1, row("A")) for i in range(5)]
    records = detect(windows, max_duration_s=2)
    assert ends(records) == [("A", 0, 2), ("A", 2, 4), ("A", 4, 5)]
    assert [r.ended_by for r in records if r.phase == "end"] == ["max_duration"] * 2 + ["end"]
    assert len({r.id for r in records}) == 3
    assert ends(detect(windows, max_duration_s=2, cooldown_s=2)) == [("A", 0, 2), ("A", 4, 5)]


def test_the_pieces_of_a_long_event_have_scores_of_their_own():
    windows = [window(i, i + 1, row("A", 0.99 if i == 0 else 0.55)) for i in range(6)]
    records = detect(windows, max_duration_s=2, on_threshold=0.5)
    assert [r.score for r in records if r.phase == "end"] == pytest.approx([0.99, 0.55, 0.55])


def test_the_gap_of_one_class_does_not_keep_others_open():
    """While a camera is lost: A may not go on over any gap, B over ten minutes."""
    options = EventOptions(
        on_threshold=0.5, independent=True, per_class={"B": {"merge_gap_s": 600}}
    )
    detector = EventDetector(LABELS, options=options)
    both = [0.9 if name in ("A", "B") else 0.05 for name in LABELS]
    started = detector.update(window(0, 2, both))
    assert sorted(phases(started)) == [("start", "A"), ("start", "B")]
    (end,) = detector.no_window(3.0)
    assert (end.label, end.end_s, end.ended_by, end.decided_s) == ("A", 2, "gap", 3.0)
    assert detector.no_window(599) == []
    (end,) = detector.no_window(603)
    assert (end.label, end.end_s, end.ended_by) == ("B", 2, "gap")


def test_one_long_window_is_cut_too():
    records = detect([window(0, 100, row("A"))], max_duration_s=0.01)
    assert len(ends(records)) == 10_000 and ends(records)[-1][2] == 100


def test_a_class_rests_after_an_event():
    """A at 0, 2, 4 and 6; one that starts less than 3 s after an end is not told."""
    windows = [window(i, i + 1, row("A" if i % 2 == 0 else "B")) for i in range(8)]
    records = detect(windows, background=["B"], cooldown_s=3)
    assert ends(records) == [("A", 0, 1), ("A", 4, 5)]


def test_options_of_one_class():
    windows = [window(i, i + 1, row("AB"[i % 2], 0.6)) for i in range(4)]
    own = {"B": {"on_threshold": 0.7}}
    assert ends(detect(windows, on_threshold=0.5, per_class=own)) == [("A", 0, 1), ("A", 2, 3)]
    longer = {"A": {"min_duration_s": 2}}
    assert ends(detect(windows, on_threshold=0.5, per_class=longer)) == [("B", 1, 2), ("B", 3, 4)]


def test_no_class_where_none_is_sure_enough():
    rows = [row("A", 0.6), row("A", 0.3), row("B", 0.6)]
    windows = [window(i, i + 1, scores) for i, scores in enumerate(rows)]
    assert ends(detect(windows, unknown_below=0.5)) == [("A", 0, 1), ("B", 2, 3)]


def test_independent_classes_go_on_together():
    rows = [[0.9, 0.1, 0], [0.9, 0.8, 0], [0.1, 0.8, 0]]
    windows = [window(i, i + 1, scores) for i, scores in enumerate(rows)]
    assert ends(detect(windows, on_threshold=0.5, independent=True)) == [("A", 0, 2), ("B", 1, 3)]
    assert ends(detect(windows, on_threshold=0.5)) == [("A", 0, 2), ("B", 2, 3)]


def test_a_short_interruption_does_not_split_exclusive_classes():
    """A A B A A: B is too short to be told, and A goes on over it; a longer B ends A."""
    short = [window(i, i + 1, row("AABAA"[i])) for i in range(5)]
    options = {"on_threshold": 0.5, "min_duration_s": 2, "merge_gap_s": 1}
    assert ends(detect(short, **options)) == [("A", 0, 5)]
    longer = [window(i, i + 1, row("AABBAA"[i])) for i in range(6)]
    assert ends(detect(longer, **options)) == [("A", 0, 2), ("B", 2, 4), ("A", 4, 6)]


def test_one_event_a_window():
    windows = [window(0, 2, row("A")), window(1, 3, row("A", 0.4)), window(2, 4, row("B"))]
    told = detect(windows, per_window=True, on_threshold=0.5)
    assert ends(told) == [("A", 0, 2), ("B", 2, 4)] and len({r.id for r in told}) == 2
    assert len(detect(windows, per_window=True)) == 3
    assert ends(detect(windows, per_window=True, background=["A"])) == [("B", 2, 4)]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_none_start_nothing_and_harm_nothing(bad):
    detector = EventDetector(LABELS, options=EventOptions(on_threshold=0.5))
    with pytest.raises(ValueError, match="must be finite"):
        detector.update(window(0, 1, [0.9, bad, 0]))
    assert phases(detector.update(window(1, 2, row("A")))) == [("start", "A")]
    with pytest.raises(ValueError, match="window at 2 s"):
        detector.update(window(2, 3, [bad, bad, bad]))
    assert detector.update(window(2, 3, row("A"))) == []
    assert ends(detector.close()) == [("A", 1, 3)]


def test_logits_that_are_none():
    logits = WindowScores(np.float32([np.nan, 0, 0]), LABELS, 0, 1, np.arange(16))
    with pytest.raises(ValueError, match="must be finite"):
        EventDetector(LABELS).update(logits)


def test_an_event_ends_once():
    detector = EventDetector(LABELS, options=EventOptions(on_threshold=0.5))
    detector.update(window(0, 1, row("A")))
    (end,) = detector.close()
    assert (end.phase, end.ended_by, end.end_s, end.decided_s) == ("end", "end", 1, 1)
    assert detector.close() == [] and detector.reset() == []
    detector.update(window(0, 1, row("B")))
    assert ends(detector.reset()) == [("B", 0, 1)]
    assert phases(detector.update(window(0, 1, row("B")))) == [("start", "B")]


@pytest.mark.parametrize("error", [VideoError("camera 0: lost"), KeyboardInterrupt(), OSError(5)])
def test_an_error_ends_what_goes_on_and_is_raised(error):
    def windows():
        yield window(0, 2, row("A"))
        raise error

    events = detect_events(windows(), labels=LABELS)
    assert next(events).phase == "start"
    end = next(events)
    assert (end.phase, end.end_s, end.ended_by) == ("end", 2, "error")
    with pytest.raises(type(error)):
        next(events)


def test_an_event_is_told_as_soon_as_it_starts_and_ends():
    def windows():
        yield window(0, 1, row("A"))
        yield window(1, 2, row("B"))
        raise AssertionError("read further than the window that settles it")

    events = detect_events(windows(), labels=LABELS)
    assert phases([next(events) for _ in range(3)]) == [
        ("start", "A"),
        ("end", "A"),
        ("start", "B"),
    ]


def test_wall_clock_times_of_a_live_source():
    start = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    windows = [window(1.5, 3, row("A"))]
    *_, end = detect_events(windows, labels=LABELS, started_at=lambda: start)
    assert end.start_time == "2026-01-02T03:04:06.500000+00:00"
    assert end.end_time == "2026-01-02T03:04:08+00:00"


def test_no_windows_no_events():
    assert detect([]) == []


def test_windows_with_other_labels_are_refused():
    with pytest.raises(ValueError, match="other labels than the detector: A, B, C, not X, Y"):
        EventDetector(["X", "Y"]).update(window(0, 1, row("A")))


def test_records_go_to_json_and_back():
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((HERE.parent / "ppsdk" / "event.schema.json").read_text("utf-8"))
    start = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    told = detect_events(
        case("switch"),
        labels=LABELS,
        options=EventOptions(update_interval_s=1),
        source="camera 0",
        started_at=lambda: start,
    )
    for record in told:
        text = json.dumps(record.to_dict())
        jsonschema.validate(json.loads(text), schema)
        assert ActionEvent.from_dict(json.loads(text)) == record
    bad = json.loads(text) | {"phase": "start"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(bad, schema)  # only an end has a reason


def test_json_that_is_no_event_is_refused():
    good = ActionEvent("id", "A", 0, 0.5, 1.0, 2.0, "a.mp4").to_dict()
    with pytest.raises(ValueError, match="event version is 2: must be 1"):
        ActionEvent.from_dict(good | {"version": 2})
    with pytest.raises(ValueError, match="no event: .*'label'"):
        ActionEvent.from_dict({k: v for k, v in good.items() if k != "label"})
    with pytest.raises(ValueError, match="phase is 'stop': must be one of start, update, end"):
        ActionEvent.from_dict(good | {"phase": "stop"})
