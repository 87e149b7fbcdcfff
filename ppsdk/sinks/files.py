"""Events as lines: of a JSON lines file, of a CSV file, of stdout."""

from __future__ import annotations

import csv
import io
import logging
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from dataclasses import fields
from itertools import chain
from pathlib import Path
from typing import TypeVar

from ppsdk.records import ActionEvent
from ppsdk.sinks.appended import AppendedFile
from ppsdk.sinks.interrupted import interrupted, left_open, records_in_lines, records_in_rows
from ppsdk.sinks.protocol import as_line

log = logging.getLogger(__name__)

File = TypeVar("File", bound="_EventFile")
COLUMNS = ("version", *(field.name for field in fields(ActionEvent)))


class _EventFile(ABC):
    _header: str | None = None
    _begins = ""

    def __init__(
        self,
        path: str | Path,
        *,
        fsync: bool = False,
        max_bytes: int | None = None,
        daily: bool = False,
        going_on: Collection[str] = (),
    ) -> None:
        self.name = str(path)
        self._file = AppendedFile(
            Path(path),
            header=self._header,
            begins=self._begins,
            fsync=fsync,
            max_bytes=max_bytes,
            daily=daily,
        )
        try:
            parts = chain.from_iterable(map(self._records, self._file.parts))
            for last in left_open(parts):
                if last.id not in going_on:
                    self._interrupt(last)
        except BaseException:
            self._file.close()
            raise

    def _interrupt(self, last: ActionEvent) -> None:
        try:
            self(interrupted(last))
        except OSError as error:  # the disk is full: what comes may still find room, or other sinks
            log.error(
                "%s: event %s gets no end before the next start: %s", self.name, last.id, error
            )

    @staticmethod
    @abstractmethod
    def _line(event: ActionEvent) -> str:
        """Without its end."""

    @staticmethod
    @abstractmethod
    def _records(path: Path) -> Iterator[ActionEvent]:
        """Those in a file, if it is there."""

    def __call__(self, event: ActionEvent) -> None:
        self._file.append(self._line(event))

    def close(self) -> None:
        self._file.close()

    def __enter__(self: File) -> File:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class JsonLines(_EventFile):
    """One JSON object a line, as `ActionEvent.to_dict` gives it; see `AppendedFile`. Events that a
    killed process left open in the file, or in the one set aside last, get an end (ended_by
    "interrupted") when it is opened, but for those that are going_on (ids): this process wrote
    them, and has opened it before. A file that does not begin with { is refused.
    """

    _begins = "{"

    @staticmethod
    def _line(event: ActionEvent) -> str:
        return as_line(event)

    @staticmethod
    def _records(path: Path) -> Iterator[ActionEvent]:
        return records_in_lines(path)


class CsvFile(_EventFile):
    """A row a record, with COLUMNS for a header; what an event has not stays empty. All else as of
    `JsonLines`.
    """

    _header = ",".join(COLUMNS)

    @staticmethod
    def _line(event: ActionEvent) -> str:
        told, text = event.to_dict(), io.StringIO()
        csv.writer(text, lineterminator="").writerow(told.get(column) for column in COLUMNS)
        return text.getvalue()

    @staticmethod
    def _records(path: Path) -> Iterator[ActionEvent]:
        return records_in_rows(path)


class StdoutLines:
    """JSON lines to stdout, each at once."""

    name = "stdout"

    def __call__(self, event: ActionEvent) -> None:
        text, out = as_line(event) + "\n", sys.stdout
        is_replaced = out is not sys.__stdout__
        if out is None:  # a process without one
            return
        if sys.platform == "win32" or is_replaced:
            out.write(text)
            out.flush()
            return
        # A write that hangs would keep Python's own buffer locked, and the process from its end.
        out.flush()  # what the app has printed comes first
        rest = memoryview(text.encode(out.encoding, "backslashreplace"))
        while rest:
            rest = rest[os.write(out.fileno(), rest) :]

    def close(self) -> None:
        """stdout is not ours to close."""

    def __enter__(self) -> StdoutLines:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
