"""Metrics over HTTP, for Prometheus to scrape."""

from __future__ import annotations

import logging
import socket
import sys
import threading
from socketserver import ThreadingTCPServer
from typing import Any

try:
    from prometheus_client import CollectorRegistry, MetricsHandler
    from prometheus_client.registry import Collector
except ImportError:
    raise ImportError("metrics need prometheus-client: pip install 'ppsdk[metrics]'") from None

log = logging.getLogger(__name__)

# A client that is silent for so long is hung up on.
_TIMEOUT_S = 10.0
# How often it is seen that it is to close.
_LOOK_S = 0.1


class MetricsServer:
    """Serves http://HOST:PORT/metrics from a thread of its own; a context manager.

    port: 0 for any that is free; `url` tells. Anybody who can connect can read; nothing can be
    changed. Raises OSError, in one line, where it cannot listen.
    """

    def __init__(self, metrics: Collector, *, host: str = "127.0.0.1", port: int) -> None:
        registry = CollectorRegistry()
        registry.register(metrics)
        try:
            self._server = _Server(host, port, registry)
        except OSError as error:
            raise OSError(f"no metrics at {host}, port {port}: {error.strerror}") from None
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.server_address[1]}/metrics"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_LOOK_S,), name="metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Within a second; a scrape that is being answered is left to itself."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> MetricsServer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class _Server(ThreadingTCPServer):
    """Not http.server's: that one looks its own name up, which takes long where nobody answers."""

    daemon_threads = True
    # Otherwise a port that was just let go of cannot be had; on Windows it lets two have one.
    allow_reuse_address = sys.platform != "win32"

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        (self.address_family, *_), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        super().__init__((host, port), _Handler.factory(registry))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up, more often than not."""
        log.debug("a scrape failed", exc_info=True)


class _Handler(MetricsHandler):
    timeout = _TIMEOUT_S
