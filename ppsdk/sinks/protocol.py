"""What a sink is, and what a peer is that a spool drains to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Protocol

from ppsdk.records import ActionEvent


class Sink(Protocol):
    """Takes the records of events, in their order; a context manager.

    A call may raise anything, and may take its time: `Sinks` shields the others, and the stream.
    """

    @property
    def name(self) -> str:
        """For logs and counts, without credentials."""

    def __call__(self, event: ActionEvent) -> None: ...

    def close(self) -> None: ...

    def __enter__(self) -> Any: ...

    def __exit__(self, *exception: object) -> None: ...


@dataclass(frozen=True)
class SpooledRecord:
    """One record of an event as it goes out, and what a peer knows it by when it comes again.

    number: rises from record to record of one spool. camera: the source of the event. id,
    sequence: of the record. body: the record as JSON, UTF-8.
    """

    number: int
    camera: str
    id: str
    sequence: int
    body: bytes

    @property
    def key(self) -> str:
        return f"{self.id}-{self.sequence}"


class Refused(Exception):
    """The peer will never take this record: the next one is to be sent."""


class Remote(Protocol):
    """A peer that a spool drains to, from one thread."""

    @property
    def name(self) -> str:
        """For logs and counts, without credentials."""

    def send(self, record: SpooledRecord) -> None:
        """Returns once the peer has it. Raises Refused, or anything else to be asked again."""

    def close(self) -> None: ...


def as_line(event: ActionEvent) -> str:
    """One JSON object, without the end of the line."""
    return json.dumps(event.to_dict(), ensure_ascii=False)
