"""What is wrong with a site's file, a line each: where, what is there, and what is accepted."""

from __future__ import annotations

import json
import re
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ppsdk.site.lines import Place, line_of
from ppsdk.site.schema import Table

# What may have a secret in it by mistake is not shown.
_QUIET = re.compile(r"url|\w+_env|\w+_file")
# An address in the place of a path, in which two slashes are one.
_USER = re.compile(r"(:/+)[^\s/@]*@")
_QUIET_VALUE = re.compile(r"[{]|:.*@")


class SiteError(ValueError):
    """problems: all that is wrong with a site's file, by its lines."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


class Problems:
    """Collects them, to be raised together."""

    def __init__(self, file: Path, lines: dict[Place, int]) -> None:
        self._file, self._lines = file, lines
        self._told: list[tuple[int, str]] = []

    def tell(self, place: Place, what: str) -> None:
        """what: begins with a colon, or goes on behind the name of the key."""
        name = ".".join(_as_key(key) for key in place if isinstance(key, str))
        line = line_of(place, self._lines)
        text = _USER.sub(r"\1", " ".join(f"{self._file}:{line}: {name}{what}".split()))
        if (line, text) not in self._told:
            self._told.append((line, text))

    def tell_all(
        self, place: Place, kind: type[Table], values: Any, error: ValidationError
    ) -> None:
        """Those of one table."""
        told = set()
        for details in error.errors(include_url=False):
            key = details["loc"][0] if details["loc"] else None
            if key not in told:  # of a list, its first
                told.add(key)
                self.tell((*place, *details["loc"]), _what(kind, values, details))

    def raise_all(self) -> None:
        if self._told:
            raise SiteError([text for _, text in sorted(self._told, key=lambda told: told[0])])


def meant(kind: type[Table], key: str) -> str | None:
    """The key of the table that this one, which is none, looks like."""
    return next(iter(get_close_matches(key, kind.model_fields, 1)), None)


def _as_key(key: str) -> str:
    """As it is written in TOML."""
    return key if re.fullmatch(r"[\w-]+", key) else json.dumps(key, ensure_ascii=False)


def _what(kind: type[Table], values: Any, details: ErrorDetails) -> str:
    if not details["loc"]:
        return ": must be a table"
    key = str(details["loc"][0])
    if details["type"] == "extra_forbidden":
        return _unknown(kind, key)
    if details["type"] == "value_error":
        told = str(details["ctx"]["error"])
        return told.removeprefix(key) if told.startswith(f"{key} ") else f": {told}"
    accepted = kind.model_fields[key].description
    if details["type"] == "missing":
        return f" is missing: must be {accepted}"
    shown = f" is {json.dumps(values[key], ensure_ascii=False, default=str)}"
    if _QUIET.fullmatch(key) or _QUIET_VALUE.search(shown):
        shown = ""
    return f"{shown}: must be {accepted}"


def _unknown(kind: type[Table], key: str) -> str:
    known = list(kind.model_fields)
    if f"{key}_env" in known:
        return f": no secret goes into the file: give {key}_env or {key}_file in its place"
    near = meant(kind, key)
    question = "" if near is None else f" (is {near} meant?)"
    return f": unknown key{question}, accepted are {', '.join(known)}"
