"""Every script in examples/ runs."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from conftest import HERE, SYNTH

EXAMPLES = HERE.parent / "examples"


def run_example(name, *arguments, **environment):
    env = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return subprocess.run(
        [sys.executable, EXAMPLES / name, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env=env | environment,
    )


def test_there_is_a_test_for_each_example():
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == ["webcam_stream.py"]


def check_windows(done):
    assert done.returncode == 0, done.stderr
    windows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [window["start_s"] for window in windows] == [0, 0.5, 1.0, 1.5, 2.0]
    assert all(window["label"].startswith("class_") for window in windows)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="there is always a display")
def test_webcam_stream_without_a_display(small_dir):
    arguments = ["--model", small_dir, "--source", SYNTH / "base_64.mp4"]
    check_windows(run_example("webcam_stream.py", *arguments))


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="uses a virtual X server")
def test_webcam_stream_with_a_display(small_dir):
    if shutil.which("Xvfb") is None:
        pytest.skip("needs Xvfb (Debian: apt-get install xvfb)")
    read_end, write_end = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write_end), "-screen", "0", "800x600x24"],
        pass_fds=[write_end],
        stderr=subprocess.DEVNULL,
    )
    os.close(write_end)
    try:
        display = os.fdopen(read_end).readline().strip()
        arguments = ["--model", small_dir, "--source", SYNTH / "base_64.mp4"]
        check_windows(run_example("webcam_stream.py", *arguments, DISPLAY=f":{display}"))
    finally:
        server.terminate()
        server.wait()


def test_the_webcam_example_is_short_enough_to_copy():
    assert len((EXAMPLES / "webcam_stream.py").read_text().splitlines()) <= 42
