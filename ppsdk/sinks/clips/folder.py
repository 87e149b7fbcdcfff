"""The folder that clips are in: their names, what a killed process left, and what they may take."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

from ppsdk.records import ActionEvent

if sys.platform != "win32":
    import fcntl

log = logging.getLogger(__name__)

RECORD_VERSION = 1
# In the order in which they get their names: the record is last, and says that all are there.
ENDINGS = (".jpg", ".mp4", ".json")
_PART = ".ppsdk-part"
_LOCK = ".ppsdk-clips"
_LONGEST_BYTES = 80
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True)
class _Written:
    """stem: the path of its files without their endings. size: bytes of all of them."""

    stem: Path
    written_at: str
    size: int


class ClipFolder:
    """One process at a time may have it. Raises OSError where another has, or it cannot be written.

    Only what has one of its records beside it is ever deleted. deleted: clips, so far.
    """

    def __init__(self, folder: Path, *, budget_bytes: int) -> None:
        self.folder = folder
        self.deleted = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(folder)
        try:
            _clean_up(folder)
            self._written = deque(sorted(_found(folder), key=lambda clip: clip.written_at))
        except BaseException:
            self._lock.close()
            raise
        self._size = sum(clip.size for clip in self._written)
        self.keep_within(budget_bytes)

    def close(self) -> None:
        self._lock.close()

    def keep_within(self, budget_bytes: int) -> None:
        """From now on: the oldest clips give way at once."""
        self._budget_bytes = budget_bytes
        self._make_room(0)

    def stem(self, event: ActionEvent) -> Path:
        """CAMERA/DATE_TIME_LABEL_ID without an ending; UTC, or the time in a recording."""
        name = f"{_when(event)}_{safe_name(event.label)}_{safe_name(event.id)}"
        return self.folder / safe_name(event.source) / name

    def part(self, stem: Path, ending: str) -> Path:
        """The temporary name of a file; its folder is there, whoever has deleted it meanwhile."""
        stem.parent.mkdir(parents=True, exist_ok=True)
        return stem.with_name(f".{stem.name}{ending}{_PART}")

    def commit(self, stem: Path, snapshot: bytes, record: dict[str, Any]) -> None:
        """The film is there, under its temporary name. Older clips give way to it."""
        record = {"ppsdk_clip": RECORD_VERSION, "written_at": _now(), **record}
        self.part(stem, ".jpg").write_bytes(snapshot)
        text = json.dumps(record, ensure_ascii=False, indent=1) + "\n"
        self.part(stem, ".json").write_text(text, "utf-8")
        size = sum(self.part(stem, ending).stat().st_size for ending in ENDINGS)
        self._make_room(size)
        for ending in ENDINGS:
            _sync(self.part(stem, ending))
        for ending in ENDINGS:
            os.replace(self.part(stem, ending), _with_ending(stem, ending))
        self._written.append(_Written(stem, record["written_at"], size))
        self._size += size

    def discard(self, stem: Path) -> None:
        """What is there of a clip that failed, its name without a record included."""
        for ending in ENDINGS:
            self.part(stem, ending).unlink(missing_ok=True)
        if not _with_ending(stem, ".json").exists():
            for ending in ENDINGS:
                _with_ending(stem, ending).unlink(missing_ok=True)

    def _make_room(self, size: int) -> None:
        while self._written and self._size + size > self._budget_bytes:
            if not size and len(self._written) == 1:
                return  # the newest stays
            oldest = self._written.popleft()
            self._size -= oldest.size
            self.deleted += 1
            for ending in reversed(ENDINGS):
                try:
                    _with_ending(oldest.stem, ending).unlink(missing_ok=True)
                except OSError as error:
                    log.error("%s%s: cannot be deleted: %s", oldest.stem, ending, error)


def safe_name(name: str) -> str:
    """Of a file or folder on any system: letters, digits, - . and _; the end of what is too long,
    which tells more of a path or URL than its beginning.
    """
    safe = re.sub(r"[^\w.-]+", "_", name).strip("._") or "_"
    while len(safe.encode()) > _LONGEST_BYTES:
        safe = safe[1:].lstrip("._")
    return f"_{safe}" if _RESERVED.fullmatch(safe) else safe


def _when(event: ActionEvent) -> str:
    if event.start_time is not None:
        start = datetime.fromisoformat(event.start_time).astimezone(timezone.utc)
        return start.strftime("%Y-%m-%d_%H-%M-%SZ")
    minutes, seconds = divmod(max(0.0, event.start_s), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours:02}h{minutes:02}m{seconds:06.3f}s"


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()


def _with_ending(stem: Path, ending: str) -> Path:
    return stem.with_name(stem.name + ending)


def _sync(path: Path) -> None:
    """To the disk, before it has its name: a loss of power must not leave the name alone."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _locked(folder: Path) -> IO[bytes]:
    file = open(folder / _LOCK, "ab")
    if sys.platform != "win32":
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise OSError(f"{folder}: clips are being written there already") from None
        except OSError:
            pass  # a file system without locks
    return file


def _clean_up(folder: Path) -> None:
    """What a killed process left. Its record, still under its temporary name, tells which files
    have their names already.
    """
    for record in list(folder.glob(f"*/.*.json{_PART}")):
        stem = record.with_name(record.name[1 : -len(f".json{_PART}")])
        if _with_ending(stem, ".mp4").exists():
            os.replace(record, _with_ending(stem, ".json"))
        else:
            _with_ending(stem, ".jpg").unlink(missing_ok=True)
    parts = [part for ending in ENDINGS for part in folder.glob(f"*/.*{ending}{_PART}")]
    for part in parts:
        part.unlink(missing_ok=True)
    if parts:
        log.warning("%s: %d files of clips that were not whole: deleted", folder, len(parts))


def _found(folder: Path) -> list[_Written]:
    found = []
    for file in folder.glob("*/*.json"):
        stem = file.with_name(file.name[: -len(".json")])
        try:
            record = json.loads(file.read_text("utf-8"))
            if record["ppsdk_clip"] != RECORD_VERSION:
                continue
            sizes = [_with_ending(stem, ending) for ending in ENDINGS]
            size = sum(path.stat().st_size for path in sizes if path.exists())
            found.append(_Written(stem, str(record["written_at"]), size))
        except (OSError, ValueError, TypeError, KeyError):
            continue  # somebody else's
    return found
