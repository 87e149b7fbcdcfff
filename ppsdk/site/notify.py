"""What systemd is told of a service with Type=notify: see sd_notify(3)."""

from __future__ import annotations

import os
import socket
import time


def tell_systemd(**states: str | int) -> None:
    """Such as READY=1; nothing where no service manager listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address or not hasattr(socket, "AF_UNIX"):
        return
    told = "\n".join(f"{name}={value}" for name, value in states.items())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service_manager:
        try:
            # An abstract address is written with an @ in place of its null byte.
            service_manager.sendto(told.encode(), address.replace("@", "\0", 1))
        except OSError:
            pass  # it has gone


def tell_reloading() -> None:
    """To be followed by READY=1."""
    tell_systemd(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)
