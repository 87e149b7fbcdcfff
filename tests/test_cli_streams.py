"""`ppsdk run` with several sources."""

import json
import signal
import subprocess
import sys
import time

import pytest
from conftest import SYNTH
from stallserver import Camera
from waiting import SOON_S, wait_for

from ppsdk import EventOptions
from ppsdk.demo.run import BUNDLED


def run(*arguments):
    command = [sys.executable, "-m", "ppsdk", "run", "--model", BUNDLED, *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True)


def test_run_with_several_sources(recognizer):
    video = str(SYNTH / "base_64.mp4")
    roi = (0.0, 0.0, 0.5, 1.0)
    told = [
        e.label for e in recognizer.events(video, roi=roi, options=EventOptions(per_window=True))
    ]
    done = run(video, "missing.mp4", "--per-window", "--statistics", "--roi", video, *roi)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["label"] for event in events] == told
    assert {event["source"] for event in events} == {video}
    error, *fares = done.stderr.splitlines()
    assert done.returncode == 1 and error == "ERROR: missing.mp4: failed: no such file"
    states = {fare["name"]: fare["state"] for fare in map(json.loads, fares)}
    assert states == {video: "ended", "missing.mp4": "failed"}


def test_a_region_for_a_source_that_is_not_there_is_refused():
    done = run("a.mp4", "b.mp4", "--roi", "c.mp4", 0, 0, 1, 1)
    assert done.returncode == 2 and "must be one of the sources" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_ends_a_run_of_several():
    with Camera("live") as camera, Camera("never") as dead:
        command = [sys.executable, "-m", "ppsdk", "run", camera.url, dead.url, "--wait"]
        process = subprocess.Popen(
            [*command, "--model", str(BUNDLED)], stdout=-1, stderr=-1, text=True
        )
        wait_for(lambda: (camera.sent > 30 and dead.opened) or process.poll() is not None)
        start_s = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors
    assert time.monotonic() - start_s < SOON_S
