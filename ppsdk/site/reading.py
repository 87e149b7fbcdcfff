"""Tables of a site's file, one by one, and the secrets that they refer to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from ppsdk.site.checks import Surroundings, secret_of_file, secret_of_variable
from ppsdk.site.lines import Place
from ppsdk.site.problems import Problems
from ppsdk.site.schema import Table

Kind = TypeVar("Kind", bound=Table)
Values = Mapping[str, Any]


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
        try:
            return kind.model_validate(values, context=self.around)
        except ValidationError as error:
            self.problems.tell_all(place, kind, values, error)
            return None

    def referred(self, table: Table, place: Place, key: str) -> str | None:
        """The value of a key, of the variable <key>_env, or of the file <key>_file; None, where
        there is none of them; of several, which is told, one.
        """
        names = [name for name in (key, f"{key}_env", f"{key}_file") if getattr(table, name, None)]
        for name in names[1:]:
            self.problems.tell((*place, name), f": {names[0]} is given too: must be one of them")
        if not names:
            return None
        value: str = getattr(table, names[0])
        if names[0] == key:
            return value
        secret_of = secret_of_variable if names[0].endswith("_env") else secret_of_file
        return secret_of(value, self.around)

    def needed(self, table: Table, place: Place, key: str) -> str | None:
        value = self.referred(table, place, key)
        if value is None:
            accepted = type(table).model_fields[key].description
            told = f" is missing: must be {accepted}, or {key}_env or {key}_file given"
            self.problems.tell((*place, key), told)
        return value
