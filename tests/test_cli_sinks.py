"""Where `ppsdk run` sends its events."""

import csv
import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from broker import PASSWORD, USER, Broker, Listener
from conftest import SYNTH
from PIL import Image
from test_cli import assert_refused, run
from test_spool import wait_for
from webhook_server import WebhookServer

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


def test_files_are_rotated(command, tmp_path):
    done = run(*command, "--jsonl", "events.jsonl", "--rotate-mb", 0.0001)  # a line each
    texts = [path.read_text() for path in tmp_path.glob("events*.jsonl")]
    assert sorted(texts) == sorted(done.stdout.splitlines(keepends=True))
    assert len(texts) > 1 and done.returncode == 0


def test_sinks_are_refused_in_one_line(command, monkeypatch):
    assert_refused(run(*command, "--jsonl", "none/events.jsonl"), "none/events.jsonl")
    done = run(*command, "--jsonl", "events", "--csv", "events")
    assert_refused(done, "events: is being written already")
    assert_refused(run(*command, "--webhook", "host/s3cret"), "the webhook's URL must be http")
    assert_refused(run(*command, "--mqtt", "mqtt://me:s3cret@host"), "must be without")
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


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGTERM to catch")
def test_sigterm_ends_what_goes_on(small_dir, tmp_path):
    """Of 100 s of pictures, played as they happen."""
    film = tmp_path / "film"
    film.mkdir()
    for number in range(1000):
        Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(film / f"{number:04}.png")
    command = [sys.executable, "-m", "ppsdk", "run", film, "--fps", 10, "--realtime"]
    command += ["--model", small_dir, "--on-threshold", 0, "--jsonl", tmp_path / "events.jsonl"]
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, text=True)
    try:
        first = process.stdout.readline()
        assert json.loads(first)["phase"] == "start"
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    last = json.loads(rest.splitlines()[-1])
    assert process.returncode == 0
    assert (last["phase"], last["ended_by"]) == ("end", "end") and last["end_s"] < 60
    assert (tmp_path / "events.jsonl").read_text() == first + rest
