"""Programs that end without closing what they read."""

import subprocess
import sys
from contextlib import ExitStack

import pytest
from stallserver import Camera

# What is registered first comes last: behind what ppsdk does at the end.
PROGRAM = """
import atexit, sys, threading, time

def tell():
    names = [thread.name for thread in threading.enumerate()]
    print("left:", names.count("ppsdk reader"), flush=True)

atexit.register(tell)
from ppsdk import LiveOptions, open_source

statuses = []
sources = [
    open_source(url, live=LiveOptions(wait=True), on_status=statuses.append)
    for url in sys.argv[2:]
]
for source in sources:
    threading.Thread(target=lambda source=source: list(source), daemon=True).start()
def count():
    return [thread.name for thread in threading.enumerate()].count("ppsdk reader")

while count() < len(sources):
    time.sleep(0.01)
time.sleep(float(sys.argv[1]))
print("readers:", count())
"""


MODES = ("never", "stall", "live")


def start(stack, seconds):
    urls = [stack.enter_context(Camera(mode)).url for mode in MODES]
    command = [sys.executable, "-c", PROGRAM, str(seconds), *urls]
    return subprocess.Popen(command, stdout=-1, stderr=-1, text=True)


def check(process):
    out, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert out == "readers: 3\nleft: 0\n"


def test_no_thread_reads_on_when_python_ends():
    """Time-outs are 10 s: the reads are interrupted, or there would be some left."""
    with ExitStack() as stack:
        check(start(stack, 0.8))


@pytest.mark.slow
def test_programs_that_end_while_cameras_are_read_do_not_crash():
    """More at a time than there are cores, so that they are held up anywhere."""
    for turn in range(10):
        with ExitStack() as stack:
            for program in [start(stack, 0.5 + 0.02 * turn) for _ in range(6)]:
                check(program)
