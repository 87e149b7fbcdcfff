"""A sink that gives way to another while records come."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Iterable
from pathlib import Path

from ppsdk.records import ActionEvent
from ppsdk.sinks import Sink, Spooled, spool_counts
from ppsdk.sinks.clips import ClipCounts, clip_counts
from ppsdk.sinks.spool import SpoolCounts
from ppsdk.site.clips import ClipsSetup
from ppsdk.site.remotes import SpooledSetup
from ppsdk.site.sinks import SinkSetup

log = logging.getLogger(__name__)


class Changeable:
    """What comes during a change waits for its end, and is given to the new one.

    going_on: ids of events that have not ended when it is opened. It keeps account of those that
    go through it, so that the next one does not take them for those of a process that was killed.
    is_open: False where a change has failed, and the old one could not be opened again either.
    """

    def __init__(self, setup: SinkSetup, *, going_on: Iterable[str] = ()) -> None:
        self.name = setup.kind
        self.setup = setup
        self._going_on = set(going_on)
        self._lock = threading.Lock()
        self.sink: Sink = setup.open(self._going_on)
        self.is_open = True

    def __call__(self, event: ActionEvent) -> None:
        with self._lock:
            if event.phase == "end":
                self._going_on.discard(event.id)
            else:
                self._going_on.add(event.id)
            if not self.is_open:
                self.sink = self.setup.open(self._going_on)
                self.is_open = True
            self.sink(event)

    def change(self, setup: SinkSetup) -> None:
        """Raises OSError or ValueError where the new one cannot be opened: the old one goes on."""
        with self._lock:
            if self.is_open and isinstance(setup, ClipsSetup) and setup.adapt(self.sink):
                self.setup = setup
                return
            files = self._spool_files(setup)
            if self.is_open:
                self._close_for(setup, is_moved=bool(files))
            self.is_open = False
            try:
                _move(files)
                try:
                    self.sink, self.setup = setup.open(self._going_on), setup
                except (OSError, ValueError):
                    _move([(new, old) for old, new in files])
                    raise
            except (OSError, ValueError):
                self.sink = self.setup.open(self._going_on)
                self.is_open = True
                raise
            self.is_open = True

    def counts(self) -> SpoolCounts | ClipCounts | None:
        """What the sink of the moment has counted."""
        return spool_counts(self.sink) or clip_counts(self.sink)

    def close(self) -> None:
        with self._lock:
            if self.is_open:
                self.sink.close()

    def __enter__(self) -> Changeable:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _close_for(self, setup: SinkSetup, *, is_moved: bool) -> None:
        """Before that is opened: both may want the same file."""
        if not (isinstance(self.setup, SpooledSetup) and isinstance(self.sink, Spooled)):
            self.sink.close()
            return
        # What waits in the spool is the next one's, unless that has one of its own already.
        is_same = isinstance(setup, SpooledSetup) and setup.file == self.setup.file
        self.sink.close(drain=not (is_same or is_moved))
        left = 0 if is_same or is_moved else self.sink.counts().waiting
        if left:
            file = self.setup.file
            log.error("%s: %d records are left, and sent once it is the spool again", file, left)

    def _spool_files(self, setup: SinkSetup) -> list[tuple[Path, Path]]:
        """Where the files of the spool are, and where they go: what waits goes along to another
        folder, unless there is a spool in it.
        """
        if not (isinstance(setup, SpooledSetup) and isinstance(self.setup, SpooledSetup)):
            return []
        if self.setup.file == setup.file or setup.file.exists():
            return []
        # The log is there where a full disk has kept it from being joined to the other.
        names = ("", "-wal")
        return [
            (
                self.setup.file.with_name(self.setup.file.name + name),
                setup.file.with_name(setup.file.name + name),
            )
            for name in names
        ]


def _move(files: list[tuple[Path, Path]]) -> None:
    for old, new in files:
        if old.exists():
            new.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(old, new)  # also to another disk
