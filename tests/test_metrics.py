"""Prometheus metrics, scraped over HTTP and read by Prometheus' own parser."""

import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections import Counter

import pytest
from action_records import many, record
from event_films import film, play
from prometheus_client.parser import text_string_to_metric_families
from stallserver import Camera
from test_cli import assert_refused, run
from test_cli_sinks import FILM
from test_sinks import Told
from test_spool import Peer
from waiting import SOON_S, free_port, wait_for

from ppsdk import EventOptions, LiveOptions, Recognizer, StreamOptions
from ppsdk.demo.run import BUNDLED
from ppsdk.metrics import Metrics
from ppsdk.metrics_server import MetricsServer
from ppsdk.sinks import Refused, Sinks, Spool, Spooled
from ppsdk.sinks.clips import EventClips

SPAN = {"length_s": 0.8, "stride_s": 0.4}


@pytest.fixture(scope="module")
def recognizer():
    with Recognizer(BUNDLED, num_threads=1) as recognizer:
        yield recognizer


def text_at(url):
    # Not through a proxy.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=60) as page:
        return page.read().decode()


def scrape(url):
    """(name, label values in the order of their names) -> value; no series comes twice."""
    told = {}
    for family in text_string_to_metric_families(text_at(url)):
        for sample in family.samples:
            key = (sample.name, *(value for _, value in sorted(sample.labels.items())))
            assert key not in told, key
            told[key] = sample.value
    return told


ODD = 'door "3"\\west\nside'


def test_a_scrape_tells_what_the_streams_and_events_were(recognizer):
    """One film twice, one under a name that has to be escaped, and one that is not there."""
    secret = "rtsp://me:s3cret@host/live?token=s3cret"
    sources = [StreamOptions(FILM, name=ODD), StreamOptions(FILM, name=secret), "missing.mp4"]
    with recognizer.streams(sources, **SPAN) as streams:
        metrics = Metrics(streams, labels=["fall", *recognizer.labels])
        with MetricsServer(metrics, port=0) as server:
            assert scrape(server.url)["ppsdk_windows_total", ODD] == 0  # before any
            events = Counter()
            for event in streams.events(options=EventOptions(on_threshold=0.0)):
                metrics(event)
                events[event.source, event.label, event.phase] += 1
            told, text = scrape(server.url), text_at(server.url)
        fares = streams.statistics()
    fare = fares[ODD]
    assert fare.windows > 3 and "s3cret" not in text
    hidden = "rtsp://host/live?token=***"
    for name, expected in (
        ("ppsdk_frames_total", fare.frames),
        ("ppsdk_frames_kept_total", fare.kept),
        ("ppsdk_frames_dropped_total", 0),
        ("ppsdk_segments_repeated_total", fare.repeated),
        ("ppsdk_windows_total", fare.windows),
        ("ppsdk_windows_still_total", 0),
        ("ppsdk_windows_skipped_total", 0),
        ("ppsdk_opens_total", 0),
        ("ppsdk_window_latency_seconds_count", fare.windows),
    ):
        assert told[name, ODD] == told[name, hidden] == expected, name
    assert told["ppsdk_lag_seconds", ODD] == pytest.approx(fare.lag_s)
    assert told["ppsdk_window_latency_seconds_sum", ODD] == pytest.approx(fare.latency_sum_s)
    assert told["ppsdk_window_latency_seconds_bucket", ODD, "+Inf"] == fare.windows
    bounds = ("0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf")
    up_to = [told["ppsdk_window_latency_seconds_bucket", ODD, bound] for bound in bounds]
    assert up_to == sorted(up_to)
    states = {key[1:]: value for key, value in told.items() if key[0] == "ppsdk_stream_state"}
    assert states["missing.mp4", "failed"] == states[ODD, "ended"] == 1
    assert sum(states.values()) == 3  # each is in one
    assert events and events[ODD, "fall", "start"] == 0
    for camera, name in ((ODD, ODD), (secret, hidden)):
        for label in ("fall", *recognizer.labels):
            starts, ends = events[camera, label, "start"], events[camera, label, "end"]
            assert told["ppsdk_events_started_total", name, label] == starts
            assert told["ppsdk_events_ended_total", name, label] == ends
    assert told["ppsdk_overloaded",] == told["ppsdk_overloads_total",] == 0
    assert any(key[0] == "ppsdk_build_info" for key in told)
    assert 0 < time.time() - told["process_start_time_seconds",] < 86400


def test_the_state_of_a_camera(recognizer):
    """It sends pictures, then one and the same; then it goes away for good."""
    live = LiveOptions(open_timeout_s=1.0, read_timeout_s=1.0, frozen_s=0.5)
    with recognizer.streams([], **SPAN, live=live) as streams:
        with free_port() as port, MetricsServer(Metrics(streams), port=0) as server:

            def wait_for_state(state):
                wait_for(lambda: scrape(server.url)["ppsdk_stream_state", name, state] == 1)

            with Camera("black", port=port) as camera:
                name = streams.add(camera.url)
                next(streams)
                wait_for_state("frozen")
                assert scrape(server.url)["ppsdk_opens_total", name] == 1
            wait_for_state("lost")
            wait_for(lambda: scrape(server.url)["ppsdk_opens_total", name] > 2)
            with Camera("live", port=port):
                wait_for_state("running")
            streams.remove(name)
            assert ("ppsdk_stream_state", name, "lost") not in scrape(server.url)


def test_sinks_and_spools(recognizer, tmp_path):
    """One record is refused, the next never taken; one sink fails."""

    def answer(spooled):
        if spooled.number == 1:
            raise Refused("no")
        raise ConnectionError("gone")

    def fail(event):
        raise OSError("full")

    sink = Spooled(Spool(tmp_path / "spool.db"), Peer(answer), close_s=0.1)
    with recognizer.streams([]) as streams, Sinks([sink, Told("good"), Told("bad", fail)]) as sinks:
        with MetricsServer(Metrics(streams, sinks), port=0) as server:
            for event in many(5):
                sinks(event)
            wait_for(lambda: scrape(server.url)["ppsdk_spool_records", "peer"] == 4)
            wait_for(lambda: scrape(server.url)["ppsdk_sink_records_total", "failed", "bad"] == 5)
            told = scrape(server.url)
            size = sink.counts().size
    assert told["ppsdk_spool_bytes", "peer"] == size > 0
    dropped = {key[1]: told[key] for key in told if key[0] == "ppsdk_spool_dropped_total"}
    assert dropped == {"too_many": 0, "too_old": 0, "refused": 1, "unwritable": 0}
    assert told["ppsdk_sink_records_total", "taken", "peer"] == 5
    assert told["ppsdk_sink_records_total", "taken", "good"] == 5
    assert told["ppsdk_sink_records_total", "dropped", "bad"] == 0


def test_clips(recognizer, tmp_path):
    """One, of an event from second 1 to 3: there are 4 s of its stream, not 8."""
    clips = EventClips(tmp_path)
    with recognizer.streams([]) as streams, Sinks([clips]) as sinks:
        with MetricsServer(Metrics(streams, sinks), port=0) as server:
            play(clips, film(40))
            sinks(record())
            wait_for(lambda: clips.counts().written == 1)
            told = scrape(server.url)
    for what, count in (("written", 1), ("incomplete", 1), ("failed", 0), ("deleted", 0)):
        assert told[f"ppsdk_clips_{what}_total", str(tmp_path)] == count
    assert told["ppsdk_sink_records_total", "taken", str(tmp_path)] == 1
    assert ("ppsdk_spool_records", str(tmp_path)) not in told


def test_a_port_is_one_server_s_and_free_again_at_close(recognizer, capfd):
    with recognizer.streams([]) as streams:
        metrics = Metrics(streams)
        server = MetricsServer(metrics, port=0)
        port = int(server.url.split(":")[2].split("/")[0])
        with pytest.raises(OSError, match=f"no metrics at 127.0.0.1, port {port}: Address already"):
            MetricsServer(metrics, port=port)
        with pytest.raises(OSError, match="no metrics at nowhere.invalid, port 1: "):
            MetricsServer(metrics, host="nowhere.invalid", port=1)
        # One who says nothing, one who talks nonsense and hangs up.
        with socket.create_connection(("127.0.0.1", port)):
            with socket.create_connection(("127.0.0.1", port)) as rude:
                rude.sendall(b"\0\1\2\r\n\r\n")
            assert ("ppsdk_overloaded",) in scrape(server.url)
            start_s = time.monotonic()
            server.close()
            assert time.monotonic() - start_s < SOON_S
        with MetricsServer(metrics, port=port) as again:
            assert ("ppsdk_overloaded",) in scrape(again.url)
        assert not any(thread.name == "metrics" for thread in threading.enumerate())
    assert capfd.readouterr().err == ""


def test_an_address_is_a_port_or_host_and_port():
    command = ["run", FILM, "--model", BUNDLED, "--metrics"]
    for wrong in ("host", "host:", ":9400", "70000", "a@host:1", "host:1/metrics"):
        done = run(*command, wrong)
        assert_refused(done, f"{wrong!r}: must be PORT or HOST:PORT", code=2)


def test_names_are_as_prometheus_wants_them(recognizer, tmp_path):
    program = shutil.which("promtool") or pytest.skip("needs promtool: apt-get install prometheus")
    sink = Spooled(Spool(tmp_path / "spool.db"), Peer())
    with recognizer.streams([FILM], **SPAN) as streams, Sinks([sink]) as sinks:
        metrics = Metrics(streams, sinks)
        next(streams)
        metrics(record(source=ODD))
        with MetricsServer(metrics, port=0) as server:
            text = text_at(server.url)
    done = subprocess.run([program, "check", "metrics"], input=text, text=True, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
