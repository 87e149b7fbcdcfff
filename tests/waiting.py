"""Waiting for others, on machines that may be busy with something else."""

import socket
import time
from contextlib import contextmanager

# Within the ten seconds that a silent camera is waited for: what waits for one comes later.
SOON_S = 8.0


def wait_for(condition, timeout_s=90):
    """Long enough for a busy machine: only what never comes takes so long."""
    until_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until_s, "never came"
        time.sleep(0.01)


@contextmanager
def free_port():
    """A port at which nobody answers, and which nobody else is given: for servers that come later,
    or come again.
    """
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]
