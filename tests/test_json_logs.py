"""Logs as JSON, and a stderr that has nothing else."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest
from stallserver import Camera
from test_cli_sinks import FILM
from test_imports import ROOT
from test_metrics import scrape
from waiting import wait_for

from ppsdk.json_logs import JsonFormatter
from ppsdk.status import StreamStatus


class Lines(logging.Handler):
    """What a collector reads, parsed."""

    def __init__(self):
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.lines = []

    def emit(self, record):
        (line,) = self.format(record).splitlines()
        assert line.isascii()
        self.lines.append(json.loads(line))


@pytest.fixture
def logged():
    """A logger, and what it has told."""
    log, handler = logging.Logger("ppsdk.test"), Lines()
    log.addHandler(handler)
    return log, handler.lines


def test_a_line_has_its_time_level_logger_and_message(logged):
    log, lines = logged
    log.warning("%s fell:\nhé\u2028said %d", "door", 3)
    told = lines[0]
    since = datetime.now(timezone.utc) - datetime.fromisoformat(told.pop("time"))
    assert timedelta(0) <= since < timedelta(minutes=1)
    assert told == {
        "level": "WARNING",
        "logger": "ppsdk.test",
        "message": "door fell:\nhé\u2028said 3",
    }


def test_a_status_has_its_fields(logged):
    log, lines = logged
    StreamStatus("lost", "door", 12.5, "2026-11-26T08:00:00+00:00", "no answer").log(log)
    told = lines[0]
    assert (told["status"], told["source"], told["at_s"]) == ("lost", "door", 12.5)
    assert (told["reason"], told["message"]) == ("no answer", "door: lost: no answer")


def test_an_exception_is_one_line_and_nothing_secret_is_in_it(logged):
    log, lines = logged
    url = "rtsp://me:s3cret@host/live?token=s3cret"
    try:
        raise OSError(f"{url}\ncannot be opened")
    except OSError as error:
        log.exception("%s", error, extra={"url": url, "pipe": {1: object()}})
    told = lines[0]
    assert "s3cret" not in json.dumps(told) and told["url"] == "rtsp://host/live?token=***"
    assert told["message"] == "rtsp://host/live?token=***\ncannot be opened"
    first, *_, last = told["exception"].splitlines()
    assert first.startswith("Traceback") and last == "cannot be opened"


FAILING = """
import sys, threading, warnings
from ppsdk.cli import main
def fail():
    raise ValueError("in a\\nthread")
class Late:
    def __del__(self):
        raise ValueError("nobody to raise it to")
assert main(["inspect", "model", "rtsp://me:s3cret@host", "--log-json"]) == 2
assert main(["inspect", "none", "--log-json"]) == 1
thread = threading.Thread(target=fail)
thread.start()
thread.join()
Late()
warnings.warn("old\\nways")
raise RuntimeError("nobody\\nexpected it")
"""


def test_whatever_goes_wrong_is_json():
    done = subprocess.run(
        [sys.executable, "-c", FAILING],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    told = [json.loads(line) for line in done.stderr.splitlines()]
    assert done.returncode == 1 and "s3cret" not in done.stderr
    usage, missing, thread, late, warning, last = told
    assert usage["message"] == "Got unexpected extra argument (rtsp://host)"
    assert missing["message"].startswith("none") and missing["logger"] == "ppsdk.cli"
    assert thread["message"] == "in a\nthread" and "in fail" in thread["exception"]
    assert late["message"] == "nobody to raise it to"
    assert warning["level"] == "WARNING" and "old\nways" in warning["message"]
    assert (last["level"], last["message"]) == ("CRITICAL", "nobody\nexpected it")


def ended_of(film, told):
    ended = ("ppsdk_events_ended_total", str(film))
    return [value for key, value in told.items() if key[:2] == ended]


@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGTERM to catch")
def test_stderr_of_a_run_is_json_to_its_end_and_metrics_are_served(tiny_dir, tmp_path):
    """A camera that hangs up time and again, a file that is not there, one that is, a full disk."""
    full = tmp_path / "full.jsonl"
    try:
        full.symlink_to("/dev/full")
        full.open("ab").close()
    except OSError:
        pytest.skip("needs /dev/full")
    log = tmp_path / "log"
    with Camera("flaky", fps=50) as camera, log.open("wb") as stderr:
        url = camera.url.replace("http://", "http://me:s3cret@")
        command = [sys.executable, "-m", "ppsdk", "run", url, "missing.mp4", FILM]
        command += ["--model", tiny_dir, "--per-window", "--on-threshold", "0"]
        command += ["--jsonl", full, "--statistics", "--log-json", "--metrics", "0"]
        process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=stderr)
        try:
            wait_for(lambda: '"status": "restored"' in log.read_text(), 60)
            address = re.search(r"http://127.0.0.1:\d+/metrics", log.read_text())[0]
            wait_for(lambda: scrape(address)["ppsdk_opens_total", camera.url] > 1)
            wait_for(lambda: any(ended_of(FILM, scrape(address))))
            assert len(ended_of(FILM, scrape(address))) == 5  # one a label
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
        finally:
            process.kill()
            process.wait()
    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert process.returncode == 1 and "s3cret" not in log.read_text()
    assert all({"time", "level", "logger", "message"} <= set(line) for line in told)
    statuses = [(line["source"], line["status"]) for line in told if "status" in line]
    assert ("missing.mp4", "failed") in statuses and (camera.url, "lost") in statuses
    states = {line["stream"]["name"]: line["stream"]["state"] for line in told if "stream" in line}
    assert set(states) == {camera.url, "missing.mp4", str(FILM)}
    sinks = {line["sink"]["sink"]: line["sink"] for line in told if "sink" in line}
    assert sinks.pop("stdout")["failed"] == 0, "of cameras it is a sink like others"
    (sink,) = sinks.values()
    assert sink["sink"] == str(full) and sink["failed"] > 0
    (lost,) = (line for line in told if line["message"].endswith("records are lost"))
    assert lost["level"] == "ERROR"
