"""In which line of a TOML text a key is: `tomllib` gives the values, but not where they were."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Of a value in the text: names of tables and keys, and numbers of elements, from 0.
Place = tuple[str | int, ...]

# TOML 1.0, https://toml.io/en/v1.0.0: strings of four kinds, comments, ends of lines, punctuation,
# and what is bare (keys, numbers, dates, true and false), in parts where it has dots.
_TOKEN = re.compile(
    r'''"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*\'|#[^\n]*|\r?\n'''
    r"""|[\[\]{}=,.]|[^\s\[\]{}=,.#"']+""",
    re.DOTALL,
)
_END = ""


def read_toml(text: str) -> tuple[dict[str, Any], dict[Place, int]]:
    """The values, and the line, from 1, of each key, table and element. Raises ValueError with
    "(at line L, column C)" for what is no TOML.
    """
    values = tomllib.loads(text)
    return values, _Walk(text).lines


def line_of(place: Place, lines: dict[Place, int]) -> int:
    """Of what is not there itself, that of the table which it is missing in."""
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place, 1)


class _Walk:
    """Over a text that is known to be right TOML."""

    def __init__(self, text: str) -> None:
        self.lines: dict[Place, int] = {}
        self._tokens = _tokens(text)
        self._table: Place = ()
        self._elements: dict[Place, int] = {}  # how many [[tables]] there are so far
        self._next()
        while self._token != _END:
            if self._token == "\n":
                self._next()
            elif self._token == "[":
                self._header()
            else:
                self._pair(self._table)

    def _next(self) -> None:
        self._token, self._line = next(self._tokens)

    def _header(self) -> None:
        """[a.b] or [[a.b]]."""
        self._next()
        is_element = self._token == "["
        if is_element:
            self._next()
        *parents, last = self._key()
        place: Place = ()
        for key in parents:
            place = self._newest((*place, key))
        place = (*place, last)
        self.lines.setdefault(place, self._line)
        self._next()
        if is_element:
            self._elements[place] = self._elements.get(place, 0) + 1
            self._next()
        self._table = self._newest(place)

    def _newest(self, place: Place) -> Place:
        """Of [[tables]] the last one is meant."""
        self.lines.setdefault(place, self._line)
        if place in self._elements:
            place = (*place, self._elements[place] - 1)
            self.lines.setdefault(place, self._line)
        return place

    def _key(self) -> list[str]:
        """Its parts, up to what ends it."""
        parts = []
        while self._token not in ("=", "]"):
            if self._token != ".":
                parts.append(_text(self._token))
            self._next()
        return parts

    def _pair(self, table: Place) -> None:
        line = self._line
        for key in self._key():
            table = (*table, key)
            self.lines.setdefault(table, line)
        self._next()
        self._value(table)

    def _value(self, place: Place) -> None:
        """Up to what ends it."""
        if self._token not in ("[", "{"):
            while self._token not in (",", "]", "}", "\n", _END):
                self._next()
            return
        closing = "]" if self._token == "[" else "}"
        count = 0
        self._next()
        while self._token != closing:
            if self._token in (",", "\n"):
                self._next()
            elif closing == "}":
                self._pair(place)
            else:
                element = (*place, count)
                self.lines[element] = self._line
                self._value(element)
                count += 1
        self._next()


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    """Each with its line; without comments, and ever more ends behind the last."""
    line = 1
    for match in _TOKEN.finditer(text):
        token = match.group()
        if not token.startswith("#"):
            yield "\n" if token == "\r\n" else token, line
        line += token.count("\n")
    while True:
        yield _END, line


def _text(key: str) -> str:
    """A bare or quoted key as it is meant."""
    return str(tomllib.loads(f"x = {key}")["x"]) if key[0] in "\"'" else key
