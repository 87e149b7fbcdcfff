"""Figures of a stream, by hand."""

import json

import pytest

from ppsdk.statistics import StreamMeter
from ppsdk.status import StreamCounters


def test_rates_are_of_the_last_ten_seconds_and_latencies_percentiles():
    now = [0.0]
    meter = StreamMeter(clock=lambda: now[0])
    counters = StreamCounters()
    for second in range(1, 41):
        now[0] = float(second)
        counters.frames += 10 if second <= 20 else 25
        meter.note_frames(counters.frames)
    for i in range(1, 101):
        meter.note_window(latency_s=i / 1000, lag_s=0.3)
    told = meter.statistics("a", "running", counters, None)
    assert told.frames_per_s == 25 and told.windows == 100 and told.lag_s == 0.3
    assert told.latency_p50_ms == pytest.approx(50.5)
    assert told.latency_p95_ms == pytest.approx(95.05)
    assert told.latency_counts == (10, 15, 25, 50, 0, 0, 0, 0, 0, 0, 0)
    assert told.latency_sum_s == pytest.approx(5.05)
    assert json.loads(json.dumps(told.to_dict()))["frames"] == 20 * 10 + 20 * 25
