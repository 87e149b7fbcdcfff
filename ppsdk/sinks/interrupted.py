"""Events that a process left open when it was killed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from ppsdk.records import ActionEvent

# An end must come after its start.
_SHORTEST_S = 0.001


def interrupted(last: ActionEvent) -> ActionEvent:
    """The end of an event of which this is the last record."""
    return replace(
        last,
        phase="end",
        sequence=last.sequence + 1,
        end_s=max(last.end_s, last.start_s + _SHORTEST_S),
        ended_by="interrupted",
    )


def left_open(path: Path) -> list[ActionEvent]:
    """The last record of each event in a JSON lines file that has no end there; lines that are no
    events are passed over. A device has none, and may have no end.
    """
    if not path.is_file():
        return []
    last: dict[str, ActionEvent] = {}
    with path.open("rb") as lines:
        for line in lines:
            try:
                event = ActionEvent.from_dict(json.loads(line))
            except (ValueError, TypeError):
                continue
            if event.phase == "end":
                last.pop(event.id, None)
            else:
                last[event.id] = event
    return list(last.values())
