"""Windows around intervals, by hand and for any intervals."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppsdk.intervals import LabelledSpan, background_windows, covered_share, windows_around

RUN, JUMP = LabelledSpan("run", 10, 16), LabelledSpan("jump", 16, 16.8)


def starts(*args, **kwargs):
    return [(w.start_s, w.end_s) for w in windows_around(*args, **kwargs)]


def test_a_long_interval_covers_three_quarters_of_its_first_and_last_window():
    told = starts(RUN, [RUN], length_s=2, stride_s=1, end_s=60)
    assert told == [
        (9.5, 11.5),
        (10.5, 12.5),
        (11.5, 13.5),
        (12.5, 14.5),
        (13.5, 15.5),
        (14.5, 16.5),
    ]


def test_a_short_interval_is_within_its_windows_but_for_a_quarter():
    told = starts(JUMP, [JUMP], length_s=2, stride_s=0.8, end_s=60)
    assert told == [pytest.approx(w) for w in ((14.6, 16.6), (15.4, 17.4), (16.2, 18.2))]


def test_a_window_that_another_interval_covers_more_is_left_out():
    told = starts(JUMP, [JUMP, RUN], length_s=2, stride_s=0.8, end_s=60)
    assert told == [pytest.approx(w) for w in ((15.4, 17.4), (16.2, 18.2))]


def test_the_middle_window_stays_where_others_cover_them_all():
    drowned = LabelledSpan("jump", 12, 12.2)
    told = starts(drowned, [drowned, RUN], length_s=2, stride_s=0.5, end_s=60)
    assert len(told) == 1 and told[0][0] <= 12 and told[0][1] >= 12.2


def test_windows_stay_within_the_recording():
    assert starts(LabelledSpan("run", 0, 0.5), [], length_s=2, stride_s=2, end_s=60) == [(0, 2)]
    assert starts(LabelledSpan("run", 0, 1), [], length_s=2, stride_s=1, end_s=1.5) == [(0, 1.5)]


def test_background_is_what_no_interval_covers():
    free = background_windows([JUMP, RUN], "none", length_s=4, end_s=22, at_most=9)
    assert [(w.start_s, w.end_s) for w in free] == [(0, 4), (4, 8), (16.8, 20.8)]
    thinned = background_windows([], "none", length_s=1, end_s=10, at_most=2)
    assert [w.start_s for w in thinned] == [0, 5]


@given(
    st.lists(st.tuples(st.floats(0, 50), st.floats(0.1, 9)), min_size=1, max_size=6),
    st.floats(0.2, 10),
    st.floats(0.1, 5),
)
def test_all_windows_are_inside_and_see_their_interval(pairs, length_s, stride_s):
    spans = [LabelledSpan(str(i), start, start + long) for i, (start, long) in enumerate(pairs)]
    end_s = max(span.end_s for span in spans)
    for span in spans:
        windows = windows_around(span, spans, length_s=length_s, stride_s=stride_s, end_s=end_s)
        assert windows
        for window in windows:
            assert 0 <= window.start_s < window.end_s <= end_s + 1e-9
            assert covered_share(window, span) > 0
    free = background_windows(spans, "", length_s=length_s, end_s=end_s, at_most=5)
    assert len(free) <= 5
    assert all(covered_share(window, span) < 1e-6 for window in free for span in spans)
