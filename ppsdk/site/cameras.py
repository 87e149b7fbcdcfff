"""The cameras of a site's file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

from ppsdk.errors import VideoError
from ppsdk.event_options import EventOptions
from ppsdk.facts import ModelFacts
from ppsdk.records import Roi
from ppsdk.site.checks import camera_source
from ppsdk.site.events import EventTables, joined, read_events
from ppsdk.site.lines import Place
from ppsdk.site.reading import Reading, Values
from ppsdk.site.schema import CameraTable, SiteTable
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


def read_cameras(reading: Reading, values: Values, top: SiteTable | None) -> list[CameraSetup]:
    """Those that nothing is wrong with."""
    common = read_events(reading, (), values)
    given = values.get("cameras")
    tables = {
        number: table
        for number, table in enumerate(given if isinstance(given, list) else [])
        if isinstance(table, dict)
    }
    names = [table.get("name") for table in tables.values()]
    for number, table in tables.items():
        name = table.get("name")
        if isinstance(name, str) and names.count(name) > 1:
            told = f" is {name!r}, as is another's: must be a name of its own"
            reading.problems.tell(("cameras", number, "name"), told)
    cameras = [
        _camera(reading, ("cameras", number), table, top, common)
        for number, table in tables.items()
    ]
    return [camera for camera in cameras if camera is not None]


def _camera(
    reading: Reading, place: Place, values: Values, top: SiteTable | None, common: EventTables
) -> CameraSetup | None:
    table = reading.table(CameraTable, place, values)
    url = None if table is None else _url(reading, place, table)
    length_s, stride_s = (_own(table, top, key) for key in ("length_s", "stride_s"))
    own = read_events(reading, place, values)
    facts = reading.around.model
    if not isinstance(facts, ModelFacts):
        return None
    shortest_s = facts.num_segments * SHORTEST_SEGMENT_S
    if length_s is not None and length_s < shortest_s:
        where = (*place, "length_s") if "length_s" in values else ("length_s",)
        reading.problems.tell(where, f" is {length_s}: must be {shortest_s:g} s or more")
        length_s = None
    grid = facts.grid(length_s, stride_s)
    events = joined(reading, common, own, facts, stride_s=grid.stride_s)
    if table is None or url is None or events is None:
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


def _own(
    table: CameraTable | None, top: SiteTable | None, key: Literal["length_s", "stride_s"]
) -> float | None:
    """Of the camera, where it has one, or of all."""
    found = [getattr(of, key) for of in (table, top) if of is not None]
    return next((value for value in found if value is not None), None)


def _url(reading: Reading, place: Place, table: CameraTable) -> str | None:
    """With user and password."""
    url = reading.referred(table, "url")
    user = reading.referred(table, "user")
    password = reading.referred(table, "password")
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
    if table.fps is not None and not os.path.isdir(source):
        told = f" is {table.fps:g}: is for a folder of pictures, which this source is not"
        reading.problems.tell((*place, "fps"), told)
    if user is None and password is None:
        return source
    if "://" not in source or without_credentials(source) != source:
        told = ": is no address, or has a user in it: user and password cannot be given"
        reading.problems.tell((*place, key), told)
    if user is None:
        reading.problems.tell((*place, "user_env"), " is missing: a password needs a user")
    scheme, _, rest = source.partition("://")
    return f"{scheme}://{quote(user or '', safe='')}:{quote(password or '', safe='')}@{rest}"
