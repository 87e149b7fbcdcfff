"""Where `ppsdk run` sends its events."""

import csv
import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np
import pytest
from action_records import many, record
from broker import PASSWORD, USER, Broker, Listener
from certificates import make_certificate
from conftest import SYNTH
from PIL import Image
from test_cli import assert_refused, run
from waiting import wait_for
from webhook_server import WebhookServer

from ppsdk.cli.sink_options import open_sinks, sink_options

FILM = SYNTH / "base_64.mp4"


@pytest.fixture
def command(small_dir, monkeypatch, tmp_path):
    """A seeded model is never sure: every window is an event."""
    monkeypatch.chdir(tmp_path)
    return ["run", FILM, "--model", small_dir, "--per-window", "--on-threshold", 0]


def test_files_and_peers_get_what_stdout_gets(command, tmp_path, monkeypatch):
    monkeypatch.setenv("PPSDK_WEBHOOK_SECRET", "hush")
    monkeypatch.setenv("PPSDK_MQTT_USER", USER)
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    monkeypatch.setenv("PPSDK_MQTT_PASSWORD_FILE", str(tmp_path / "password"))
    with Broker(tmp_path) as broker, Listener(broker) as listener, WebhookServer() as server:
        done = run(
            *(*command, "--jsonl", "events.jsonl", "--csv", "events.csv", "--statistics"),
            *("--webhook", server.url, "--mqtt", f"mqtt://127.0.0.1:{broker.port}"),
        )
        lines = done.stdout.splitlines()
        assert done.returncode == 0 and len(lines) > 1
        topic = json.loads(lines[0])["source"].replace("/", "_")
        wait_for(lambda: listener.of(f"ppsdk/{topic}/events") == lines)
    assert (tmp_path / "events.jsonl").read_text().splitlines() == lines
    with (tmp_path / "events.csv").open(newline="") as rows:
        ids = [row["id"] for row in csv.DictReader(rows)]
    assert ids == [json.loads(line)["id"] for line in lines]
    assert [body.decode() for _, body in server.taken] == lines
    assert all("X-Ppsdk-Signature" in headers for headers, _ in server.taken)
    told = [json.loads(line) for line in done.stderr.splitlines() if line.startswith('{"sink"')]
    assert [each["taken"] for each in told] == [len(lines)] * 4
    assert [each["spool"]["waiting"] for each in told if "spool" in each] == [0, 0]
    assert {path.name for path in (tmp_path / "ppsdk-spool").iterdir()} >= {"webhook.db", "mqtt.db"}
    for secret in ("hush", PASSWORD, "tell-nobody"):
        assert secret not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("options", "sinks"),
    [
        (["--rotate-mb", 5], "--jsonl or --csv"),
        (["--jsonl", "a", "--spool-mb", 5], "--webhook or --mqtt"),
    ],
)
def test_an_option_of_a_sink_that_is_not_there(command, tmp_path, options, sinks):
    done = run(*command, *options)
    assert done.returncode == 2 and f" is for {sinks}: give that too" in done.stderr
    assert not list(tmp_path.iterdir())


def test_files_are_rotated(command, tmp_path):
    done = run(*command, "--jsonl", "events.jsonl", "--rotate-mb", 0.0001)  # a line each
    texts = [path.read_text() for path in tmp_path.glob("events*.jsonl")]
    assert sorted(texts) == sorted(done.stdout.splitlines(keepends=True))
    assert len(texts) > 1 and done.returncode == 0


@contextmanager
def sinks_of(*arguments):
    """Those that `run` opens with these options."""
    context = sink_options(click.Command("run", callback=lambda: None)).make_context(
        "run", [str(argument) for argument in arguments]
    )
    with context:
        with open_sinks(look_back_s=30.0) as sinks:
            yield sinks


@pytest.mark.parametrize(
    "bound, reason", [("--spool-mb=0.001", "too_many"), ("--spool-days=1e-9", "too_old")]
)
def test_a_spool_has_bounds(tmp_path, bound, reason):
    """Of 50 records, of 200 bytes or more, while the peer takes none."""
    there = threading.Event()
    options = ("--spool", tmp_path / "spool", bound)
    with WebhookServer(lambda number: 200 if there.is_set() else 500) as server:
        with sinks_of("--webhook", server.url, *options) as sinks:
            (sink,) = sinks.sinks
            for event in many(50):
                sinks(event)
            wait_for(lambda: sinks.counts()[sink.name].taken == 50)
            counts = sink.counts()
            there.set()
    assert getattr(counts, reason) == counts.dropped == 50 - counts.waiting > 40
    # Those that waited grow too old even then.
    assert 0 < len(server.taken) <= counts.waiting
    assert reason == "too_old" or len(server.taken) == counts.waiting


def test_fsync_is_for_files_and_spools(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda file, fsync=os.fsync: synced.append(fsync(file)))
    files = ("--jsonl", tmp_path / "events.jsonl", "--csv", tmp_path / "events.csv")
    for arguments, times, level in (((), 0, 1), (("--fsync",), 12, 2)):  # NORMAL, FULL
        with WebhookServer() as server:
            spool = ("--webhook", server.url, "--spool", tmp_path / "spool")
            with sinks_of(*files, *spool, *arguments) as sinks:
                database = sinks.sinks[2]._spool._database
                assert database.execute("PRAGMA synchronous").fetchone() == (level,)
                for event in many(6):
                    sinks(event)
        assert len(synced) == times


def test_a_broker_and_a_web_server_with_certificates_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setenv("PPSDK_MQTT_USER", USER)
    monkeypatch.setenv("PPSDK_MQTT_PASSWORD", PASSWORD)
    monkeypatch.setenv("PPSDK_MQTT_KEY_PASSWORD", "sesame")
    own, key = make_certificate(tmp_path, "camera", password="sesame")
    server = make_certificate(tmp_path, "server")
    with Broker(tmp_path, tls=True, client_cert=own) as broker:
        with WebhookServer(certificate=server) as web:
            mqtt = ("--mqtt", f"mqtts://localhost:{broker.port}", "--mqtt-ca", broker.ca_file)
            mqtt += ("--mqtt-cert", own, "--mqtt-key", key)
            webhook = ("--webhook", web.url, "--webhook-ca", server[0])
            with sinks_of(*mqtt, *webhook, "--spool", tmp_path / "spool") as sinks:
                sinks(record())
    assert [sink.counts().waiting for sink in sinks.sinks] == [0, 0]
    assert [count.taken for count in sinks.counts().values()] == [1, 1]


def test_sinks_are_refused_in_one_line(command, monkeypatch):
    assert_refused(run(*command, "--jsonl", "none/events.jsonl"), "none/events.jsonl")
    done = run(*command, "--jsonl", "events", "--csv", "events")
    assert_refused(done, "events: is being written already")
    assert_refused(run(*command, "--webhook", "host/s3cret"), "the webhook's URL must be http")
    assert_refused(run(*command, "--mqtt", "mqtt://me:s3cret@host"), "must be without")
    done = run(*command, "--mqtt", "mqtts://host", "--mqtt-ca", "none.pem")
    assert_refused(done, "none.pem: no certificates to trust")
    done = run(*command, "--mqtt", "mqtts://host", "--mqtt-key", "none.pem")
    assert_refused(done, "none.pem: is a key without a certificate")
    assert_refused(run(*command, "--spool-mb", 0), "--spool-mb", code=2)
    monkeypatch.setenv("PPSDK_MQTT_PASSWORD_FILE", "none")
    assert_refused(run(*command, "--mqtt", "mqtt://host"), "PPSDK_MQTT_PASSWORD_FILE: cannot read")


def test_a_sink_that_lost_something_fails_the_command(command, tmp_path):
    """A full disk, as Linux plays it."""
    full = tmp_path / "full.jsonl"
    try:
        full.symlink_to("/dev/full")
        full.open("ab").close()
    except OSError:
        pytest.skip("needs /dev/full")
    done = run(*command, "--jsonl", full)
    events = len(done.stdout.splitlines())
    assert done.returncode == 1 and events > 1
    assert f"full.jsonl: {events} records are lost" in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("realtime", [[], pytest.param(["--realtime"], marks=pytest.mark.slow)])
def test_a_stdout_that_fails_does_not_harm_the_sinks(command, tmp_path, realtime):
    """The disk that it is redirected to is full, or its reader has gone."""
    whole = run(*command, "--jsonl", tmp_path / "whole.jsonl")
    arguments = [sys.executable, "-m", "ppsdk", *map(str, command), *realtime]
    arguments += ["--jsonl", str(tmp_path / "events.jsonl")]
    with open("/dev/full", "w") as full:
        done = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "stdout: " in done.stderr and "Traceback" not in done.stderr
    events = (tmp_path / "events.jsonl").read_text().splitlines()
    assert len(events) == len(whole.stdout.splitlines()) > 1
    assert json.loads(events[-1])["phase"] == "end"


def long_film(folder):
    """100 s at 10 pictures a second."""
    folder.mkdir()
    for number in range(1000):
        Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(folder / f"{number:04}.png")
    return folder


def told_until(signal_number, film, *arguments):
    """`ppsdk run` of a film as it happens, which is sent the signal at its first event. Returns the
    exit code, the JSON lines, and stderr.
    """
    command = [sys.executable, "-m", "ppsdk", "run", film, "--fps", 10, "--realtime", *arguments]
    process = subprocess.Popen(
        [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        first = process.stdout.readline()
        assert json.loads(first)["phase"] == "start"
        process.send_signal(signal_number)
        rest, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    return process.returncode, first + rest, errors


@pytest.mark.skipif(sys.platform == "win32", reason="its Ctrl-C goes to all processes")
def test_ctrl_c_tells_of_sinks_too(small_dir, tmp_path):
    """It is how a camera is usually ended. One file takes all, one nothing: a full disk."""
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    (tmp_path / "full.jsonl").symlink_to("/dev/full")
    asked = ["--model", small_dir, "--on-threshold", 0, "--statistics"]
    asked += ["--jsonl", tmp_path / "full.jsonl"]
    code, told, errors = told_until(signal.SIGINT, long_film(tmp_path / "film"), *asked)
    events = [json.loads(line) for line in told.splitlines()]
    assert code == 130 and events[-1]["phase"] == "end"
    assert f"full.jsonl: {len(events)} records are lost" in errors and "Traceback" not in errors
    assert '"sink": "' in errors.split("records are lost")[0]


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGTERM to catch")
def test_sigterm_ends_what_goes_on(small_dir, tmp_path):
    """Of 100 s of pictures, played as they happen; that another source had failed does not make the
    stop a failure.
    """
    asked = ["none.mp4", "--model", small_dir, "--on-threshold", 0]
    asked += ["--jsonl", tmp_path / "events.jsonl"]
    code, told, _ = told_until(signal.SIGTERM, long_film(tmp_path / "film"), *asked)
    last = json.loads(told.splitlines()[-1])
    assert code == 0
    assert (last["phase"], last["ended_by"]) == ("end", "end") and last["end_s"] < 60
    assert (tmp_path / "events.jsonl").read_text() == told
