"""Whatever the scores and options: what every consumer of events may rely on."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppsdk import EventDetector, EventOptions, WindowScores, detect_events

LABELS = ("A", "B", "C")
OF_A = {
    "on_threshold": 0.6,
    "off_threshold": 0.1,
    "min_duration_s": 0.5,
    "merge_gap_s": 2.0,
    "cooldown_s": 0.0,
    "max_duration_s": 5.0,
}
NO_SCORES = (math.nan, math.inf, -math.inf)
SHORT_S = st.sampled_from([None, 0.0, 0.5, 1.0, 2.0, 3.3])


@st.composite
def options(draw):
    on = draw(st.sampled_from([None, 0.3, 0.5, 0.7]))
    off = draw(st.sampled_from([None, 0.2, 0.5, 0.7]))
    shortest = draw(SHORT_S)
    longest = draw(st.sampled_from([None, 1.0, 2.5, 4.0]))
    return EventOptions(
        smoothing=draw(st.sampled_from(["none", "mean", "ema"])),
        smoothing_windows=draw(st.integers(1, 4)),
        on_threshold=on,
        off_threshold=None if None in (on, off) or off > on else off,
        min_duration_s=shortest,
        merge_gap_s=draw(SHORT_S),
        cooldown_s=draw(SHORT_S),
        max_duration_s=None if longest is None or longest < (shortest or 0) else longest,
        update_interval_s=draw(SHORT_S),
        background=draw(st.sampled_from([(), ("C",)])),
        unknown_below=draw(st.sampled_from([None, 0.4])),
        independent=on is not None and draw(st.booleans()),
        per_class={"A": OF_A} if draw(st.booleans()) else {},
    )


@st.composite
def streams(draw):
    """Windows in order: overlapping, touching or with holes, at an even pace or not."""
    length_s = draw(st.sampled_from([0.5, 1.0, 2.0]))
    steps = draw(st.sampled_from([[0.25], [0.5], [1.0], [0.5, 1.0], [0.3, 0.7, 2.0, 40.0]]))
    score = st.sampled_from([0.0, 0.1, 0.35, 0.5, 0.6, 0.9, 1.0])
    rows = draw(st.lists(st.tuples(score, score, score), max_size=30))
    start_s, windows = draw(st.sampled_from([0.0, 7.25])), []
    for row in rows:
        windows.append(
            WindowScores.from_scores(row, labels=LABELS, start_s=start_s, end_s=start_s + length_s)
        )
        start_s += draw(st.sampled_from(steps))
    return windows


def detect(windows, chosen):
    return list(detect_events(windows, labels=LABELS, options=chosen))


def without_ids(records):
    return [replace(record, id="") for record in records]


def shares(one, other):
    return min(one.end_s, other.end_s) - max(one.start_s, other.start_s) > 1e-9


@settings(deadline=None)
@given(streams(), options())
def test_lifecycle(windows, chosen):
    records = detect(windows, chosen)
    going_on, ended = {}, set()
    for record in records:
        if record.phase == "start":
            assert record.label not in going_on, "starts alternate with ends"
            assert record.id not in ended and record.sequence == 0
        else:
            before = going_on[record.label]
            assert record.id == before.id and record.sequence == before.sequence + 1
            assert record.start_s == before.start_s and record.end_s >= before.end_s
            assert record.score >= before.score
        if record.phase == "end":
            del going_on[record.label]
            ended.add(record.id)
        else:
            going_on[record.label] = record
        assert record.label not in chosen.background
    assert not going_on, "every event ends"
    decided = [record.decided_s for record in records]
    assert decided == sorted(decided)


@settings(deadline=None)
@given(streams(), options())
def test_intervals(windows, chosen):
    ends = [record for record in detect(windows, chosen) if record.phase == "end"]
    for i, one in enumerate(ends):
        assert windows[0].start_s <= one.start_s < one.end_s <= windows[-1].end_s
        assert one.start_s <= one.decided_s
        length_s, own = one.end_s - one.start_s, chosen.of_class(one.label)
        assert length_s >= (own.min_duration_s or 0) - 1e-4
        assert own.max_duration_s is None or length_s <= own.max_duration_s + 1e-4
        for other in ends[:i]:
            if one.label == other.label or not chosen.independent:
                assert not shares(one, other)
            if one.label == other.label:
                assert one.start_s - other.end_s >= (own.cooldown_s or 0) - 1e-4


@settings(deadline=None)
@given(streams(), options(), st.data())
def test_online_is_offline_and_repetitions_change_nothing(windows, chosen, data):
    detector = EventDetector(LABELS, options=chosen)
    online = []
    for window in windows:
        online += detector.update(window)
        if data.draw(st.booleans()):
            assert detector.update(window) == []
    online += detector.close()
    assert without_ids(online) == without_ids(detect(windows, chosen))


@settings(deadline=None)
@given(streams(), options(), st.data())
def test_scores_that_are_none_change_nothing(windows, chosen, data):
    detector = EventDetector(LABELS, options=chosen)
    seen = []
    for window in windows:
        if data.draw(st.booleans()):
            bad = data.draw(st.permutations([0.9, 0.5, data.draw(st.sampled_from(NO_SCORES))]))
            with pytest.raises(ValueError, match="must be finite"):
                detector.update(
                    WindowScores.from_scores(
                        bad, labels=LABELS, start_s=window.start_s, end_s=window.end_s
                    )
                )
        seen += detector.update(window)
    seen += detector.close()
    assert without_ids(seen) == without_ids(detect(windows, chosen))


@settings(deadline=None)
@given(streams(), options())
def test_a_detector_that_was_closed_is_as_new(windows, chosen):
    detector = EventDetector(LABELS, options=chosen)
    twice = [[r for w in windows for r in detector.update(w)] + detector.close() for _ in range(2)]
    assert without_ids(twice[0]) == without_ids(twice[1])
    ids = [record.id for records in twice for record in records if record.phase == "end"]
    assert len(set(ids)) == len(ids)


@settings(deadline=None)
@given(streams(), options())
def test_what_comes_later_changes_nothing_that_was_told(windows, chosen):
    half = len(windows) // 2
    detector = EventDetector(LABELS, options=chosen)
    told = [record for window in windows[:half] for record in detector.update(window)]
    assert without_ids(detect(windows, chosen))[: len(told)] == without_ids(told)


@settings(deadline=None)
@given(streams())
def test_all_options_off_covers_all_that_was_seen(windows):
    """Every instant of every window has one label: the lengths add up to what windows cover."""
    ends = [record for record in detect(windows, EventOptions()) if record.phase == "end"]
    seen_s, until_s = 0.0, 0.0
    for window in windows:
        seen_s += window.end_s - max(window.start_s, min(until_s, window.end_s))
        until_s = window.end_s
    assert abs(sum(end.end_s - end.start_s for end in ends) - seen_s) < 1e-6
