"""Numbers on the command line: finite, and within a range that the help tells."""

from __future__ import annotations

import math
from typing import Any

import click


class Number(click.FloatRange):
    """A range alone lets "nan" pass, and "inf" where it has no end."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


class Integer(click.IntRange):
    name = "integer"


ABOVE_0 = Number(min=0, min_open=True)
FROM_0 = Number(min=0)
SHARE = Number(0, 1)
SECONDS = ABOVE_0
