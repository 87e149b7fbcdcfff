"""Records on disk until a peer has them: what a crash, a full disk or an outage cannot lose."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ppsdk.records import ActionEvent
from ppsdk.sinks.interrupted import interrupted
from ppsdk.sinks.protocol import SpooledRecord, as_line

log = logging.getLogger(__name__)

# Earlier than this (2026-01-01) no record was written, nor will be later than a day from now.
_EARLIEST, _LATER_S = 1_767_225_600.0, 86_400.0

_TABLES = """
CREATE TABLE IF NOT EXISTS waiting (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    camera TEXT NOT NULL,
    id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    body BLOB NOT NULL,
    put_at REAL NOT NULL
);
-- The last record of each event that has not ended.
CREATE TABLE IF NOT EXISTS going_on (id TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS dropped (reason TEXT PRIMARY KEY, count INTEGER NOT NULL);
"""


@dataclass(frozen=True)
class SpoolCounts:
    """waiting: records that the peer has not taken yet. size: of their bodies, bytes. The rest is
    what was lost since the file was made: too_many (over max_bytes), too_old (over max_age_s),
    refused (by the peer), unwritable (the disk was full, or failed).
    """

    waiting: int
    size: int
    too_many: int
    too_old: int
    refused: int
    unwritable: int

    @property
    def dropped(self) -> int:
        return self.too_many + self.too_old + self.refused + self.unwritable


class Spool:
    """A queue in an SQLite file (write-ahead log), for one process at a time; any thread may call.

    `put` returns when the record is committed: it outlives the process from then on, and with
    fsync a loss of power too. The oldest records give way when their bodies have more than
    max_bytes together, or when they are older than max_age_s: counted, and logged once; the newest
    stays. Events that the process before left open get an end (ended_by "interrupted") when the
    file is opened, but for those that are going_on (ids): this process put them, and has opened it
    before.
    clock: seconds since the epoch. Raises OSError, with the file and the reason, where the file
    cannot be opened or written, or another process has it.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        max_bytes: int = 100_000_000,
        max_age_s: float = 7 * 86400.0,
        fsync: bool = False,
        going_on: Collection[str] = (),
        clock: Callable[[], float] | None = None,
    ) -> None:
        if max_bytes < 1 or not max_age_s > 0:
            raise ValueError(
                f"{path}: max_bytes is {max_bytes} and max_age_s {max_age_s}: must be above 0"
            )
        self.path = Path(path)
        self._max_bytes, self._max_age_s, self._clock = (
            max_bytes,
            max_age_s,
            clock or _steady_clock(),
        )
        self._lock = threading.RLock()
        self._in_flight = 0
        self._is_dropping = False
        self._lost = dict.fromkeys(("too_many", "too_old", "refused", "unwritable"), 0)
        try:
            self._database = sqlite3.connect(
                self.path, timeout=1.0, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise self._as_os_error(error) from None
        try:
            self._prepare(fsync, going_on)
        except sqlite3.Error as error:
            self._database.close()
            raise self._as_os_error(error) from None
        except BaseException:
            self._database.close()
            raise

    def put(self, event: ActionEvent) -> None:
        """Raises OSError where it cannot be written: it is counted as unwritable then."""
        try:
            self._change(lambda: self._insert(event))
        except OSError:
            self._lost["unwritable"] += 1
            raise

    def next(self) -> SpooledRecord | None:
        """The oldest record that is not forgotten, to be sent: it is not dropped meanwhile."""
        with self._lock:
            self._drop_old()
            rows = self._query(
                "SELECT number, camera, id, sequence, body FROM waiting WHERE number > ? "
                "ORDER BY number LIMIT 1",
                (self._forgotten,),
            )
            if not rows:
                return None
            record = SpooledRecord(*rows[0])
            self._in_flight = record.number
            return record

    def _drop_old(self) -> None:
        """Also where no new record comes."""
        oldest = self._query("SELECT put_at FROM waiting ORDER BY number LIMIT 1")
        if oldest and oldest[0][0] < self._clock() - self._max_age_s:
            with suppress(OSError):
                self._change(self._bound)

    def put_back(self) -> None:
        """What `next` gave was not taken: it gives way to newer ones again."""
        with self._lock:
            self._in_flight = 0

    def forget(self, record: SpooledRecord, *, refused: bool = False) -> None:
        """The peer has this record, or refused it; it is not given again by this process even
        where the file cannot be written (OSError).
        """
        with self._lock:
            self._forgotten = record.number
            if refused:
                self._lost["refused"] += 1
        self._change(self._delete_taken)

    def counts(self) -> SpoolCounts:
        with self._lock:
            return SpoolCounts(self._waiting, self._size, **self._lost)

    def close(self) -> None:
        with self._lock:
            self._database.close()

    def _prepare(self, fsync: bool, going_on: Collection[str]) -> None:
        # Exclusive: the file is this process's, until it ends in whatever way.
        self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute(f"PRAGMA synchronous = {'FULL' if fsync else 'NORMAL'}")
        self._database.executescript(f"BEGIN IMMEDIATE; {_TABLES} COMMIT;")
        self._lost.update(self._query("SELECT reason, count FROM dropped"))
        ((self._forgotten,),) = self._query("SELECT coalesce(min(number), 1) - 1 FROM waiting")
        ((self._waiting, self._size),) = self._query(
            "SELECT count(*), coalesce(sum(length(body)), 0) FROM waiting"
        )
        with suppress(OSError):  # a full disk is told of by the records that come
            self._change(self._mend_times)
            self._change(self._bound)
        for (body,) in self._query("SELECT body FROM going_on ORDER BY rowid"):
            last = ActionEvent.from_dict(json.loads(body))
            if last.id not in going_on:
                self._interrupt(last)

    def _mend_times(self) -> None:
        """A machine without a clock of its own begins in the past: records of before its time was
        set are of now, as far as anybody knows.
        """
        now = self._clock()
        self._database.execute(
            "UPDATE waiting SET put_at = ? WHERE put_at < ? OR put_at > ?",
            (now, _EARLIEST, now + _LATER_S),
        )

    def _interrupt(self, last: ActionEvent) -> None:
        try:
            self._change(lambda: self._insert(interrupted(last)))
        except OSError as error:
            log.error("%s: event %s gets no end before the next start", error, last.id)

    def _insert(self, event: ActionEvent) -> None:
        body = as_line(event).encode()
        self._database.execute(
            "INSERT INTO waiting (camera, id, sequence, body, put_at) VALUES (?, ?, ?, ?, ?)",
            (event.source, event.id, event.sequence, body, self._clock()),
        )
        if event.phase == "end":
            self._database.execute("DELETE FROM going_on WHERE id = ?", (event.id,))
        else:
            self._database.execute("REPLACE INTO going_on VALUES (?, ?)", (event.id, body))
        self._waiting += 1
        self._size += len(body)
        self._bound()

    def _bound(self) -> None:
        """The oldest give way; never the one that is being sent, nor the newest."""
        too_old = self._clock() - self._max_age_s
        while rows := self._query(
            "SELECT number, put_at, length(body) FROM waiting WHERE number > ? "
            "AND number < (SELECT max(number) FROM waiting) ORDER BY number LIMIT 1",
            (self._in_flight,),
        ):
            number, put_at, size = rows[0]
            if put_at >= too_old and self._size <= self._max_bytes:
                return
            if not self._is_dropping:
                log.error("%s: is full, or its records too old: the oldest are dropped", self.path)
            self._is_dropping = True
            self._lost["too_old" if put_at < too_old else "too_many"] += 1
            self._delete(number, size)

    def _delete(self, number: int, size: int) -> None:
        self._database.execute("DELETE FROM waiting WHERE number = ?", (number,))
        self._waiting -= 1
        self._size -= size

    def _delete_taken(self) -> None:
        """Those that the peer has: several where the file could not be written for a while."""
        sql = "SELECT number, length(body) FROM waiting WHERE number <= ?"
        for number, size in self._query(sql, (self._forgotten,)):
            self._delete(number, size)

    def _change(self, change: Callable[[], object]) -> None:
        """All of it or nothing, the counts too."""
        with self._lock:
            before = self._waiting, self._size, dict(self._lost)
            try:
                self._database.execute("BEGIN IMMEDIATE")
                change()
                self._database.executemany(
                    "REPLACE INTO dropped VALUES (?, ?)",
                    [item for item in self._lost.items() if item[1]],
                )
                self._database.execute("COMMIT")
            except sqlite3.Error as error:
                self._waiting, self._size, self._lost = before
                self._roll_back()
                raise self._as_os_error(error) from None

    def _roll_back(self) -> None:
        try:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # closed; otherwise the next BEGIN says so

    def _query(self, sql: str, values: tuple[float, ...] = ()) -> list[Any]:
        try:
            return self._database.execute(sql, values).fetchall()
        except sqlite3.ProgrammingError as error:  # closed
            raise self._as_os_error(error) from None

    def _as_os_error(self, error: sqlite3.Error) -> OSError:
        reason = "another process has it" if "locked" in str(error) else str(error)
        return OSError(f"{self.path}: cannot be used as a spool: {reason}")


def _steady_clock() -> Callable[[], float]:
    """The wall clock as it is now, and on from there, whoever sets it: no record ages by that."""
    start_s = time.time() - time.monotonic()
    return lambda: start_s + time.monotonic()
