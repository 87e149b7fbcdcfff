"""The line that every figure needs beside it."""

from __future__ import annotations

from converters.report.machine import this_machine


def machine_line() -> str:
    """CPU, its instruction sets that matter here, cores, versions, date: as in `ppsdk report`."""
    return this_machine().line
