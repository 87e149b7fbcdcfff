"""Which frames stand for a file, and windows cut from a stream: invariants and hand-made cases."""

import weakref
from itertools import pairwise
from time import monotonic

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppsdk import Frame
from ppsdk.clips import _nearest
from ppsdk.sampling import (
    WindowCutter,
    cut_windows,
    full_indices,
    paddlevideo_indices,
    random_indices,
)
from ppsdk.thinning import LIVE_EARLY, ROUNDED_S, WindowGrid, thin

TIMES = st.lists(st.integers(1, 2000), min_size=1, max_size=120).map(
    lambda gaps: np.cumsum([0, *gaps[:-1]]) / 1000
)


def frames_at(times, runs=None):
    for index, time in enumerate(times):
        image = np.full((1, 1, 3), index % 256, np.uint8)
        yield Frame(image, time, run=0 if runs is None else int(runs[index]))


def windows_of(times, length_s, stride_s, num_segments):
    grid = WindowGrid.from_seconds(length_s, stride_s, num_segments)
    return list(cut_windows(frames_at(times), grid, lambda image: image))


@pytest.mark.parametrize(
    ("frames", "told"),
    [
        (31, list(range(16))),  # d = 1: half of the clip is left out
        (32, list(range(0, 32, 2))),  # d = 2, (d - 1) // 2 = 0
        (64, list(range(1, 64, 4))),
        (250, list(range(7, 250, 15))[:16]),
        (10, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5]),
        (1, [0] * 16),
    ],
)
def test_paddlevideo_rule_by_hand(frames, told):
    assert paddlevideo_indices(frames, 16).tolist() == told


@given(TIMES, st.integers(1, 32))
def test_full_sampling_takes_the_nearest_to_each_centre(times, num_segments):
    end_s = times[-1] + 0.04
    indices = full_indices(times, end_s, num_segments)
    centres = (np.arange(num_segments) + 0.5) * end_s / num_segments
    distances = np.abs(times[None] - centres[:, None])
    assert (np.diff(indices) >= 0).all()
    off_edge_s = np.abs(times[indices] - np.arange(num_segments) * end_s / num_segments)
    if len(times) == num_segments and off_edge_s.max() < 2 * ROUNDED_S:
        return  # one each, told below
    assert distances[np.arange(num_segments), indices] == pytest.approx(distances.min(1), abs=2e-6)


@pytest.mark.parametrize("fps", [10, 12, 15, 24, 25, 29.97, 30, 60, 240])
@pytest.mark.parametrize("num_segments", [8, 16])
def test_a_frame_a_segment_is_each_taken_once_however_times_are_rounded(fps, num_segments):
    """Matroska has whole milliseconds: of 16 frames at 30 a second three were taken twice."""
    times = np.round(np.arange(num_segments) / fps, 3)
    end_s = float(times[-1] + np.round(1 / fps, 3))
    assert full_indices(times, end_s, num_segments).tolist() == list(range(num_segments))


@pytest.mark.parametrize("fps", [12, 15, 24, 29.97, 30, 60])
def test_windows_of_a_frame_a_segment_have_each_once_however_times_are_rounded(fps):
    clips = windows_of(np.round(np.arange(64) / fps, 3), 16 / fps, 8 / fps, 16)
    assert [(clip.repeated, clip.partial) for clip in clips[:7]] == 7 * [(0, False)]
    for k, clip in enumerate(clips[:7]):
        assert clip.frame_indices.tolist() == list(range(8 * k, 8 * k + 16))


@given(st.lists(st.floats(-0.12, 0.12), min_size=2, max_size=60))
def test_a_camera_of_a_frame_a_segment_loses_none_to_jitter(jitter):
    """Each comes up to 0.12 s of a segment of 1 s early or late, the first one too."""
    times = np.arange(len(jitter)) + np.array(jitter)
    grid = WindowGrid.from_seconds(4.0, 2.0, 4)
    frames = frames_at(times - times[0])
    kept = list(thin(frames, grid, lambda image: image, early_s=LIVE_EARLY))
    segments = [one.segment for one in kept]
    assert [one.index for one in kept] == segments == list(range(len(jitter)))
    assert [one.until for one in kept[:-1]] == segments[1:] and kept[-1].until >= segments[-1]


def test_frames_that_are_followed_by_others_are_not_one_a_segment():
    assert full_indices(np.arange(100) / 25, 4.0, 1).tolist() == [50]
    times = np.array([0, 1, 2, *np.arange(30, 40) / 10])
    assert times[full_indices(times, 4.0, 4)].tolist() == [0, 1, 2, 3.5]


@pytest.mark.parametrize("fps", [25, 30, 60])
def test_a_camera_of_many_frames_a_segment_is_seen_as_a_file(fps):
    """Two of them come within a quarter of a segment of its end."""
    grid = WindowGrid.from_seconds(4.0, 1.0, 16)
    frames = list(frames_at(np.arange(6 * fps) / fps))
    alike = [list(thin(frames, grid, lambda image: image, early_s=s)) for s in (0.0, 0.0625)]
    told = [[(one.segment, one.until, one.index) for one in kept] for kept in alike]
    assert told[0] == told[1] and [segment for segment, *_ in told[0]] == list(range(24))


@given(TIMES, st.integers(20, 500), st.floats(0.0, 0.25))
def test_each_segment_is_kept_once_whenever_frames_come(times, segment_ms, early):
    segment_s = segment_ms / 1000
    grid = WindowGrid.from_seconds(8 * segment_s, segment_s, 8)
    kept = list(thin(frames_at(times), grid, lambda image: image, early_s=early * segment_s))
    assert [one.index for one in kept] == sorted({one.index for one in kept})
    for one, following in pairwise(kept):
        assert one.run < following.run or one.segment < one.until == following.segment


@given(TIMES, st.integers(1, 32), st.integers(0, 2**32))
def test_random_sampling_stays_in_its_segments(times, num_segments, seed):
    end_s = times[-1] + 0.04
    indices = random_indices(times, end_s, num_segments, np.random.default_rng(seed))
    segment_s = end_s / num_segments
    for segment, index in enumerate(indices):
        inside = (times >= segment * segment_s - 2e-6) & (times < (segment + 1) * segment_s)
        nearest = np.abs(times - (segment + 0.5) * segment_s).argmin()
        assert inside[index] if inside.any() else abs(index - nearest) <= 1


def test_random_sampling_reaches_every_frame():
    times = np.arange(12) / 10
    rng = np.random.default_rng(0)
    drawn = {tuple(random_indices(times, 1.2, 4, rng)) for _ in range(2000)}
    assert len(drawn) == 3**4


def test_windows_by_hand():
    """10 frames/s, segments of 0.25 s with centres .125, .375, ...: the nearest frames are at .1,
    .4 (not .3), .6, .9 (.375 is nearer to .4; .625 to .6; .875 to .9).
    """
    clips = windows_of(np.arange(25) / 10, 1.0, 0.5, 4)
    assert [(c.start_s, c.end_s, c.partial) for c in clips] == [
        (0.0, 1.0, False),
        (0.5, 1.5, False),
        (1.0, 2.0, False),
        (1.5, 2.5, False),
    ]
    assert clips[0].pts_s == pytest.approx([0.1, 0.4, 0.6, 0.9])
    assert clips[1].frame_indices.tolist() == [6, 9, 11, 14]


def test_a_window_is_given_as_soon_as_a_later_frame_comes():
    seen = []

    def watched():
        for frame in frames_at(np.arange(25) / 10):
            seen.append(frame.pts_s)
            yield frame

    grid = WindowGrid.from_seconds(1.0, 1.0, 4)
    next(cut_windows(watched(), grid, lambda image: image))
    assert seen[-1] == 1.0


@pytest.mark.parametrize(
    ("frames", "told"),
    [
        (3, [(0.0, 0.3, True)]),  # all there is, however short
        (1, [(0.0, 0.25, True)]),  # a single frame stands for one segment
        (14, [(0.0, 1.0, False)]),  # 0.4 s left: less than half
        (16, [(0.0, 1.0, False), (1.0, 1.6, True)]),
        (20, [(0.0, 1.0, False), (1.0, 2.0, False)]),
    ],
)
def test_the_rest_of_a_file(frames, told):
    clips = windows_of(np.arange(frames) / 10, 1.0, 1.0, 4)
    assert [(c.start_s, pytest.approx(c.end_s), c.partial) for c in clips] == told


def test_the_rest_is_not_given_where_it_holds_nothing_new():
    clips = windows_of(np.arange(20) / 10, 1.0, 0.25, 4)
    assert [c.end_s for c in clips] == [1.0, 1.25, 1.5, 1.75, 2.0]


def test_a_segment_without_a_frame_repeats_the_last_one():
    clips = windows_of([0.1, 0.4, 1.1, 1.4, 1.6, 1.9], 1.0, 1.0, 4)
    assert clips[0].pts_s.tolist() == [0.1, 0.4, 0.4, 0.4]


def test_no_window_comes_from_a_hole():
    times = [*np.arange(10) / 10, *(60 + np.arange(10) / 10)]
    clips = windows_of(times, 1.0, 1.0, 4)
    assert [c.start_s for c in clips] == [0.0, 60.0]
    assert clips[1].pts_s[0] >= 60


@settings(deadline=None)
@given(TIMES, st.integers(2, 16), st.integers(1, 40), st.integers(100, 3000), st.data())
def test_windows_of_any_stream(times, num_segments, stride_segments, segment_ms, data):
    segment_s = segment_ms / 1000
    length_s, stride_s = num_segments * segment_s, stride_segments * segment_s
    grid = WindowGrid.from_seconds(length_s, stride_s, num_segments)
    cuts = data.draw(st.lists(st.integers(1, len(times)), max_size=3).map(sorted))
    runs = np.searchsorted(cuts, np.arange(len(times)), side="right")
    gaps = []
    clips = list(
        cut_windows(
            frames_at(times, runs), grid, lambda image: image, lambda *gap: gaps.append(gap)
        )
    )
    assert clips, "every stream gives at least one window"
    origins = {0.0, *times[1:][np.diff(runs) > 0], *(to_s for _, to_s in gaps)}
    for clip in clips:
        assert (np.diff(clip.pts_s) >= 0).all()
        assert clip.end_s - clip.start_s == pytest.approx(length_s) or clip.partial
        origin = max(time for time in origins if time <= clip.start_s + 1e-9)
        strides = (clip.start_s - origin) / stride_s
        assert strides == pytest.approx(round(strides), abs=1e-6)
        assert clip.pts_s[-1] <= clip.end_s + 1e-5
        # No window holds frames from both sides of a gap, or reaches over one.
        assert len(set(runs[clip.frame_indices])) == 1
        for before_s, after_s in gaps:
            assert clip.end_s <= after_s or clip.start_s >= after_s
            assert (clip.pts_s <= before_s).all() or (clip.pts_s >= after_s).all()
        least = most = 0  # segments with a frame of their own; rounded times may be early
        last = np.flatnonzero(runs == runs[clip.frame_indices[0]])[-1]
        for segment, time in enumerate(clip.pts_s):
            low = clip.start_s + segment * segment_s
            inside = times[: last + 1]
            inside = inside[(inside >= low - 1e-6) & (inside < low + segment_s - 1e-6)]
            if len(inside) and not clip.partial:
                off = np.abs(inside - low - segment_s / 2)
                assert abs(time - low - segment_s / 2) == pytest.approx(
                    off.min(), abs=ROUNDED_S + 3e-6
                )
            least += low - 2e-6 <= time < low + segment_s - ROUNDED_S
            most += low - ROUNDED_S - 2e-6 <= time < low + segment_s + 1e-6
        assert least <= num_segments - clip.repeated <= most
    starts = [clip.start_s for clip in clips]
    assert starts == sorted(set(starts))


def test_windows_start_anew_behind_a_gap():
    """25 frames/s without those from 2 s to 3 s, in windows of 2 s of four segments."""
    times = np.arange(125) / 25
    times = times[(times < 1.999) | (times > 2.999)]
    gaps = []
    grid = WindowGrid.from_seconds(2.0, 1.0, 4)
    frames = list(frames_at(times))
    clips = list(cut_windows(frames, grid, lambda image: image, lambda *gap: gaps.append(gap)))
    assert gaps == [(pytest.approx(1.96), pytest.approx(3.0))]
    spans = [(clip.start_s, clip.end_s, clip.partial) for clip in clips]
    assert spans == [(0, pytest.approx(2), False), (3, 5, False)]


def test_a_short_hiccup_is_bridged_and_counted():
    """0.4 s without a frame is less than a quarter of a window: segment 2 repeats segment 1."""
    times = np.arange(50) / 25
    times = times[(times < 0.5) | (times > 0.76)]
    (clip,) = windows_of(times, 2.0, 2.0, 8)
    assert clip.repeated == 1 and not clip.partial
    assert clip.frame_indices[2] == clip.frame_indices[1]


def test_a_slow_camera_has_no_gaps():
    """A frame every two seconds, in windows of a second."""
    clips = windows_of(np.arange(6) * 2.0, 1.0, 1.0, 4)
    assert [clip.start_s for clip in clips[:2]] == [2.0, 4.0]
    assert all(clip.repeated == 3 for clip in clips)


def test_a_lost_connection_begins_new_windows_however_short_it_was():
    times = np.arange(60) / 20
    clips = list(
        cut_windows(
            frames_at(times, np.arange(60) >= 33),
            WindowGrid.from_seconds(1.0, 1.0, 4),
            lambda image: image,
        )
    )
    spans = [(clip.start_s, pytest.approx(clip.end_s), clip.partial) for clip in clips]
    assert spans == [(0, 1, False), (1.0, 1.65, True), (1.65, 2.65, False)]


def test_a_stride_is_a_whole_number_of_segments(recognizer, caplog):
    assert WindowGrid.from_seconds(10, 2.5, 16).stride_segments == 4
    assert WindowGrid.from_seconds(10, 3, 16).stride_s == 3.125
    # Of 2 s, in 8 segments: event options reckon with it too, which a gap of a window depends on.
    assert recognizer.facts.grid(None, 0.3).stride_s == 0.25
    assert recognizer.facts.grid(4.0, None).stride_s == 2 * recognizer.facts.stride_s
    image = np.zeros((32, 32, 3), np.uint8)
    recognizer.windows([image], stride_s=0.5).close()
    assert not caplog.records
    recognizer.windows([image], stride_s=0.3).close()
    assert "using 0.25 s" in caplog.text
    assert WindowGrid.from_seconds(10, 0.01, 16).stride_segments == 1


@pytest.mark.parametrize("seconds", [(0, 1), (1, 0), (-1, 1), (1, float("nan"))])
def test_windows_of_no_length_are_refused(seconds):
    with pytest.raises(ValueError, match="must be more than 0 seconds"):
        WindowGrid.from_seconds(*seconds, 16)


def test_a_window_without_a_frame_is_not_given_at_the_end_either():
    clips = windows_of([0.0, 0.8], 1.0, 1.0, 4)
    assert [c.start_s for c in clips] == [0.0]
    clips = windows_of([0.0, 8.0], 10.0, 10.0, 4)
    assert [(c.start_s, c.partial) for c in clips] == [(0.0, False)]


def test_a_long_stride_holds_one_frame_between_windows():
    grid = WindowGrid.from_seconds(1.0, 1000.0, 4)
    shrunk = []

    def shrink(image):
        shrunk.append(weakref.ref(image))
        return image

    def frames():
        for index in range(8000):
            yield Frame(np.zeros((2, 2, 3), np.uint8), index / 10)

    list(cut_windows(frames(), grid, shrink))
    alive = []

    def watched():
        for frame in frames():
            yield frame
            alive.append(sum(ref() is not None for ref in shrunk[-200:]))

    shrunk.clear()
    list(cut_windows(watched(), grid, shrink))
    assert len(shrunk) > 3000 and max(alive[1000:]) < 12


def test_a_jump_of_a_day_takes_no_time():
    start = monotonic()
    clips = windows_of([0.0, 0.1, 86_400.0, 86_400.1, 86_400.2], 0.1, 0.01, 10)
    assert monotonic() - start < 20
    assert clips[0].start_s == 0 and clips[-1].start_s > 86_400


@pytest.mark.parametrize(
    "seconds", [(1e-9, 1), (1e-323, 1), (1e308, 1), (1, 1e300), ("2", 1), (1, True)]
)
def test_windows_beyond_all_bounds_are_refused(seconds):
    with pytest.raises(ValueError, match="must be"):
        WindowGrid.from_seconds(*seconds, 16)


def test_windows_whose_kept_frames_were_dropped_are_not_given():
    """40 kept frames, one a segment; 11 to 17 are dropped: on with the window from 20 on."""
    grid = WindowGrid.from_seconds(0.8, 0.4, 8)
    kept = list(thin(frames_at(np.arange(40) / 10), grid, lambda image: image))
    assert [(one.segment, one.until) for one in kept] == [(i, i + 1) for i in range(40)]
    cutter = WindowCutter(grid)
    clips = [clip for one in kept[:11] + kept[18:] for clip in cutter.push(one)]
    spans = [(clip.frame_indices[0], clip.frame_indices[-1], clip.repeated) for clip in clips]
    assert spans == [(0, 7, 0), *((i, i + 7, 0) for i in range(20, 36, 4))]


@given(TIMES, st.lists(st.integers(-100, 300_000), max_size=50))
def test_the_nearest_is_found_without_comparing_all_with_all(times, wanted_ms):
    """For 100 intervals of a damaged hour that took 40 GB."""
    wanted = np.array(wanted_ms, np.float64) / 1000
    distances = np.abs(times[None] - wanted[:, None])
    found = _nearest(times, wanted)
    assert found.shape == wanted.shape
    assert np.allclose(distances[np.arange(len(wanted)), found], distances.min(1), atol=1e-12)


def test_of_two_as_near_the_earlier_is_taken():
    assert _nearest(np.array([0.0, 1.0, 2.0]), np.array([0.5, 1.5, 2.5, -1.0])).tolist() == [
        0,
        1,
        2,
        0,
    ]
