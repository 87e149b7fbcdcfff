"""Where events go: files, and peers that are sometimes not there.

A sink is called with each record of an event; `Sinks` joins several. `Spooled` keeps on disk what a
`Remote` (a webhook, an MQTT broker) has not taken yet. `ppsdk.sinks.clips` films each event.
"""

from ppsdk.sinks.fan import SinkCounts, Sinks
from ppsdk.sinks.files import CsvFile, JsonLines, StdoutLines
from ppsdk.sinks.protocol import Refused, Remote, Sink, SpooledRecord
from ppsdk.sinks.spool import Spool
from ppsdk.sinks.spooled import Spooled, spool_counts
from ppsdk.sinks.tls import Certificates

__all__ = [
    "Certificates",
    "CsvFile",
    "JsonLines",
    "Refused",
    "Remote",
    "Sink",
    "SinkCounts",
    "Sinks",
    "Spool",
    "Spooled",
    "SpooledRecord",
    "StdoutLines",
    "spool_counts",
]
