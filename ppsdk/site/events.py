"""What is an event, as a site's file says it: for all cameras, and for one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ppsdk.event_options import (
    Contradiction,
    ContradictoryOptions,
    EventOptions,
    overridden,
    read_options,
    stream_options,
)
from ppsdk.facts import ModelFacts
from ppsdk.site.checks import check_label
from ppsdk.site.lines import Place
from ppsdk.site.reading import Given, Reading, Values
from ppsdk.site.schema import ClassTable, EventsTable


@dataclass(frozen=True)
class EventTables:
    """Of all cameras, or of one: the table at a place, those of classes in it, and the file beside
    it. is_right: nothing is wrong with any of them, as far as one of them can tell.
    """

    place: Place
    common: Given
    classes: dict[str, Given]
    file: str | None
    is_right: bool


def read_events(reading: Reading, place: Place, values: Values) -> EventTables:
    """values: of the table that is around it, at place."""
    file, given = values.get("events_file"), values.get("events")
    place = (*place, "events")
    common = reading.given(EventsTable, place, given)
    of_classes = given.get("per_class") if isinstance(given, dict) else None
    classes: dict[str, Given] = {}
    is_right = not common.wrong and isinstance(file, (str, type(None)))
    for label, of_class in (of_classes.items() if isinstance(of_classes, dict) else ()):
        where: Place = (*place, "per_class", label)
        try:
            check_label(label, reading.around)
        except ValueError as error:
            reading.problems.tell(where, f": {error}")
            is_right = False
        classes[label] = reading.given(ClassTable, where, of_class)
        is_right = is_right and not classes[label].wrong
    return EventTables(place, common, classes, file if isinstance(file, str) else None, is_right)


def joined(
    reading: Reading, shared: EventTables, own: EventTables, facts: ModelFacts, *, stride_s: float
) -> EventOptions | None:
    """Those of streams or of a file, those that all cameras have, and its own: the later ones
    count. What a camera has a file for, it has not from all. stride_s: of its windows. None where
    something is wrong, which is told: what contradicts each other too, beside all else.
    """
    shared = shared if own.file is None else own
    given: dict[str, Any] = {**shared.common.right, **own.common.right}
    classes = {**shared.classes, **own.classes}
    if classes:
        given["per_class"] = {label: of_class.right for label, of_class in classes.items()}
    try:
        basis = _basis(reading, shared.file, given, facts, stride_s)
    except ValueError as error:
        reading.problems.tell((*shared.place[:-1], "events_file"), f": {error}")
        return None
    if "per_class" in given:
        given["per_class"] = {**basis.per_class, **given["per_class"]}
    try:
        options = overridden(basis, given)
    except ContradictoryOptions as error:
        for found in error.found:
            _tell(reading, found, shared, own)
        return None
    return options if shared.is_right and own.is_right else None


def _basis(
    reading: Reading, file: str | None, given: Values, facts: ModelFacts, stride_s: float
) -> EventOptions:
    if file is not None:
        options = read_options(reading.around.folder / file)
        options.check_labels(facts.labels)
        return options
    if given.get("per_window"):
        return EventOptions()
    return stream_options(facts.labels, stride_s=stride_s)


def _tell(reading: Reading, found: Contradiction, shared: EventTables, own: EventTables) -> None:
    """Where the first option of it is that the file has, beginning with the most particular table.
    Nothing, where one of them is not known: another may be meant.
    """
    tables = [(tables.place, tables.common) for tables in (own, shared)]
    if found.label is not None:
        # A class has all of its own options from one table.
        of = own if found.label in own.classes else shared
        where: Place = (*of.place, "per_class", found.label)
        tables.insert(0, (where, of.classes.get(found.label, Given())))
    if any(_is_wrong(name, [given for _, given in tables]) for name in found.names):
        return
    places = [
        (*place, name) for place, given in tables for name in found.names if name in given.right
    ]
    place = [*places, (*own.place, found.names[0])][0]
    is_first = place[-1] == found.names[0]
    reading.problems.tell(
        place, found.told.removeprefix(found.names[0]) if is_first else f": {found.told}"
    )


def _is_wrong(name: str, tables: Iterable[Given]) -> bool:
    """In the first of the tables that has it."""
    return next(
        (name in each.wrong for each in tables if name in {*each.right, *each.wrong}), False
    )
