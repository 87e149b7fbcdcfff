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
    if address.startswith("@"):  # in place of the null byte of an abstract address
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as service_manager:
            service_manager.sendto(told.encode(), address)
    except OSError:
        pass  # it has gone


def tell_reloading() -> None:
    """To be followed by READY=1."""
    tell_systemd(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)
