"""An open camera, whatever has opened it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TypeVar

from ppsdk.errors import VideoError
from ppsdk.records import Image
from ppsdk.sources.reader import Reader

_LONGEST_S = 86_400.0
# Connections know their time-outs, and tell more of what went wrong: they are given this much more.
SLACK_S = 0.5


@dataclass(frozen=True)
class LiveOptions:
    """How to treat a camera. Seconds, more than 0, at most a day.

    open_timeout_s, read_timeout_s: a connection that takes longer, or that gives no picture for so
    long, is lost. wait: a camera that is not there at first is waited for, not an error.
    frozen_s: a picture that stands still for so long, to the byte, is reported.
    """

    open_timeout_s: float = 10.0
    read_timeout_s: float = 10.0
    wait: bool = False
    frozen_s: float = 10.0

    def __post_init__(self) -> None:
        for name in ("open_timeout_s", "read_timeout_s", "frozen_s"):
            value = getattr(self, name)
            if not (isinstance(value, (int, float)) and 0 < value <= _LONGEST_S):
                raise ValueError(
                    f"{name} is {value!r}: must be more than 0 seconds, at most {_LONGEST_S:g}"
                )


@dataclass(frozen=True)
class Capture:
    """What has just come from a camera.

    form: size, pixel format and rotation, for people. checksum: equal for equal pictures.
    damaged: packets or reads that failed since the one before.
    """

    to_image: Callable[[], Image]
    form: str
    checksum: int
    damaged: int


class Connection(ABC):
    """An open camera. Used by one thread at a time.

    is_recording: it has an end, and is not opened again behind it.
    """

    is_recording: bool = False

    @abstractmethod
    def captures(self) -> Iterator[Capture]:
        """Blocks for each. Ends, or raises VideoError, when the camera is lost."""

    @abstractmethod
    def close(self) -> None: ...


Opened = TypeVar("Opened", bound=Connection)


def connect_within(name: str, connect: Callable[[], Opened], options: LiveOptions) -> Opened:
    """What connect gives. Looking up a name, for one, cannot be interrupted; it is not waited for
    longer than the time-out, and what it gives later is closed.
    """

    def connected() -> Generator[Opened, None, None]:
        yield connect()

    with Reader(connected(), capacity=1) as opening:
        taken = opening.take(options.open_timeout_s + SLACK_S)
    if not taken:
        raise VideoError(f"{name}: cannot open (no answer for {options.open_timeout_s:g} s)")
    return taken[0]
