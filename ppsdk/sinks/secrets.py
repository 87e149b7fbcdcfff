"""Secrets by reference: an environment variable, or a file that one names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def read_secret(name: str, *, environ: Mapping[str, str] = os.environ) -> str | None:
    """The variable NAME; or what is in the file that the variable NAME_FILE names, without the end
    of its line; or None. Raises ValueError where both are set, or the file cannot be read.
    """
    value, file = environ.get(name), environ.get(f"{name}_FILE")
    if value and file:
        raise ValueError(f"{name} and {name}_FILE are both set: must be one of them")
    if not file:
        return value or None
    try:
        return Path(file).read_text("utf-8").rstrip("\r\n") or None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ValueError(f"{name}_FILE: cannot read {file}: {reason}") from None
