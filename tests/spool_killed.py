"""Kills a process that writes to a spool, and drains it, again and again: python spool_killed.py
FOLDER KILLS. Prints nothing; the folder has what was committed and what the peer got.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

from action_records import whole_event

from ppsdk.sinks import Spool, Spooled

CAMERAS = ("door", "yard")


class Peer:
    """Appends to a file what it gets, and does not answer now and then, before or after that."""

    name = "peer"

    def __init__(self, folder):
        self._log = Appended(folder / "delivered")

    def send(self, record):
        if random.random() < 0.1:
            raise ConnectionError("not there")
        self._log.write(record.body.decode())
        if random.random() < 0.1:
            raise TimeoutError("no answer")

    def close(self):
        pass


class Appended:
    """One write a line: outlives the process from then on."""

    def __init__(self, path):
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, line):
        os.write(self._file, line.encode() + b"\n")


def spooled(folder):
    return Spooled(Spool(folder / "spool.db"), Peer(folder), shortest_s=0.001, longest_s=0.01)


def work(folder, life):
    """The events of both cameras take turns, until it is killed."""
    committed = Appended(folder / "committed")
    sink = spooled(folder)
    for number in range(10_000):
        events = [whole_event(f"{camera}-{life}-{number}", camera) for camera in CAMERAS]
        for both in zip(*events, strict=True):
            for event in both:
                sink(event)
                committed.write(json.dumps(event.to_dict()))
        time.sleep(0.001)


def main(folder, kills):
    random.seed(7)
    committed = folder / "committed"
    committed.touch()
    for life in range(kills):
        size = committed.stat().st_size
        child = os.fork()
        if not child:
            random.seed(life)
            try:
                work(folder, life)
            finally:
                os._exit(1)  # comes to its end only where it was not killed
        if life % 5:  # one in five is killed while it opens the spool, or before
            while committed.stat().st_size == size:
                time.sleep(0.001)
        time.sleep(random.uniform(0.0, 0.1))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"life {life} ended by itself"
    sink = spooled(folder)
    while sink.counts().waiting:
        time.sleep(0.01)
    assert sink.counts().dropped == 0
    sink.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
