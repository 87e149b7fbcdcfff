"""The ring that keeps features of frames, whatever is asked of it."""

from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ppsdk.reuse import FeatureRing


@given(
    gaps=st.lists(st.integers(0, 2), min_size=1, max_size=40),
    stride=st.integers(1, 7),
    failures=st.sets(st.integers(0, 30), max_size=5),
)
def test_ring_holds_the_frames_that_are_asked_for(gaps, stride, failures):
    """Segments are filled by rising frames, some of them repeated; computing may fail."""
    length = 5
    filled = np.cumsum([0] * length + gaps)
    ring = FeatureRing(length, [((2,), np.float32), ((), np.int64)])
    computed = []
    calls = iter(range(10_000))

    def compute(run, out):
        for place in out:
            place[:] = -1
        if next(calls) in failures:
            raise RuntimeError
        out[0][:] = np.array(indices[run])[:, None]
        out[1][:] = indices[run]
        computed.extend(indices[run])

    for first in range(0, len(filled) - length + 1, stride):
        indices = [int(index) for index in filled[first : first + length]]
        try:
            pairs, singles = ring.window(indices, compute)
        except RuntimeError:
            continue
        assert pairs.tolist() == [[index, index] for index in indices]
        assert singles.tolist() == indices
    if not failures:
        assert max(Counter(computed).values()) == 1


@given(
    windows=st.lists(st.lists(st.integers(0, 9), min_size=4, max_size=4), max_size=8),
    failures=st.sets(st.integers(0, 8), max_size=3),
)
def test_ring_is_right_whatever_comes(windows, failures):
    ring = FeatureRing(4, [((), np.uint8)])
    calls = iter(range(10_000))
    for indices in windows:

        def compute(run, out, indices=indices):
            out[0][:] = 99
            if next(calls) in failures:
                raise RuntimeError
            out[0][:] = indices[run]

        try:
            assert ring.window(indices, compute)[0].tolist() == indices
        except RuntimeError:
            continue
