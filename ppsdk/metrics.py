"""What streams and sinks count, as Prometheus metrics."""

from __future__ import annotations

import platform
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from itertools import accumulate
from typing import get_args

try:
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        InfoMetricFamily,
        Metric,
    )
    from prometheus_client.process_collector import ProcessCollector
    from prometheus_client.registry import Collector
except ImportError:
    raise ImportError("metrics need prometheus-client: pip install 'ppsdk[metrics]'") from None

from ppsdk.records import ActionEvent
from ppsdk.sinks import Sinks, spool_counts
from ppsdk.sinks.clips import clip_counts
from ppsdk.sources.credentials import masked
from ppsdk.statistics import LATENCY_BOUNDS_S, StreamState, StreamStatistics
from ppsdk.streams import Streams
from ppsdk.version import __version__

_START_S = time.time()

# Name, help and field of `StreamStatistics`; those that only rise.
_COUNTERS = (
    ("ppsdk_frames", "Frames decoded.", "frames"),
    ("ppsdk_frames_kept", "Frames kept for windows, one a segment.", "kept"),
    ("ppsdk_frames_dropped", "Frames of a live source not taken in time.", "dropped"),
    ("ppsdk_segments_repeated", "Segments of windows without a frame of their own.", "repeated"),
    ("ppsdk_windows", "Windows scored.", "windows"),
    ("ppsdk_windows_still", "Windows not computed because nothing moved.", "still"),
    ("ppsdk_windows_skipped", "Windows of a live source passed over for newer ones.", "skipped"),
    ("ppsdk_opens", "Times that a live source was opened, or tried to.", "opens"),
)
# And of `ClipCounts`.
_CLIP_COUNTERS = (
    ("ppsdk_clips_written", "Clips of events.", "written"),
    ("ppsdk_clips_incomplete", "Clips that lack something, as their records say.", "incomplete"),
    ("ppsdk_clips_failed", "Events without a clip.", "failed"),
    ("ppsdk_clips_deleted", "Clips that gave way to newer ones.", "deleted"),
)


class Metrics(Collector):
    """A collector for a Prometheus registry: see `MetricsServer`, or register it with your own.

    What streams and sinks have counted is read at each scrape; events are counted as it is called
    with their records, like a sink. labels: those that are counted from 0 on, so that a rate sees
    the first event of a kind. Names of cameras and sinks have no credentials. Any thread may call.
    """

    def __init__(
        self, streams: Streams, sinks: Sinks | None = None, *, labels: Sequence[str] = ()
    ) -> None:
        self._streams, self._sinks, self._labels = streams, sinks, labels
        self._lock = threading.Lock()
        self._started: Counter[tuple[str, str]] = Counter()
        self._ended: Counter[tuple[str, str]] = Counter()
        self._process = ProcessCollector(registry=None)

    def __call__(self, event: ActionEvent) -> None:
        with self._lock:
            self._started[event.source, event.label] += event.phase == "start"
            self._ended[event.source, event.label] += event.phase == "end"

    def collect(self) -> Iterator[Metric]:
        fares = self._streams.statistics()
        yield from _of_streams(fares.values())
        yield GaugeMetricFamily(
            "ppsdk_overloaded",
            "Whether live streams get fewer windows than asked.",
            self._streams.overloaded,
        )
        yield CounterMetricFamily(
            "ppsdk_overloads",
            "Times that live streams began to get fewer windows than asked.",
            self._streams.overloads,
        )
        yield from self._of_events(fares)
        if self._sinks is not None:
            yield from _of_sinks(self._sinks)
            yield from _of_spools(self._sinks)
            yield from _of_clips(self._sinks)
        yield InfoMetricFamily("ppsdk_build", "Versions in use.", _versions())
        yield from self._process.collect() or [_start_time()]

    def _of_events(self, cameras: Iterable[str]) -> Iterator[Metric]:
        none = {(camera, label): 0 for camera in cameras for label in self._labels}
        with self._lock:
            started, ended = {**none, **self._started}, {**none, **self._ended}
        for name, documentation, counts in (
            ("ppsdk_events_started", "Events told to start.", started),
            ("ppsdk_events_ended", "Events told to end.", ended),
        ):
            family = CounterMetricFamily(name, documentation, labels=["camera", "label"])
            for (camera, label), count in counts.items():
                family.add_metric([_shown(camera), _shown(label)], count)
            yield family


def _of_streams(fares: Iterable[StreamStatistics]) -> Iterator[Metric]:
    for name, documentation, field in _COUNTERS:
        counter = CounterMetricFamily(name, documentation, labels=["camera"])
        for fare in fares:
            counter.add_metric([_shown(fare.name)], getattr(fare, field))
        yield counter
    latency = HistogramMetricFamily(
        "ppsdk_window_latency_seconds",
        "Time from the end of a window to its scores.",
        labels=["camera"],
    )
    lag = GaugeMetricFamily(
        "ppsdk_lag_seconds",
        "How far the last window's last frame was behind the newest one read.",
        labels=["camera"],
    )
    state = GaugeMetricFamily(
        "ppsdk_stream_state",
        "1 for the state that a stream is in, 0 for the others.",
        labels=["camera", "state"],
    )
    for fare in fares:
        camera = _shown(fare.name)
        up_to = accumulate(fare.latency_counts)
        bounds = [*map(str, LATENCY_BOUNDS_S), "+Inf"]
        latency.add_metric([camera], list(zip(bounds, up_to, strict=True)), fare.latency_sum_s)
        lag.add_metric([camera], fare.lag_s)
        for each in get_args(StreamState):
            state.add_metric([camera, each], each == fare.state)
    yield from (latency, lag, state)


def _of_sinks(sinks: Sinks) -> Iterator[Metric]:
    records = CounterMetricFamily(
        "ppsdk_sink_records",
        "Records of events that a sink took, failed on, or had no time for.",
        labels=["sink", "result"],
    )
    for name, counts in sinks.counts().items():
        for result, count in asdict(counts).items():
            records.add_metric([_shown(name), result], count)
    yield records


def _of_spools(sinks: Sinks) -> Iterator[Metric]:
    waiting = GaugeMetricFamily(
        "ppsdk_spool_records", "Records that the peer has not taken yet.", labels=["sink"]
    )
    size = GaugeMetricFamily(
        "ppsdk_spool_bytes", "Size of the records that wait for the peer.", labels=["sink"]
    )
    dropped = CounterMetricFamily(
        "ppsdk_spool_dropped",
        "Records lost since the file of the spool was made.",
        labels=["sink", "reason"],
    )
    for sink in sinks.sinks:
        counts = spool_counts(sink)
        if counts is not None:
            name, told = _shown(sink.name), asdict(counts)
            waiting.add_metric([name], told.pop("waiting"))
            size.add_metric([name], told.pop("size"))
            for reason, count in told.items():
                dropped.add_metric([name, reason], count)
    yield from (waiting, size, dropped)


def _of_clips(sinks: Sinks) -> Iterator[Metric]:
    counted = [(_shown(sink.name), clip_counts(sink)) for sink in sinks.sinks]
    for name, documentation, field in _CLIP_COUNTERS:
        counter = CounterMetricFamily(name, documentation, labels=["sink"])
        for sink, counts in counted:
            if counts is not None:
                counter.add_metric([sink], getattr(counts, field))
        yield counter


def _versions() -> dict[str, str]:
    return {
        "version": __version__,
        "python": platform.python_version(),
        "openvino": version("openvino"),
    }


def _start_time() -> Metric:
    """Where the system does not tell (it does on Linux)."""
    return GaugeMetricFamily(
        "process_start_time_seconds", "Start time of the process, by the Unix epoch.", _START_S
    )


def _shown(name: str) -> str:
    """As UTF-8 can have it: names of files may be anything."""
    return masked(name).encode("utf-8", "replace").decode()
