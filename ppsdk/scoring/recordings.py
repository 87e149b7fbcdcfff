"""What happened in recordings and what was told of them, from a CSV and from JSON lines."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from ppsdk.intervals import LabelledSpan
from ppsdk.manifest import composed
from ppsdk.records import ActionEvent

Truth = dict[str, list[LabelledSpan]]


@dataclass(frozen=True)
class ToldEvent:
    """An event as a whole. told_s: the decision time of its first record."""

    label: str
    start_s: float
    end_s: float
    told_s: float


@dataclass(frozen=True)
class Recording:
    """truth, events: in the order of time. length_s: how long was watched."""

    name: str
    truth: tuple[LabelledSpan, ...]
    events: tuple[ToldEvent, ...]
    length_s: float

    @property
    def labels(self) -> set[str]:
        """Of what happened or was told."""
        return {span.label for span in self.truth} | {event.label for event in self.events}


def told_events(records: Iterable[ActionEvent]) -> list[ToldEvent]:
    """One for the records of each id, as the last of them has it, in the order of start times."""
    first: dict[str, ActionEvent] = {}
    last: dict[str, ActionEvent] = {}
    for record in records:
        first.setdefault(record.id, record)
        last[record.id] = record
    events = []
    for event_id, end in last.items():
        told_s = first[event_id].decided_s
        if end.end_s > end.start_s:
            told_s = end.end_s if told_s is None else told_s
            events.append(ToldEvent(end.label, end.start_s, end.end_s, told_s))
    return sorted(events, key=lambda event: (event.start_s, event.end_s))


def read_truth(file: Path, *, labels: Sequence[str] | None = None) -> Truth:
    """Recording -> spans, of CSV with the columns label, start_s, end_s and, where there are more
    recordings than one, path; without it the recording is "".

    Raises ValueError, naming the file and the line, for rows that are none, and for labels that are
    not among `labels`.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            columns, rows = reader.fieldnames or [], list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        what = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"{file}: cannot read the truth ({what})") from None
    if not {"label", "start_s", "end_s"} <= set(columns):
        raise ValueError(f"{file}: must be CSV with the columns label, start_s and end_s")
    truth: Truth = {}
    for number, row in enumerate(rows, start=2):
        label, path = composed(row["label"] or ""), (row.get("path") or "").strip()
        try:
            start_s, end_s = float(row["start_s"]), float(row["end_s"])
        except (TypeError, ValueError):
            start_s = end_s = math.nan
        if not (label and 0 <= start_s < end_s < math.inf):
            raise ValueError(
                f"{file}: line {number}: {row['label']!r} from {row['start_s']!r} to "
                f"{row['end_s']!r}: must be a label and 0 <= start_s < end_s"
            )
        if labels is not None and label not in labels:
            raise ValueError(
                f"{file}: line {number}: label {label!r} is not among the model's: "
                f"{', '.join(labels[:10])}"
            )
        if "path" in columns and not path:
            raise ValueError(f"{file}: line {number}: path is empty: must be that of a recording")
        truth.setdefault(path, []).append(LabelledSpan(label, start_s, end_s))
    return truth


def without(truth: Truth, labels: Sequence[str]) -> Truth:
    """The recordings stay, also those where nothing else happens."""
    return {
        path: [span for span in spans if span.label not in labels] for path, spans in truth.items()
    }


def read_records(file: Path) -> list[ActionEvent]:
    """Raises ValueError, naming the file and the line, for a line that is no event."""
    try:
        lines = file.read_text("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"{file}: cannot read the events ({what})") from None
    records = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except ValueError:
            values = None
        try:
            if not isinstance(values, dict):
                raise ValueError("must be a JSON object, as `ppsdk run --jsonl` writes them")
            records.append(ActionEvent.from_dict(values))
        except ValueError as error:
            raise ValueError(f"{file}: line {number}: {error}") from None
    return records


def join_recordings(
    truth: Truth, records: Sequence[ActionEvent], *, length_s: float | None = None
) -> list[Recording]:
    """Events go to the recording that their source names, by its path or the name of the file; all
    of them to the only one where the truth has no path.

    length_s: of each recording; unless given, until the last thing that happened or was told.
    Raises ValueError for events of a recording that the truth does not have, of several where it
    has one, and of one that was watched more than once.
    """
    _refuse_repeated(records)
    if set(truth) <= {""}:
        _refuse_several(records)
        return [_recording("", truth.get("", []), records, length_s)]
    of_path: dict[str, list[ActionEvent]] = {path: [] for path in truth}
    source_of: dict[str, str] = {}
    for record in records:
        path = path_of(record.source, truth)
        if path is None:
            raise ValueError(
                f"events of {record.source!r}: the truth has {', '.join(truth)} (of a recording in "
                "which nothing happens give a row of a background label, and --background)"
            )
        other = source_of.setdefault(path, record.source)
        if not _end_alike(other, record.source):
            raise ValueError(
                f"events of {other!r} and of {record.source!r}: the truth has {path!r} alone"
            )
        of_path[path].append(record)
    return [_recording(path, spans, of_path[path], length_s) for path, spans in truth.items()]


def _refuse_several(records: Sequence[ActionEvent]) -> None:
    for record in records:
        if not _end_alike(records[0].source, record.source):
            raise ValueError(
                f"events of {records[0].source!r} and of {record.source!r}: the truth has no path "
                "to tell them apart"
            )


def _refuse_repeated(records: Sequence[ActionEvent]) -> None:
    """Within one run decisions come in the order of time."""
    last_s: dict[str, float] = {}
    for record in records:
        if record.decided_s is None or record.ended_by == "interrupted":
            continue
        before_s = last_s.get(record.source, 0.0)
        if record.decided_s < before_s - 1e-6:
            raise ValueError(
                f"events of {record.source!r}: one is known at {record.decided_s:g} s, behind one "
                f"at {before_s:g} s: must be of one run"
            )
        last_s[record.source] = record.decided_s


def path_of(name: str, paths: Iterable[str]) -> str | None:
    """The one of paths that is the file `name`: they end alike as far as both tell, or else it is
    the only one where the file is called so. None where there is none.

    Raises ValueError where it may be several.
    """
    called_so = [path for path in paths if _parts(path)[:1] == _parts(name)[:1]]
    alike = [path for path in called_so if _end_alike(name, path)] or called_so
    if name in alike:
        return name
    if len(alike) > 1:
        raise ValueError(f"{name!r} may be any of {', '.join(alike)}: give more of its path")
    return alike[0] if alike else None


def _end_alike(one: str, other: str) -> bool:
    pairs = zip(_parts(one), _parts(other), strict=False)
    return all(a == b for a, b in pairs)


def _parts(path: str) -> tuple[str, ...]:
    """From the name of the file on upwards."""
    return PurePath(path.replace("\\", "/")).parts[::-1]


def _recording(
    name: str,
    spans: Sequence[LabelledSpan],
    records: Sequence[ActionEvent],
    length_s: float | None,
) -> Recording:
    events = told_events(records)
    if length_s is None:
        length_s = max([0.0, *(s.end_s for s in spans), *(e.end_s for e in events)])
    in_order = sorted(spans, key=lambda span: (span.start_s, span.end_s))
    return Recording(name, tuple(in_order), tuple(events), length_s)
