"""Cameras of any kind: opened anew for as long as it takes, and read as fast as they send."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from datetime import datetime
from typing import Literal

from ppsdk.errors import VideoError
from ppsdk.records import Frame
from ppsdk.sources.backoff import Backoff
from ppsdk.sources.clocks import CaptureClock
from ppsdk.sources.connection import SLACK_S, Capture, Connection, LiveOptions, connect_within
from ppsdk.sources.frozen import FrozenWatch
from ppsdk.sources.protocol import OnStatus, Source, same_size
from ppsdk.sources.reader import Reader

# What an app that iterates a camera itself may be behind by, in frames.
AHEAD = 4
# Damage that goes on is told of once.
_QUIET_S = 2.0


class LiveSource(Source):
    """A camera that is opened anew when it is lost. Only the thread that reads touches its
    connection: closing what another thread reads crashes the interpreter, and `close` does not wait
    for a read that cannot be interrupted.
    """

    live = True

    def __init__(
        self,
        name: str,
        connect: Callable[[], Connection],
        *,
        options: LiveOptions,
        on_status: OnStatus | None = None,
        connection: Connection | None = None,
    ) -> None:
        """connect: opens it, or raises VideoError. connection: one that is open already."""
        super().__init__(name, on_status)
        self._connect, self._options = connect, options
        self._connection = connection
        self._clock = CaptureClock()
        self._closing = threading.Event()
        # What is changed and what is told of it: whoever is told may take its time.
        self._state, self._telling = threading.Lock(), threading.RLock()
        self._was_read = self._lost = self._opening = False
        self._alive_s = 0.0  # when it was opened, or last gave a frame
        self._damaged_s = float("-inf")
        self._frozen = FrozenWatch(options.frozen_s)
        self._form = ""
        self._run = 0

    @property
    def trouble(self) -> Literal["lost", "frozen"] | None:
        if self._lost:
            return "lost"
        return "frozen" if self._frozen.frozen else None

    @property
    def started_at(self) -> datetime | None:
        return self._clock.started_at

    @property
    def lost_until_s(self) -> float | None:
        with self._state:
            return self._clock.now() if self._lost else None

    def __iter__(self) -> Generator[Frame, None, None]:
        """The newest frames: where they are not taken in time, the oldest of AHEAD is dropped."""
        reader = Reader(
            self.frames(),
            capacity=AHEAD,
            on_drop=self.count_drop,
            keep_waiting=self.keep_waiting,
        )
        with reader:
            for frame in same_size(reader):
                if self._closing.is_set():
                    return
                yield frame

    def frames(self) -> Generator[Frame, None, None]:
        if self._was_read and not self._closing.is_set():
            raise VideoError(f"{self.name}: has been read: open it again")
        self._alive_s, self._was_read = time.monotonic(), True
        backoff = Backoff()
        while not self._closing.is_set():
            backoff.try_now()
            opened_s = time.monotonic()
            reason = "the stream ended"
            self._opening = True
            try:
                with closing(self._opened()) as connection:
                    opened_s = self._alive_s = time.monotonic()
                    self._opening = False
                    for capture in connection.captures():
                        if self._closing.is_set():
                            return
                        yield self._frame(capture)
                if connection.is_recording:
                    return
            except VideoError as error:
                reason = str(error)
            if self._closing.is_set():
                return
            self._lose(reason)
            backoff.lived(self._alive_s - opened_s)
            self._closing.wait(backoff.next_delay_s())

    def keep_waiting(self) -> bool:
        """Notices a read that does not return, whatever time-outs the backend has."""
        options, opening = self._options, self._opening
        limit_s = SLACK_S + (options.open_timeout_s if opening else options.read_timeout_s)
        silent_s = time.monotonic() - self._alive_s
        is_silent = self._was_read and not self._lost and silent_s > limit_s
        # Whoever is being told of something now keeps nobody waiting.
        if is_silent and self._telling.acquire(blocking=False):
            try:
                what = "answer" if opening else "picture"
                self._lose(f"no {what} for {silent_s:.1f} s", silent_for_s=limit_s)
            finally:
                self._telling.release()
        return not self._closing.is_set()

    def close(self) -> None:
        self._closing.set()
        unread = self._take_first()
        if unread is not None:
            unread.close()

    def _opened(self) -> Connection:
        self.counters.opens += 1
        return self._take_first() or self._connect()

    def _take_first(self) -> Connection | None:
        with self._state:
            connection, self._connection = self._connection, None
        return connection

    def _frame(self, capture: Capture) -> Frame:
        with self._state:  # whoever asks how long it has been lost has a time before this one
            pts_s, stepped_s = self._clock.capture()
            self._alive_s = time.monotonic()
            restored, self._lost = self._lost, False
        if restored:
            with self._telling:
                self.report("restored", pts_s, f"opened {self.counters.opens} times so far")
        self.counters.frames += 1
        self._run += restored or stepped_s != 0
        if stepped_s:
            told = f"the machine's clock was put by {stepped_s:+.1f} s, or the machine slept"
            self.report("clock", pts_s, told)
        self._look_at(capture, pts_s)
        return Frame(capture.to_image, pts_s, run=self._run)

    def _look_at(self, capture: Capture, pts_s: float) -> None:
        if capture.damaged:
            self.counters.damaged += capture.damaged
            if pts_s - self._damaged_s > _QUIET_S:
                self.report("damaged", pts_s, f"{capture.damaged} packets or reads failed")
            self._damaged_s = pts_s
        if capture.form != self._form and self._form:
            self.report("changed", pts_s, f"from {self._form} to {capture.form}")
        self._form = capture.form
        if self._frozen.changed(capture.checksum, pts_s):
            if self._frozen.frozen:
                self.report("frozen", pts_s, f"the same picture for {self._options.frozen_s:g} s")
            else:
                self.report("moving", pts_s, "the picture changes again")

    def _lose(self, reason: str, *, silent_for_s: float = 0.0) -> None:
        """One status an interruption. One that gave no frame yet is waited for, or an error.
        silent_for_s: not where a frame has come since.
        """
        why = reason.removeprefix(f"{self.name}: ")
        if not self.counters.frames and not self._options.wait:
            raise VideoError(f"{self.name}: opens but delivers no frame ({why})")
        with self._telling:
            with self._state:
                if time.monotonic() - self._alive_s < silent_for_s:
                    return
                was_lost, self._lost = self._lost, True
                lost_s = self._clock.now()
            if not was_lost:
                self.report("lost", lost_s, why)


def open_live(
    name: str,
    connect: Callable[[], Connection],
    *,
    options: LiveOptions,
    on_status: OnStatus | None = None,
) -> LiveSource:
    """Connect first, unless options.wait; VideoError where that fails or takes too long."""
    connection = None if options.wait else connect_within(name, connect, options)
    return LiveSource(name, connect, options=options, on_status=on_status, connection=connection)
