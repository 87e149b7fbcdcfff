"""Label files: `id name` a line, a name a line, a JSON list, or JSON {name: id}."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ppsdk.errors import ModelError
from ppsdk.manifest import composed

_DIGITS = 9  # more than any id has, few enough for int()
_ID_AND_NAME = re.compile(r"(\d+)[ \t,:]+(.*\S)")


def read_labels(path: Path, num_classes: int) -> tuple[str, ...]:
    """The names in the order of the model's classes.

    Blank lines and lines that start with # are passed over. Where every line starts with a number
    the numbers are the ids, and win over the order of the lines. Raises ModelError unless there is
    exactly one distinct name for each id from 0 to num_classes - 1.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        what = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ModelError(f"{path}: cannot read labels ({what})") from None
    pairs = _json_pairs(text, path) if text.lstrip()[:1] in ("[", "{") else _line_pairs(text, path)
    return _ordered(pairs, num_classes, path)


def check_labels(names: list[Any], num_classes: int, where: Path) -> tuple[str, ...]:
    """The same checks for a list of names, by order."""
    return _ordered(list(enumerate(names)), num_classes, where)


def _line_pairs(text: str, path: Path) -> list[tuple[int, str]]:
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    matches = [_ID_AND_NAME.fullmatch(line) for line in lines]
    if lines and all(matches):
        return [(int(match[1][:_DIGITS]), match[2]) for match in matches if match]
    numbered = sum(match is not None for match in matches)
    odd = next((line for line, match in zip(lines, matches, strict=True) if not match), "")
    if 2 * numbered > len(lines) or (numbered and any(line.isdecimal() for line in lines)):
        raise ModelError(f"{path}: line {odd!r}: most lines are `id name`, so each must be")
    return list(enumerate(lines))


def _json_pairs(text: str, path: Path) -> list[tuple[Any, Any]]:
    try:
        content = json.loads(text, object_pairs_hook=list)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not valid JSON ({error})") from None
    if text.lstrip()[0] == "{":
        return [(label_id, name) for name, label_id in content]
    return list(enumerate(content))


def _ordered(pairs: list[tuple[Any, Any]], num_classes: int, path: Path) -> tuple[str, ...]:
    wrong = [pair for pair in pairs if type(pair[0]) is not int or not isinstance(pair[1], str)]
    if wrong:
        raise ModelError(
            f"{path}: label {wrong[0][1]!r} with id {wrong[0][0]!r}: names are texts, ids numbers"
        )
    ids = [label_id for label_id, _ in pairs]
    names = [composed(name) for _, name in pairs]
    span = f"ids {min(ids)}..{max(ids)}, " if ids else ""
    repeated_ids = sorted({i for i in ids if ids.count(i) > 1})
    repeated_names = sorted({name for name in names if names.count(name) > 1})
    missing = sorted(set(range(num_classes)) - set(ids))
    problems = []
    if len(pairs) != num_classes:
        problems.append(f"{len(pairs)} labels")
    if repeated_ids:
        problems.append(f"id {_few(repeated_ids)} more than once")
    if repeated_names:
        problems.append(f"label {_few(repeated_names)} more than once")
    if "" in names:
        problems.append("an empty label")
    if missing:
        problems.append(f"{span}without {_few(missing)}")
    if problems:
        raise ModelError(
            f"{path}: {'; '.join(problems)}: the model has {num_classes} classes, "
            f"0..{num_classes - 1}, each needs one label"
        )
    return tuple(name for _, name in sorted(zip(ids, names, strict=True)))


def _few(values: list[Any]) -> str:
    more = f" and {len(values) - 5} more" if len(values) > 5 else ""
    return ", ".join(map(repr, values[:5])) + more
