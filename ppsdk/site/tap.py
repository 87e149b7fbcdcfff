"""What streams are given once and for all, while clips of events come, change and go."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing

from ppsdk.records import Frame
from ppsdk.sinks.clips import EventClips


class CurrentTap:
    """Frames go through the tap of the clips that there are at the moment; as they are where there
    are none. current: tells which, asked for each frame.
    """

    def __init__(self, current: Callable[[], EventClips | None]) -> None:
        self._current = current

    def __call__(
        self, name: str, frames: Iterator[Frame], *, live: bool
    ) -> Generator[Frame, None, None]:
        while True:
            clips = self._current()
            tapped = _as_they_are(frames) if clips is None else clips.tap(name, frames, live=live)
            # Closing it leaves `frames` open: the next one goes on with them.
            with closing(tapped):
                for frame in tapped:
                    yield frame
                    if self._current() is not clips:
                        break
                else:
                    return


def _as_they_are(frames: Iterator[Frame]) -> Generator[Frame, None, None]:
    for frame in frames:
        yield frame
