"""A text file that grows by whole lines, and is set aside when it is full or the day is over."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable
from datetime import date, datetime, timezone
from pathlib import Path
from typing import IO

if sys.platform != "win32":
    import fcntl

log = logging.getLogger(__name__)

_BLOCK = 1 << 16


class AppendedFile:
    """Lines reach the file, or the disk with fsync, before `append` returns; all of it or nothing.

    header: the first line of each file; one that begins otherwise is refused. begins: what the
    first character must be where there is one (a loss of power may leave zeros). max_bytes: a file
    that the next line would make longer is set aside first. daily: so is one with lines of an
    earlier day (UTC). NAME.EXT is set aside as NAME.2026-11-26.EXT, after the day of its last line;
    a second one of that day as NAME.2026-11-26.1.EXT, and so on. A half line at its end, of a
    process that was killed, is cut. One that was moved away or deleted is begun anew, with a
    warning.
    One at a time may have the file (not seen on Windows). Raises OSError where another has it, or
    it cannot be written, ValueError for what begins otherwise.
    """

    def __init__(
        self,
        path: Path,
        *,
        header: str | None = None,
        begins: str = "",
        fsync: bool = False,
        max_bytes: int | None = None,
        daily: bool = False,
        today: Callable[[], date] = lambda: datetime.now(timezone.utc).date(),
    ) -> None:
        if max_bytes is not None and max_bytes < 1:
            raise ValueError(f"{path}: max_bytes is {max_bytes}: must be 1 or more")
        self.path = path
        self._header, self._begins, self._fsync = header, begins, fsync
        self._max_bytes, self._daily, self._today = max_bytes, daily, today
        self._is_stuck = False
        self._file = self._open()

    @property
    def parts(self) -> list[Path]:
        """The last one that was set aside, if there is one, and the file."""
        stem, suffix = re.escape(self.path.stem), re.escape(self.path.suffix)
        name = re.compile(rf"{stem}\.(\d{{4}}-\d\d-\d\d)(?:\.(\d+))?{suffix}")
        aside = {
            (found[1], int(found[2] or 0)): file
            for file in self.path.parent.glob("*")
            if (found := name.fullmatch(file.name))
        }
        return [*(aside[last] for last in sorted(aside)[-1:]), self.path]

    def append(self, line: str) -> None:
        """line: without its end."""
        data = _encoded(line)
        if not self._file.closed and self._is_gone():
            log.warning("%s: was moved or deleted: a new one is begun", self.path)
            self._file.close()
        if self._file.closed:  # or could not be opened anew
            self._file = self._open()
        if self._size and self._is_over(len(data)):
            self._set_aside()
        if not self._size and self._header is not None:
            data = _encoded(self._header) + data
        self._write(data)
        self._day = self._today()

    def close(self) -> None:
        self._file.close()

    def _open(self) -> IO[bytes]:
        file = open(self.path, "a+b", buffering=0)
        try:
            _lock(file, self.path)
            _check_header(file, self.path, self._header)
            _check_first(file, self.path, self._begins)
            self._size = _cut_half_line(file, self.path)
            self._day = datetime.fromtimestamp(
                os.fstat(file.fileno()).st_mtime, timezone.utc
            ).date()
        except BaseException:
            file.close()
            raise
        return file

    def _is_gone(self) -> bool:
        """logrotate moves a file; what is written to it then, or to a deleted one, is lost."""
        try:
            return not os.path.samestat(os.stat(self.path), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            return True
        except OSError:
            return False

    def _is_over(self, more: int) -> bool:
        full = self._max_bytes is not None and self._size + more > self._max_bytes
        return full or (self._daily and self._today() != self._day)

    def _set_aside(self) -> None:
        self._file.close()
        try:
            self.path.rename(self._free_name())
            self._is_stuck = False
        except OSError as error:  # it grows on: no line is lost for that
            if not self._is_stuck:
                log.error("%s: cannot be set aside: %s", self.path, error)
            self._is_stuck = True
        self._file = self._open()

    def _free_name(self) -> Path:
        stem, suffix, count = self.path.stem, self.path.suffix, 0
        name = self.path.with_name(f"{stem}.{self._day}{suffix}")
        while name.exists():
            count += 1
            name = self.path.with_name(f"{stem}.{self._day}.{count}{suffix}")
        return name

    def _write(self, data: bytes) -> None:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
            if self._fsync:
                os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(self._size)
            raise
        self._size += len(data)


def _lock(file: IO[bytes], path: Path) -> None:
    if sys.platform == "win32":
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise OSError(f"{path}: is being written already: must be a file of its own") from None
    except OSError:
        pass  # a file system without locks


def _check_header(file: IO[bytes], path: Path, header: str | None) -> None:
    """Rows behind columns of other names would be taken for those."""
    if header is None:
        return
    file.seek(0)
    seen, end, _ = file.read(len(header.encode()) + 2).partition(b"\n")
    begun = seen.rstrip(b"\r").decode(errors="replace")
    # A process that was killed may have left a part of it, which is cut.
    if not (begun == header or (not end and header.startswith(begun))):
        raise ValueError(f"{path}: has other columns: must be a new file, or begin with {header}")


def _check_first(file: IO[bytes], path: Path, begins: str) -> None:
    """Before a foreign file's last line is taken for one that was cut."""
    file.seek(0)
    first = file.read(1)
    if begins and first.strip(b"\0\r\n") not in (b"", begins.encode()):
        raise ValueError(f"{path}: has other lines: must be a new file, or begin with {begins}")


def _encoded(line: str) -> bytes:
    return (line + "\n").encode()


def _cut_half_line(file: IO[bytes], path: Path) -> int:
    """Returns the size of what is whole."""
    size = start = file.seek(0, os.SEEK_END)
    whole = 0
    while start and not whole:
        start = max(0, start - _BLOCK)
        file.seek(start)
        whole = start + file.read(min(_BLOCK, size - start)).rfind(b"\n") + 1
        if whole == start:  # none in this block
            whole = 0
    if whole < size:
        log.warning("%s: its last line is not whole: cut", path)
        file.truncate(whole)
    return whole
