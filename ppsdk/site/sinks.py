"""The sinks of a site's file. One of each kind; a new kind is a setup of its own here, or in a file
beside this one, and a table in schema.py.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from ppsdk.sinks import CsvFile, JsonLines, Sink, StdoutLines
from ppsdk.site.cameras import CameraSetup
from ppsdk.site.clips import read_clips
from ppsdk.site.lines import Place
from ppsdk.site.reading import Reading, Values
from ppsdk.site.remotes import read_remotes
from ppsdk.site.schema import LinesTable, SinksTable

_MB = 1_000_000
_LINES: tuple[Literal["jsonl"], Literal["csv"]] = ("jsonl", "csv")


class SinkSetup(Protocol):
    """What is opened, and compared when the file changes."""

    @property
    def kind(self) -> str: ...

    def open(self, going_on: Collection[str]) -> Sink:
        """going_on: ids of events that have not ended, whatever the sink's file says. Raises
        OSError or ValueError in one line.
        """


@dataclass(frozen=True)
class StdoutSetup:
    kind: Literal["stdout"] = "stdout"

    def open(self, going_on: Collection[str]) -> Sink:
        return StdoutLines()


@dataclass(frozen=True)
class LinesSetup:
    kind: Literal["jsonl", "csv"]
    path: Path
    max_bytes: int | None
    daily: bool
    fsync: bool

    def open(self, going_on: Collection[str]) -> Sink:
        kind = JsonLines if self.kind == "jsonl" else CsvFile
        return kind(
            self.path,
            fsync=self.fsync,
            max_bytes=self.max_bytes,
            daily=self.daily,
            going_on=going_on,
        )


def read_sinks(
    reading: Reading, values: object, cameras: Collection[CameraSetup]
) -> list[SinkSetup]:
    """Those that nothing is wrong with."""
    place: Place = ("sinks",)
    table = reading.table(SinksTable, place, values)
    given = values if isinstance(values, dict) else {}
    stdout = StdoutSetup() if given.get("stdout") is True else None
    jsonl, csv = (_lines(reading, kind, given) for kind in _LINES)
    if jsonl is not None and csv is not None and jsonl.path == csv.path:
        reading.problems.tell((*place, "csv", "path"), ": is that of jsonl: must be its own")
    remotes, clips = read_remotes(reading, given), read_clips(reading, given, cameras)
    if table is not None and not table.stdout and not table.model_fields_set - {"spool", "stdout"}:
        kinds = ", ".join(kind for kind in SinksTable.model_fields if kind != "spool")
        reading.problems.tell(place, f": there is none: must be one or more of {kinds}")
    found: list[SinkSetup | None] = [stdout, jsonl, csv, *remotes, clips]
    return [sink for sink in found if sink is not None]


def _lines(reading: Reading, kind: Literal["jsonl", "csv"], given: Values) -> LinesSetup | None:
    table = reading.table(LinesTable, ("sinks", kind), given.get(kind))
    if table is None:
        return None
    max_bytes = None if table.rotate_mb is None else max(1, round(table.rotate_mb * _MB))
    path = reading.around.state / table.path
    return LinesSetup(kind, path, max_bytes, table.rotate_daily, table.fsync)
