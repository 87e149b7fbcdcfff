"""The cameras of a site's file."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from ppsdk.errors import VideoError
from ppsdk.event_options import EventOptions, overridden, read_options, stream_options
from ppsdk.facts import ModelFacts
from ppsdk.records import Roi
from ppsdk.site.checks import camera_source
from ppsdk.site.lines import Place
from ppsdk.site.reading import Reading, Values
from ppsdk.site.schema import CameraTable, ClassTable, EventsTable, SiteTable
from ppsdk.sources import check_source
from ppsdk.sources.credentials import without_credentials
from ppsdk.stream_options import StreamOptions
from ppsdk.thinning import SHORTEST_SEGMENT_S


@dataclass(frozen=True)
class CameraSetup:
    """What is put to work, and compared when the file changes. url: with user and password. The
    rest is as for `StreamOptions`.
    """

    name: str
    url: str = field(repr=False)
    roi: Roi | None
    polygon: tuple[tuple[float, ...], ...] | None
    length_s: float | None
    stride_s: float | None
    still_below: float | None
    fps: float | None
    realtime: bool
    events: EventOptions

    def stream(self) -> StreamOptions:
        return StreamOptions(
            self.url,
            name=self.name,
            roi=self.roi,
            polygon=self.polygon,
            length_s=self.length_s,
            stride_s=self.stride_s,
            still_below=self.still_below,
            events=self.events,
            fps=self.fps,
            realtime=self.realtime,
        )


@dataclass(frozen=True)
class _Events:
    """Of all cameras, or of one: where its table is, what it says, and the file beside it."""

    place: Place
    given: dict[str, Any]
    file: str | None


def read_cameras(reading: Reading, values: Values, top: SiteTable | None) -> list[CameraSetup]:
    """Those that nothing is wrong with."""
    common = _events(reading, (), values, None if top is None else top.events_file)
    tables = values.get("cameras")
    tables = [table for table in tables if isinstance(table, dict)] if type(tables) is list else []
    names = Counter(table["name"] for table in tables if isinstance(table.get("name"), str))
    cameras = []
    for number, table in enumerate(tables):
        place: Place = ("cameras", number)
        if names.get(table.get("name"), 0) > 1:
            told = f" is {table['name']!r}, as is another's: must be a name of its own"
            reading.problems.tell((*place, "name"), told)
        camera = _camera(reading, place, table, top, common)
        if camera is not None:
            cameras.append(camera)
    return cameras


def _camera(
    reading: Reading, place: Place, values: Values, top: SiteTable | None, common: _Events | None
) -> CameraSetup | None:
    table = reading.table(CameraTable, place, values)
    own = _events(reading, place, values, None if table is None else table.events_file)
    facts = reading.around.model
    if table is None or not isinstance(facts, ModelFacts) or top is None:
        return None
    url = _url(reading, place, table)
    length_s = top.length_s if table.length_s is None else table.length_s
    stride_s = top.stride_s if table.stride_s is None else table.stride_s
    shortest_s = facts.num_segments * SHORTEST_SEGMENT_S
    if length_s is not None and length_s < shortest_s:
        where = (*place, "length_s") if table.length_s is not None else ("length_s",)
        reading.problems.tell(where, f" is {length_s}: must be {shortest_s:g} s or more")
    if own is None or common is None:
        return None
    step_s = facts.stride_in_use_s(length_s, stride_s)
    events = _combined(reading, common, own, facts, step_s)
    if url is None or events is None:
        return None
    return CameraSetup(
        name=table.name,
        url=url,
        roi=None if table.roi is None else (*table.roi,),  # type: ignore[arg-type]
        polygon=None if table.polygon is None else tuple(map(tuple, table.polygon)),
        length_s=length_s,
        stride_s=stride_s,
        still_below=table.still_below,
        fps=table.fps,
        realtime=table.realtime,
        events=events,
    )


def _url(reading: Reading, place: Place, table: CameraTable) -> str | None:
    """With user and password."""
    url = reading.needed(table, place, "url")
    user = reading.referred(table, place, "user")
    password = reading.referred(table, place, "password")
    if url is None:
        return None
    key = "url" if table.url else "url_env" if table.url_env else "url_file"
    source = camera_source(url, reading.around.folder)
    if not table.url:
        try:
            check_source(source)
        except VideoError:  # which says what may be a secret
            told = ": there is no address of a camera, no index and no file in it"
            reading.problems.tell((*place, key), told)
    if user is None and password is None:
        return source
    if "://" not in source or without_credentials(source) != source:
        told = ": is no address, or has a user in it: user and password cannot be given"
        reading.problems.tell((*place, key), told)
    if user is None:
        reading.problems.tell((*place, "user_env"), " is missing: a password needs a user")
    scheme, _, rest = source.partition("://")
    return f"{scheme}://{quote(user or '', safe='')}:{quote(password or '', safe='')}@{rest}"


def _events(reading: Reading, place: Place, values: Values, file: str | None) -> _Events | None:
    """None where something is wrong with them."""
    place = (*place, "events")
    given = values.get("events", {})
    table = reading.table(EventsTable, place, given)
    of_classes = given.get("per_class") if isinstance(given, dict) else None
    own: dict[str, Any] = {}
    is_right = table is not None
    for label, values_of_class in (of_classes.items() if isinstance(of_classes, dict) else ()):
        of_class = reading.table(ClassTable, (*place, "per_class", label), values_of_class)
        is_right = is_right and of_class is not None
        own[label] = {} if of_class is None else of_class.model_dump(exclude_unset=True)
    if table is None or not is_right:
        return None
    options = table.model_dump(exclude_unset=True)
    return _Events(place, options | ({"per_class": own} if own else {}), file)


def _combined(
    reading: Reading, common: _Events, own: _Events, facts: ModelFacts, step_s: float
) -> EventOptions | None:
    """Those of streams, those that all cameras have, and its own: the later ones count."""
    given: dict[str, Any] = dict(common.given)
    if own.file is not None:
        given = {}
    classes = given.get("per_class", {}) | own.given.get("per_class", {})
    given |= own.given
    if classes:
        given["per_class"] = classes
    file, place = (own.file, own.place) if own.file else (common.file, common.place)
    try:
        if file is not None:
            options = read_options(reading.around.folder / file)
            options.check_labels(facts.labels)
        elif given.get("per_window"):
            options = EventOptions()
        else:
            options = stream_options(facts.labels, stride_s=step_s)
    except ValueError as error:
        reading.problems.tell((*place[:-1], "events_file"), f": {error}")
        return None
    try:
        return overridden(options, given)
    except ValueError as error:
        key = str(error).split()[0]
        where = own.place if key in own.given or key not in common.given else common.place
        reading.problems.tell((*where, key), str(error).removeprefix(key))
        return None
