"""What an app says of one stream of several."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ppsdk.event_options import EventOptions
from ppsdk.polygon import check_polygon
from ppsdk.preprocess import check_roi
from ppsdk.records import Polygon, Roi
from ppsdk.sources import LiveOptions, Source, SourceRef, open_source, source_name
from ppsdk.sources.protocol import OnStatus
from ppsdk.status import StreamStatus


@dataclass(frozen=True, eq=False)
class StreamOptions:
    """One stream of several.

    source, fps, realtime: as for `open_source`. name: in windows, events, statuses and statistics;
    that of the source unless given. roi: (x0, y0, x1, y1) in fractions of the picture, cut out
    first. polygon: points (x, y) in fractions of the whole picture; what lies outside is painted in
    the mean colour, which to the network is nothing. length_s, stride_s, still_below, events: of
    this stream, where they are not those of all.
    """

    source: SourceRef
    name: str | None = None
    roi: Roi | None = None
    polygon: Polygon | None = None
    length_s: float | None = None
    stride_s: float | None = None
    still_below: float | None = None
    events: EventOptions | None = None
    fps: float | None = None
    realtime: bool = False

    def __post_init__(self) -> None:
        check_roi(self.roi)
        check_polygon(self.polygon)

    @property
    def called(self) -> str:
        return self.name or source_name(self.source)

    def open(self, live: LiveOptions | None, on_status: OnStatus | None) -> Source:
        """The source, which tells its statuses under the stream's name; one that is open already
        tells its own.
        """

        def named(status: StreamStatus) -> None:
            if on_status is not None:
                on_status(replace(status, source=self.called))

        source = open_source(
            self.source, fps=self.fps, realtime=self.realtime, live=live, on_status=named
        )
        if source is not self.source:
            source.called = self.name
        return source
