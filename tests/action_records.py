"""Records of events for tests of sinks."""

from ppsdk import ActionEvent


def record(phase="end", sequence=0, *, id="a", source="door", score=0.9, label="fall"):
    """Of an action from second 1 to 3."""
    ended_by = "over" if phase == "end" else None
    return ActionEvent(
        id,
        label,
        4,
        score,
        1.0,
        3.0,
        source,
        phase=phase,
        sequence=sequence,
        decided_s=3.5,
        ended_by=ended_by,
    )


def whole_event(id, source="door"):
    """Its start, one update, and its end."""
    phases = enumerate(("start", "update", "end"))
    return [record(phase, sequence, id=id, source=source) for sequence, phase in phases]


def many(count, source="door"):
    """Records of events one after the other, each of three."""
    events = (whole_event(f"{source}-{number}", source) for number in range(count // 3 + 1))
    return [each for event in events for each in event][:count]
