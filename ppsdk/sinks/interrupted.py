"""Events that a process left open when it was killed."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ppsdk.records import ActionEvent

# An end must come after its start.
_SHORTEST_S = 0.001
# Of a CSV file: the columns that are no text, and those that may be empty.
_NUMBERS: dict[str, type[int] | type[float]] = {
    **dict.fromkeys(("version", "label_id", "sequence"), int),
    **dict.fromkeys(("score", "start_s", "end_s", "decided_s"), float),
}
_OPTIONAL = ("start_time", "end_time", "decided_s", "ended_by")


def interrupted(last: ActionEvent) -> ActionEvent:
    """The end of an event of which this is the last record."""
    return replace(
        last,
        phase="end",
        sequence=last.sequence + 1,
        end_s=max(last.end_s, last.start_s + _SHORTEST_S),
        ended_by="interrupted",
    )


def left_open(records: Iterable[ActionEvent]) -> list[ActionEvent]:
    """The last record of each event that has no end among them."""
    last: dict[str, ActionEvent] = {}
    for record in records:
        if record.phase == "end":
            last.pop(record.id, None)
        else:
            last[record.id] = record
    return list(last.values())


def records_in_lines(path: Path) -> Iterator[ActionEvent]:
    """Of a JSON lines file; lines that are no events are passed over. A device has none, and may
    have no end.
    """
    if not path.is_file():
        return
    with path.open("rb") as lines:
        for line in lines:
            with suppress(ValueError, TypeError):
                yield ActionEvent.from_dict(json.loads(line))


def records_in_rows(path: Path) -> Iterator[ActionEvent]:
    """The same of a CSV file."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace", newline="") as lines:
        with suppress(csv.Error):  # a value larger than any of ours
            for row in csv.DictReader(_without_nul(lines), restval=""):
                with suppress(ValueError, TypeError):
                    yield ActionEvent.from_dict(_values(row))


def _values(row: dict[str, str]) -> dict[str, Any]:
    return {
        name: _NUMBERS.get(name, str)(text)
        for name, text in row.items()
        if text or name not in _OPTIONAL
    }


def _without_nul(lines: Iterable[str]) -> Iterator[str]:
    """The reader stops at them."""
    return (line.replace("\0", "") for line in lines)
