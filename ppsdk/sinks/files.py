"""Events as lines: of a JSON lines file, of a CSV file, of stdout."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Collection
from dataclasses import fields
from pathlib import Path

from ppsdk.records import ActionEvent
from ppsdk.sinks.appended import AppendedFile
from ppsdk.sinks.interrupted import interrupted, left_open
from ppsdk.sinks.protocol import as_line

COLUMNS = ("version", *(field.name for field in fields(ActionEvent)))


class JsonLines:
    """One JSON object a line, as `ActionEvent.to_dict` gives it; see `AppendedFile`. Events that a
    killed process left open in the file get an end (ended_by "interrupted") when it is opened, but
    for those that are going_on (ids): this process wrote them, and has opened it before.
    """

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
        self._file = AppendedFile(Path(path), fsync=fsync, max_bytes=max_bytes, daily=daily)
        try:
            for last in left_open(Path(path)):
                if last.id not in going_on:
                    self(interrupted(last))
        except BaseException:
            self._file.close()
            raise

    def __call__(self, event: ActionEvent) -> None:
        self._file.append(as_line(event))

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class CsvFile:
    """A row a record, with COLUMNS for a header; what an event has not stays empty."""

    def __init__(
        self,
        path: str | Path,
        *,
        fsync: bool = False,
        max_bytes: int | None = None,
        daily: bool = False,
    ) -> None:
        self.name = str(path)
        self._file = AppendedFile(
            Path(path), header=_row(COLUMNS), fsync=fsync, max_bytes=max_bytes, daily=daily
        )

    def __call__(self, event: ActionEvent) -> None:
        told = event.to_dict()
        self._file.append(_row([told.get(column) for column in COLUMNS]))

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> CsvFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class StdoutLines:
    """JSON lines to stdout, each at once."""

    name = "stdout"

    def __call__(self, event: ActionEvent) -> None:
        sys.stdout.write(as_line(event) + "\n")
        sys.stdout.flush()

    def close(self) -> None:
        """stdout is not ours to close."""

    def __enter__(self) -> StdoutLines:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _row(values: object) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)  # type: ignore[arg-type]
    return text.getvalue()
