"""A sink that keeps records on disk until a peer has them."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable

from ppsdk.records import ActionEvent
from ppsdk.sinks.protocol import Refused, Remote, Sink, SpooledRecord
from ppsdk.sinks.spool import Spool, SpoolCounts

log = logging.getLogger(__name__)

SHORTEST_S = 0.5
LONGEST_S = 60.0
_SENDING_S = 1.0


def spool_counts(sink: Sink) -> SpoolCounts | None:
    """None for one that keeps nothing in a spool."""
    counts: Callable[[], object] | None = getattr(sink, "counts", None)
    found = counts() if counts is not None else None
    return found if isinstance(found, SpoolCounts) else None


class Spooled:
    """Records go to the spool, and from there, in a thread, one after the other to the peer: each
    at least once, in order. The peer tells repetitions by event id and sequence.

    What the peer does not take is sent again, after delays that double from shortest_s up to
    longest_s, with jitter. `close` goes on sending for close_s; the rest waits for the next start.
    Owns the spool and the peer: it closes both.
    """

    def __init__(
        self,
        spool: Spool,
        remote: Remote,
        *,
        shortest_s: float = SHORTEST_S,
        longest_s: float = LONGEST_S,
        close_s: float = 5.0,
    ) -> None:
        self.name = remote.name
        self._spool, self._remote = spool, remote
        self._shortest_s, self._longest_s, self._close_s = shortest_s, longest_s, close_s
        self._delay_s = shortest_s
        self._wake = threading.Condition()
        self._closing = self._stopped = self._is_away = False
        self._thread = threading.Thread(target=self._drain, name=f"spool {self.name}", daemon=True)
        self._thread.start()

    def __call__(self, event: ActionEvent) -> None:
        """Returns when the record is committed; raises OSError where it cannot be written."""
        self._spool.put(event)
        with self._wake:
            self._wake.notify_all()

    def counts(self) -> SpoolCounts:
        return self._spool.counts()

    def close(self, *, drain: bool = True) -> None:
        """drain: False where another goes on with the spool at once: only what is being sent is
        waited for, a second.
        """
        with self._wake:
            self._closing, self._stopped = True, not drain
            # A peer that was gone is asked once more.
            self._delay_s = self._shortest_s
            self._wake.notify_all()
        self._thread.join(self._close_s if drain else min(_SENDING_S, self._close_s))
        with self._wake:
            self._stopped = True
            self._wake.notify_all()
        counts = self._spool.counts()
        if counts.waiting and drain:
            log.warning("%s: %d records wait for the next start", self.name, counts.waiting)
        if counts.dropped:
            log.warning("%s: %d records were dropped so far: %s", self.name, counts.dropped, counts)
        self._remote.close()
        self._spool.close()

    def __enter__(self) -> Spooled:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _drain(self) -> None:
        while not self._stopped:
            try:
                record = self._next()
                if record is None:
                    return
                self._deliver(record)
            except Exception as error:  # the disk fails; or it was closed meanwhile
                self._pause(error)

    def _next(self) -> SpooledRecord | None:
        """Waits for one; None when it is time to go."""
        with self._wake:
            while not self._stopped:
                record = self._spool.next()
                if record is not None or self._closing:
                    return record
                self._wake.wait()
        return None

    def _deliver(self, record: SpooledRecord) -> None:
        """One try. What the peer does not take is next again, unless it has to give way."""
        try:
            self._remote.send(record)
        except Refused as error:
            log.error("%s: refuses record %s: %s", self.name, record.key, error)
            self._forget(record, refused=True)
        except Exception as error:  # whatever it is, the record is to be sent again
            self._spool.put_back()
            self._pause(error)
        else:
            if self._is_away:
                log.warning("%s: takes records again", self.name)
            self._is_away, self._delay_s = False, self._shortest_s
            self._forget(record, refused=False)

    def _forget(self, record: SpooledRecord, *, refused: bool) -> None:
        try:
            self._spool.forget(record, refused=refused)
        except OSError as error:
            # It is there twice after a restart; the peer tells it by its key.
            log.warning("%s: what was sent cannot be deleted: %s", self.name, error)

    def _pause(self, error: Exception) -> None:
        with self._wake:
            if self._stopped:
                return
            if not self._is_away:
                log.warning("%s: takes no records, they wait: %s", self.name, error)
            self._is_away = True
            delay_s = self._delay_s * random.uniform(1.0, 1.5)
            self._delay_s = min(self._longest_s, 2 * self._delay_s)
            self._wait_s(delay_s)

    def _wait_s(self, delay_s: float) -> None:
        """New records do not cut it short; `close` does."""
        closing = self._closing
        self._wake.wait_for(lambda: self._stopped or self._closing != closing, delay_s)
