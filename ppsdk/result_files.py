"""Files that results are written to: found fit before the work is done, and written whole."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def check_folder(folder: Path) -> None:
    """Create it where it is missing. Raises OSError, naming it, where no file can be written: now,
    and not after the minutes of work that the file was for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    # Not of tempfile, which tries names for hours in a folder of Windows that refuses them all.
    probe = folder / f".{os.getpid()}.part"
    try:
        probe.open("wb").close()
        probe.unlink()
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from None


def check_file(file: Path) -> None:
    """`check_folder` of its folder; a folder cannot be replaced by a file."""
    if file.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
    check_folder(file.parent)


def write_whole(file: Path, text: str) -> None:
    """UTF-8. What was there stays until all of the text is written."""
    temporary = file.with_name(f".{file.name}.part")
    try:
        temporary.write_text(text, "utf-8")
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
