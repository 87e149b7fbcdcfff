"""What is filmed of an event, and how far back memory has to reach for that."""

import pytest

from ppsdk import EventOptions
from ppsdk.sinks.clips import ClipOptions, look_back_s


def test_options_are_checked():
    faults = {"pre_s": -1, "fps": 0, "jpeg_quality": 96, "budget_bytes": 0, "longest_s": 5.0}
    for name, value in faults.items():
        with pytest.raises(ValueError, match=f"{name} is {value}: must be"):
            ClipOptions(**{name: value})


def test_how_far_memory_has_to_reach_back():
    """Two lengths, two strides, 10 s; and what the detector waits for."""
    assert look_back_s(2.0, 0.5, EventOptions()) == 15.0
    chosen = EventOptions(
        on_threshold=0.5,
        merge_gap_s=1.0,
        smoothing="mean",
        smoothing_windows=4,
        per_class={"fall": {"min_duration_s": 3.0}},
    )
    assert look_back_s(2.0, 0.5, chosen) == 15.0 + 3.0 + 2.0
