"""`run --metrics`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from ppsdk.cli.shared import need
from ppsdk.cli.stderr import say

if TYPE_CHECKING:
    from ppsdk.records import ActionEvent
    from ppsdk.sinks import Sinks
    from ppsdk.streams import Streams

_META = "ppsdk.metrics"


def _keep(context: click.Context, option: click.Parameter, value: str | None) -> None:
    """Aside, for `open_metrics`: host and port."""
    if value is None:
        return
    try:
        parts = urlsplit("//" + (f"127.0.0.1:{value}" if value.isdecimal() else value))
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if host is None or port is None or parts.path or "@" in value:
        raise click.BadParameter(f"{value!r}: must be PORT or HOST:PORT")
    context.meta[_META] = host, port


metrics_option = click.option(
    "--metrics",
    metavar="[HOST:]PORT",
    expose_value=False,
    callback=_keep,
    help="Serve Prometheus metrics; for this machine only unless HOST is given (0.0.0.0: for all).",
)


@contextmanager
def open_metrics(
    streams: Streams, sinks: Sinks, labels: Sequence[str]
) -> Iterator[Callable[[ActionEvent], None]]:
    """To be called with each record of an event."""
    address: Any = click.get_current_context().meta.get(_META)
    if address is None:
        yield lambda event: None
        return
    need("prometheus_client", extra="metrics")
    from ppsdk.metrics import Metrics
    from ppsdk.metrics_server import MetricsServer

    metrics = Metrics(streams, sinks, labels=labels)
    with MetricsServer(metrics, host=address[0], port=address[1]) as server:
        say(f"metrics at {server.url}")
        yield metrics
