"""Tables of a site's file, one by one, and the secrets that they refer to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError

from ppsdk.site.checks import Surroundings, secret_of_file, secret_of_variable
from ppsdk.site.lines import Place
from ppsdk.site.problems import Problems, meant
from ppsdk.site.schema import Table

Kind = TypeVar("Kind", bound=Table)
Values = Mapping[str, Any]


@dataclass(frozen=True)
class Given:
    """right: what a table of options has, without what is wrong in it. wrong: the names of that,
    and those that misspelt ones may mean.
    """

    right: dict[str, Any] = field(default_factory=dict)
    wrong: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Reading:
    around: Surroundings
    problems: Problems

    def table(self, kind: type[Kind], place: Place, values: object) -> Kind | None:
        """None where something is wrong with it, which is told. What is no table at all was told
        of by the one around it.
        """
        if not isinstance(values, dict):
            return None
        self._check_references(kind, place, values)
        try:
            return kind.model_validate(values, context=self.around)
        except ValidationError as error:
            self.problems.tell_all(place, kind, values, error)
            return None

    def given(self, kind: type[Table], place: Place, values: object) -> Given:
        """As `table`, of one with nothing in it that it needs: what is right of it counts."""
        if values is None:
            return Given()
        if not isinstance(values, dict):
            return Given(wrong=frozenset(kind.model_fields))
        wrong: set[str] = set()
        try:
            table = kind.model_validate(values, context=self.around)
        except ValidationError as error:
            self.problems.tell_all(place, kind, values, error)
            wrong = {str(details["loc"][0]) for details in error.errors(include_url=False)}
            right = {name: value for name, value in values.items() if name not in wrong}
            table = kind.model_validate(right, context=self.around)
        wrong |= {name for key in wrong if (name := meant(kind, key)) is not None}
        return Given(table.model_dump(exclude_unset=True), frozenset(wrong))

    def referred(self, table: Table, key: str) -> str | None:
        """The value of a key, of the variable <key>_env, or of the file <key>_file; None, where
        there is none of them.
        """
        for name in _spellings(key):
            value = getattr(table, name, None)
            if value is not None:
                return _value(name, value, self.around)
        return None

    def _check_references(self, kind: type[Table], place: Place, values: Values) -> None:
        """One of <key>, <key>_env and <key>_file, and not two."""
        for key in [n.removesuffix("_env") for n in kind.model_fields if n.endswith("_env")]:
            given = [name for name in _spellings(key) if name in values]
            for name in given[1:]:
                told = f": {given[0]} is there too: must be one of them"
                self.problems.tell((*place, name), told)
            if not given and key in kind.model_fields:
                accepted = kind.model_fields[key].description
                told = f" is missing: must be {accepted}, or given by {key}_env or {key}_file"
                self.problems.tell((*place, key), told)


def _spellings(key: str) -> tuple[str, str, str]:
    return key, f"{key}_env", f"{key}_file"


def _value(name: str, value: str, around: Surroundings) -> str:
    if name.endswith("_env"):
        return secret_of_variable(value, around)
    return secret_of_file(value, around) if name.endswith("_file") else value
